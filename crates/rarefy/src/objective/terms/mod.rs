//! Loss terms beside reconstruction, one file each: value, gradient, f64 twin and formula.

mod gate_l1;
mod l0_quadratic;
mod l0_step;
mod l0_target;
mod l1_norm;
mod pre_activation;
mod pre_reconstruction;
mod tanh_l0;

pub use gate_l1::GateL1;
pub use l0_quadratic::L0Quadratic;
pub use l0_step::L0Step;
pub use l0_target::L0Target;
pub use l1_norm::L1Norm;
pub use pre_activation::PreActivation;
pub use pre_reconstruction::PreReconstruction;
pub use tanh_l0::TanhL0;

use std::fmt::Debug;

use super::batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use super::conversions::Conversions;
use super::dual::Dual;
use super::formula::TermFormula;
use super::twin::TwinBatch;

/// Note on penalties of `dictionary_learning`.
const LENGTH_ONE: &str = "decoder rows have length 1 (StandardTrainerAprilUpdate: free)";

/// Loss term that adds a penalty to the objective.
///
/// The step calls [`Term::prepare`] once a batch, then for each latent [`Term::entries`], the activation's backward
/// pass, and [`Term::pre_activations`].
pub trait Term: Debug + Send + Sync {
    /// Part of the penalty that is a sum over rows or decoder rows, and factors for the visits to latents.
    ///
    /// Reduction point: a term adds up rows, or pairs of decoder rows, in a fixed order on one thread.
    fn prepare(&self, _batch: &BatchView) -> Prepared {
        Prepared::default()
    }

    /// Adds the term's derivatives by one latent's values, gates and steps, and its penalty on them.
    ///
    /// Without an implementation, [`Prepared::row_weights`] are the derivatives by the steps of a row's entries.
    fn entries(
        &self,
        _batch: &BatchView,
        prepared: &Prepared,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        _sums: &mut LatentSums,
    ) {
        if prepared.row_weights.is_empty() {
            return;
        }
        let pairs = derivatives.d_step.iter_mut().zip(entries.rows);
        pairs.for_each(|(d, &row)| *d += f64::from(prepared.row_weights[row as usize]));
    }

    /// Adds the term's derivatives by one latent's pre-activations, after the activation's backward pass.
    fn pre_activations(
        &self,
        _batch: &BatchView,
        _entries: &Entries,
        _d_pre: &mut [f32],
        _sums: &mut LatentSums,
    ) {
    }

    /// True if the term reads [`BatchView::decoder_norms`].
    fn wants_decoder_norms(&self) -> bool {
        false
    }

    /// Power p of the term's norm, if a run may lower it.
    fn annealed_p(&self) -> Option<f64> {
        None
    }

    /// Coefficients in the conventions of other libraries and papers.
    fn conversions(&self) -> &'static Conversions {
        &Conversions::NONE
    }

    /// Value with its coefficient in the f64 twin.
    fn twin(&self, batch: &TwinBatch) -> Dual;

    /// Formula with its numbers.
    fn formula(&self) -> TermFormula;
}
