//! Calls of cargo.

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
