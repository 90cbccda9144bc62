//! `TopK`: the k largest positive pre-activations of each row.

use std::sync::Arc;

use super::sparse::{self, Aux, SaelensKind, Sparse, StepSchedule, Twin};
use super::{Architecture, Example, Info, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "topk",
    summary: "Keeps the k largest positive pre-activations of each row",
    source: "Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv:2406.04093",
    options: OPTIONS,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[
        &[("k", "1")],
        &[("k", "3")],
        &[("k", "12")],
        &[("k", "3"), ("aux_unit", "absolute")],
    ],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(TopK {
            k: sparse::k(hyper) as usize,
            aux: sparse::aux(hyper),
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
struct TopK {
    k: usize,
    aux: Aux,
}

impl Sparse for TopK {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::TopK(self.k)
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
        encoder.encode_centred(rows, Selection::Row(now.k(self.k)), codes);
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        encoder.encode_centred(rows, Selection::Row(self.k), codes);
    }
}

impl Twin for TopK {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        sparse::largest_of_rows(pre, self.k)
    }
}
