//! Flags of `bench`.

use clap::{Args, Subcommand};

use super::at_least_one;

/// Measure the speed of this machine and of training steps.
///
/// Without a subcommand: peak arithmetic, memory bandwidth, and `TopK` training steps at thirteen shapes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub measurement: Option<BenchCommand>,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum BenchCommand {
    /// Time the value and gradient of the kl objective on all rows of synthetic data.
    Objective(BenchObjectiveArgs),
    /// Time a training step of a sparse architecture on synthetic data, stage by stage.
    Step(BenchStepArgs),
}

#[derive(Args)]
pub struct BenchObjectiveArgs {
    /// Number of rows.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub rows: usize,
    /// Number of values per row.
    #[arg(long, value_name = "N", default_value_t = 784, value_parser = at_least_one)]
    pub d_in: usize,
    /// Number of latents.
    #[arg(long, value_name = "N", default_value_t = 196, value_parser = at_least_one)]
    pub latents: usize,
    /// Output nonlinearity of the decoder.
    #[arg(long, value_name = "WORD", default_value = "sigmoid", value_parser = ["sigmoid", "linear"])]
    pub decoder: String,
    /// Reconstruction loss.
    #[arg(long, value_name = "WORD", default_value = "squared", value_parser = ["squared", "cross-entropy"])]
    pub loss: String,
    /// Number of timed evaluations; the median is printed.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub repeats: usize,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct BenchStepArgs {
    /// Number of rows in a batch.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub rows: usize,
    /// Number of values per row.
    #[arg(long, value_name = "N", default_value_t = 768, value_parser = at_least_one)]
    pub d_in: usize,
    /// Number of latents.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = at_least_one)]
    pub latents: usize,
    /// Sparse architecture to train (see `rarefy list architectures`).
    #[arg(long, value_name = "NAME", default_value = "topk")]
    pub arch: String,
    /// Active latents per row; approximate for architectures without a k.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    pub k: usize,
    /// Number of latents that are dead from the start, to time the auxiliary loss.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub dead: usize,
    /// Number of timed steps; medians are printed.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub steps: usize,
    /// Number of threads [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}
