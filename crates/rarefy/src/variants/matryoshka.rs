//! Matryoshka: a `BatchTopK` whose first latents must also reconstruct well without the rest.
//!
//! So general latents come first, and the special latents after them do not split them.
//!
//! The weights `c_l` of the levels are `1/L` unless given: the loss is the mean over levels. `SAELens` has 1 each,
//! `dictionary_learning` `1/L^2` (weights 1/L, and then a mean), the paper's own code `1/(L + 1)` with the bias as
//! one more level.

use super::sparse::{self, AuxOptions, BatchKOptions, ThresholdOptions};
use super::{Example, Info, Kind};
use crate::objective::{AuxK, BatchK, Identity, Levels, Objective};
use crate::options::{Auto, OptionSet, Options, option_set};
use crate::{Error, Result};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "matryoshka",
    summary: "A batch-topk whose first latents must also reconstruct well without the rest",
    source: "Bussmann et al. 2025, Learning multi-level features with Matryoshka sparse autoencoders, arXiv:2503.17547",
    own_options: MatryoshkaOptions::TABLE,
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
    resolve: |options, context| {
        if options.is_auto("levels") {
            take_default_levels(options, context.d_sae);
        }
        check_levels(options, context.d_sae)?;
        sparse::resolve(options, context)
    },
    compose: |options| {
        let text = options.text("levels").to_owned();
        let options = MatryoshkaOptions::read(options);
        let shares = options.levels.value().unwrap_or(LEVELS.to_vec());
        let levels = shares.len() + 1;
        let equal = || vec![1.0 / levels as f64; levels];
        let weights = options.level_weights.value().unwrap_or_else(equal);
        let threshold = options.threshold.rule(options.batch.k());
        let aux_k = AuxK {
            by_level: options.aux_by_level,
            ..options.aux.aux_k()
        };
        let objective = Objective::new(BatchK { threshold }, Identity)
            .with_levels(Levels {
                shares,
                weights,
                text,
            })
            .with_aux_k(aux_k);
        sparse::composed(objective)
    },
};

option_set! {
    /// Options of `matryoshka`.
    pub struct MatryoshkaOptions {
        use batch: BatchKOptions;
        /// Ends of the levels before the last, as rising shares of all latents by commas.
        /// auto: 0.0625,0.125,0.25,0.5
        levels: Auto<Vec<f64>> = "auto", Kind::Numbers;
        /// Weights of the levels' losses by commas, one for each share and one for all latents.
        /// auto: equal weights that add up to 1
        level_weights: Auto<Vec<f64>> = "auto", Kind::Numbers;
        /// If true, dead latents explain the residual of their own level; if false, the residual of all latents
        aux_by_level: bool = "false", Kind::Flag;
        also aux: AuxOptions;
        also threshold: ThresholdOptions;
    }
}

/// Ends of the levels before the last by default, as shares of all latents.
const LEVELS: [f64; 4] = [0.0625, 0.125, 0.25, 0.5];

/// Sets the default levels; with very few latents, empty levels are left out.
fn take_default_levels(options: &mut Options, d_sae: usize) {
    let mut before = 0;
    let mut taken = Vec::new();
    for fraction in LEVELS {
        if Levels::end(fraction, d_sae) > before {
            before = Levels::end(fraction, d_sae);
            taken.push(fraction.to_string());
        }
    }
    if !taken.is_empty() {
        options.set("levels", taken.join(","));
    }
}

/// Refuses shares that do not rise, and a wrong number of weights.
fn check_levels(options: &Options, d_sae: usize) -> Result<()> {
    let read = MatryoshkaOptions::read(options);
    let shares = read.levels.value().unwrap_or_default();
    let ends: Vec<usize> = shares.iter().map(|f| Levels::end(*f, d_sae)).collect();
    let inside = ends.iter().all(|end| (1..d_sae).contains(end));
    if !inside || !ends.is_sorted_by(|a, b| a < b) {
        let expected = format!(
            "rising shares between 0 and 1 that split the {d_sae} latents into levels of at least one"
        );
        return Err(Error::hyper("levels", &expected, options.text("levels")));
    }
    match read.level_weights {
        Auto::Value(weights) if weights.len() != ends.len() + 1 => {
            let expected = format!("{} numbers, one for each level", ends.len() + 1);
            let got = options.text("level_weights");
            Err(Error::hyper("level_weights", &expected, got))
        }
        _ => Ok(()),
    }
}
