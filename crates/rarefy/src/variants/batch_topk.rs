//! `BatchTopK`: the n k largest positive pre-activations of all n rows of a batch together.
//!
//! A trained model cannot select over a batch, or a row's code would depend on its neighbours. It
//! keeps what lies above one threshold, found at the end of training.

use std::sync::Arc;

use super::sparse::{self, Aux, SaelensKind, Sparse, StepSchedule, Threshold, Twin};
use super::{Architecture, Example, Info, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "batch-topk",
    summary: "Keeps the n k largest positive pre-activations of n rows together; a trained model those above a threshold",
    source: "Bussmann et al. 2024, BatchTopK sparse autoencoders, arXiv:2412.06410",
    options: OPTIONS,
    example: Example {
        options: &[("k", "2.5")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[&[("k", "1")], &[("k", "3")], &[("k", "12")]],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(BatchTopK {
            aux: sparse::aux(hyper),
            threshold: sparse::threshold(hyper),
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::BATCH_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
    sparse::THRESHOLD_FROM,
    sparse::THRESHOLD_DECAY,
];

/// Its objective.
#[derive(Debug, Clone)]
struct BatchTopK {
    aux: Aux,
    threshold: Threshold,
}

impl Sparse for BatchTopK {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::JumpRelu
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.threshold.k)
    }

    fn encode(
        &self,
        now: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(
            rows,
            Selection::Batch(now.density * self.threshold.k),
            codes,
        );
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        let above = p.get("threshold")[0];
        encoder.encode_centred(rows, Selection::Above(above), codes);
    }

    fn threshold(&self) -> Option<Threshold> {
        Some(self.threshold)
    }
}

impl Twin for BatchTopK {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        sparse::largest_of_all(pre, (pre.len() as f64 * self.threshold.k).floor() as usize)
    }
}
