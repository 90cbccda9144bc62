//! Flags of `synth` and `truth`.

use std::path::PathBuf;

use clap::Args;
use rarefy::metrics::truth::METRICS;

#[derive(Args)]
pub struct SynthArgs {
    /// File of rows to write (.npy); the dictionary is written beside it as NAME.truth.safetensors.
    ///
    /// A name that ends in .truth.safetensors stands for the dictionary alone. `rarefy train` reads it as data: it draws each row
    /// when it needs it, so that no row is stored.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Make the data of a published benchmark; of the flags below, only the number of values and of features change it.
    ///
    /// synthsaebench-16k: 16,384 features in 768 dimensions, of which 34 are active per row (arXiv:2602.14687).
    #[arg(long, value_name = "NAME", value_parser = ["synthsaebench-16k"], conflicts_with_all = ["directions", "centre", "l0", "zipf",
        "correlation", "cluster", "hierarchy", "children", "exclusive", "magnitudes", "noise"])]
    pub like: Option<String>,
    /// Also write the features' values in each row: .npz (scipy.sparse CSR), .safetensors, .parquet or .npy (dense).
    #[arg(long, value_name = "FILE")]
    pub codes: Option<PathBuf>,
    /// Number of rows.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = super::at_least_one)]
    pub rows: usize,
    /// Seed of the dictionary and of the rows.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Number of values per row [default: 64, or that of --like].
    #[arg(long, value_name = "N", help_heading = "Dictionary")]
    pub d_in: Option<usize>,
    /// Number of features, the directions of the dictionary [default: 256, or that of --like].
    #[arg(long, value_name = "N", help_heading = "Dictionary")]
    pub features: Option<usize>,
    /// Directions of features: independent, or orthogonal (at most --d-in features).
    #[arg(long, value_name = "WORD", default_value = "random", value_parser = ["random", "orthogonal"], help_heading = "Dictionary")]
    pub directions: String,
    /// Length of a constant vector, of random direction, that is added to every row.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        help_heading = "Dictionary"
    )]
    pub centre: f64,

    /// Mean number of active features per row.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 8.0,
        help_heading = "Features in rows"
    )]
    pub l0: f64,
    /// Exponent of a Zipf law for firing rates: the r-th feature fires in proportion to r^-X, at most in every second row.
    ///
    /// With 0 all features fire equally often.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        help_heading = "Features in rows"
    )]
    pub zipf: f64,
    /// Correlation within a cluster: covariance of two features, as a fraction of the largest possible one.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        help_heading = "Features in rows"
    )]
    pub correlation: f64,
    /// Number of features in a cluster.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        help_heading = "Features in rows"
    )]
    pub cluster: usize,
    /// Trees of features, such as 2x3: two levels below the root, three children per feature [default: no trees].
    ///
    /// A child is active only in rows where its parent is active.
    #[arg(long, value_name = "DEPTHxBRANCH", help_heading = "Features in rows")]
    pub hierarchy: Option<String>,
    /// Mean number of active children of an active parent.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.8,
        requires = "hierarchy",
        help_heading = "Features in rows"
    )]
    pub children: f64,
    /// Let at most one child of a feature be active in a row.
    #[arg(long, requires = "hierarchy", help_heading = "Features in rows")]
    pub exclusive: bool,
    /// Distribution of the values of active features, with mean 1.
    ///
    /// constant: 1. uniform: between 0.5 and 1.5. half-normal: absolute value of a normal number.
    #[arg(long, value_name = "WORD", default_value = "half-normal", value_parser = ["constant", "uniform", "half-normal", "exponential"], help_heading = "Features in rows")]
    pub magnitudes: String,
    /// Standard deviation of normal noise, added to each value of a row.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.0,
        help_heading = "Features in rows"
    )]
    pub noise: f64,

    /// Replace existing files of rows, dictionary and codes.
    #[arg(long)]
    pub force: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct TruthArgs {
    /// Run folder or model folder.
    pub model: PathBuf,
    /// Dictionary: NAME.truth.safetensors of `rarefy synth`, or any matrix with one direction per row.
    pub truth: PathBuf,
    /// Number of fresh rows to score on; they follow the rows that `synth` wrote.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = super::at_least_one)]
    pub rows: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Definitions of the metrics of `truth`, for its help.
pub fn metrics() -> String {
    let line = |(name, meaning): &(&str, &str)| format!("  {name}\n          {meaning}\n");
    let lines: String = METRICS.iter().map(line).collect();
    format!("Metrics, by their names in --json:\n{lines}")
}
