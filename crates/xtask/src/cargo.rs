//! Calls of cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;

/// Runs cargo in the workspace with inherited output.
pub fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root())
        .status()
        .context("cargo could not be started")?;
    if !status.success() {
        bail!("cargo {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Path of the program in the development build. `cargo test --workspace --no-run` makes it: `--package rarefy-cli` would select
/// other features of the dependencies, and compile everything once more.
pub fn program() -> PathBuf {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    root()
        .join(target)
        .join("debug/rarefy")
        .with_extension(std::env::consts::EXE_EXTENSION)
}
