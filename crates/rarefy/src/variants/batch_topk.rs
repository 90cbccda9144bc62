//! `BatchTopK`: the n k largest positive pre-activations of all n rows of a batch together.
//!
//! A trained model cannot select over a batch, or the codes of a row would depend on the other rows. So the trained
//! model keeps pre-activations above one threshold, found at the end of training.

use super::sparse::{self, AuxOptions, BatchKOptions, ThresholdOptions};
use super::{Example, Info};
use crate::objective::{BatchK, Identity, Objective};
use crate::options::{OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "batch-topk",
    summary: "Keeps the n k largest positive pre-activations of n rows together; a trained model keeps those above a threshold",
    source: "Bussmann et al. 2024, BatchTopK sparse autoencoders, arXiv:2412.06410",
    own_options: BatchTopKOptions::TABLE,
    example: Example {
        options: &[("k", "2.5")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[&[("k", "1")], &[("k", "3")], &[("k", "12")]],
    resolve: sparse::resolve,
    compose: |options| {
        let options = BatchTopKOptions::read(options);
        let threshold = options.threshold.rule(options.batch.k());
        let selection = BatchK { threshold };
        sparse::composed(Objective::new(selection, Identity).with_aux_k(options.aux.aux_k()))
    },
};

option_set! {
    /// Options of `batch-topk`.
    pub struct BatchTopKOptions {
        use batch: BatchKOptions;
        also aux: AuxOptions;
        also threshold: ThresholdOptions;
    }
}
