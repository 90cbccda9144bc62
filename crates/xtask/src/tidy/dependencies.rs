//! Dependencies: each needs a reason in Cargo.toml and an allowed licence.

use anyhow::{Context, Result};

use crate::metadata::{Metadata, text};
use crate::root;

pub(super) fn check(metadata: &Metadata, faults: &mut Vec<String>) -> Result<()> {
    reasons(faults)?;
    licences(metadata, faults)
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

/// Checks the licence of each dependency against the list of `deny.toml`.
fn licences(metadata: &Metadata, faults: &mut Vec<String>) -> Result<()> {
    let rules: toml::Table = std::fs::read_to_string(root().join("deny.toml"))?.parse()?;
    let list = rules["licenses"]["allow"]
        .as_array()
        .context("licenses.allow in deny.toml")?;
    let list: Vec<&str> = list.iter().filter_map(toml::Value::as_str).collect();
    for package in metadata.packages() {
        let licence = text(package, "license");
        if !allowed(licence, &list) {
            faults.push(format!(
                "{} {}: licence `{licence}` is not allowed in deny.toml",
                text(package, "name"),
                text(package, "version")
            ));
        }
    }
    Ok(())
}

/// True if an SPDX expression is satisfied: one side of each OR, both sides of each AND.
///
/// In practice brackets only group ORs inside ANDs, so AND binds last here.
fn allowed(expression: &str, list: &[&str]) -> bool {
    let side = |text: &str| {
        let bare = text.trim_matches(|c| c == '(' || c == ')' || c == ' ');
        bare.split(" OR ")
            .flat_map(|part| part.split('/'))
            .any(|licence| list.contains(&licence.trim()))
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
        let list = ["MIT", "Apache-2.0", "Unicode-3.0"];
        for expression in [
            "MIT OR Apache-2.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(allowed(expression, &list), "{expression}");
        }
        for expression in ["(MIT OR Apache-2.0) AND GPL-3.0", "GPL-3.0", ""] {
            assert!(!allowed(expression, &list), "{expression}");
        }
    }
}
