//! The flags of `synth` and `truth`.

use std::path::PathBuf;

use clap::Args;
use rarefy::metrics::truth::METRICS;

#[derive(Args)]
pub struct SynthArgs {
    /// File to write the rows to (.npy); the truth goes beside it, NAME.truth.safetensors.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Also write which features fire in each row, and how strongly: .npz (scipy.sparse CSR), .safetensors, .parquet or dense .npy.
    #[arg(long, value_name = "FILE")]
    pub codes: Option<PathBuf>,
    /// Rows.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = super::at_least_one)]
    pub rows: usize,
    /// Seed of the dictionary and the rows.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub seed: u64,

    /// Values in a row.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        allow_negative_numbers = true,
        help_heading = "Dictionary"
    )]
    pub d_in: usize,
    /// Features: directions of the dictionary.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        allow_negative_numbers = true,
        help_heading = "Dictionary"
    )]
    pub features: usize,
    /// How the directions lie: each by itself, or at right angles (no more than values in a row).
    #[arg(long, value_name = "WORD", default_value = "random", value_parser = ["random", "orthogonal"], help_heading = "Dictionary")]
    pub directions: String,
    /// Length of a constant that every row has, in a random direction.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "Dictionary"
    )]
    pub centre: f64,

    /// Mean number of features that fire in a row.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 8.0,
        allow_negative_numbers = true,
        help_heading = "What fires"
    )]
    pub l0: f64,
    /// Some fire more often than others: the r-th in proportion to r^-X, at most in every second row.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "What fires"
    )]
    pub zipf: f64,
    /// Features of a cluster fire together: the covariance of two is this share of the most that there can be.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "What fires"
    )]
    pub correlation: f64,
    /// Features in a cluster.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        allow_negative_numbers = true,
        help_heading = "What fires"
    )]
    pub cluster: usize,
    /// Trees of features, such as 2x3: two levels below the top, three children each. A child fires only where its parent does.
    #[arg(long, value_name = "DEPTHxBRANCH", help_heading = "What fires")]
    pub hierarchy: Option<String>,
    /// Mean number of children that fire with their parent.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.8,
        allow_negative_numbers = true,
        requires = "hierarchy",
        help_heading = "What fires"
    )]
    pub children: f64,
    /// At most one child of a feature fires at a time.
    #[arg(long, requires = "hierarchy", help_heading = "What fires")]
    pub exclusive: bool,
    /// How strongly a feature fires, 1 on average: always 1, evenly from 0.5 to 1.5, |normal|, exponential.
    #[arg(long, value_name = "WORD", default_value = "half-normal", value_parser = ["constant", "uniform", "half-normal", "exponential"], help_heading = "What fires")]
    pub magnitudes: String,
    /// Standard deviation of normal noise on each value.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        allow_negative_numbers = true,
        help_heading = "What fires"
    )]
    pub noise: f64,

    /// Replace rows, truth and codes that are there.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct TruthArgs {
    /// Run or model folder.
    pub model: PathBuf,
    /// NAME.truth.safetensors that `synth` wrote, or any matrix of directions, one a row.
    pub truth: PathBuf,
    /// Rows of the truth to measure on: those behind the ones that `synth` wrote, which nobody has seen.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = super::at_least_one)]
    pub rows: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// What the figures of `truth` mean, for its help.
pub fn figures() -> String {
    let line = |(name, meaning): &(&str, &str)| format!("  {name}\n          {meaning}\n");
    let lines: String = METRICS.iter().map(line).collect();
    format!("Figures, as --json names them:\n{lines}")
}
