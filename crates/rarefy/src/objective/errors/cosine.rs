//! Cosine error `1 - cos(x, x_hat)`.
//!
//! ```text
//! d E / d x_hat = (cos x_hat / |x_hat| - x / |x|) / |x_hat|
//! ```
//!
//! For embeddings that are compared by their cosine: the length of a reconstruction has no effect. A row or
//! reconstruction of length 0 has an error of 1 and no derivative.
//!
//! Source: Kasalický et al. 2025, *The future is sparse: embedding compression for scalable retrieval in recommender
//! systems* (`CompresSAE`), arXiv:2505.11388.

use rarefy_kernels::vector::dot;

use super::{ErrorInfo, ReconstructionError};
use crate::objective::Dual;
use crate::objective::formula::{Maths, mean, times};

/// Table line of the error.
pub const INFO: ErrorInfo = ErrorInfo {
    name: "cosine",
    check: &[("error", "cosine")],
    build: || Box::new(Cosine),
};

/// One minus the cosine of a row and its reconstruction.
#[derive(Debug, Clone, Copy)]
struct Cosine;

impl ReconstructionError for Cosine {
    fn name(&self) -> &'static str {
        "cosine"
    }

    fn replace_residual(&self, residual: &mut [f32], x: &[f32]) -> f64 {
        let pairs = residual.iter_mut().zip(x);
        pairs.for_each(|(r, x)| *r += x);
        let x_hat = residual;
        let (length, length_hat) = (dot(x, x).sqrt(), dot(x_hat, x_hat).sqrt());
        if length == 0.0 || length_hat == 0.0 {
            x_hat.fill(0.0);
            return 1.0;
        }
        let cos = dot(x, x_hat) / (length * length_hat);
        let (along, towards) = (
            0.5 * cos / (length_hat * length_hat),
            0.5 / (length * length_hat),
        );
        for (d, x) in x_hat.iter_mut().zip(x) {
            *d = (along * f64::from(*d) - towards * f64::from(*x)) as f32;
        }
        1.0 - cos
    }

    fn twin(&self, x: &[f64], x_hat: &[Dual]) -> Dual {
        let product: Dual = x.iter().zip(x_hat).map(|(x, out)| *out * *x).sum();
        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let length_hat = x_hat.iter().map(|out| out.square()).sum::<Dual>().sqrt();
        Dual::from(1.0) - product / (length_hat * length)
    }

    fn maths(&self, weight: f64, (text, latex): (&str, &str)) -> Maths {
        times(
            &mean(weight),
            &format!("sum_i (1 - cos(x_i, {text}))"),
            &format!(r"\sum_i \bigl(1 - \cos(x_i, \hat x_i{latex})\bigr)"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x = (3, 4) and `x_hat` = (4, 3): cos = 24/25, and the half derivative is `0.5 (24/25 x_hat - x) / 25`.
    #[test]
    fn cosine_error_and_its_derivative_are_those_worked_by_hand() {
        let mut residual = [1.0, -1.0];
        let error = Cosine.replace_residual(&mut residual, &[3.0, 4.0]);
        assert!((error - 0.04).abs() < 1e-9, "{error}");
        let expected = [0.5 * (3.84 - 3.0) / 25.0, 0.5 * (2.88 - 4.0) / 25.0];
        for (got, expected) in residual.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-7, "{residual:?}");
        }
    }

    #[test]
    fn a_reconstruction_of_length_zero_costs_one_and_has_no_derivative() {
        let mut residual = [-3.0, -4.0];
        assert_eq!(Cosine.replace_residual(&mut residual, &[3.0, 4.0]), 1.0);
        assert_eq!(residual, [0.0, 0.0]);
    }
}
