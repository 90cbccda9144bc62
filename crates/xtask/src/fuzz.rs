//! `cargo xtask fuzz MINUTES`: opens randomly damaged fixtures of every reader.
//!
//! The fuzzing itself is a test of the library, `crates/rarefy/tests/fuzz.rs`, so that it needs no build of its own.
//! On Unix the shell bounds the address space with `ulimit -v`; a reader that allocates what a damaged header claims then
//! ends the process, and `target/tmp/fuzz/last` is the file that it read.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::root;

/// Address space of the process that reads the files: code, stacks of all threads and up to 1 GiB for one file.
const MOST_KILOBYTES: u32 = 4 << 20;

const TESTS: [&str; 5] = ["test", "--package", "rarefy", "--test", "it"];

/// Builds the tests, then fuzzes for this many minutes.
pub fn run(minutes: u64, seed: u64) -> Result<()> {
    cargo(&[&TESTS[..], &["--no-run"]].concat(), &[])?;
    let name = "fuzz::fuzzed_fixtures_give_errors_for_minutes";
    let status = bounded()
        .args(TESTS)
        .args(["--", "--ignored", "--exact", "--nocapture", name])
        .env("RAREFY_FUZZ_MINUTES", minutes.to_string())
        .env("RAREFY_FUZZ_SEED", seed.to_string())
        .current_dir(root())
        .status()
        .context("the shell could not be started")?;
    if !status.success() {
        bail!(
            "a file panicked, took too long or needed more than {MOST_KILOBYTES} kB of address space; \
             the list above names the copies in target/tmp/fuzz/ (seed {seed})"
        );
    }
    Ok(())
}

/// Command that runs cargo, with a bound on the address space where the shell has one.
fn bounded() -> Command {
    if cfg!(windows) {
        return Command::new(env!("CARGO"));
    }
    let mut shell = Command::new("sh");
    let script = format!("ulimit -v {MOST_KILOBYTES}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script, env!("CARGO")]);
    shell
}
