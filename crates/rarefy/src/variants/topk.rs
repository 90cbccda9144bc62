//! `TopK`: the k largest positive pre-activations of each row.

use super::sparse;
use super::{Example, Info, OptionInfo};
use crate::objective::{Identity, Objective, RowK};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "topk",
    summary: "Keeps the k largest positive pre-activations of each row",
    source: "Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv:2406.04093",
    own_options: OPTIONS,
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
    compose: |hyper| {
        let k = sparse::k(hyper) as usize;
        sparse::composed(Objective::new(RowK { k }, Identity).with_aux_k(sparse::aux_k(hyper)))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::ROW_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
