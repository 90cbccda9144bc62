//! Gated: one affine map says whether a latent is on, a second one, the same but for its scale and offset,
//! how much.
//!
//! ```text
//! pi = W_enc (x - b_dec) + b_enc          a latent is on where pi > 0
//! f = max(0, exp(r_mag) (pi - b_enc) + b_mag)   where it is on
//! J = 1/m sum |x - x_hat|^2 + 1/m sum |x - (W_dec^T max(0, pi) + b_dec)|^2 + l1/m sum_ij max(0, pi_ij) |w_dec_j|
//! ```
//!
//! The second reconstruction teaches the gate, which as a step has no derivative. Its decoder is a copy
//! that does not learn from it, as in the paper and in `dictionary_learning`, or the decoder itself, as in
//! `SAELens`. `b_enc` is the paper's `b_gate`.

use std::sync::Arc;

use super::sparse::{
    self, Aux, Entries, SaelensKind, Second, Sparse, SparseBatch, StepSchedule, Terms, Twin,
    TwinBatch,
};
use super::{Architecture, Example, Info, Kind, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;
use crate::variants::Dual;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "gated",
    summary: "Decides whether a latent is on apart from how much, so that its penalty shrinks nothing",
    source: "Rajamanoharan et al. 2024, Improving dictionary learning with gated sparse autoencoders, arXiv:2404.16014",
    options: OPTIONS,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    checks: &[
        &[("l1", "0.3"), ("gate_decoder", "fixed")],
        &[("l1", "0.3"), ("gate_decoder", "learns")],
    ],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(Gated {
            aux: sparse::aux(hyper),
            l1: sparse::coefficient(hyper, "l1"),
            decoder_learns: hyper.text("gate_decoder") == "learns",
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::L1,
    OptionInfo {
        name: "gate_decoder",
        help: "Whether the decoder learns from the gate's own reconstruction too (SAELens) or not (the paper)",
        kind: Kind::Choice(&["fixed", "learns"]),
        default: "fixed",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// Its objective.
#[derive(Debug, Clone)]
struct Gated {
    aux: Aux,
    l1: f64,
    decoder_learns: bool,
}

impl Sparse for Gated {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Gated
    }

    fn own(&self) -> &[(&'static str, f32)] {
        &[("r_mag", 0.0), ("b_mag", 0.0)]
    }

    fn encoder_start(&self, d_in: usize, d_sae: usize) -> f32 {
        sparse::half_on(d_in, d_sae)
    }

    fn encode(
        &self,
        _: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, Selection::Above(0.0), codes);
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Above(0.0), codes);
        let pre = codes.values.clone();
        self.activate(p, &codes.indices, &pre, &mut codes.values);
        codes.keep_above(0.0);
    }

    fn activate(&self, params: &Params, latents: &[u32], pre: &[f32], values: &mut [f32]) {
        let (bias, r, b) = (
            params.get("b_enc"),
            params.get("r_mag"),
            params.get("b_mag"),
        );
        for ((value, &pre), &j) in values.iter_mut().zip(pre).zip(latents) {
            let j = j as usize;
            *value = ((pre - bias[j]) * r[j].exp() + b[j]).max(0.0);
        }
    }

    fn second_reading(&self) -> Option<Second> {
        Some(Second {
            decoder_learns: self.decoder_learns,
        })
    }

    fn wants_norms(&self) -> bool {
        true
    }

    fn backward(&self, batch: &SparseBatch, entries: &Entries, by: &mut [f32]) -> Terms {
        let j = entries.latent;
        let share = batch.now.sparsity * self.l1 / batch.n as f64;
        let norm = f64::from(batch.norms[j]);
        let bias = f64::from(batch.params.get("b_enc")[j]);
        let scale = f64::from(batch.params.get("r_mag")[j]).exp();
        let mut terms = Terms::default();
        for (at, by) in by.iter_mut().enumerate() {
            let pi = f64::from(entries.pre[at]);
            let of_magnitude = if entries.values[at] > 0.0 {
                f64::from(*by)
            } else {
                0.0
            };
            terms.penalty += share * pi * norm;
            terms.by_norm += share * pi;
            terms.by_own[0] += of_magnitude * (pi - bias) * scale;
            terms.by_own[1] += of_magnitude;
            terms.beside_bias += of_magnitude * scale;
            let of_gate = f64::from(entries.by_second[at]) + share * norm;
            *by = (of_gate + of_magnitude * scale) as f32;
        }
        terms
    }
}

impl Twin for Gated {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        sparse::above_zero(pre)
    }

    fn value(&self, pre: Dual, bias: Dual, own: &[Dual]) -> Dual {
        ((pre - bias) * own[0].exp() + own[1]).relu()
    }

    fn penalty(&self, batch: &TwinBatch) -> Dual {
        let entries = batch.rows.iter().flatten();
        let all: Dual = entries
            .map(|entry| entry.pre * batch.norms[entry.latent])
            .sum();
        all * (self.l1 / batch.rows.len() as f64)
    }
}
