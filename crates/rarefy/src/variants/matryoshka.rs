//! Matryoshka: a `BatchTopK` whose first latents must do well alone.
//!
//! ```text
//! x_hat_l = sum over the first m_l latents of f_j w_dec_j + b_dec       m_1 < ... < m_L = all
//! J = sum_l c_l 1/m sum_i |x_i - x_hat_il|^2 + coefficient AuxK
//! ```
//!
//! So general latents come first and are not taken apart by the special ones behind them.
//!
//! The weights `c_l` are `1/L` unless told: the loss is the mean over levels. `SAELens` has 1 each,
//! `dictionary_learning` `1/L^2` (its weights 1/L, and then a mean), the paper's own code
//! `1/(L + 1)` with the bias as one more level that no latent answers for.

use std::sync::Arc;

use super::sparse::{self, Aux, Level, SaelensKind, Sparse, StepSchedule, Threshold, Twin};
use super::{Architecture, Example, Hyper, Info, Kind, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;
use crate::{Error, Result};

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "matryoshka",
    summary: "A batch-topk in which the first latents alone must reconstruct well, too",
    source: "Bussmann et al. 2025, Learning multi-level features with Matryoshka sparse autoencoders, arXiv:2503.17547",
    options: OPTIONS,
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
    build: |hyper| {
        let mut fractions = hyper.numbers("levels");
        if fractions.is_empty() {
            fractions = LEVELS.to_vec();
        }
        let mut weights = hyper.numbers("level_weights");
        if weights.is_empty() {
            weights = vec![1.0 / (fractions.len() + 1) as f64; fractions.len() + 1];
        }
        Ok(Architecture::Sparse(Arc::new(Matryoshka {
            aux: Aux {
                by_level: hyper.flag("aux_by_level"),
                ..sparse::aux(hyper)
            },
            threshold: sparse::threshold(hyper),
            fractions,
            weights,
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    sparse::BATCH_K,
    OptionInfo {
        name: "levels",
        help: "Where the levels before the last end, as shares of all latents; auto takes 1/16, 1/8, 1/4 and 1/2",
        kind: Kind::Numbers,
        default: "auto",
    },
    OptionInfo {
        name: "level_weights",
        help: "Weights of the levels' losses, one more than there are levels; auto gives each its equal share",
        kind: Kind::Numbers,
        default: "auto",
    },
    OptionInfo {
        name: "aux_by_level",
        help: "Whether dead latents explain what is left over up to their own level rather than by all latents",
        kind: Kind::Flag,
        default: "false",
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
        if end(fraction, d_sae) > before {
            before = end(fraction, d_sae);
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
        .map(|f| end(*f, d_sae))
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

fn end(fraction: f64, d_sae: usize) -> usize {
    (fraction * d_sae as f64) as usize
}

/// Its objective.
#[derive(Debug, Clone)]
struct Matryoshka {
    aux: Aux,
    threshold: Threshold,
    fractions: Vec<f64>,
    weights: Vec<f64>,
}

impl Sparse for Matryoshka {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::JumpRelu
    }

    fn annealed_k(&self) -> Option<f64> {
        Some(self.threshold.k)
    }

    fn encode(
        &self,
        now: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        encoder.encode_centred(
            rows,
            Selection::Batch(now.density * self.threshold.k),
            codes,
        );
    }

    fn encode_trained(&self, p: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        let above = p.get("threshold")[0];
        encoder.encode_centred(rows, Selection::Above(above), codes);
    }

    fn threshold(&self) -> Option<Threshold> {
        Some(self.threshold)
    }

    fn levels(&self, d_sae: usize) -> Vec<Level> {
        let ends = self.fractions.iter().map(|fraction| end(*fraction, d_sae));
        let levels = ends.chain([d_sae]).zip(&self.weights);
        levels.map(|(end, &weight)| Level { end, weight }).collect()
    }
}

impl Twin for Matryoshka {
    fn keep(&self, pre: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        sparse::largest_of_all(pre, (pre.len() as f64 * self.threshold.k).floor() as usize)
    }
}
