//! `cargo xtask dist`: stripped program with its checksum and the licences of its dependencies.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cargo::cargo;
use crate::metadata::{Metadata, text};
use crate::root;

/// Package of the program.
const PACKAGE: &str = "rarefy-cli";
/// Starts of names of files with licences and notices.
const NAMES: &[&str] = &[
    "license",
    "licence",
    "copying",
    "notice",
    "unlicense",
    "copyright",
];

/// Builds the program with the profile `dist` and writes `target/dist/`.
///
/// # Errors
/// Fails if the build fails or a dependency has no licence.
pub fn run() -> Result<()> {
    cargo(
        &[
            "build",
            "--package",
            PACKAGE,
            "--profile",
            "dist",
            "--locked",
        ],
        &[],
    )?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = root().join(target).join("dist");
    let name = format!("rarefy{}", std::env::consts::EXE_SUFFIX);
    let program = fs::read(folder.join(&name)).context("the program was not built")?;
    let sum = hexadecimal(&Sha256::digest(&program));
    fs::write(folder.join("SHA256SUMS"), format!("{sum}  {name}\n"))?;
    fs::write(folder.join("LICENCES.txt"), licences()?)?;
    println!(
        "{} ({:.1} MB)",
        folder.join(&name).display(),
        program.len() as f64 / 1e6
    );
    println!("{}", folder.join("SHA256SUMS").display());
    println!("{}", folder.join("LICENCES.txt").display());
    Ok(())
}

/// Licences of the program and its dependencies; equal texts are written once.
fn licences() -> Result<String> {
    let metadata = Metadata::load()?;
    let used = used_packages()?;
    let mut list = String::from("Licences of rarefy and its dependencies\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in metadata.packages() {
        let label = format!("{} {}", text(package, "name"), text(package, "version"));
        if !used.contains(&label) {
            continue;
        }
        let licence = text(package, "license");
        if licence.is_empty() {
            bail!("{label} declares no licence");
        }
        writeln!(list, "{label}: {licence}")?;
        for file in licence_files(package) {
            let content = fs::read_to_string(&file).unwrap_or_default();
            texts
                .entry(content.trim().to_owned())
                .or_default()
                .push(label.clone());
        }
    }
    texts.remove("");
    for (content, packages) in texts {
        let line = "-".repeat(80);
        write!(
            list,
            "\n{line}\n{}\n{line}\n\n{content}\n",
            packages.join(", ")
        )?;
    }
    Ok(list)
}

/// Names and versions of the packages in the program, by `cargo tree`.
fn used_packages() -> Result<Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            PACKAGE,
            "--edges",
            "normal",
            "--locked",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!(
            "cargo tree failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter_map(label).collect())
}

/// Name and version in a line of `cargo tree`: `name v1.2.3 (path)`.
fn label(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?);
    Some(format!("{name} {}", version.strip_prefix('v')?))
}

/// Files with licences and notices: of a dependency in its folder, of our crates in the root.
fn licence_files(package: &Value) -> Vec<PathBuf> {
    let manifest = Path::new(text(package, "manifest_path"));
    let folder = if package["source"].is_null() {
        Some(root())
    } else {
        manifest.parent().map(Path::to_path_buf)
    };
    let is_licence = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase());
        path.is_file() && name.is_some_and(|name| NAMES.iter().any(|start| name.starts_with(start)))
    };
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
    let paths = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(is_licence).collect();
    files.sort();
    files
}

/// Hexadecimal text of bytes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_has_name_and_version_of_a_tree_line() {
        assert_eq!(label("serde v1.0.2 (*)").as_deref(), Some("serde 1.0.2"));
        assert_eq!(label("zip v9.8.1"), Some("zip 9.8.1".into()));
        assert_eq!(label(""), None);
    }

    #[test]
    fn licences_of_the_program_name_our_files_and_serde() {
        let list = licences().unwrap();
        assert!(
            list.contains("\nrarefy-kernels ") && list.contains("\nserde "),
            "{list}"
        );
        assert!(list.contains("Permission is hereby granted, free of charge"));
    }
}
