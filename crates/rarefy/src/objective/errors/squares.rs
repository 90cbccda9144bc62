//! Squared error `|x - x_hat|^2`, summed over outputs.

use super::{ErrorInfo, ReconstructionError};
use crate::objective::Dual;
use crate::objective::formula::{Maths, mean, times};

/// Table line of the error.
pub const INFO: ErrorInfo = ErrorInfo {
    name: "squares",
    check: &[("error", "squares")],
    build: || Box::new(Squares),
};

/// Squared error of a row, summed over outputs.
#[derive(Debug, Clone, Copy)]
pub struct Squares;

impl ReconstructionError for Squares {
    fn name(&self) -> &'static str {
        "squares"
    }

    fn is_squared(&self) -> bool {
        true
    }

    fn replace_residual(&self, residual: &mut [f32], _: &[f32]) -> f64 {
        rarefy_kernels::vector::dot(residual, residual)
    }

    fn twin(&self, x: &[f64], x_hat: &[Dual]) -> Dual {
        let pairs = x_hat.iter().zip(x);
        pairs.map(|(out, x)| (Dual::from(*x) - *out).square()).sum()
    }

    fn maths(&self, weight: f64, (text, latex): (&str, &str)) -> Maths {
        times(
            &mean(weight),
            &format!("sum_i |x_i - {text}|^2"),
            &format!(r"\sum_i \lVert x_i - {latex} \rVert^2"),
        )
    }
}
