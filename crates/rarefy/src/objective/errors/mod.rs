//! Distances of a row and its reconstruction.

mod squares;

pub use squares::Squares;

use std::fmt::Debug;

use super::dual::Dual;
use super::formula::Maths;

/// Distance E of a row x and its reconstruction `x_hat`, whose mean over rows is the loss.
pub trait ReconstructionError: Debug + Send + Sync {
    /// Name of the error, for formulas.
    fn name(&self) -> &'static str;

    /// True for the squared error, whose half derivative by `x_hat` is the residual itself.
    fn is_squared(&self) -> bool {
        false
    }

    /// Replaces a residual `r = x_hat - x` by half the derivative of E by `x_hat`, and returns E.
    ///
    /// # Shapes
    /// `residual`, `x`: `[d_out]`.
    fn replace_residual(&self, residual: &mut [f32], x: &[f32]) -> f64;

    /// Value for one row in the f64 twin.
    fn twin(&self, x: &[f64], x_hat: &[Dual]) -> Dual;

    /// Formula of `weight/m sum_i E(x_i, x_hat_i)`, with a mark behind `x_hat`.
    fn maths(&self, weight: f64, mark: &(String, String)) -> Maths;
}
