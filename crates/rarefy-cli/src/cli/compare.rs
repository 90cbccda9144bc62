//! Flags of `rarefy compare`.

use std::path::PathBuf;

use clap::Args;

use super::{DataArgs, data_path};

/// Compare runs: settings that differ, figures side by side, curves over each other.
///
/// Figures are those that each run wrote at its end. With --data, all models are evaluated on the same rows, which is the fair
/// comparison of runs that were trained on different rows.
#[derive(Args)]
pub struct CompareArgs {
    /// Run folders; of `frontier --keep-models`, those in its folder `models`.
    #[arg(required = true, num_args = 1..)]
    pub runs: Vec<PathBuf>,
    /// Data to evaluate all models on: files, folders of shards, globs or sample:NAME [default: none, the figures of the runs].
    #[arg(long, num_args = 1.., value_parser = data_path(), help_heading = "Data")]
    pub data: Vec<String>,
    #[command(flatten)]
    pub source: DataArgs,
    /// Target of the transcoders that are compared.
    #[arg(long, value_name = "DATA", help_heading = "Data", requires = "data")]
    pub target: Option<String>,
    /// Next input of the crosscoders that are compared, in the order of training (repeat for each).
    #[arg(long, value_name = "DATA", help_heading = "Data", requires = "data")]
    pub with: Vec<String>,
    /// HTML page to write, with the tables, curves and the frontier.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
}
