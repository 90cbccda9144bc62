//! Options and defaults that the architectures of the sparse engine share.

use crate::objective::{AuxK, AuxUnit, Number, Rank, Threshold};
use crate::variants::{
    Batching, Defaults, Dial, DialSettings, Hyper, Kind, OptionInfo, Resolved, Setting, Unit,
};
use crate::{Error, Result};

pub(in crate::variants) const DEFAULTS: Defaults = Defaults {
    full_batch: false,
    sgd: false,
    latents: |d_in| 8 * d_in,
    latents_text: "8 for each input",
    // What dictionary_learning and sparsify take: it suits 16,384 latents, and fewer bear more.
    lr: |d_sae| 2e-4 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
    clip: Some(1.0),
    unit_norm: true,
    penalised: false,
    fewest_steps: 1000,
};

/// Of what pays for its latents: the rate that its penalty is weighed against, decoder rows free.
pub(in crate::variants) const PENALISED: Defaults = Defaults {
    lr: |d_sae| 4e-4 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
    penalised: true,
    ..DEFAULTS
};

pub(in crate::variants) const K_DIAL: Dial = Dial {
    option: "k",
    settings: DialSettings::These(&["8", "16", "32", "64", "128"]),
};

pub(in crate::variants) const L1_DIAL: Dial = Dial {
    option: "l1",
    settings: DialSettings::Times(&[2.0, 1.4, 1.0, 0.5, 0.25]),
};

pub(in crate::variants) const ROW_K: OptionInfo = OptionInfo {
    name: "k",
    help: "Latents that a row keeps; auto takes 32, or a quarter of the inputs if that is less",
    kind: Kind::AutoCount(1),
    default: "auto",
    unit: Unit::number,
};

pub(in crate::variants) const BATCH_K: OptionInfo = OptionInfo {
    name: "k",
    help: "Latents that a row keeps on average over a batch; auto takes 32, or a quarter of the inputs if that is less",
    kind: Kind::AutoAbove(0.0),
    default: "auto",
    unit: Unit::number,
};

pub(in crate::variants) const L1: OptionInfo = OptionInfo {
    name: "l1",
    help: "Weight of the penalty on values times their decoder rows' lengths; auto takes a share of the data's standard deviation",
    kind: Kind::AutoAtLeast(0.0),
    default: "auto",
    unit: l1_unit,
};

pub(in crate::variants) const AUX_K: OptionInfo = OptionInfo {
    name: "aux_k",
    help: "Dead latents of a row that explain what the others leave; auto takes half the number of inputs",
    kind: Kind::AutoCount(1),
    default: "auto",
    unit: Unit::number,
};

pub(in crate::variants) const AUX_COEFFICIENT: OptionInfo = OptionInfo {
    name: "aux_coefficient",
    help: "Weight of the dead latents' loss, their squared error over the residual's variance; 0 for none",
    kind: Kind::AtLeast(0.0),
    default: "0.03125",
    unit: aux_unit,
};

pub(in crate::variants) const AUX_UNIT: OptionInfo = OptionInfo {
    name: "aux_unit",
    help: "What the dead latents' loss is measured in: the residual's variance (the paper), or nothing, with a \
           smaller weight where few are dead (SAELens)",
    kind: Kind::Choice(&["residual", "absolute"]),
    default: "residual",
    unit: Unit::number,
};

pub(in crate::variants) const DEAD_AFTER: OptionInfo = OptionInfo {
    name: "dead_after",
    help: "Rows without firing after which a latent is dead; auto takes 10 million, or for less data \
           two passes over it or a tenth of the run",
    kind: Kind::AutoCount(1),
    default: "auto",
    unit: Unit::number,
};

pub(in crate::variants) const THRESHOLD_FROM: OptionInfo = OptionInfo {
    name: "threshold_from",
    help: "A trained model's threshold: the one that keeps exactly k a row on average of up to 65,536 \
           held-out rows, without --holdout of training rows (calibrated), or the average over steps of the smallest kept value (moving)",
    kind: Kind::Choice(&["calibrated", "moving"]),
    default: "calibrated",
    unit: Unit::number,
};

pub(in crate::variants) const THRESHOLD_DECAY: OptionInfo = OptionInfo {
    name: "threshold_decay",
    // The smallest of some 100,000 kept values hardly varies from batch to batch, so what
    // matters is how far the average lags behind the weights: 100 steps here.
    help: "Decay of the moving average of the smallest kept value per step, corrected for its start",
    kind: Kind::Open(0.0, 1.0),
    default: "0.99",
    unit: Unit::number,
};

/// Unit of `l1`: without the root, p-th powers are added up.
fn l1_unit(hyper: &Hyper) -> Unit {
    match (hyper.find("p"), hyper.find("p_root")) {
        (Some(p), Some("false")) => Unit::Weight(p.parse().unwrap_or(1.0)),
        _ => Unit::Weight(1.0),
    }
}

/// Unit of `aux_coefficient`: with `aux_unit = absolute`, reconstruction and auxiliary loss change together.
fn aux_unit(hyper: &Hyper) -> Unit {
    match hyper.find("aux_unit") {
        Some("absolute") => Unit::Number,
        _ => Unit::Weight(0.0),
    }
}

/// Rows in a mini-batch unless the user says otherwise.
const DEFAULT_BATCH: usize = 4096;

/// The field's count of rows after which a latent is dead.
const DEAD_AFTER_ROWS: usize = 10_000_000;

