//! The flags of `frontier`.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, IoArgs};

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct FrontierArgs {
    /// File, folder of shards, glob or sample:NAME; with --resume, what the frontier is of.
    #[arg(required_unless_present = "resume")]
    pub data: Option<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Rows, evenly over the data, that no model is trained on and all are measured on [default: 5 % of them, at least 1000, or a fifth where that is less].
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Data"
    )]
    pub holdout: Option<usize>,
    /// Preprocessing steps in order, separated by commas, or `none` (see `rarefy list preprocessing`).
    #[arg(long, value_name = "STEP,...", help_heading = "Data")]
    pub preprocess: Option<String>,

    /// Architectures, separated by commas [default: all sparse ones but matching-pursuit, which takes many times as long].
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        help_heading = "Models"
    )]
    pub arch: Vec<String>,
    /// Number of latents [default: 8 for each input].
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Models"
    )]
    pub latents: Option<usize>,
    #[command(flatten)]
    pub io: IoArgs,
    /// Set any key of the configuration, or an option of those architectures that have it.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Models")]
    pub set: Vec<String>,

    /// Optimiser steps of each model [default: those of 20 epochs, at least 1000].
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub steps: Option<usize>,
    /// Rows in a mini-batch [default: 4096, at most all].
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub batch: Option<usize>,
    /// Seed of initial weights and of the order of rows [default: 0].
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..1 << 63), help_heading = "Training")]
    pub seed: Option<u64>,
    /// Threads; the result does not depend on them [default: all cores].
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Training"
    )]
    pub threads: Option<usize>,

    /// L0 at which architectures are held against one another [default: 32].
    #[arg(
        long,
        value_name = "L0",
        allow_negative_numbers = true,
        help_heading = "Result"
    )]
    pub at: Option<f64>,
    /// Folder for frontier.json and frontier.svg [default: the first free runs/frontier-DATA-N].
    #[arg(long, value_name = "DIR", help_heading = "Result")]
    pub out: Option<PathBuf>,
    /// Keep the points that --out has and train the others; `--arch` adds architectures.
    #[arg(long, requires = "out", help_heading = "Result")]
    pub resume: bool,
    /// Replace the frontier that --out holds.
    #[arg(
        long,
        requires = "out",
        conflicts_with = "resume",
        help_heading = "Result"
    )]
    pub force: bool,
    /// Print one JSON object instead of a table.
    #[arg(long, help_heading = "Result")]
    pub json: bool,
    /// Say nothing but errors (and what --json prints).
    #[arg(long, short, help_heading = "Result")]
    pub quiet: bool,
}
