//! `ReLU`: every positive pre-activation, and a penalty on how much there is.
//!
//! ```text
//! f = max(0, pre)      u_j = f_j |w_dec_j|
//! penalty = l1/m sum_i (sum_j u_ij^p)^(1/p)        or, without the root, l1/m sum_i sum_j u_ij^p
//! ```
//!
//! With p = 1 both are the L1 norm. Where decoder rows are kept at length 1, u is f; where they are free,
//! the lengths keep a model from making f small and the decoder large.

use std::sync::Arc;

use super::sparse::{
    self, Aux, Entries, RowTerms, SaelensKind, Sparse, SparseBatch, StepSchedule, Terms, Twin,
    TwinBatch,
};
use super::{Architecture, Example, Info, Kind, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;
use crate::variants::Dual;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "relu",
    summary: "Keeps every positive pre-activation and pays for what it keeps (L1)",
    source: "Bricken et al. 2023, Towards monosemanticity; Conerly et al. 2024, Update on how we train SAEs",
    options: OPTIONS,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    // Powers below 1 are held against SAELens and dictionary_learning: differences across an infinite
    // slope at 0 say nothing.
    checks: &[
        &[("l1", "0.3")],
        &[("l1", "0.3"), ("p", "2")],
        &[("l1", "0.3"), ("p", "3"), ("p_root", "false")],
    ],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(Relu {
            aux: sparse::aux(hyper),
            l1: sparse::coefficient(hyper, "l1"),
            p: hyper.number("p"),
            root: hyper.flag("p_root"),
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::L1,
    OptionInfo {
        name: "p",
        help: "Power of the penalty: 1 for L1; below 1 it spares large values",
        kind: Kind::Open(0.0, 4.0),
        default: "1",
    },
    OptionInfo {
        name: "p_root",
        help: "Whether the p-th root of a row's sum is taken (a norm) or the sum itself",
        kind: Kind::Flag,
        default: "true",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// Its objective.
#[derive(Debug, Clone)]
struct Relu {
    aux: Aux,
    l1: f64,
    p: f64,
    root: bool,
}

impl Relu {
    /// The p of this step.
    fn p(&self, batch: &SparseBatch) -> f64 {
        batch.now.p.map_or(self.p, |[p, _]| p)
    }

    /// A row's `S^(1/p)` and its derivative by S times p, or S and p.
    fn norm(&self, batch: &SparseBatch, row: usize, p: f64) -> (f64, f64) {
        let entries = batch.codes.offsets[row]..batch.codes.offsets[row + 1];
        let indices = &batch.codes.indices[entries.clone()];
        let values = &batch.codes.values[entries];
        let sum: f64 = indices
            .iter()
            .zip(values)
            .map(|(&j, &f)| (f64::from(f) * f64::from(batch.norms[j as usize])).powf(p))
            .sum();
        match self.root {
            true if sum > 0.0 => (sum.powf(1.0 / p), sum.powf(1.0 / p - 1.0)),
            true => (0.0, 0.0),
            false => (sum, p),
        }
    }
}

impl Sparse for Relu {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Standard
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

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Above(0.0), codes);
    }

    fn wants_norms(&self) -> bool {
        true
    }

    fn annealed_p(&self) -> Option<f64> {
        Some(self.p)
    }

    /// The penalty, and of each row `l1/m dS^(1/p)/dS p`, what is left of the derivative by u but `u^(p-1)`.
    fn rows(&self, batch: &SparseBatch) -> RowTerms {
        let share = batch.now.sparsity * self.l1 / batch.n as f64;
        let mut terms = RowTerms::default();
        for row in 0..batch.n {
            let (norm, weight) = self.norm(batch, row, self.p(batch));
            terms.penalty += share * norm;
            terms.weights.push((share * weight) as f32);
            if let Some([_, next]) = batch.now.p {
                terms.norms[0] += norm / batch.n as f64;
                terms.norms[1] += self.norm(batch, row, next).0 / batch.n as f64;
            }
        }
        terms
    }

    fn backward(&self, batch: &SparseBatch, entries: &Entries, by: &mut [f32]) -> Terms {
        let norm = f64::from(batch.norms[entries.latent]);
        let mut by_norm = 0.0;
        for ((by, &f), &row) in by.iter_mut().zip(entries.values).zip(entries.rows) {
            let f = f64::from(f);
            let by_u =
                f64::from(batch.terms.weights[row as usize]) * (f * norm).powf(self.p(batch) - 1.0);
            *by += (by_u * norm) as f32;
            by_norm += by_u * f;
        }
        Terms {
            by_norm,
            ..Terms::default()
        }
    }
}

impl Twin for Relu {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        sparse::above_zero(pre)
    }

    fn penalty(&self, batch: &TwinBatch) -> Dual {
        let of_row = |row: &Vec<super::TwinEntry>| {
            let sum: Dual = row
                .iter()
                .map(|entry| (entry.value * batch.norms[entry.latent]).powf(self.p))
                .sum();
            if self.root && sum.value > 0.0 {
                sum.powf(1.0 / self.p)
            } else {
                sum
            }
        };
        let all: Dual = batch.rows.iter().map(of_row).sum();
        all * (self.l1 / batch.rows.len() as f64)
    }
}
