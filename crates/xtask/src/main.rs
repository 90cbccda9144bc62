//! Developer commands of the workspace; `cargo xtask help` lists them.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "commands may read the clock to print their durations"
)]

mod browser;
mod cargo;
mod check;
mod dist;
mod docs;
mod fuzz;
mod metadata;
mod mutants;
mod package;
mod public;
mod python;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Developer commands of the rarefy workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Run all checks of CI: format, lints, tidy, tests, documentation.
    Check,
    /// Check project rules: module layers, file lengths, licences, links, checksums, language.
    Tidy,
    /// List doc comments, messages and test names that break the language rules.
    Language {
        /// Files or folders to check; all crates by default.
        paths: Vec<PathBuf>,
    },
    /// Write docs/reference.md from the program's tables and help texts.
    Docs {
        /// Write nothing; fail if the file is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Write docs/public-items.txt: the public items of the library.
    Public {
        /// Write nothing; fail if the file is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Use the report page in a Chromium without a window: search, sort, open latents, take rows apart, at two widths.
    Browser {
        /// Folder for screenshots; none by default.
        #[arg(long)]
        screenshots: Option<PathBuf>,
    },
    /// Build the Python package and run its tests, examples and type checks.
    ///
    /// The variable `RAREFY_PYTHON` names another interpreter than that of the cached environment, for example one with `PyTorch`.
    Python,
    /// Build a wheel of the Python package in wheels/, and check its size.
    Wheel,
    /// Build a stripped program, with checksum and licences, in target/dist/.
    Dist,
    /// Regenerate the embedded samples in crates/rarefy/data/ from pinned Python packages.
    Samples,
    /// Regenerate the golden numbers of the tests with the Python packages they come from.
    Golden {
        /// Regenerate the numbers of PyTorch and libraries that need it (downloads gigabytes).
        #[arg(long)]
        peers: bool,
    },
    /// Download data that is not in the repository (size or licence) to data/fetched/.
    Fetch {
        /// Name of the data set.
        #[arg(value_parser = ["mnist"])]
        what: String,
    },
    /// Open randomly damaged fixtures of every reader; fails on a panic, a slow file, or too much memory.
    Fuzz {
        /// Duration in minutes.
        minutes: u64,
        /// Seed of the damage; a run with the same seed opens the same files in the same order.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Plant known errors in a copy of the tree, one at a time; the tests must fail for each.
    Mutants {
        /// Plant only errors with one of these words in their name or file; all by default.
        words: Vec<String>,
        /// List planted errors with a source line that is no longer in the tree; builds nothing.
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
        Chore::Public { check } => public::run(check),
        Chore::Browser { screenshots } => browser::run(screenshots.as_deref()),
        Chore::Python => package::build().and_then(|()| package::test()),
        Chore::Wheel => package::wheel(),
        Chore::Dist => dist::run(),
        Chore::Samples => python::samples(),
        Chore::Golden { peers: false } => python::golden(),
        Chore::Golden { peers: true } => python::peers(),
        Chore::Fetch { what } => python::fetch(&what),
        Chore::Fuzz { minutes, seed } => fuzz::run(minutes, seed),
        Chore::Mutants { applies: true, .. } => mutants::applies(),
        Chore::Mutants { words, .. } => mutants::run(&words),
    }
}

/// Root folder of the workspace.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("xtask is two folders below the root")
        .into()
}
