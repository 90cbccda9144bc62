//! Options and defaults that the architectures of the sparse engine share.

use crate::objective::{AuxK, AuxUnit, Number, Rank, Threshold};
use crate::options::{Auto, OptionValue, Options, option_set, words};
use crate::variants::{
    Batching, Defaults, Dial, DialSettings, Kind, ResolveContext, Resolved, Unit,
};
use crate::{Error, Result};

pub(in crate::variants) const DEFAULTS: Defaults = Defaults {
    full_batch: false,
    sgd: false,
    latents: default_latents,
    latents_text: "8 for each input, at most rows^0.7 / 3",
    // The learning rate of dictionary_learning and sparsify, made for 16,384 latents; fewer latents allow more.
    lr: |d_sae| 2e-4 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
    clip: Some(1.0),
    unit_norm: true,
    penalised: false,
    fewest_steps: 1000,
};

/// Defaults of architectures with a sparsity penalty.
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

option_set! {
    /// Option of selections that keep k latents of each row.
    pub struct RowKOptions {
        /// Number of latents that each row keeps; fewer give sparser codes, more reconstruct better.
        /// auto: 32, or a quarter of the inputs or of the latents if that is less
        k: Auto<usize> = "auto", Kind::AutoCount(1);
    }
}

impl RowKOptions {
    /// Latents of each row; the paper's number until the plan has decided.
    pub(in crate::variants) fn k(&self) -> usize {
        k_or_default(self.k)
    }
}

option_set! {
    /// Option of selections that keep k latents of a row on average over a batch.
    pub struct BatchKOptions {
        /// Mean number of latents that the rows of a batch keep; fewer give sparser codes, more reconstruct better.
        /// auto: 32, or a quarter of the inputs or of the latents if that is less
        k: Auto<f64> = "auto", Kind::AutoAbove(0.0);
    }
}

impl BatchKOptions {
    /// Mean latents of a row; the paper's number until the plan has decided.
    pub(in crate::variants) fn k(&self) -> f64 {
        self.k.value().unwrap_or(DEFAULT_K as f64)
    }
}

option_set! {
    /// Option of architectures with an L1 penalty.
    pub struct L1Options {
        /// Weight of the L1 penalty on values times the lengths of decoder rows; larger gives sparser codes.
        /// auto: 0.2 times the data's standard deviation
        l1: Auto<f64> = "auto", Kind::AutoAtLeast(0.0), l1_unit;
    }
}

impl L1Options {
    /// Weight of the penalty; open while it is `auto`.
    pub(in crate::variants) fn weight(&self) -> Number {
        number(self.l1, "l1")
    }
}

words!(AuxUnit {
    Residual: "residual",
    Absolute: "absolute",
});

option_set! {
    /// Options of dead latents and their auxiliary loss (`AuxK`).
    pub struct AuxOptions {
        /// Number of dead latents per row that explain the residual in the auxiliary loss.
        /// auto: half the number of inputs
        aux_k: Auto<usize> = "auto", Kind::AutoCount(1);
        /// Weight of the auxiliary loss, by which dead latents learn to explain the residual; 0: none.
        /// Raise it if many latents stay dead
        aux_coefficient: f64 = "0.03125", Kind::AtLeast(0.0), aux_unit;
        /// Unit of the auxiliary loss. residual: divide by the residual's variance (paper). absolute: do not divide;
        /// the weight shrinks when few latents are dead (SAELens)
        aux_unit: AuxUnit = "residual", Kind::Choice(AuxUnit::WORDS);
        /// Number of rows without firing after which a latent is dead.
        /// auto: 10 million, or for less data two passes over the data or a tenth of the run
        dead_after: Auto<usize> = "auto", Kind::AutoCount(1);
    }
}

