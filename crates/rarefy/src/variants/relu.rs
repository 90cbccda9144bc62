//! `ReLU`: every positive pre-activation, and a penalty on the norm of each row's values.

use super::sparse;
use super::{Example, Info, Kind, OptionInfo, Unit};
use crate::objective::{AboveZero, Identity, L1Norm, Objective};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "relu",
    summary: "Keeps every positive pre-activation and pays for what it keeps (L1)",
    source: "Bricken et al. 2023, Towards monosemanticity; Conerly et al. 2024, Update on how we train SAEs",
    own_options: OPTIONS,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    // Powers below 1 are held against SAELens and dictionary_learning: differences across an infinite
    // slope at 0 say nothing.
    checks: &[
        &[("l1", "0.3")],
        &[("l1", "0.3"), ("p", "2")],
        &[("l1", "0.3"), ("p", "3"), ("p_root", "false")],
    ],
    resolve: sparse::resolve,
    compose: |hyper| {
        let penalty = L1Norm {
            weight: sparse::number(hyper, "l1"),
            p: hyper.number("p"),
            root: hyper.flag("p_root"),
        };
        let objective = Objective::new(AboveZero, Identity)
            .with_term(penalty)
            .with_aux_k(sparse::aux_k(hyper))
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::L1,
    OptionInfo {
        name: "p",
        help: "Power of the penalty: 1 for L1; below 1 it spares large values",
        kind: Kind::Open(0.0, 4.0),
        default: "1",
        unit: Unit::number,
    },
    OptionInfo {
        name: "p_root",
        help: "Whether the p-th root of a row's sum is taken (a norm) or the sum itself",
        kind: Kind::Flag,
        default: "true",
        unit: Unit::number,
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
