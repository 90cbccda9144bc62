//! `cargo xtask check`: all checks of CI, also for developers before a commit.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{docs, root, tidy};

pub fn run() -> Result<()> {
    step("format", || cargo(&["fmt", "--all", "--check"], &[]))?;
    step("tidy", tidy::run)?;
    step("clippy", || {
        cargo(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "--deny",
                "warnings",
            ],
            &[],
        )
    })?;
    step("tests and examples in the docs", || {
        cargo(&["test", "--workspace", "--quiet"], &[])
    })?;
    // The kernels' tests cover all CPU paths of this machine; these steps cover the library.
    for path in ["portable", "avx2"] {
        step(&format!("the library on the {path} path"), || {
            cargo(
                &["test", "--package", "rarefy", "--lib", "--quiet"],
                &[("RAREFY_CPU", path)],
            )
        })?;
    }
    step("documentation", || {
        let flags = [("RUSTDOCFLAGS", "--deny warnings")];
        cargo(&["doc", "--workspace", "--no-deps", "--quiet"], &flags)
    })?;
    step("generated docs", || docs::run(true))?;
    println!("all checks passed");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    work().with_context(|| format!("check failed: {name}"))?;
    println!("   {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

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
