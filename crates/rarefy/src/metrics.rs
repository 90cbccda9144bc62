//! How good a model is on some rows: sums first, one division at the end.

use serde::Serialize;

use crate::data::{Source, chunks, survey};
use crate::model::Model;
use crate::preprocess::Prepared;
use crate::train::pass::Pass;
use crate::variants::Parts;
use crate::{Error, Result};

/// A latent counts as active above this (the lecture: "activated when its output is close to 1").
pub const ACTIVE: f32 = 0.5;

/// Bins of the histograms over [0, 1].
pub const BINS: usize = 50;

/// Below this share of `rho_hat (1 - rho_hat)`, the largest variance that a latent of its mean can
/// have, it hardly depends on the input.
const COLLAPSED_VARIANCE: f64 = 1e-3;

/// The metrics that `eval` reports, for `rarefy list metrics`: name and definition, in the order
/// of `eval --json`.
pub const METRICS: &[(&str, &str)] = &[
    ("rows", "m: rows evaluated"),
    (
        "mse",
        "1/m sum over rows of the sum over inputs of (x - x_hat)^2, after preprocessing",
    ),
    (
        "explained_variance",
        "1 - sum |x - x_hat|^2 / sum |x - mean|^2, sums over all rows",
    ),
    ("l0", "mean over rows of the number of latents above 0.5"),
    (
        "lifetime_sparsity",
        "mean over latents of (sqrt m - L1 / L2) / (sqrt m - 1), Hoyer's, norms over rows: 0 constant, 1 a single row",
    ),
    (
        "population_sparsity",
        "mean over rows of (sqrt d_sae - L1 / L2) / (sqrt d_sae - 1), Hoyer's, norms over latents: 0 all alike, 1 a single latent",
    ),
    ("dead_latents", "latents that never reach rho / 2"),
    ("dead_fraction", "dead_latents / d_sae"),
    ("always_on_latents", "latents above 0.5 on every row"),
    (
        "collapsed_latents",
        "other latents with variance over rows < 0.001 rho_hat (1 - rho_hat): the same answer to every row",
    ),
    (
        "loss",
        "the objective: reconstruction + penalty + weight_decay",
    ),
    (
        "reconstruction",
        "1/m sum over rows of the loss: 1/2 sum over inputs of (x - x_hat)^2, or cross-entropy summed over inputs",
    ),
    ("penalty", "beta omega"),
    (
        "weight_decay",
        "lambda / 2 times the sum of squared weights, biases left out",
    ),
    ("rho", "the target"),
    (
        "rho_hat_mean",
        "mean over latents of rho_hat, a latent's mean over all rows",
    ),
    (
        "rho_hat_mean_deviation",
        "mean over latents of |rho_hat - rho| / rho",
    ),
    (
        "rho_hat_max_deviation",
        "largest |rho_hat - rho| / rho of a latent",
    ),
    (
        "omega",
        "sum over latents of rho ln(rho / rho_hat) + (1 - rho) ln((1 - rho) / (1 - rho_hat)), in nats, without beta",
    ),
];

/// Everything that `rarefy eval` reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows evaluated.
    pub rows: usize,
    /// Mean over rows of the sum over inputs of the squared error, after preprocessing.
    pub mse: f64,
    /// `1 - sum |x - x_hat|^2 / sum |x - mean|^2` over all rows; 0 if the data is constant.
    pub explained_variance: f64,
    /// Mean number of latents above 0.5 in a row.
    pub l0: f64,
    /// Mean over latents of [`LatentSummary::lifetime_sparsity`].
    pub lifetime_sparsity: f64,
    /// Mean over rows of the Hoyer sparsity over latents: 0 for a row of equal latents, 1 for a
    /// row of a single one.
    pub population_sparsity: f64,
    /// Latents that never reach half of their target mean.
    pub dead_latents: usize,
    /// `dead_latents / d_sae`.
    pub dead_fraction: f64,
    /// Latents above 0.5 on every row.
    pub always_on_latents: usize,
    /// Latents that hardly depend on the input.
    pub collapsed_latents: usize,
    /// The objective.
    pub loss: f64,
    /// Its reconstruction part.
    pub reconstruction: f64,
    /// Its penalty part, with the coefficient.
    pub penalty: f64,
    /// Its weight decay part, with the coefficient.
    pub weight_decay: f64,
    /// What only the KL architecture has.
    #[serde(flatten)]
    pub kl: Option<KlEvaluation>,
    /// One entry a latent (not in `--json`).
    #[serde(skip)]
    pub latents: Vec<LatentSummary>,
    /// Counts of latent values over [`BINS`] equal bins of [0, 1] (not in `--json`).
    #[serde(skip)]
    pub activation_histogram: Vec<u64>,
    /// Counts of rows over [`BINS`] equal bins of [0, 1] of population sparsity (not in `--json`).
    #[serde(skip)]
    pub population_histogram: Vec<u64>,
}

