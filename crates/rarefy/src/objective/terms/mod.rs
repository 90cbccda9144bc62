//! Loss terms beside reconstruction, one file each: value, gradient, f64 twin and formula.

mod gate_l1;
mod gate_reconstruction;
mod l0_quadratic;
mod l0_step;
mod l0_target;
mod l1_norm;
mod pre_activation;
mod tanh_l0;

pub use gate_l1::GateL1;
pub use gate_reconstruction::GateReconstruction;
pub use l0_quadratic::L0Quadratic;
pub use l0_step::L0Step;
pub use l0_target::L0Target;
pub use l1_norm::L1Norm;
pub use pre_activation::PreActivation;
pub use tanh_l0::TanhL0;

use std::fmt::Debug;

use super::Objective;
use super::batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use super::dual::Dual;
use super::formula::TermFormula;
use super::twin::TwinBatch;
use crate::options::{Hyper, OptionInfo};

/// Optional terms with options of their own, in the order in which they are added.
pub const ADD_ONS: &[AddOn] = &[];

/// Loss term that adds a penalty to the objective.
///
/// The step calls [`Term::prepare`] once a batch, then for each latent [`Term::entries`], the activation's way back,
/// and [`Term::pre_activations`].
pub trait Term: Debug + Send + Sync {
    /// Part of the penalty that is a sum over rows or decoder rows, and factors for the visits to latents.
    fn prepare(&self, _batch: &BatchView) -> Prepared {
        Prepared::default()
    }

    /// Adds the term's derivatives by one latent's values, gates and steps, and its penalty on them.
    fn entries(
        &self,
        _batch: &BatchView,
        _prepared: &Prepared,
        _entries: &Entries,
        _derivatives: &mut EntryDerivatives,
        _sums: &mut LatentSums,
    ) {
    }

    /// Adds the term's derivatives by one latent's pre-activations, after the activation's way back.
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

    /// Value with its coefficient in the f64 twin.
    fn twin(&self, batch: &TwinBatch) -> Dual;

    /// Formula with its numbers.
    fn formula(&self) -> TermFormula;
}

/// Optional part of an objective, added to every architecture that it applies to.
pub struct AddOn {
    /// Name, for lists.
    pub name: &'static str,
    /// One sentence for lists and help.
    pub summary: &'static str,
    /// Publication.
    pub source: &'static str,
    /// Options; by their defaults the add-on does nothing.
    pub options: &'static [OptionInfo],
    /// Settings of the options under which gradients are checked.
    pub checks: &'static [&'static [(&'static str, &'static str)]],
    /// True for an objective to which the part can be added.
    pub applies: fn(&Objective) -> bool,
    /// Objective with the part that the options ask for.
    pub add: fn(&Hyper, Objective) -> Objective,
}
