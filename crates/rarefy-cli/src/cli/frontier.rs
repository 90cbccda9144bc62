//! Flags of `frontier`.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, IoArgs, SeedArgs, data_path};

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct FrontierArgs {
    /// Data: files, folders of shards, globs or sample:NAME [default with --resume: the data of the frontier].
    #[arg(required_unless_present = "resume", value_parser = data_path())]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Number of rows, evenly spaced over the data, to evaluate on and exclude from training.
    ///
    /// Default: 5 % of the rows, but at least 1000, and at most a fifth of the rows.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub holdout: Option<usize>,
    /// Preprocessing steps in order, separated by commas, or `none` (see `rarefy list preprocessing`).
    #[arg(long, value_name = "STEP,...", help_heading = "Data")]
    pub preprocess: Option<String>,

    /// Architectures, separated by commas [default: all sparse architectures except matching-pursuit, which is slow].
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        help_heading = "Models"
    )]
    pub arch: Vec<String>,
    /// Number of latents of every model, or several, separated by commas [default: 8 per input value, at most rows^0.7 / 3].
    ///
    /// With several, each architecture has a line for each number. With --resume, numbers are added to such a list, as with --k.
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        help_heading = "Models"
    )]
    pub latents: Vec<usize>,
    /// Numbers of active latents of a row, separated by commas, for architectures with an option k [default: 8,16,32,64,128].
    #[arg(
        long,
        value_name = "K,...",
        value_delimiter = ',',
        help_heading = "Models"
    )]
    pub k: Vec<f64>,
    #[command(flatten)]
    pub io: IoArgs,
    /// Set a key of the configuration, or an option of the architectures that have it (may be repeated).
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Models")]
    pub set: Vec<String>,

    /// Number of optimiser steps of each model [default: 20 epochs, at least 1000 steps].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<usize>,
    /// Number of rows in a mini-batch [default: 4096, or all if there are fewer].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch: Option<usize>,
    #[command(flatten)]
    pub seed: SeedArgs,

    /// L0 at which the explained variance of architectures is compared [default: 32].
    ///
    /// The value is interpolated between the two nearest points of each architecture.
    #[arg(long, value_name = "L0", help_heading = "Result")]
    pub at: Option<f64>,
    /// Folder for frontier.json and frontier.svg [default: the first free runs/frontier-DATA-N].
    #[arg(long, value_name = "DIR", help_heading = "Result")]
    pub out: Option<PathBuf>,
    /// Keep each model, as a run in the folder models of the results, for `compare`, `latents` and `eval`.
    #[arg(long, help_heading = "Result")]
    pub keep_models: bool,
    /// Keep the points in --out and train the missing ones; --arch adds architectures.
    #[arg(long, requires = "out", help_heading = "Result")]
    pub resume: bool,
    /// Replace the frontier in --out.
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
    /// Print errors only, and the object of --json.
    #[arg(long, short, help_heading = "Result")]
    pub quiet: bool,
}
