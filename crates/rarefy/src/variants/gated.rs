//! Gated: one part decides if a latent is on, another how strongly, so the penalty does not shrink values.

use super::sparse;
use super::{Example, Info, Kind, OptionInfo, Unit};
use crate::objective::{AboveZero, Gate, GateL1, Objective, PreReconstruction};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "gated",
    summary: "Decides whether a latent is on apart from how much, so that its penalty shrinks nothing",
    source: "Rajamanoharan et al. 2024, Improving dictionary learning with gated sparse autoencoders, arXiv:2404.16014",
    own_options: OPTIONS,
    example: Example {
        options: &[],
        pre: [0.5, -1.0, 2.0, 0.0],
        latents: [0.5, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(sparse::L1_DIAL),
    checks: &[
        &[("l1", "0.3"), ("gate_decoder", "fixed")],
        &[("l1", "0.3"), ("gate_decoder", "learns")],
    ],
    resolve: sparse::resolve,
    compose: |hyper| {
        let teacher = PreReconstruction::of_gate(hyper.text("gate_decoder") == "learns");
        let penalty = GateL1 {
            weight: sparse::number(hyper, "l1"),
        };
        let objective = Objective::new(AboveZero, Gate)
            .with_pre_reconstruction(teacher)
            .with_term(penalty)
            .with_aux_k(sparse::aux_k(hyper))
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::L1,
    OptionInfo {
        name: "gate_decoder",
        help: "Whether the decoder learns from the gate's own reconstruction too (SAELens) or not (the paper)",
        kind: Kind::Choice(&["fixed", "learns"]),
        default: "fixed",
        unit: Unit::number,
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