impl AuxOptions {
    /// Auxiliary loss; its numbers are open while they are `auto`.
    pub(in crate::variants) fn aux_k(&self) -> AuxK {
        AuxK {
            k: count(self.aux_k, "aux_k"),
            coefficient: self.aux_coefficient,
            dead_after: count(self.dead_after, "dead_after"),
            unit: self.aux_unit,
            rank: match self.aux_unit {
                AuxUnit::Residual => Rank::Positive,
                AuxUnit::Absolute => Rank::Signed,
            },
            by_level: false,
        }
    }
}

/// Rule for the threshold of a trained model that selects over a batch while training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThresholdFrom {
    /// The threshold that keeps exactly k latents of a row on average over rows that were held out.
    Calibrated,
    /// Moving average of the smallest kept value over steps.
    Moving,
}

words!(ThresholdFrom {
    Calibrated: "calibrated",
    Moving: "moving",
});

option_set! {
    /// Options of the threshold of a trained model.
    pub struct ThresholdOptions {
        /// Threshold of the trained model. calibrated: keeps k latents of a row on average over up to 65,536
        /// held-out rows, or training rows if none are held out. moving: mean of the smallest kept value over steps
        threshold_from: ThresholdFrom = "calibrated", Kind::Choice(ThresholdFrom::WORDS);
        // The smallest of some 100,000 kept values hardly varies from batch to batch, so the lag of the average
        // behind the weights matters: 100 steps here.
        /// Decay per step of the moving average of the smallest kept value, bias-corrected
        threshold_decay: f64 = "0.99", Kind::Open(0.0, 1.0);
    }
}

impl ThresholdOptions {
    /// Rule for the threshold at a mean of `k` latents of a row.
    pub(in crate::variants) fn rule(&self, k: f64) -> Threshold {
        Threshold {
            decay: self.threshold_decay,
            calibrated: self.threshold_from == ThresholdFrom::Calibrated,
            k,
        }
    }
}

/// Unit of `l1`: without the root, the penalty is a sum of p-th powers.
fn l1_unit(options: &Options) -> Unit {
    match (options.value("p"), options.value("p_root")) {
        (Some(OptionValue::Number(p)), Some(OptionValue::Flag(false))) => Unit::Weight(*p),
        _ => Unit::Weight(1.0),
    }
}

/// Unit of `aux_coefficient`: with `aux_unit = absolute`, reconstruction loss and auxiliary loss change together.
fn aux_unit(options: &Options) -> Unit {
    match options.field("aux_unit") {
        AuxUnit::Absolute => Unit::Number,
        AuxUnit::Residual => Unit::Weight(0.0),
    }
}

/// Rows in a mini-batch by default.
const DEFAULT_BATCH: usize = 4096;

/// Usual number of rows without firing after which a latent is dead.
const DEAD_AFTER_ROWS: usize = 10_000_000;

/// Number of an option; open while it is `auto`.
pub(in crate::variants) fn number(value: Auto<f64>, name: &'static str) -> Number {
    value.value().map_or(Number::Open(name), Number::Known)
}

/// Number of a count; open while it is `auto`.
fn count(value: Auto<usize>, name: &'static str) -> Number {
    let known = |count| Number::Known(count as f64);
    value.value().map_or(Number::Open(name), known)
}

/// Latents of a row; the paper's number until the plan has decided.
pub(in crate::variants) fn k_or_default(k: Auto<usize>) -> usize {
    k.value().unwrap_or(DEFAULT_K)
}

/// Number of latents: 8 for each input, but no more than the rows can feed, `rows^0.7 / 3` to two digits.
///
/// | rows | 500 | 5,000 | 50,000 | 500,000 |
/// |---|---|---|---|---|
/// | latents | 26 | 130 | 650 | 3,300 |
///
/// `HypotheSAEs` recommends 64 for 1,000 texts, 256 for 10,000 and 1,024 for 100,000; these are 42, 210 and 1,100. With more,
/// latents learn single rows: they explain the training rows and not others.
fn default_latents(d_in: usize, rows: usize) -> usize {
    let fed = (rows as f64).powf(0.7) / 3.0;
    let digits = 10_f64.powf((fed.log10().floor() - 1.0).max(0.0));
    let fed = ((fed / digits).round() * digits).max(1.0) as usize;
    fed.min(8 * d_in)
}