/// Auxiliary loss from checked options.
pub(in crate::variants) fn aux_k(hyper: &Hyper) -> AuxK {
    let unit = match hyper.text("aux_unit") {
        "absolute" => AuxUnit::Absolute,
        _ => AuxUnit::Residual,
    };
    AuxK {
        k: number(hyper, "aux_k"),
        coefficient: hyper.number("aux_coefficient"),
        dead_after: number(hyper, "dead_after"),
        unit,
        rank: match unit {
            AuxUnit::Residual => Rank::Positive,
            AuxUnit::Absolute => Rank::Signed,
        },
        by_level: false,
    }
}

/// Number option; open while it is `auto`.
pub(in crate::variants) fn number(hyper: &Hyper, name: &'static str) -> Number {
    let known = hyper.text(name).parse();
    known.map_or(Number::Open(name), Number::Known)
}

/// How the threshold of a trained model is found, from checked options.
pub(in crate::variants) fn threshold(hyper: &Hyper) -> Threshold {
    Threshold {
        decay: hyper.number("threshold_decay"),
        calibrated: hyper.text("threshold_from") == "calibrated",
        k: k(hyper),
    }
}

/// Latents of a row, where the plan has decided; until then the paper's.
pub(in crate::variants) fn k(hyper: &Hyper) -> f64 {
    hyper.text("k").parse().unwrap_or(DEFAULT_K as f64)
}

/// The paper's k, for rows of hundreds of inputs. A row of 50 has not 32 things in it, and latents that are
/// not needed die.
const DEFAULT_K: usize = 32;

fn default_k(d_in: usize, d_sae: usize) -> usize {
    DEFAULT_K.min(d_in / 4).clamp(1, d_sae)
}

/// Decides what depends on the data and refuses what cannot work.
pub(in crate::variants) fn resolve(hyper: &mut Hyper, setting: &Setting) -> Result<Resolved> {
    let rows = setting.survey.rows;
    let batch = match setting.batching {
        Batching::Mini(batch) => batch,
        Batching::Full => rows,
        Batching::Open => DEFAULT_BATCH.min(rows),
    };
    if hyper.find("k") == Some("auto") {
        hyper.set("k", default_k(setting.inputs.d_in, setting.d_sae));
    }
    if let Some(k) = hyper.find("k") {
        check_k(k, setting.d_sae, batch)?;
    }
    let variance = setting.survey.variance.iter().sum::<f64>();
    for (name, share, unit) in SHARES {
        if hyper.find(name) == Some("auto") {
            let unit = match unit {
                Share::Square => variance,
                Share::Row => variance.sqrt(),
                // An encoder starts with pre-activations of the scale of what is written.
                Share::Direction => (variance / setting.survey.d_in as f64).sqrt(),
            };
            hyper.set(name, rounded(share * unit));
        }
    }
    if hyper.text("aux_k") == "auto" {
        hyper.set("aux_k", (setting.inputs.d_in / 2).max(1));
    }
    if hyper.text("dead_after") == "auto" {
        let run = setting.length.steps(rows, batch).saturating_mul(batch);
        hyper.set("dead_after", dead_after(rows, run, batch));
    }
    Ok(Resolved {
        batching: Batching::Mini(batch),
        warnings: Vec::new(),
    })
}

/// What a default is a share of.
enum Share {
    /// The variance of what is written, summed over outputs.
    Square,
    /// Its root.
    Row,
    /// Its standard deviation along one direction, over all directions.
    Direction,
}

/// Default penalties, thresholds and windows.
const SHARES: &[(&str, f64, Share)] = &[
    ("l1", 0.2, Share::Row),
    ("l0", 0.006, Share::Square),
    ("threshold", 0.1, Share::Direction),
    ("bandwidth", 0.5, Share::Direction),
];

/// What the encoder of an architecture that keeps all positive pre-activations starts from, over the
/// decoder's transpose: half of all latents are on, and `d_sae / 2` random directions of length 1 add up to
/// `d_sae / (2 d_in)` times the row.
pub(in crate::variants) fn half_on(d_in: usize, d_sae: usize) -> f32 {
    (2.0 * d_in as f32 / d_sae as f32).min(1.0)
}

/// To three digits, as one would type it.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn check_k(text: &str, d_sae: usize, batch: usize) -> Result<()> {
    let k = text.parse().unwrap_or(f64::NAN);
    if k > d_sae as f64 {
        let most = format!("at most the {d_sae} latents");
        return Err(Error::hyper("k", &most, text));
    }
    if k * (batch as f64) < 1.0 {
        return Err(Error::Conflict(format!(
            "k {k} keeps no latent at all in a batch of {batch}; take a larger k or batch"
        )));
    }
    Ok(())
}

/// The field's ten million rows are more than small data ever shows, so no latent would be dead
/// and none revived. In two passes over the data a latent that answers to a single row of it has
/// had its chance; a run of few passes still gives the revived nine tenths of its time.
fn dead_after(rows: usize, run: usize, batch: usize) -> usize {
    DEAD_AFTER_ROWS.min(2 * rows).min(run / 10).max(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latent_is_dead_when_it_had_its_chance() {
        // 100 passes over 10,000 rows; one pass over a million; a stream of a billion; a few steps.
        assert_eq!(dead_after(10_000, 1_000_000, 4096), 20_000);
        assert_eq!(dead_after(1_000_000, 1_000_000, 4096), 100_000);
        assert_eq!(dead_after(1_000_000_000, 1_000_000_000, 4096), 10_000_000);
        assert_eq!(dead_after(10_000, 8192, 4096), 4096);
    }
}
