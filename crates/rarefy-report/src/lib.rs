//! Pictures and pages from plain run records; knows nothing of training.
#![forbid(unsafe_code)]

/// tmp
pub fn penalty_plot(_rho: f64, _marks: &[f64]) -> String { String::new() }