/// The paper's k, for rows of hundreds of inputs. A row of 50 inputs needs fewer latents, and latents that are not
/// needed die. Of few latents, a quarter is as many as leaves a choice.
///
/// 5,000 embeddings of sentences, 384 values, `mask` 0.4: share of variance explained of held-out rows and, behind it, by how many
/// points the training rows' is higher (`other`: than that of 5,000 other rows)
///
/// | latents | k | held out | points | other |
/// |---|---|---|---|---|
/// | 160 | 20 (mask 0.2) | 0.524 | 6.3 | 5.8 |
/// | 128 | 24 | 0.510 | 5.1 | 4.2 |
/// | 120 | 24 | 0.504 | 4.8 | 4.1 |
/// | 120 | 30 | 0.530 | 4.6 | 3.9 |
/// | 140 | 35 | 0.564 | 5.0 | 4.3 |
const DEFAULT_K: usize = 32;

fn default_k(d_in: usize, d_sae: usize) -> usize {
    DEFAULT_K.min(d_in / 4).min(d_sae / 4).max(1)
}

/// Chooses the options that depend on the data, and refuses a k that cannot work.
pub(in crate::variants) fn resolve(
    options: &mut Options,
    context: &ResolveContext,
) -> Result<Resolved> {
    let rows = context.survey.rows;
    let batch = match context.batching {
        Batching::Mini(batch) => batch,
        Batching::Full => rows,
        Batching::Open => DEFAULT_BATCH.min(rows),
    };
    if options.is_auto("k") {
        options.set("k", default_k(context.inputs.d_in, context.d_sae));
    }
    if let Some(k) = options.find_number("k") {
        check_k(k, options.text("k"), (context.d_sae, batch))?;
    }
    let variance = context.survey.variance.iter().sum::<f64>();
    // The first pre-activations have the scale of the outputs.
    let direction = (variance / context.survey.d_in as f64).sqrt();
    if let Some(wanted) = wanted_l0(options) {
        if wanted > context.d_sae as f64 {
            let most = format!("at most the {} latents", context.d_sae);
            return Err(Error::hyper("target_l0", &most, wanted));
        }
        aim(options, wanted, (direction, variance), context);
    }
    for (name, share, unit) in SHARES {
        if options.is_auto(name) {
            let unit = match unit {
                Share::Square => variance,
                Share::Row => variance.sqrt(),
                Share::Direction => direction,
            };
            options.set(name, rounded(share * unit));
        }
    }
    if options.is_auto("threshold_rate") {
        options.set("threshold_rate", rounded(direction.max(1.0)));
    }
    if options.is_auto("aux_k") {
        options.set("aux_k", (context.inputs.d_in / 2).max(1));
    }
    if options.is_auto("dead_after") {
        let run = context.length.steps(rows, batch).saturating_mul(batch);
        options.set("dead_after", dead_after(rows, run, batch));
    }
    Ok(Resolved {
        batching: Batching::Mini(batch),
        warnings: Vec::new(),
    })
}

/// Start threshold and weight of a penalty that aims at an L0.
///
/// The first encoder gives a latent pre-activations that are about normal, so that its quantile makes as many latents active. A
/// row that is off by the whole target costs as much as one that is not explained at all: with weights a hundred times smaller,
/// latents that reconstruct are worth missing the target for.
///
/// `SmolLM2`, layer 10, 57,000 rows, 2,048 latents, 500 steps of 512 rows, target 32: L0 of other rows for weights as shares of the
/// variance, thresholds started there
///
/// | weight | 0.006 | 0.065 | 0.65 |
/// |---|---|---|---|
/// | L0 | 66 | 43 | 31 |
/// | explained | 0.849 | 0.824 | 0.806 |
fn aim(
    options: &mut Options,
    wanted: f64,
    (direction, variance): (f64, f64),
    context: &ResolveContext,
) {
    if options.is_auto("threshold") {
        let spread = direction * f64::from(half_on(context.inputs.d_in, context.d_sae));
        let start = spread * upper_quantile(wanted / context.d_sae as f64);
        options.set("threshold", rounded(start));
    }
    if options.is_auto("l0") {
        options.set("l0", rounded(variance));
    }
}

