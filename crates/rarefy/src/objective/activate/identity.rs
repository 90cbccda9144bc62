//! Identity: the value of an entry is its pre-activation.

use super::Activate;
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums};
use crate::objective::{Dual, Maths, TwinEntry};

/// Activation that keeps pre-activations as they are.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

impl Activate for Identity {
    fn backward(
        &self,
        _: &BatchView,
        _: &Entries,
        derivatives: &mut EntryDerivatives,
        _: &mut LatentSums,
    ) {
        let pairs = derivatives.d_pre.iter_mut().zip(&*derivatives.d_value);
        pairs.for_each(|(d, terms)| *d += *terms as f32);
    }

    fn twin(&self, row: &mut [TwinEntry], _: &[Dual], _: &[Vec<Dual>]) {
        for entry in row {
            entry.value = entry.pre;
            entry.step = Dual::constant(f64::from(u8::from(entry.pre.value != 0.0)));
        }
    }

    fn maths(&self) -> Option<(Maths, &'static str)> {
        None
    }
}
