//! Activations: the value of an entry, and its backward pass.

mod gate;
mod identity;
mod jump;
pub(crate) mod kernel;

pub use gate::Gate;
pub use identity::Identity;
pub use jump::Jump;

use std::fmt::Debug;

use super::batch::{BatchView, Entries, EntryDerivatives, LatentSums};
use super::conversions::Conversions;
use super::formula::Maths;
use super::{Dual, SaelensKind, TwinEntry};
use crate::codes::Codes;
use crate::params::Params;

/// Activation of the entries that a selection found.
pub trait Activate: Debug + Send + Sync {
    /// Names and start values of its per-latent parameters, at most two; training changes them.
    fn per_latent(&self) -> &[(&'static str, f32)] {
        &[]
    }

    /// Learning rate of the per-latent parameters over that of all others.
    fn rate(&self) -> f64 {
        1.0
    }

    /// Writes the values of one row's entries; `values` hold the pre-activations before.
    fn values(&self, _params: &Params, _latents: &[u32], _pre: &[f32], _values: &mut [f32]) {}

    /// Takes the derivatives by a latent's values back to its pre-activations, into `derivatives.d_pre`, and adds
    /// the derivatives by its per-latent parameters to `sums`.
    fn backward(
        &self,
        batch: &BatchView,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    );

    /// Replaces pre-activations by values in the codes of a trained model, where the selection has not done so.
    fn finish_trained(&self, _params: &Params, _codes: &mut Codes) {}

    /// Projects the per-latent parameters back onto their constraints.
    fn constrain(&self, _params: &mut Params) {}

    /// Value and step of the entries of one row in the f64 twin, from their pre-activations: entry, encoder bias
    /// and per-latent parameters of each.
    fn twin(&self, row: &mut [TwinEntry], bias: &[Dual], per_latent: &[Vec<Dual>]);

    /// Blocks whose derivative is a pseudo-derivative.
    fn pseudo_blocks(&self) -> &[&'static str] {
        &[]
    }

    /// True if the activation takes derivatives by the steps of entries ([`EntryDerivatives::d_step`]) back to its
    /// parameters.
    fn has_step_derivative(&self) -> bool {
        false
    }

    /// Kind of model in `SAELens`, where the activation decides it.
    fn saelens_kind(&self) -> Option<SaelensKind> {
        None
    }

    /// Coefficients in the conventions of other libraries and papers.
    fn conversions(&self) -> &'static Conversions {
        &Conversions::NONE
    }

    /// Formula of a value, and a remark; `None` for the identity, whose formula is that of the selection.
    fn maths(&self) -> Option<(Maths, &'static str)>;

    /// Further lines of `explain`: left side, right side, remark.
    fn further_lines(&self) -> Vec<(Maths, Maths, String)> {
        Vec::new()
    }
}
