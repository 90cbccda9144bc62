//! `ReLU`: every positive pre-activation, and a penalty on the norm of each row's values.

use super::sparse::{self, AuxOptions, L1Options};
use super::{Example, Info, Kind};
use crate::objective::{AboveZero, Identity, L1Norm, Objective};
use crate::options::{OptionSet, option_set};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "relu",
    summary: "Keeps every positive pre-activation, with an L1 penalty on their values",
    source: "Bricken et al. 2023, Towards monosemanticity; Conerly et al. 2024, Update on how we train SAEs",
    own_options: ReluOptions::TABLE,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    // Powers below 1 have an infinite slope at 0, where finite differences mean nothing. Tests compare them with
    // SAELens and dictionary_learning instead.
    checks: &[
        &[("l1", "0.3")],
        &[("l1", "0.3"), ("p", "2")],
        &[("l1", "0.3"), ("p", "3"), ("p_root", "false")],
    ],
    resolve: sparse::resolve,
    compose: |options| {
        let options = ReluOptions::read(options);
        let penalty = L1Norm {
            weight: options.penalty.weight(),
            p: options.p,
            root: options.p_root,
        };
        let objective = Objective::new(AboveZero, Identity)
            .with_term(penalty)
            .with_aux_k(options.aux.aux_k())
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

option_set! {
    /// Options of `relu`.
    pub struct ReluOptions {
        use penalty: L1Options;
        /// Power p of the penalty: 1 for L1. Below 1, large values are penalised less
        p: f64 = "1", Kind::Open(0.01, 4.0);
        /// If true, the penalty takes the p-th root of the sum of a row (a norm); if false, the sum
        p_root: bool = "true", Kind::Flag;
        also aux: AuxOptions;
    }
}
