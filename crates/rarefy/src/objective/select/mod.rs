//! Selections: entries that a row keeps.

mod above_threshold;
mod above_zero;
mod batch_k;
mod groups;
mod pursuit;
mod row_k;

pub use above_threshold::AboveThreshold;
pub use above_zero::AboveZero;
pub use batch_k::BatchK;
pub use groups::Groups;
pub use pursuit::Pursuit;
pub use row_k::{RowK, RowOrder};

use std::fmt::Debug;

use super::batch::StepSchedule;
use super::conversions::Conversions;
use super::formula::Maths;
use crate::codes::Codes;
use crate::engine::{Centred, Encoder};
use crate::params::Params;

/// Selection of the entries that a row keeps.
pub trait Select: Debug + Send + Sync {
    /// Finds the entries of `rows` while training; `codes.values` are their pre-activations.
    fn encode(
        &self,
        schedule: StepSchedule,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    );

    /// Finds the entries of `rows` in a trained model.
    fn encode_trained(&self, params: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes);

    /// Latents that each row keeps in the f64 twin, from its pre-activations `[n][d_sae]` and the per-latent
    /// parameters `[d_sae]`.
    fn twin(&self, pre: &[Vec<f64>], per_latent: &[Vec<f64>]) -> Vec<Vec<usize>>;

    /// Sentence that says which entries are kept, for `explain`; `k` is the number to print.
    fn note(&self, k: &str) -> String;

    /// Formula of a value where the activation is the identity, for `explain`.
    fn maths(&self) -> Maths {
        Maths::new("pre_ij, or 0", r"p_{ij} \text{ or } 0")
    }

    /// Kind of model under which `SAELens` knows a trained model with this selection.
    fn saelens_kind(&self) -> SaelensKind;

    /// Coefficients in the conventions of other libraries and papers.
    fn conversions(&self) -> &'static Conversions {
        &Conversions::NONE
    }

    /// Rule for the one threshold of a trained model; `None` if it has none.
    fn threshold(&self) -> Option<Threshold> {
        None
    }

    /// Latents of a row at the end of a run whose number may be annealed; `None` if it is fixed.
    fn annealed_k(&self) -> Option<f64> {
        None
    }

    /// Reason why the number of latents of a row is fixed, for a selection without [`Select::annealed_k`].
    fn fixed_k(&self) -> &'static str {
        "this architecture has no k that changes during a run"
    }

    /// Latents that a row keeps, of a selection that can be widened; 0 for all others.
    fn k(&self) -> usize {
        0
    }

    /// Selection that keeps `times` as many entries of each row; `None` where that has no meaning.
    fn widened(&self, _times: usize) -> Option<Box<dyn Select>> {
        None
    }

    /// The selection as a pursuit, whose entries follow one another on the residual; `None` for all others.
    fn pursuit(&self) -> Option<&Pursuit> {
        None
    }
}

/// Rule by which the threshold of a trained model is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// Decay per step of the moving average of the smallest kept value.
    pub decay: f64,
    /// True if the model takes the calibrated threshold, false for the moving average.
    pub calibrated: bool,
    /// Target of the mean number of active latents in a row.
    pub k: f64,
}

/// Kind of a trained model in `SAELens`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaelensKind {
    /// The k largest pre-activations of each row.
    TopK(usize),
    /// The k pre-activations of each row that are largest by absolute value.
    AbsTopK(usize),
    /// All pre-activations above a threshold: one for all latents, or one for each.
    JumpRelu,
    /// All pre-activations above 0.
    Standard,
    /// Gate and magnitude.
    Gated,
    /// Matching pursuit: one latent after the other.
    Pursuit {
        /// Largest number of rounds.
        k: usize,
        /// Length of the residual at which a row ends.
        residual: f64,
    },
    /// Model that `SAELens` does not have.
    Own,
}

/// Indices of the k largest positive numbers of each row, for twins.
pub fn largest_of_rows(pre: &[Vec<f64>], k: usize) -> Vec<Vec<usize>> {
    pre.iter()
        .map(|row| {
            let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j] > 0.0).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(k);
            order.sort_unstable();
            order
        })
        .collect()
}
