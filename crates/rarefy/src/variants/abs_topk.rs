//! `AbsTopK`: the k pre-activations of each row that are largest by absolute value, with their signs.
//!
//! A latent may then stand for two opposite things, one to each side of 0.

use std::sync::Arc;

use super::sparse::{self, Aux, Rank, SaelensKind, Sparse, StepSchedule, Twin};
use super::{Architecture, Example, Info, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "abs-topk",
    summary: "Keeps the k pre-activations of each row that are largest by absolute value, signs and all",
    source: "AbsTopK: Rethinking sparse autoencoders for bidirectional features, 2025, arXiv:2510.00404",
    options: OPTIONS,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.5, 2.0, 1.0],
        latents: [0.0, -1.5, 2.0, 0.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[
        &[("k", "1")],
        &[("k", "4")],
        &[("k", "4"), ("aux_unit", "absolute")],
    ],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(AbsTopK {
            k: sparse::k(hyper) as usize,
            aux: Aux {
                rank: Rank::Magnitude,
                ..sparse::aux(hyper)
            },
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::ROW_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// Its objective.
#[derive(Debug, Clone)]
struct AbsTopK {
    k: usize,
    aux: Aux,
}

impl Sparse for AbsTopK {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::AbsTopK(self.k)
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.k as f64)
    }

    fn encode(
        &self,
        now: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(rows, Selection::Magnitude(now.k(self.k)), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Magnitude(self.k), codes);
    }
}

impl Twin for AbsTopK {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        let sizes: Vec<Vec<f64>> = pre
            .iter()
            .map(|row| row.iter().map(|v| v.abs()).collect())
            .collect();
        sparse::largest_of_rows(&sizes, self.k)
    }
}
