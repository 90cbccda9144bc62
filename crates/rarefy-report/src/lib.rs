//! HTML reports and SVG charts from plain run records.
//!
//! The crate does not depend on the library or on training. The program fills a [`Report`], and
//! [`render`] turns the report into one HTML file that needs no network. [`penalty_plot`] draws the KL
//! penalty, [`curves_plot`] the objective of a run and [`frontier_plot`] compares architectures, each as an SVG file;
//! [`Filters`] draws what latents look for as a PNG file.
#![forbid(unsafe_code)]

mod chart;
mod charts;
mod comparison;
mod explorer;
mod filters;
mod frontier;
mod page;
mod penalty;

use serde::{Deserialize, Serialize};

pub use charts::curves_plot;
pub use comparison::{ComparedRun, Comparison, render_comparison};
pub use explorer::{Apart, BINS, Example, Explorer, Formula, Histogram, Lens, Picture, Row};
pub use filters::Filters;
pub use frontier::{FrontierLine, FrontierPoint, frontier_plot};
pub use page::render;
pub use penalty::penalty_plot;

/// Content of the report page; the page leaves out empty parts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Title of the page.
    pub title: String,
    /// Line below the title: data, architecture, sizes.
    pub subtitle: String,
    /// Name under which a browser keeps notes on this model.
    pub key: String,
    /// The result in one sentence.
    pub verdict: String,
    /// Main results as (name, value, remark).
    pub summary: Vec<(String, String, String)>,
    /// Warnings below the verdict, with what to try.
    pub notes: Vec<String>,
    /// Objective with its terms at each recorded step.
    pub history: Vec<HistoryPoint>,
    /// Target mean activation, if the architecture has one.
    pub rho: Option<f64>,
    /// Coefficient of the penalty, if the architecture has one.
    pub beta: Option<f64>,
    /// True for sparse latents: most are 0 in a row, and active ones have any size. False for dense
    /// latents in [0, 1].
    pub selected: bool,
    /// Names of a crosscoder's inputs; empty for other models.
    pub inputs: Vec<String>,
    /// Statistics of each latent.
    pub latents: Vec<Latent>,
    /// Histogram of activations, counts in equal bins of [0, 1].
    pub activation_histogram: Vec<u64>,
    /// Histogram of the rows' population sparsity, counts in equal bins of [0, 1].
    pub population_histogram: Vec<u64>,
    /// Data of the explorer of latents and rows.
    pub explorer: Explorer,
    /// Text of the configuration with all defaults filled in.
    pub config: String,
}

/// Objective with its terms at one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Optimiser step, from 1.
    pub step: usize,
    /// Sum of all terms.
    pub total: f64,
    /// Reconstruction loss.
    pub reconstruction: f64,
    /// Sparsity penalty with its coefficient.
    pub penalty: f64,
    /// Weight decay with its coefficient.
    pub weight_decay: f64,
    /// Auxiliary loss of the dead latents with its coefficient.
    pub auxiliary: f64,
    /// Explained variance as a share, if training computes it.
    pub explained_variance: Option<f64>,
    /// Mean number of active latents in a row, for sparse latents.
    pub l0: Option<f64>,
    /// Share of dead latents, if training counts dead latents.
    pub dead_fraction: Option<f64>,
}

/// Statistics of one latent over all rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latent {
    /// Mean activation.
    pub rho_hat: f64,
    /// Share of rows with the latent active: not 0 for sparse latents, above 0.5 for dense ones.
    pub firing_rate: f64,
    /// Variance of the activation over rows.
    pub variance: f64,
    /// Hoyer sparsity of the activation over rows.
    pub lifetime_sparsity: f64,
    /// Status of the latent: `alive`, `dead`, `always on` or `collapsed`.
    pub status: String,
    /// Crosscoder: share of each input in the decoder row's norms, part by part.
    pub shares: Vec<f64>,
}
