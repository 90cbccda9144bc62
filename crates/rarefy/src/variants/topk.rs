//! `TopK`: the k largest positive pre-activations of each row.

use super::{Architecture, Example, Hyper, Info, Kind, OptionInfo, Sparse, sparse};
use crate::engine::Selection;

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
    resolve: sparse::resolve,
    build: |hyper| Ok(Architecture::Sparse(build(hyper))),
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "k",
        help: "Latents that a row keeps; batch-topk: on average over a batch, so that 2.5 is a number too",
        kind: Kind::Count(1),
        default: "32",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::DEAD_AFTER,
];

fn build(hyper: &Hyper) -> Sparse {
    let selection = Selection::Row(hyper.number("k") as usize);
    Sparse {
        objective: sparse::objective(hyper, selection),
        threshold: None,
    }
}