/// L0 that a penalty aims at, if it aims at one.
fn wanted_l0(options: &Options) -> Option<f64> {
    let aims = ["quadratic", "target"].contains(&options.find("penalty")?);
    options.find_number("target_l0").filter(|_| aims)
}

/// Value that a standard normal variable exceeds with this probability; 0 for a half or more.
///
/// # Source
/// Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.2.23; the error is below 0.00045.
fn upper_quantile(share: f64) -> f64 {
    if share >= 0.5 {
        return 0.0;
    }
    let t = (-2.0 * share.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    t - above / below
}

/// Statistic of the outputs of which a default is a share.
enum Share {
    /// Variance, summed over outputs.
    Square,
    /// Standard deviation, the root of that sum.
    Row,
    /// Standard deviation along one direction, over all directions.
    Direction,
}

/// Options whose default is a share of a statistic of the outputs.
const SHARES: &[(&str, f64, Share)] = &[
    ("l1", 0.2, Share::Row),
    ("l0", 0.006, Share::Square),
    ("threshold", 0.1, Share::Direction),
    ("bandwidth", 0.5, Share::Direction),
];

/// Factor of the initial encoder over the decoder's transpose, for architectures that keep all positive
/// pre-activations: half of all latents are on, and `d_sae / 2` random directions of length 1 add up to
/// `d_sae / (2 d_in)` times the row.
pub(in crate::variants) fn half_on(d_in: usize, d_sae: usize) -> f32 {
    (2.0 * d_in as f32 / d_sae as f32).min(1.0)
}

/// Value rounded to three digits, as one would type it.
fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

fn check_k(k: f64, text: &str, (d_sae, batch): (usize, usize)) -> Result<()> {
    if k > d_sae as f64 {
        let most = format!("at most the {d_sae} latents");
        return Err(Error::hyper("k", &most, text));
    }
    if k * (batch as f64) < 1.0 {
        return Err(Error::Conflict(format!(
            "`model.options.k` of {k} keeps no latent in a batch of {batch}; increase `model.options.k` or `train.batch`"
        )));
    }
    Ok(())
}

/// Rows without firing after which a latent is dead.
///
/// Small data never reaches the usual ten million rows, so no latent would be dead and none revived. In two passes
/// over the data a latent that fires on a single row has had its chance. In a run of few passes, revived latents
/// still have nine tenths of the run.
fn dead_after(rows: usize, run: usize, batch: usize) -> usize {
    DEAD_AFTER_ROWS.min(2 * rows).min(run / 10).max(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_tables() {
        for (share, value) in [
            (0.158_655_3, 1.0),
            (0.025, 1.959_964),
            (0.001, 3.090_232),
            (0.5, 0.0),
        ] {
            assert!((upper_quantile(share) - value).abs() < 4.5e-4, "{share}");
        }
    }

    #[test]
    fn dead_after_is_two_passes_or_a_tenth_of_the_run() {
        // 100 passes over 10,000 rows; one pass over a million; a stream of a billion; a few steps.
        assert_eq!(dead_after(10_000, 1_000_000, 4096), 20_000);
        assert_eq!(dead_after(1_000_000, 1_000_000, 4096), 100_000);
        assert_eq!(dead_after(1_000_000_000, 1_000_000_000, 4096), 10_000_000);
        assert_eq!(dead_after(10_000, 8192, 4096), 4096);
    }
}
