//! Flags of `rarefy watch`.

use std::path::PathBuf;

use clap::Args;

/// Show the curves of a run in the terminal, live while it trains.
///
/// Shows loss, explained variance, L0 and the share of dead latents over the steps; of kl, loss, reconstruction, penalty and
/// mean activation. The picture follows the run; q or Ctrl-C leaves, and the run goes on. If standard output is no terminal, one
/// picture is printed.
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