/// The KL penalty's own figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KlEvaluation {
    /// The target.
    pub rho: f64,
    /// Mean over latents of the exact mean activation.
    pub rho_hat_mean: f64,
    /// Mean over latents of `|rho_hat_l - rho| / rho`. Latents above and below the target do not
    /// cancel here, as they do in `rho_hat_mean`.
    pub rho_hat_mean_deviation: f64,
    /// Largest `|rho_hat_l - rho| / rho` over latents.
    pub rho_hat_max_deviation: f64,
    /// `sum_l KL(rho || rho_hat_l)`, without beta.
    pub omega: f64,
}

/// One latent over all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatentSummary {
    /// Mean activation.
    pub rho_hat: f64,
    /// Fraction of rows with activation above 0.5.
    pub firing_rate: f64,
    /// Variance of the activation over rows.
    pub variance: f64,
    /// Smallest activation.
    pub min: f64,
    /// Largest activation.
    pub max: f64,
    /// Hoyer sparsity of the activation over rows: 0 for a constant, 1 for a single row.
    pub lifetime_sparsity: f64,
    /// What kind of latent that makes it.
    pub status: Status,
}

/// Whether a latent says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It varies with the input.
    Alive,
    /// It never reaches half of its target mean.
    Dead,
    /// It is above 0.5 on every row.
    AlwaysOn,
    /// It hardly depends on the input: variance below a thousandth of `rho_hat (1 - rho_hat)`.
    /// A latent that answers rho to everything costs no penalty and says nothing.
    Collapsed,
}

/// Hoyer sparsity of n non-negative values from their two norms: `(sqrt n - L1 / L2) / (sqrt n - 1)`.
///
/// # Source
/// Hoyer, *Non-negative matrix factorization with sparseness constraints*, JMLR 2004.
///
/// # Example
/// ```
/// use rarefy::metrics::hoyer;
/// assert_eq!(hoyer(4, 2.0, 2.0), 1.0); // one value of 2
/// assert_eq!(hoyer(4, 4.0, 2.0), 0.0); // four values of 1
/// ```
pub fn hoyer(n: usize, l1: f64, l2: f64) -> f64 {
    let root = (n as f64).sqrt();
    if n < 2 || l2 == 0.0 {
        0.0
    } else {
        ((root - l1 / l2) / (root - 1.0)).clamp(0.0, 1.0)
    }
}

