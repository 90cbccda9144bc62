//! Gradient checks: f64 twin against central differences, f32 training against the twin.
//!
//! Each combination of options gives two errors: that of the twin's hand-written gradient against central
//! differences (the courseware's measure, below 1e-9 if correct), and that of the f32 gradient of training
//! against the twin's.

mod dense;
mod sparse;
mod twin;

use rayon::prelude::*;

use crate::Result;
use crate::variants::{self, Architecture, Options};

/// Largest relative error of the twin's gradient.
pub const TWIN_TOLERANCE: f64 = 1e-9;
/// Largest relative error of the f32 gradient.
pub const FAST_TOLERANCE: f64 = 1e-4;

/// Result of the gradient check for one combination of options.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Check {
    /// Names and values of the options.
    pub name: String,
    /// `|numerical - exact| / |numerical + exact|` of the f64 twin, central differences over five points 1e-4 apart:
    /// over all parameters of a dense architecture, along random directions of a sparse one.
    pub twin_error: f64,
    /// `|fast - twin| / |twin|`, the worst over the ways that training computes it.
    pub fast_error: f64,
    /// True if both errors are within tolerance.
    pub passed: bool,
}

impl Check {
    fn new(name: String, twin_error: f64, fast_error: f64) -> Self {
        Self {
            name,
            twin_error,
            fast_error,
            passed: twin_error < TWIN_TOLERANCE && fast_error < FAST_TOLERANCE,
        }
    }
}

/// Checks every combination of an architecture's options.
///
/// # Errors
/// [`crate::Error::Unknown`] if there is no such architecture.
///
/// # Example
/// ```
/// let checks = rarefy::check::gradients("kl")?;
/// assert_eq!(checks.len(), 18); // three losses, three estimates, tied or not
/// assert!(checks.iter().all(|check| check.passed));
/// let checks = rarefy::check::gradients("topk")?;
/// assert!(checks.iter().all(|check| check.passed), "{checks:?}");
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn gradients(arch: &str) -> Result<Vec<Check>> {
    let info = variants::find(arch)?;
    let defaults = Options::check(info.options(), [])?;
    match info.build(&defaults)? {
        Architecture::Dense(_) => dense::gradients(info),
        Architecture::Sparse(_) => sparse::gradients(info),
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Relative error (the courseware's measure) of derivatives against central differences of `value(index, step)`.
///
/// Five points instead of three, because a pursuit is a polynomial of high degree.
fn central_differences(exact: &[f64], value: impl Fn(usize, f64) -> f64 + Sync) -> f64 {
    const STEP: f64 = 1e-4;
    let numerical: Vec<f64> = (0..exact.len())
        .into_par_iter()
        .map(|at| {
            let across = |by: f64| value(at, by) - value(at, -by);
            (8.0 * across(STEP) - across(2.0 * STEP)) / (12.0 * STEP)
        })
        .collect();
    let both = || numerical.iter().zip(exact);
    norm(both().map(|(a, b)| a - b)) / norm(both().map(|(a, b)| a + b))
}
