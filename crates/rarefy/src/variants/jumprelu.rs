//! `JumpReLU`: every pre-activation above a threshold that each latent learns, and a penalty on their number.

use super::sparse;
use super::{Dial, DialSettings, Example, Info, Kind, OptionInfo, Unit};
use crate::objective::kernel::{self, Kernel};
use crate::objective::{
    AboveThreshold, Jump, L0Quadratic, L0Step, L0Target, Objective, PreActivation, TanhL0,
};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "jumprelu",
    summary: "Keeps what lies above a threshold that each latent learns",
    source: "Rajamanoharan et al. 2024, Jumping ahead: JumpReLU sparse autoencoders, arXiv:2407.14435",
    own_options: OPTIONS,
    example: Example {
        options: &[("threshold", "0.75")],
        pre: [0.5, -1.0, 2.0, 0.75],
        latents: [0.0, 0.0, 2.0, 0.0],
    },
    defaults: sparse::PENALISED,
    dial: Some(Dial {
        option: "l0",
        settings: DialSettings::Times(&[4.0, 2.0, 1.0, 0.4, 0.15]),
    }),
    checks: &[
        &[("l0", "0.3"), ("penalty", "step"), ("bandwidth", "0.2")],
        &[
            ("l0", "0.3"),
            ("penalty", "tanh"),
            ("bandwidth", "0.2"),
            ("pre_act", "0.1"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "quadratic"),
            ("target_l0", "5"),
            ("bandwidth", "0.3"),
            ("ste_to_input", "true"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "target"),
            ("target_l0", "5"),
            ("bandwidth", "0.1"),
            ("kernel", "triangular"),
        ],
        &[
            ("l0", "0.3"),
            ("penalty", "tanh"),
            ("bandwidth", "0.2"),
            ("kernel", "gaussian"),
            ("ste_to_input", "true"),
        ],
    ],
    resolve: sparse::resolve,
    compose: |hyper| {
        let jump = Jump::new(
            sparse::number(hyper, "threshold"),
            sparse::number(hyper, "bandwidth"),
            Kernel::named(hyper.text("kernel")),
            hyper.flag("ste_to_input"),
        );
        let selection = AboveThreshold {
            reach: jump.reach(),
        };
        let (weight, target) = (sparse::number(hyper, "l0"), hyper.number("target_l0"));
        let scale = hyper.number("tanh_scale");
        let objective = Objective::new(selection, jump);
        let objective = match hyper.text("penalty") {
            "tanh" => objective.with_term(TanhL0 { weight, scale }),
            "quadratic" => objective.with_term(L0Quadratic { weight, target }),
            "target" => objective.with_term(L0Target { weight, target }),
            _ => objective.with_term(L0Step { weight }),
        };
        let weight = hyper.number("pre_act");
        let objective = if weight > 0.0 {
            objective.with_term(PreActivation { weight })
        } else {
            objective
        };
        let objective = objective
            .with_aux_k(sparse::aux_k(hyper))
            .with_encoder_start(sparse::half_on);
        sparse::composed(objective)
    },
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "penalty",
        help: "What is paid for: latents that are on (step), softly counted (tanh), each row's distance from a \
               target (quadratic), the mean's distance from it (target)",
        kind: Kind::Choice(&["step", "tanh", "quadratic", "target"]),
        default: "step",
        unit: Unit::number,
    },
    OptionInfo {
        name: "l0",
        help: "Weight of the penalty; auto takes a share of the data's variance",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
        unit: Unit::weight_of_count,
    },
    OptionInfo {
        name: "target_l0",
        help: "Latents of a row that the penalties quadratic and target aim at",
        kind: Kind::Open(0.0, f64::INFINITY),
        default: "32",
        unit: Unit::number,
    },
    OptionInfo {
        name: "tanh_scale",
        help: "Steepness c of the penalty tanh",
        kind: Kind::Open(0.0, f64::INFINITY),
        default: "4",
        unit: Unit::per_activation,
    },
    OptionInfo {
        name: "threshold",
        help: "What all thresholds start from; auto takes a share of the data's standard deviation",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
        unit: Unit::activation,
    },
    OptionInfo {
        name: "bandwidth",
        help: "Width of the window around a threshold that its derivative is taken over; auto takes a share of the data's standard deviation",
        kind: Kind::AutoAtLeast(0.0),
        default: "auto",
        unit: Unit::activation,
    },
    OptionInfo {
        name: "kernel",
        help: "Form of that window",
        kind: Kind::Choice(kernel::NAMES),
        default: "rectangle",
        unit: Unit::number,
    },
    OptionInfo {
        name: "ste_to_input",
        help: "Whether the window's derivative reaches the encoder as well (Anthropic) or the threshold alone (the paper)",
        kind: Kind::Flag,
        default: "false",
        unit: Unit::number,
    },
    OptionInfo {
        name: "pre_act",
        help: "Weight of what dead latents pay for being below their thresholds; 0 for none",
        kind: Kind::AtLeast(0.0),
        default: "0",
        unit: Unit::weight_of_length,
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
