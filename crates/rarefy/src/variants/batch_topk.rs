//! `BatchTopK`: the n k largest positive pre-activations of all n rows of a batch together.
//!
//! A trained model cannot select over a batch, or a row's code would depend on its neighbours. It
//! keeps what lies above one threshold, found at the end of training.

use super::{Architecture, Example, Hyper, Info, Kind, OptionInfo, Sparse, Threshold, sparse};
use crate::engine::Selection;

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
    resolve: sparse::resolve,
    build: |hyper| Ok(Architecture::Sparse(build(hyper))),
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "k",
        help: "Latents that a row keeps on average over a batch",
        kind: Kind::Open(0.0, f64::INFINITY),
        default: "32",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::DEAD_AFTER,
    OptionInfo {
        name: "threshold_from",
        help: "A trained model's threshold: the one that keeps exactly k a row on average of up to 65,536 \
               held-out rows, without --holdout of training rows (calibrated), or the average over steps of the smallest kept value (moving)",
        kind: Kind::Choice(&["calibrated", "moving"]),
        default: "calibrated",
    },
    OptionInfo {
        name: "threshold_decay",
        // The smallest of some 100,000 kept values hardly varies from batch to batch, so what
        // matters is how far the average lags behind the weights: 100 steps here.
        help: "Decay of the moving average of the smallest kept value per step, corrected for its start",
        kind: Kind::Open(0.0, 1.0),
        default: "0.99",
    },
];

fn build(hyper: &Hyper) -> Sparse {
    let k = hyper.number("k");
    Sparse {
        objective: sparse::objective(hyper, Selection::Batch(k)),
        threshold: Some(Threshold {
            decay: hyper.number("threshold_decay"),
            calibrated: hyper.text("threshold_from") == "calibrated",
            k,
        }),
    }
}
