//! Distances of a row and its reconstruction: one file and one line in [`ERRORS`] each.

mod cosine;
mod squares;

pub use squares::Squares;

use std::fmt::Debug;

use super::add_on::AddOn;
use super::dual::Dual;
use super::formula::Maths;
use crate::options::{Kind, OptionSet, option_set};

/// Every error, the default first.
pub const ERRORS: &[ErrorInfo] = &[squares::INFO, cosine::INFO];

/// Table line of an error.
pub struct ErrorInfo {
    /// Word for the option `error`.
    pub name: &'static str,
    /// Setting under which gradients are checked.
    pub check: &'static [(&'static str, &'static str)],
    /// Makes the error.
    pub build: fn() -> Box<dyn ReconstructionError>,
}

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

    /// Formula of `weight/m sum_i E(x_i, x_hat_i)`; `x_hat` is the reconstruction in plain text and in LaTeX.
    fn maths(&self, weight: f64, x_hat: (&str, &str)) -> Maths;
}

/// Words of the option `error`.
const NAMES: &[&str] = &{
    let mut words = [""; ERRORS.len()];
    let mut at = 0;
    while at < ERRORS.len() {
        words[at] = ERRORS[at].name;
        at += 1;
    }
    words
};

option_set! {
    /// Option of the reconstruction error.
    pub struct ErrorOptions {
        /// Reconstruction error of a row. squares: squared error. cosine: one minus the cosine of row and
        /// reconstruction, for embeddings that are compared by their cosine
        error: &'static str = ERRORS[0].name, Kind::Choice(NAMES);
    }
}

/// Settings under which gradients are checked.
const CHECKS: &[&[(&str, &str)]] = &{
    let mut settings: [&[(&str, &str)]; ERRORS.len()] = [&[]; ERRORS.len()];
    let mut at = 0;
    while at < ERRORS.len() {
        settings[at] = ERRORS[at].check;
        at += 1;
    }
    settings
};

/// Add-on with the option `error`. A pursuit follows the squared error, so it takes no other.
pub(super) const ADD_ON: AddOn = AddOn {
    name: "error",
    summary: "Distance of a row and its reconstruction",
    source: "squared error: all papers; cosine error: arXiv:2505.11388",
    options: ErrorOptions::TABLE,
    checks: CHECKS,
    applies: |objective| !objective.pursues(),
    add: |options, objective| {
        let name = ErrorOptions::read(options).error;
        let found = ERRORS.iter().find(|e| e.name == name);
        match found {
            Some(error) => objective.with_error((error.build)()),
            None => objective,
        }
    },
};
