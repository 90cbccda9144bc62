//! Metrics of a model on a data set. Sums over rows are accumulated first and divided once at the end.

use serde::Serialize;

use crate::codes::Codes;
use crate::data::{Rows, Source};
use crate::model::Model;
use crate::preprocess::Prepared;
use crate::variants::Architecture;
use crate::{Error, Result};

mod advice;
mod dense;
mod sparse;
#[doc(hidden)]
pub mod truth;

pub use advice::{advice, gap};

/// Activation above which a sigmoid latent counts as active (the lecture: "activated when its output is close to
/// 1").
#[doc(hidden)]
pub const ACTIVE: f32 = 0.5;

/// Share of the rows below which an active latent counts as rare.
#[doc(hidden)]
pub const RARE: f64 = 1e-4;

/// Share of the rows above which a latent counts as frequent.
#[doc(hidden)]
pub const FREQUENT: f64 = 0.1;

/// Difference of explained variances from which on held-out rows are said to be worse.
#[doc(hidden)]
pub const GAP: f64 = 0.05;

/// Number of bins of the histograms over [0, 1].
#[doc(hidden)]
pub const BINS: usize = 50;

/// Table of all metrics of [`Evaluation`]: name and definition, in the order of the JSON output.
#[doc(hidden)]
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
        "explained_variance of each input of a crosscoder (not of kl)",
    ),
    (
        "l0",
        "mean over rows of the number of active latents: above 0.5 for sigmoid latents, other than 0 for sparse ones",
    ),
    (
        "lifetime_sparsity",
        "mean over latents of the Hoyer sparsity (sqrt m - L1 / L2) / (sqrt m - 1), norms over rows: 0 if all activations are equal, 1 if active on a single row",
    ),
    (
        "population_sparsity",
        "mean over rows of the Hoyer sparsity (sqrt d_sae - L1 / L2) / (sqrt d_sae - 1), norms over latents: 0 if all activations are equal, 1 for a single active latent",
    ),
    (
        "dead_latents",
        "sigmoid latents that never reach rho / 2, or sparse latents that are active on no row",
    ),
    ("dead_fraction", "dead_latents / d_sae"),
    ("always_on_latents", "latents that are active on every row"),
    (
        "rare_latents",
        "sparse latents that are active, but on fewer than 0.01 % of the rows",
    ),
    (
        "frequent_latents",
        "sparse latents that are active on more than a tenth of the rows",
    ),
    (
        "collapsed_latents",
        "sigmoid latents, not dead or always on, with variance over rows < 0.001 rho_hat (1 - rho_hat): nearly constant",
    ),
    (
        "loss",
        "objective: reconstruction + penalty + weight_decay; for a sparse architecture the reconstruction alone, \
         because its auxiliary loss depends on the dead latents of training",
    ),
    (
        "reconstruction",
        "1/m sum over rows of the loss: 1/2 sum over inputs of (x - x_hat)^2, or cross-entropy summed over inputs; \
         for a sparse architecture the mse",
    ),
    ("penalty", "beta omega"),
    (
        "weight_decay",
        "lambda / 2 times the sum of squared weights, without biases",
    ),
    ("rho", "target of the mean activation"),
    (
        "rho_hat_mean",
        "mean over latents of rho_hat, the mean activation of a latent over all rows",
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

/// Result of [`Model::evaluate`]: reconstruction error (`mse`, `explained_variance`), sparsity (`l0` and others),
/// counts of dead and always-on latents, and a summary of each latent. `loss` is the training objective for `kl`, and
/// the `mse` for all other architectures. Errors are those of preprocessed rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of evaluated rows.
    pub rows: usize,
    /// Mean over rows of the sum over inputs of the squared error, after preprocessing.
    pub mse: f64,
    /// `1 - sum |x - x_hat|^2 / sum |x - mean|^2` over all rows; 0 if the data is constant.
    pub explained_variance: f64,
    /// Explained variance of each input of a crosscoder; empty for other models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explained_variance_by_input: Vec<f64>,
    /// Mean number of active latents in a row: sigmoid latents above 0.5, sparse latents other than 0.
    pub l0: f64,
    /// Mean over latents of [`LatentSummary::lifetime_sparsity`].
    pub lifetime_sparsity: f64,
    /// Mean over rows of the Hoyer sparsity over latents: 0 for a row of equal latents, 1 for a row with a
    /// single active latent.
    pub population_sparsity: f64,
    /// Number of dead latents: sigmoid latents that never reach half of rho, sparse latents that are never
    /// active.
    pub dead_latents: usize,
    /// Share of dead latents, `dead_latents / d_sae`.
    pub dead_fraction: f64,
    /// Number of latents that are active on every row.
    pub always_on_latents: usize,
    /// Number of sparse latents that are active, but on fewer than 0.01 % of the rows; `None` for sigmoid latents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rare_latents: Option<usize>,
    /// Number of sparse latents that are active on more than a tenth of the rows; `None` for sigmoid latents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequent_latents: Option<usize>,
    /// Number of sigmoid latents that are nearly constant; `None` for sparse latents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapsed_latents: Option<usize>,
    /// Value of the objective; for sparse architectures the same as `mse`.
    pub loss: f64,
    /// Reconstruction part of the objective; for sparse architectures the same as `mse`.
    pub reconstruction: f64,
    /// Penalty part of the objective, with its coefficient; `None` for sparse architectures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// Weight decay part of the objective, with its coefficient; `None` for sparse architectures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Metrics of the KL penalty; `None` for architectures without rho.
    #[serde(flatten)]
    pub kl: Option<KlEvaluation>,
    /// Summary of each latent, `[d_sae]` (not serialised).
    #[serde(skip)]
    pub latents: Vec<LatentSummary>,
    /// Histogram of the activations of sigmoid latents, over [`BINS`] equal bins of [0, 1]; empty for sparse latents
    /// (not serialised).
    #[serde(skip)]
    pub activation_histogram: Vec<u64>,
    /// Histogram of the population sparsity of rows, over [`BINS`] equal bins of [0, 1] (not serialised).
    #[serde(skip)]
    pub population_histogram: Vec<u64>,
}

