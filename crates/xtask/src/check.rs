//! `cargo xtask check`: all checks of CI, also for developers before a commit.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::{browser, docs, package, public, root, tidy};

pub fn run() -> Result<()> {
    // Downloads, beside the builds.
    let python = std::thread::spawn(package::prepare);
    step("format", || cargo(&["fmt", "--all", "--check"], &[]))?;
    step("tidy", tidy::run)?;
    // Spelling and advisories need tools that not everybody has; CI may install them.
    optional("spelling", "typos", &[])?;
    optional("dependencies", "cargo-deny", &["check"])?;
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
    step("library without optional formats", || {
        let light = ["--package", "rarefy", "--lib", "--no-default-features"];
        let strict = ["--quiet", "--", "--deny", "warnings"];
        cargo(&[&["clippy"][..], &light, &strict].concat(), &[])
    })?;
    step("tests and examples in the docs", || {
        cargo(&["test", "--workspace", "--quiet"], &[])
    })?;
    // The kernels' tests cover all CPU paths of this machine; these steps cover the library. With `--package rarefy`,
    // dependencies would have other features than above, and be compiled once more.
    let library = ["--workspace", "--exclude", "rarefy-kernels", "--lib"];
    // Gradient checks take most of the time, and differ between the paths in the kernels alone.
    let but = ["--", "--skip", "check::"];
    for path in other_paths() {
        step(&format!("the library on the {path} path"), || {
            let tests = [&["test", "--quiet"][..], &library, &but].concat();
            cargo(&tests, &[("RAREFY_CPU", path)])
        })?;
    }
    step("the Python package, beside the documentation", || {
        joined(python)?;
        package::build()?;
        let tests = std::thread::spawn(package::test);
        // With the documentation of all crates.
        let public = public::run(true);
        joined(tests).and(public)
    })?;
    step("the report page in a browser", || browser::run(None))?;
    step("packages", packages)?;
    step("generated docs", || docs::run(true))?;
    println!("all checks passed");
    Ok(())
}

fn joined(thread: std::thread::JoinHandle<Result<()>>) -> Result<()> {
    let ended = thread.join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// CPU paths that the tests above did not take: `avx2` is the own path of a machine without AVX-512.
fn other_paths() -> &'static [&'static str] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return &["portable", "avx2"];
    }
    &["portable"]
}

/// Lists the files of each package, which fails for incomplete manifests.
fn packages() -> Result<()> {
    for name in [
        "rarefy-kernels",
        "rarefy-report",
        "rarefy",
        "rarefy-run",
        "rarefy-cli",
    ] {
        let output = Command::new(env!("CARGO"))
            .args(["package", "--list", "--allow-dirty", "--package", name])
            .current_dir(root())
            .output()
            .context("cargo could not be started")?;
        if !output.status.success() {
            bail!(
                "cargo package --list: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}

/// Runs a tool if it is installed.
fn optional(name: &str, tool: &str, arguments: &[&str]) -> Result<()> {
    let is_there = Command::new(tool)
        .arg("--version")
        .output()
        .is_ok_and(|o| o.status.success());
    if !is_there {
        println!("== {name}: left out, {tool} is not installed");
        return Ok(());
    }
    step(name, || {
        let status = Command::new(tool)
            .args(arguments)
            .current_dir(root())
            .status()?;
        if !status.success() {
            bail!("{tool} failed");
        }
        Ok(())
    })
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    work().with_context(|| format!("check failed: {name}"))?;
    println!("   {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
