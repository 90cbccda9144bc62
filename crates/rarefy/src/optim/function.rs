//! The type of an objective function.

use crate::Result;

/// Objective function: returns the value at a point and writes the gradient into the second argument.
pub type Function<'a> = dyn FnMut(&[f32], &mut [f32]) -> Result<f64> + 'a;
