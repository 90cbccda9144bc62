//! How good a model is on some rows: sums first, one division at the end.

use serde::Serialize;

use crate::data::Source;
use crate::model::Model;
use crate::Result;

/// Everything that `rarefy eval` reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Rows evaluated.
    pub rows: usize,
    /// Mean over rows of the sum over inputs of the squared error.
    pub mse: f64,
    /// `1 - sum |x - x_hat|^2 / sum |x - mean|^2` over all rows.
    pub explained_variance: f64,
    /// Mean number of active latents in a row (kl: above 0.5, the lecture's "activated").
    pub l0: f64,
    /// Latents that never activate.
    pub dead_latents: usize,
    /// `dead_latents / d_sae`.
    pub dead_fraction: f64,
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
    /// Counts of latent values over 50 equal bins of [0, 1] (not in `--json`).
    #[serde(skip)]
    pub activation_histogram: Vec<u64>,
    /// Counts of rows over 50 equal bins of [0, 1] of population sparsity (not in `--json`).
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
    Collapsed,
}

/// Evaluates a model on raw rows (its own preprocessing is applied).
///
/// # Errors
/// [`crate::Error::Shape`] if the rows have another width; what the source returns.
pub fn evaluate(model: &Model, data: &dyn Source) -> Result<Evaluation> {
    let _ = (model, data);
    todo!()
}

/// The rows on which each latent is most active: `[d_sae][up to count]` of (row, activation), strongest first.
///
/// # Errors
/// As [`evaluate`].
pub fn top_rows(model: &Model, data: &dyn Source, count: usize) -> Result<Vec<Vec<(usize, f32)>>> {
    let _ = (model, data, count);
    todo!()
}
