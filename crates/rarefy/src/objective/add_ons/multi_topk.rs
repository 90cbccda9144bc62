//! Multi-TopK: a second reconstruction loss, from several times as many latents.
//!
//! ```text
//! x_hat(k)  = W_dec^T (the k largest entries of a row) + b_dec
//! J         = 1/m sum_i E(x_i, x_hat_i(k)) + weight/m sum_i E(x_i, x_hat_i(times k)) + ...
//! ```
//!
//! Such a model keeps its quality when more latents are read than in training, and fewer latents die. Both
//! reconstructions train encoder and decoder. A trained model keeps k. The number k cannot be annealed.
//!
//! Source: Gao et al. 2024, arXiv:2406.04093, section 5.3: L(k) + L(4k)/8. (sparsify's fused encoder takes no gradient
//! of the second part; this one does.)

use crate::codes::Codes;
use crate::engine::{Centred, Encoder};
use crate::objective::{
    Activate, AddOn, BatchView, Conversions, Dual, Entries, EntryDerivatives, Identity, LatentSums,
    Maths, PreReconstruction, SaelensKind, Select, StepSchedule, TwinEntry,
};
use crate::options::{Kind, OptionSet, option_set};
use crate::params::Params;

/// Table line of the add-on.
pub const ADD_ON: AddOn = AddOn {
    name: "multi-topk",
    summary: "Second reconstruction from several times k latents",
    source: "Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv:2406.04093",
    options: MultiTopKOptions::TABLE,
    checks: &[&[("multi_k", "3"), ("multi_weight", "0.4")]],
    applies: |objective| objective.selection().widened(2).is_some(),
    add: |options, objective| {
        let options = MultiTopKOptions::read(options);
        let times = options.multi_k;
        let Some(wide) = objective.selection().widened(times).filter(|_| times > 1) else {
            return objective;
        };
        let teacher = PreReconstruction {
            name: "multi_topk",
            weight: options.multi_weight,
            decoder_learns: true,
            x_hat: ("x_hat_i(wide)", r"\hat x_i^{(\text{wide})}"),
            note: "multi_weight; x_hat_i(wide): from multi_k times k latents",
        };
        objective
            .mapped(|narrow, _| {
                let first = FirstOfRow { k: narrow.k() };
                (Box::new(Widened { narrow, wide }), Box::new(first))
            })
            .with_pre_reconstruction(teacher)
    },
};

option_set! {
    /// Options of Multi-TopK.
    pub struct MultiTopKOptions {
        /// Multiple of k whose reconstruction is trained as well, 4 in the paper; 1: none
        multi_k: usize = "1", Kind::Count(1);
        /// Weight of the reconstruction from multi_k times k latents
        multi_weight: f64 = "0.125", Kind::AtLeast(0.0);
    }
}

/// Selection that keeps several times as many entries while training.
#[derive(Debug)]
struct Widened {
    narrow: Box<dyn Select>,
    wide: Box<dyn Select>,
}

impl Select for Widened {
    fn encode(
        &self,
        schedule: StepSchedule,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        self.wide.encode(schedule, params, encoder, rows, codes);
    }

    fn encode_trained(
        &self,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        self.narrow.encode_trained(params, encoder, rows, codes);
    }

    fn twin(&self, pre: &[Vec<f64>], per_latent: &[Vec<f64>]) -> Vec<Vec<usize>> {
        self.wide.twin(pre, per_latent)
    }

    fn note(&self, k: &str) -> String {
        self.narrow.note(k)
    }

    fn fixed_k(&self) -> &'static str {
        "k cannot change during a run while `model.options.multi_k` is above 1"
    }

    fn conversions(&self) -> &'static Conversions {
        self.narrow.conversions()
    }

    fn saelens_kind(&self) -> SaelensKind {
        self.narrow.saelens_kind()
    }
}

/// Activation that keeps the k entries of a row that are largest by absolute value.
#[derive(Debug, Clone, Copy)]
struct FirstOfRow {
    k: usize,
}

/// Positions of all but the k largest sizes; of equal ones the earlier are kept.
fn beyond(k: usize, sizes: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]));
    order.split_off(k.min(sizes.len()))
}

impl Activate for FirstOfRow {
    fn values(&self, _: &Params, _: &[u32], pre: &[f32], values: &mut [f32]) {
        let sizes: Vec<f64> = pre.iter().map(|v| f64::from(v.abs())).collect();
        beyond(self.k, &sizes)
            .into_iter()
            .for_each(|at| values[at] = 0.0);
    }

    fn backward(
        &self,
        _: &BatchView,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        _: &mut LatentSums,
    ) {
        for (at, d) in derivatives.d_pre.iter_mut().enumerate() {
            let terms = derivatives.d_value.get(at).copied().unwrap_or(0.0);
            let through = if entries.values[at] == 0.0 {
                0.0
            } else {
                *d + terms as f32
            };
            *d = through + entries.d_pre_reconstruction[at];
        }
    }

    fn twin(&self, row: &mut [TwinEntry], bias: &[Dual], per_latent: &[Vec<Dual>]) {
        Identity.twin(row, bias, per_latent);
        let sizes: Vec<f64> = row.iter().map(|entry| entry.held_pre.abs()).collect();
        for at in beyond(self.k, &sizes) {
            row[at].value = Dual::default();
            row[at].step = Dual::default();
        }
    }

    fn maths(&self) -> Option<(Maths, &'static str)> {
        Identity.maths()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Layout;

    /// The two largest of 3, -5, 4, 4 are -5 and the first 4.
    #[test]
    fn the_first_k_of_a_row_are_those_worked_by_hand() {
        let pre = [3.0, -5.0, 4.0, 4.0];
        let mut values = pre;
        let none = Params::zeros(&Layout::new(&[]));
        FirstOfRow { k: 2 }.values(&none, &[0, 1, 2, 3], &pre, &mut values);
        assert_eq!(values, [0.0, -5.0, 4.0, 0.0]);
    }
}
