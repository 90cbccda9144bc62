//! Dependencies: each needs a reason in Cargo.toml and an allowed licence.

use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;

/// Allowed licences of dependencies; `deny.toml` has the same list.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
    "BSL-1.0",
    "MIT-0",
];

pub(super) fn check(faults: &mut Vec<String>) -> Result<()> {
    reasons(faults)?;
    licences(faults)
}

/// Checks that each external crate in `[workspace.dependencies]` has a comment with its reason.
fn reasons(faults: &mut Vec<String>) -> Result<()> {
    let path = root().join("Cargo.toml");
    let text = std::fs::read_to_string(&path)?;
    let manifest: toml::Table = text.parse()?;
    let table = manifest["workspace"]["dependencies"]
        .as_table()
        .context("[workspace.dependencies]")?;
    for (name, value) in table
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
    {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} =")));
        if !line.is_some_and(|line| line.contains(" # ")) {
            faults.push(format!(
                "Cargo.toml: `{name}` = {value} needs a comment with the reason for this dependency"
            ));
        }
    }
    Ok(())
}

fn licences(faults: &mut Vec<String>) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .context("cargo cannot be started")?;
    if !output.status.success() {
        bail!(
            "cargo metadata failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !allowed(licence) {
            faults.push(format!(
                "{} {}: licence {licence} is not allowed",
                package["name"], package["version"]
            ));
        }
    }
    Ok(())
}

/// True if an SPDX expression is satisfied: one side of each OR, both sides of each AND.
///
/// In practice brackets only group ORs inside ANDs, so AND binds last here.
fn allowed(expression: &str) -> bool {
    let side = |text: &str| {
        let bare = text.trim_matches(|c| c == '(' || c == ')' || c == ' ');
        bare.split(" OR ")
            .flat_map(|part| part.split('/'))
            .any(|licence| ALLOWED.contains(&licence.trim()))
    };
    if expression.contains(") AND") || expression.contains("AND (") || !expression.contains(" OR ")
    {
        expression.split(" AND ").all(side)
    } else {
        expression
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expression_needs_one_side_of_or_and_both_sides_of_and() {
        assert!(
            allowed("MIT OR Apache-2.0") && allowed("GPL-3.0 OR MIT") && allowed("MIT/Apache-2.0")
        );
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(
            !allowed("(MIT OR Apache-2.0) AND GPL-3.0") && !allowed("GPL-3.0") && !allowed("none")
        );
    }
}
