//! Matryoshka: a `BatchTopK` whose first latents must reconstruct well alone.
//!
//! So general latents come first and are not taken apart by the special ones behind them.
//!
//! The weights `c_l` of the levels are `1/L` unless given: the loss is the mean over levels. `SAELens` has 1 each,
//! `dictionary_learning` `1/L^2` (weights 1/L, and then a mean), the paper's own code `1/(L + 1)` with the bias as
//! one more level.

use super::sparse;
use super::{Example, Hyper, Info, Kind, OptionInfo, Unit};
use crate::objective::{AuxK, BatchK, Identity, Levels, Objective};
use crate::{Error, Result};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "matryoshka",
    summary: "A batch-topk in which the first latents alone must reconstruct well, too",
    source: "Bussmann et al. 2025, Learning multi-level features with Matryoshka sparse autoencoders, arXiv:2503.17547",
    own_options: OPTIONS,
    example: Example {
        options: &[("k", "2.5")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[
        &[("k", "3"), ("levels", "0.0625,0.125,0.25,0.5")],
        &[
            ("k", "3"),
            ("levels", "0.3,0.6"),
            ("level_weights", "2,0.5,1"),
        ],
        &[("k", "6"), ("levels", "0.3,0.6"), ("aux_by_level", "true")],
        &[
            ("k", "6"),
            ("levels", "0.3,0.6"),
            ("aux_by_level", "true"),
            ("aux_unit", "absolute"),
        ],
    ],
    resolve: |hyper, setting| {
        if hyper.text("levels") == "auto" {
            take_default_levels(hyper, setting.d_sae);
        }
        check_levels(hyper, setting.d_sae)?;
        sparse::resolve(hyper, setting)
    },
    compose: |hyper| {
        let mut shares = hyper.numbers("levels");
        if shares.is_empty() {
            shares = LEVELS.to_vec();
        }
        let mut weights = hyper.numbers("level_weights");
        if weights.is_empty() {
            weights = vec![1.0 / (shares.len() + 1) as f64; shares.len() + 1];
        }
        let threshold = sparse::threshold(hyper);
        let aux_k = AuxK {
            by_level: hyper.flag("aux_by_level"),
            ..sparse::aux_k(hyper)
        };
        let objective = Objective::new(BatchK { threshold }, Identity)
            .with_levels(Levels { shares, weights })
            .with_aux_k(aux_k);
        sparse::composed(objective)
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::BATCH_K,
    OptionInfo {
        name: "levels",
        help: "Where the levels before the last end, as shares of all latents; auto takes 1/16, 1/8, 1/4 and 1/2",
        kind: Kind::Numbers,
        default: "auto",
        unit: Unit::number,
    },
    OptionInfo {
        name: "level_weights",
        help: "Weights of the levels' losses, one more than there are levels; auto gives each its equal share",
        kind: Kind::Numbers,
        default: "auto",
        unit: Unit::number,
    },
    OptionInfo {
        name: "aux_by_level",
        help: "Whether dead latents explain what is left over up to their own level rather than by all latents",
        kind: Kind::Flag,
        default: "false",
        unit: Unit::number,
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
    sparse::THRESHOLD_FROM,
    sparse::THRESHOLD_DECAY,
];

/// Where the levels before the last end unless told.
const LEVELS: [f64; 4] = [0.0625, 0.125, 0.25, 0.5];

/// The default levels but those that cut no latents apart, where there are very few.
fn take_default_levels(hyper: &mut Hyper, d_sae: usize) {
    let mut before = 0;
    let mut taken = Vec::new();
    for fraction in LEVELS {
        if Levels::end(fraction, d_sae) > before {
            before = Levels::end(fraction, d_sae);
            taken.push(fraction.to_string());
        }
    }
    if !taken.is_empty() {
        hyper.set("levels", taken.join(","));
    }
}

/// Refuses levels that are none.
fn check_levels(hyper: &Hyper, d_sae: usize) -> Result<()> {
    let text = || hyper.text("levels");
    let ends: Vec<usize> = hyper
        .numbers("levels")
        .iter()
        .map(|f| Levels::end(*f, d_sae))
        .collect();
    let inside = ends.iter().all(|end| (1..d_sae).contains(end));
    if !inside || !ends.is_sorted_by(|a, b| a < b) {
        let expected = format!("rising shares between 0 and 1 that cut {d_sae} latents apart");
        return Err(Error::hyper("levels", &expected, text()));
    }
    let weights = hyper.numbers("level_weights");
    if !weights.is_empty() && weights.len() != ends.len() + 1 {
        let expected = format!("{} numbers, one for each level", ends.len() + 1);
        return Err(Error::hyper(
            "level_weights",
            &expected,
            hyper.text("level_weights"),
        ));
    }
    Ok(())
}