/// Metrics of the KL penalty of a [`kl`](crate::kl) model, in [`Evaluation::kl`]. The mean activation of each latent
/// over all evaluated rows is compared with rho, the target that the model was trained for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KlEvaluation {
    /// Target rho of the mean activation.
    pub rho: f64,
    /// Mean over latents of the exact mean activation `rho_hat_l`.
    pub rho_hat_mean: f64,
    /// Mean over latents of `|rho_hat_l - rho| / rho`. Deviations above and below the target do not cancel.
    pub rho_hat_mean_deviation: f64,
    /// Maximum over latents of `|rho_hat_l - rho| / rho`.
    pub rho_hat_max_deviation: f64,
    /// KL penalty without its coefficient beta, `sum_l KL(rho || rho_hat_l)`, in nats.
    pub omega: f64,
}

/// Statistics of one latent over all evaluated rows: mean, variance and range of the activation, share of rows on which
/// the latent is active, and status. [`Evaluation::latents`] has one for each latent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatentSummary {
    /// Mean activation over all rows.
    pub rho_hat: f64,
    /// Fraction of rows on which the latent is active: a sigmoid latent above 0.5, a sparse latent other than 0.
    pub firing_rate: f64,
    /// Variance of the activation over rows.
    pub variance: f64,
    /// Smallest activation.
    pub min: f64,
    /// Largest activation.
    pub max: f64,
    /// Hoyer sparsity of the activation over rows: 0 for a constant, 1 for activity on a single row.
    pub lifetime_sparsity: f64,
    /// Status of the latent: alive, dead, always on or collapsed.
    pub status: LatentStatus,
}

/// Status of a latent over the rows of an evaluation, in [`LatentSummary::status`]: alive, dead (active on no row, or
/// for `kl` below half of rho on every row), always on (active on every row) or, for `kl`, collapsed (nearly constant).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentStatus {
    /// The activation varies with the input: none of the cases below.
    Alive,
    /// A sigmoid latent never reaches half of rho; a sparse latent is active on no row.
    Dead,
    /// The latent is active on every row: a sigmoid latent above 0.5, a sparse latent other than 0.
    AlwaysOn,
    /// The activation of a sigmoid latent is nearly constant: its variance is below a thousandth of
    /// `rho_hat (1 - rho_hat)`. A latent that always equals rho costs no penalty and carries no information.
    Collapsed,
}

/// Hoyer sparsity of n non-negative values, from their L1 and L2 norms: `(sqrt n - L1 / L2) / (sqrt n - 1)`.
///
/// The result is 0 for equal values and 1 for a single value other than 0. For n < 2 or L2 = 0 the result is 0.
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
#[doc(hidden)]
pub fn hoyer(n: usize, l1: f64, l2: f64) -> f64 {
    let root = (n as f64).sqrt();
    if n < 2 || l2 == 0.0 {
        0.0
    } else {
        ((root - l1 / l2) / (root - 1.0)).clamp(0.0, 1.0)
    }
}

