//! `AbsTopK`: the k pre-activations of each row that are largest by absolute value, with their signs.
//!
//! A latent may then stand for two opposite things, one to each side of 0.

use super::sparse;
use super::{Example, Info, OptionInfo};
use crate::objective::{AuxK, Identity, MagnitudeK, Objective, Rank};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "abs-topk",
    summary: "Keeps the k pre-activations of each row that are largest by absolute value, signs and all",
    source: "AbsTopK: Rethinking sparse autoencoders for bidirectional features, 2025, arXiv:2510.00404",
    own_options: OPTIONS,
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
    compose: |hyper| {
        let k = sparse::k(hyper) as usize;
        let aux_k = AuxK {
            rank: Rank::Magnitude,
            ..sparse::aux_k(hyper)
        };
        sparse::composed(Objective::new(MagnitudeK { k }, Identity).with_aux_k(aux_k))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::ROW_K,
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