/// Evaluates a model on raw rows (its own preprocessing is applied).
///
/// # Errors
/// [`Error::Shape`] if the rows have another width; what the source returns.
pub fn evaluate(model: &Model, data: &dyn Source) -> Result<Evaluation> {
    check_width(model, data)?;
    let prepared = Prepared::new(data, &model.pipeline);
    let (parts, omega) = objective(model, &prepared)?;
    let total_variance = survey(&prepared)?.variance.iter().sum::<f64>();
    let sums = Sums::over(model, &prepared)?;
    let rows = data.rows();
    let m = rows as f64;
    let rho = rho(model);
    // Without a rho of its own an architecture is dead where it never exceeds the active level.
    let target = rho.unwrap_or(2.0 * f64::from(ACTIVE));
    let latents: Vec<LatentSummary> = sums
        .latents
        .iter()
        .map(|latent| latent.summary(rows, target))
        .collect();
    let count = |status| latents.iter().filter(|l| l.status == status).count();
    let mse = sums.squared_error / m;
    Ok(Evaluation {
        rows,
        mse,
        explained_variance: if total_variance > 0.0 {
            1.0 - mse / total_variance
        } else {
            0.0
        },
        l0: sums.latents.iter().map(|l| l.active as f64).sum::<f64>() / m,
        lifetime_sparsity: mean(latents.iter().map(|l| l.lifetime_sparsity)),
        population_sparsity: sums.population_sparsity / m,
        dead_latents: count(Status::Dead),
        dead_fraction: count(Status::Dead) as f64 / model.d_sae as f64,
        always_on_latents: count(Status::AlwaysOn),
        collapsed_latents: count(Status::Collapsed),
        loss: parts.total(),
        reconstruction: parts.reconstruction,
        penalty: parts.penalty,
        weight_decay: parts.weight_decay,
        kl: rho.map(|rho| kl_evaluation(rho, omega, &latents)),
        latents,
        activation_histogram: sums.activations,
        population_histogram: sums.populations,
    })
}

/// The target mean, if the architecture has one.
fn rho(model: &Model) -> Option<f64> {
    model.hyper.find("rho").and_then(|rho| rho.parse().ok())
}

/// The objective by part, and the penalty without its coefficient (0 if there is no penalty).
///
/// The pass computes a whole gradient for the sake of its loss: a loss alone would be another
/// method of every architecture and another form of the pass, for a command that runs once.
fn objective(model: &Model, prepared: &Prepared) -> Result<(Parts, f64)> {
    let mut hyper = model.hyper.clone();
    let beta = hyper.find("beta").and_then(|beta| beta.parse::<f64>().ok());
    // With a beta of 1 the penalty is Omega itself, exact for saturated latents too. With the
    // model's own it could not be had back where that is 0.
    if beta.is_some() {
        hyper.set("beta", 1);
    }
    let variant = (model.info.build)(&hyper)?;
    let mut pass = Pass::new(variant.as_ref(), model.d_in, model.d_sae);
    let form = pass.form(prepared);
    let mut parts = pass.evaluate(&model.params, prepared, form, &mut |batch| batch)?;
    let omega = parts.penalty;
    parts.penalty *= beta.unwrap_or(1.0);
    Ok((parts, omega))
}

