//! Pictures and pages from plain run records.
//!
//! Knows nothing of training and does not depend on the library: the program fills in a
//! [`Report`], [`render`] makes one HTML file of it that needs no network; [`penalty_plot`] draws the
//! lecture's curve and [`frontier_plot`] architectures side by side, as SVG files of their own.
#![forbid(unsafe_code)]

mod chart;
mod charts;
mod frontier;
mod image;
mod page;

use serde::{Deserialize, Serialize};

pub use charts::penalty_plot;
pub use frontier::{FrontierLine, FrontierPoint, frontier_plot};
pub use page::render;

/// Everything that the page shows; empty parts vanish.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Headline.
    pub title: String,
    /// One line under it: data, architecture, sizes.
    pub subtitle: String,
    /// Headline figures as (name, value, remark).
    pub summary: Vec<(String, String, String)>,
    /// What the reader should know first.
    pub notes: Vec<String>,
    /// The objective by part after every recorded step.
    pub history: Vec<HistoryPoint>,
    /// The target mean activation, if the architecture has one.
    pub rho: Option<f64>,
    /// Whether latents are selected, so that most are 0 in a row and the others may be large; if not,
    /// they lie in [0, 1].
    pub selected: bool,
    /// Names of a crosscoder's inputs; of other models none.
    pub inputs: Vec<String>,
    /// One entry a latent.
    pub latents: Vec<Latent>,
    /// Counts of activations over equal bins of [0, 1].
    pub activation_histogram: Vec<u64>,
    /// Counts of rows over equal bins of population sparsity in [0, 1].
    pub population_histogram: Vec<u64>,
    /// The input that each latent answers to most, as images.
    pub filters: Option<Images>,
    /// Inputs and what the model makes of them.
    pub reconstructions: Option<Reconstructions>,
    /// The resolved configuration.
    pub config: String,
}

/// The objective by part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Optimiser step.
    pub step: usize,
    /// The objective.
    pub total: f64,
    /// Reconstruction loss.
    pub reconstruction: f64,
    /// Sparsity penalty with its coefficient.
    pub penalty: f64,
    /// Weight decay with its coefficient.
    pub weight_decay: f64,
    /// Loss of the dead latents with its coefficient.
    pub auxiliary: f64,
    /// Explained share of the variance, if training knows it.
    pub explained_variance: Option<f64>,
    /// Mean number of active latents in a row, if they are selected.
    pub l0: Option<f64>,
    /// Share of dead latents, if training counts them.
    pub dead_fraction: Option<f64>,
}

/// One latent over all rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latent {
    /// Mean activation.
    pub rho_hat: f64,
    /// Share of rows on which it is active: selected, or above 0.5.
    pub firing_rate: f64,
    /// Variance over rows.
    pub variance: f64,
    /// Hoyer sparsity over rows.
    pub lifetime_sparsity: f64,
    /// alive, dead, always on or collapsed.
    pub status: String,
    /// Of a crosscoder: which share of its decoder row's length, part by part, writes each input.
    pub shares: Vec<f64>,
    /// Labels of the rows on which it is most active, with the activation, strongest first.
    pub top: Vec<(String, f32)>,
}

/// Grey images of one size.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Images {
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
    /// Row-major pixels of each image.
    pub pixels: Vec<Vec<f32>>,
}

/// Inputs beside outputs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reconstructions {
    /// What went in.
    pub inputs: Images,
    /// What came out, in the same order.
    pub outputs: Images,
}
