//! `BatchTopK`: the n k largest positive pre-activations of all n rows of a batch together.
//!
//! A trained model cannot select over a batch, or a row's code would depend on its neighbours. It
//! keeps what lies above one threshold, found at the end of training.

use super::sparse;
use super::{Example, Info, OptionInfo};
use crate::objective::{BatchK, Identity, Objective};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "batch-topk",
    summary: "Keeps the n k largest positive pre-activations of n rows together; a trained model those above a threshold",
    source: "Bussmann et al. 2024, BatchTopK sparse autoencoders, arXiv:2412.06410",
    own_options: OPTIONS,
    example: Example {
        options: &[("k", "2.5")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[&[("k", "1")], &[("k", "3")], &[("k", "12")]],
    resolve: sparse::resolve,
    compose: |hyper| {
        let threshold = sparse::threshold(hyper);
        let selection = BatchK { threshold };
        sparse::composed(Objective::new(selection, Identity).with_aux_k(sparse::aux_k(hyper)))
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
