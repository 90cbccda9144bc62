//! Flags of `rarefy watch`.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub struct WatchArgs {
    /// Run folder.
    pub run: PathBuf,
    /// Print one picture as text of 80 columns and exit.
    #[arg(long)]
    pub once: bool,
    /// Print state, steps and the newest record as one JSON object and exit.
    #[arg(long, conflicts_with = "once")]
    pub json: bool,
}
