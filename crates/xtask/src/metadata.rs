//! `cargo metadata` of the workspace.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;

/// Packages of the workspace and all their dependencies.
pub struct Metadata {
    root: Value,
}

impl Metadata {
    /// Runs `cargo metadata` without changing Cargo.lock.
    pub fn load() -> Result<Self> {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root())
            .output()
            .context("cargo could not be started")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let root = serde_json::from_slice(&output.stdout)?;
        Ok(Self { root })
    }

    /// All packages, with dependencies.
    pub fn packages(&self) -> impl Iterator<Item = &Value> {
        self.root["packages"].as_array().into_iter().flatten()
    }

    /// Packages of the workspace.
    pub fn members(&self) -> impl Iterator<Item = &Value> {
        self.packages()
            .filter(|package| package["source"].is_null())
    }

    /// Packages outside of the workspace.
    pub fn foreign(&self) -> impl Iterator<Item = &Value> {
        self.packages()
            .filter(|package| !package["source"].is_null())
    }
}

/// Text of a package's field, or nothing.
pub fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}