fn kl_evaluation(rho: f64, omega: f64, latents: &[LatentSummary]) -> KlEvaluation {
    let deviations = || latents.iter().map(|l| (l.rho_hat - rho).abs() / rho);
    KlEvaluation {
        rho,
        rho_hat_mean: mean(latents.iter().map(|l| l.rho_hat)),
        rho_hat_mean_deviation: mean(deviations()),
        rho_hat_max_deviation: deviations().fold(0.0, f64::max),
        omega,
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn check_width(model: &Model, data: &dyn Source) -> Result<()> {
    if data.d_in() == model.raw_width() {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("{}: values in a row", data.name()),
        expected: format!("{} as the model was trained on", model.raw_width()),
        got: data.d_in().to_string(),
    })
}

/// Sums over rows of one lane.
struct Sums {
    squared_error: f64,
    population_sparsity: f64,
    latents: Vec<LatentSums>,
    activations: Vec<u64>,
    populations: Vec<u64>,
}

#[derive(Clone)]
struct LatentSums {
    sum: f64,
    squares: f64,
    min: f32,
    max: f32,
    active: u64,
}

impl Sums {
    fn new(d_sae: usize) -> Self {
        let latent = LatentSums {
            sum: 0.0,
            squares: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            active: 0,
        };
        Self {
            squared_error: 0.0,
            population_sparsity: 0.0,
            latents: vec![latent; d_sae],
            activations: vec![0; BINS],
            populations: vec![0; BINS],
        }
    }

    fn over(model: &Model, prepared: &Prepared) -> Result<Self> {
        let lanes = chunks::fold(
            prepared,
            model.d_sae,
            || Self::new(model.d_sae),
            |sums, _, x| sums.add(model, x),
        )?;
        let mut sums = Self::new(model.d_sae);
        lanes.iter().for_each(|lane| sums.merge(lane));
        Ok(sums)
    }

    fn add(&mut self, model: &Model, x: &[f32]) {
        let (mut latents, mut x_hat) = (Vec::new(), Vec::new());
        model.variant.encode(&model.params, x, &mut latents);
        model.variant.decode(&model.params, &latents, &mut x_hat);
        self.squared_error += x
            .iter()
            .zip(&x_hat)
            .map(|(x, y)| f64::from(x - y).powi(2))
            .sum::<f64>();
        for row in latents.chunks_exact(model.d_sae) {
            let (mut l1, mut l2) = (0.0, 0.0);
            for (&h, latent) in row.iter().zip(&mut self.latents) {
                let wide = f64::from(h);
                latent.sum += wide;
                latent.squares += wide * wide;
                latent.min = latent.min.min(h);
                latent.max = latent.max.max(h);
                latent.active += u64::from(h > ACTIVE);
                l1 += wide;
                l2 += wide * wide;
                self.activations[bin(wide)] += 1;
            }
            let sparsity = hoyer(model.d_sae, l1, l2.sqrt());
            self.population_sparsity += sparsity;
            self.populations[bin(sparsity)] += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.squared_error += other.squared_error;
        self.population_sparsity += other.population_sparsity;
        for (mine, theirs) in self.latents.iter_mut().zip(&other.latents) {
            mine.sum += theirs.sum;
            mine.squares += theirs.squares;
            mine.min = mine.min.min(theirs.min);
            mine.max = mine.max.max(theirs.max);
            mine.active += theirs.active;
        }
        self.activations
            .iter_mut()
            .zip(&other.activations)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.populations
            .iter_mut()
            .zip(&other.populations)
            .for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl LatentSums {
    fn summary(&self, rows: usize, rho: f64) -> LatentSummary {
        let m = rows as f64;
        let mean = self.sum / m;
        let variance = (self.squares / m - mean * mean).max(0.0);
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        let status = if max < rho / 2.0 {
            Status::Dead
        } else if self.min > ACTIVE {
            Status::AlwaysOn
        } else if variance < COLLAPSED_VARIANCE * mean * (1.0 - mean) {
            Status::Collapsed
        } else {
            Status::Alive
        };
        let lifetime_sparsity = hoyer(rows, self.sum, self.squares.sqrt());
        LatentSummary {
            rho_hat: mean,
            firing_rate: self.active as f64 / m,
            variance,
            min,
            max,
            lifetime_sparsity,
            status,
        }
    }
}

fn bin(value: f64) -> usize {
    ((value * BINS as f64) as usize).min(BINS - 1)
}

/// The rows on which each latent is most active: `[d_sae][up to count]` of (row, activation),
/// strongest first, ties by lower row.
///
/// # Errors
/// As [`evaluate`].
pub fn top_rows(model: &Model, data: &dyn Source, count: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    check_width(model, data)?;
    let prepared = Prepared::new(data, &model.pipeline);
    let empty = || vec![Vec::new(); model.d_sae];
    let lanes = chunks::fold(
        &prepared,
        model.d_sae,
        empty,
        |best: &mut Vec<Vec<(usize, f32)>>, start, x| {
            let mut latents = Vec::new();
            model.variant.encode(&model.params, x, &mut latents);
            for (i, row) in latents.chunks_exact(model.d_sae).enumerate() {
                for (best, &h) in best.iter_mut().zip(row) {
                    best.push((start + i, h));
                    if best.len() > 4 * count {
                        keep_strongest(best, count);
                    }
                }
            }
        },
    )?;
    let mut all = empty();
    for lane in lanes {
        all.iter_mut()
            .zip(lane)
            .for_each(|(all, lane)| all.extend(lane));
    }
    all.iter_mut()
        .for_each(|latent| keep_strongest(latent, count));
    Ok(all)
}

fn keep_strongest(rows: &mut Vec<(usize, f32)>, count: usize) {
    rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    rows.truncate(count);
}

#[cfg(test)]
mod tests;
