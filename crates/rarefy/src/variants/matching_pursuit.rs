//! Matching pursuit: one latent after the other, each on the residual of those before.

use super::sparse;
use super::{Example, Info, Kind, OptionInfo, Unit};
use crate::objective::{Identity, Objective, Pursuit};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "matching-pursuit",
    summary: "Takes one latent after the other, each by what those before it left over",
    source: "Costa et al. 2025, From flat to hierarchical: extracting sparse representations with matching pursuit, arXiv:2506.03093",
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
        &[("k", "3"), ("residual", "0.7")],
    ],
    resolve: sparse::resolve,
    compose: |hyper| {
        let pursuit = Pursuit {
            k: sparse::k(hyper) as usize,
            residual: hyper.number("residual"),
        };
        sparse::composed(Objective::new(pursuit, Identity).with_aux_k(sparse::aux_k(hyper)))
    },
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "k",
        help: "Rounds at most; a row ends early when it takes a latent that it has; auto takes 32, or a quarter of the inputs if that is less",
        kind: Kind::AutoCount(1),
        default: "auto",
        unit: Unit::number,
    },
    OptionInfo {
        name: "residual",
        help: "A row ends when what is left of it is no longer than this",
        kind: Kind::AtLeast(0.0),
        default: "0",
        unit: Unit::activation,
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];
