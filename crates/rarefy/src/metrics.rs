//! How good a model is on some rows: sums first, one division at the end.

use serde::Serialize;

use crate::data::Source;
use crate::model::Model;
use crate::preprocess::Prepared;
use crate::variants::Architecture;
use crate::{Error, Result};

mod dense;
mod sparse;
pub mod truth;

/// A latent counts as active above this (the lecture: "activated when its output is close to 1").
pub const ACTIVE: f32 = 0.5;

/// Bins of the histograms over [0, 1].
pub const BINS: usize = 50;

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
    (
        "explained_variance_by_input",
        "of a crosscoder (not of kl): the same of each of its inputs",
    ),
    (
        "l0",
        "mean over rows of the number of active latents: above 0.5 for sigmoid latents, above 0 for selected ones",
    ),
    (
        "lifetime_sparsity",
        "mean over latents of (sqrt m - L1 / L2) / (sqrt m - 1), Hoyer's, norms over rows: 0 of one size everywhere, 1 a single row",
    ),
    (
        "population_sparsity",
        "mean over rows of (sqrt d_sae - L1 / L2) / (sqrt d_sae - 1), Hoyer's, norms over latents: 0 all alike, 1 a single latent",
    ),
    (
        "dead_latents",
        "latents that never reach rho / 2; of selected ones those that are active on none of these rows",
    ),
    ("dead_fraction", "dead_latents / d_sae"),
    ("always_on_latents", "latents that are active on every row"),
    (
        "frequent_latents",
        "selected latents that are active on more than a tenth of the rows",
    ),
    (
        "collapsed_latents",
        "other latents with variance over rows < 0.001 rho_hat (1 - rho_hat): the same answer to every row",
    ),
    (
        "loss",
        "the objective: reconstruction + penalty + weight_decay; of a sparse architecture the reconstruction alone, \
         as its auxiliary loss is about latents that are dead in training",
    ),
    (
        "reconstruction",
        "1/m sum over rows of the loss: 1/2 sum over inputs of (x - x_hat)^2, or cross-entropy summed over inputs; \
         of a sparse architecture the mse",
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
    /// The same of each of a crosscoder's inputs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explained_variance_by_input: Vec<f64>,
    /// Mean number of active latents in a row: sigmoid latents above 0.5, selected ones above 0.
    pub l0: f64,
    /// Mean over latents of [`LatentSummary::lifetime_sparsity`].
    pub lifetime_sparsity: f64,
    /// Mean over rows of the Hoyer sparsity over latents: 0 for a row of equal latents, 1 for a
    /// row of a single one.
    pub population_sparsity: f64,
    /// Latents that never reach half of their target mean; selected ones that are never active.
    pub dead_latents: usize,
    /// `dead_latents / d_sae`.
    pub dead_fraction: f64,
    /// Latents that are active on every row.
    pub always_on_latents: usize,
    /// Selected latents that are active on more than a tenth of the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequent_latents: Option<usize>,
    /// Sigmoid latents that hardly depend on the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapsed_latents: Option<usize>,
    /// The objective.
    pub loss: f64,
    /// Its reconstruction part.
    pub reconstruction: f64,
    /// Its penalty part, with the coefficient, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Its weight decay part, with the coefficient, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// What only the KL architecture has.
    #[serde(flatten)]
    pub kl: Option<KlEvaluation>,
    /// One entry a latent (not in `--json`).
    #[serde(skip)]
    pub latents: Vec<LatentSummary>,
    /// Counts of sigmoid latents' values over [`BINS`] equal bins of [0, 1] (not in `--json`).
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
    /// Fraction of rows on which it is active.
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
    pub status: LatentStatus,
}

/// Whether a latent says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentStatus {
    /// It varies with the input.
    Alive,
    /// It never reaches half of its target mean; a selected one is active on no row.
    Dead,
    /// It is active on every row.
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

/// Evaluates a model on raw rows (its own preprocessing is applied): inputs side by side, then what a
/// transcoder is to predict.
///
/// # Errors
/// [`Error::Shape`] if the rows have another width; what the source returns.
pub fn evaluate(model: &Model, data: &dyn Source) -> Result<Evaluation> {
    check_width(model, data)?;
    let pipeline = model.rows();
    let prepared = Prepared::new(data, &pipeline);
    match &model.architecture {
        Architecture::Dense(variant) => dense::evaluate(model, variant.as_ref(), &prepared),
        Architecture::Sparse(sparse) => sparse::evaluate(model, sparse.as_ref(), &prepared),
    }
}

/// The share of some columns' variance that a mean squared error leaves explained; 0 if there is none to
/// explain.
fn explained_variance(variance: &[f64], mse: f64) -> f64 {
    let total = variance.iter().sum::<f64>();
    if total > 0.0 { 1.0 - mse / total } else { 0.0 }
}

fn count(latents: &[LatentSummary], status: LatentStatus) -> usize {
    latents.iter().filter(|l| l.status == status).count()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn check_width(model: &Model, data: &dyn Source) -> Result<()> {
    let width = model.rows().d_in();
    if data.d_in() == width {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("{}: values in a row", data.name()),
        expected: format!("{width} as the model was trained on"),
        got: data.d_in().to_string(),
    })
}

fn bin(value: f64) -> usize {
    ((value * BINS as f64) as usize).min(BINS - 1)
}

/// The rows on which each latent is most active: `[d_sae][up to count]` of (row, activation),
/// strongest first, ties by lower row. A selected latent has no rows but those on which it is active.
///
/// # Errors
/// As [`evaluate`].
pub fn top_rows(model: &Model, data: &dyn Source, count: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    check_width(model, data)?;
    let pipeline = model.rows();
    let prepared = Prepared::new(data, &pipeline);
    let mut all = match &model.architecture {
        Architecture::Dense(variant) => dense::top_rows(model, variant.as_ref(), &prepared, count)?,
        Architecture::Sparse(sparse) => sparse::top_rows(model, sparse.as_ref(), &prepared, count)?,
    };
    all.iter_mut()
        .for_each(|latent| keep_strongest(latent, count));
    Ok(all)
}

/// Puts a row among the strongest of a latent, and drops weak ones now and then.
fn offer(best: &mut Vec<(usize, f32)>, row: (usize, f32), count: usize) {
    best.push(row);
    if best.len() > 4 * count {
        keep_strongest(best, count);
    }
}

fn keep_strongest(rows: &mut Vec<(usize, f32)>, count: usize) {
    // Of architectures with both signs, what is strong has either.
    rows.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    rows.truncate(count);
}

#[cfg(test)]
mod tests;