/// Computes the metrics of `model` on raw rows: all inputs side by side, then the target of a transcoder. The
/// preprocessing of the model is applied here. [`Model::evaluate`] does the same for slices and datasets too.
///
/// # Errors
/// [`Error::Shape`] if the rows have another number of columns than the model's; [`Error::OutOfRange`] if a metric is
/// NaN or infinite; errors of [`Source::read`].
pub fn evaluate(model: &Model, data: &dyn Source) -> Result<Evaluation> {
    evaluate_and(model, data, |_, _| ())
}

/// [`evaluate`], which also calls `work(first_row, codes)` for consecutive pieces of the rows, in order. A dense model has no
/// codes: `work` is not called.
pub(crate) fn evaluate_and(
    model: &Model,
    data: &dyn Source,
    work: impl FnMut(usize, &Codes),
) -> Result<Evaluation> {
    check_width(model, data)?;
    let pipeline = model.row_pipeline();
    let prepared = Prepared::new(data, &pipeline);
    let evaluation = match model.architecture() {
        Architecture::Dense(variant) => dense::evaluate(model, variant.as_ref(), &prepared),
        Architecture::Sparse(sparse) => sparse::evaluate(model, sparse.as_ref(), &prepared, work),
    }?;
    check_range(data.name(), &evaluation)?;
    Ok(evaluation)
}

/// Refuses metrics that are NaN or infinite: finite rows and weights can give products that are not.
fn check_range(name: &str, evaluation: &Evaluation) -> Result<()> {
    let Evaluation {
        mse,
        loss,
        explained_variance,
        ..
    } = *evaluation;
    let metrics = [
        ("mse", mse),
        ("loss", loss),
        ("explained_variance", explained_variance),
    ];
    let bad = metrics.into_iter().find(|(_, value)| !value.is_finite());
    bad.map_or(Ok(()), |(metric, got)| {
        Err(Error::OutOfRange {
            path: name.into(),
            place: metric.into(),
            got,
        })
    })
}

impl Model {
    /// Computes explained variance, L0, dead latents and all other metrics of [`Evaluation`] on raw rows; the
    /// preprocessing of the model is applied here. Use rows held out from training. Rows of a transcoder hold the
    /// input, then the target.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Evaluation> {
        evaluate(self, x.into().check()?.source())
    }
}

/// Explained variance `1 - mse / sum variance` of some columns; 0 if their variance is 0.
fn explained_variance(variance: &[f64], mse: f64) -> f64 {
    let total = variance.iter().sum::<f64>();
    if total > 0.0 { 1.0 - mse / total } else { 0.0 }
}

/// Number of latents with a status.
fn count(latents: &[LatentSummary], status: LatentStatus) -> usize {
    latents.iter().filter(|l| l.status == status).count()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Checks that the data has the columns of the model's raw rows.
fn check_width(model: &Model, data: &dyn Source) -> Result<()> {
    let width = model.row_pipeline().d_in();
    if data.d_in() == width {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("{}: values in a row", data.name()),
        expected: format!("{width} as the model was trained on"),
        got: data.d_in().to_string(),
    })
}

/// Histogram bin of a value in [0, 1].
fn bin(value: f64) -> usize {
    ((value * BINS as f64) as usize).min(BINS - 1)
}

/// Finds the rows on which each latent is most active.
///
/// Returns up to `count` pairs (row, activation) for each latent, with the largest absolute activation first; ties
/// go to lower rows. A sparse latent has only rows on which it is active.
///
/// # Shapes
/// The result: `[d_sae][at most count]`.
/// # Errors
/// Same as [`evaluate`].
#[doc(hidden)]
pub fn top_rows(model: &Model, data: &dyn Source, count: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    check_width(model, data)?;
    let pipeline = model.row_pipeline();
    let prepared = Prepared::new(data, &pipeline);
    let mut all = match model.architecture() {
        Architecture::Dense(variant) => dense::top_rows(model, variant.as_ref(), &prepared, count)?,
        Architecture::Sparse(sparse) => sparse::top_rows(model, sparse.as_ref(), &prepared, count)?,
    };
    all.iter_mut()
        .for_each(|latent| keep_strongest(latent, count));
    Ok(all)
}

/// Adds a row to the candidates of a latent, and removes weak candidates if there are many.
pub(crate) fn offer(best: &mut Vec<(usize, f32)>, row: (usize, f32), count: usize) {
    best.push(row);
    if best.len() > 4 * count {
        keep_strongest(best, count);
    }
}

/// Keeps the `count` strongest rows, strongest first.
pub(crate) fn keep_strongest(rows: &mut Vec<(usize, f32)>, count: usize) {
    // Some architectures have negative activations, which count by absolute value.
    rows.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
    rows.truncate(count);
}

#[cfg(test)]
mod tests;
