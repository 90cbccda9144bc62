//! `AbsTopK`: the k pre-activations of each row that are largest by absolute value, with their signs.
//!
//! A latent may then stand for two opposite concepts, one on each side of 0.

use super::sparse::{self, AuxOptions, RowKOptions};
use super::{Example, Info};
use crate::objective::{AuxK, Identity, Objective, Rank, RowK, RowOrder};
use crate::options::{OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "abs-topk",
    summary: "Keeps the k pre-activations of each row that are largest by absolute value, with their signs",
    source: "AbsTopK: Rethinking sparse autoencoders for bidirectional features, 2025, arXiv:2510.00404",
    own_options: AbsTopKOptions::TABLE,
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
    compose: |options| {
        let options = AbsTopKOptions::read(options);
        let selection = RowK {
            k: options.rows.k(),
            order: RowOrder::Magnitude,
        };
        let aux_k = AuxK {
            rank: Rank::Magnitude,
            ..options.aux.aux_k()
        };
        sparse::composed(Objective::new(selection, Identity).with_aux_k(aux_k))
    },
};

option_set! {
    /// Options of `abs-topk`.
    pub struct AbsTopKOptions {
        use rows: RowKOptions;
        also aux: AuxOptions;
    }
}
