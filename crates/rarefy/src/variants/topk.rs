//! `TopK`: the k largest positive pre-activations of each row.

use super::sparse::{self, AuxOptions, RowKOptions};
use super::{Example, Info};
use crate::objective::{Identity, Objective, RowK, RowOrder};
use crate::options::{OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "topk",
    summary: "Keeps the k largest positive pre-activations of each row",
    source: "Gao et al. 2024, Scaling and evaluating sparse autoencoders, arXiv:2406.04093",
    own_options: TopKOptions::TABLE,
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
    compose: |options| {
        let options = TopKOptions::read(options);
        let selection = RowK {
            k: options.rows.k(),
            order: RowOrder::Positive,
        };
        sparse::composed(Objective::new(selection, Identity).with_aux_k(options.aux.aux_k()))
    },
};

option_set! {
    /// Options of `topk`.
    pub struct TopKOptions {
        use rows: RowKOptions;
        also aux: AuxOptions;
    }
}
