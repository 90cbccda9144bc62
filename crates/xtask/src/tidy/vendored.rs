//! Data in the repository: must be small, unchanged, and beside its licence.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::dist::hexadecimal;

/// Largest total size of the data in the repository.
const MOST_BYTES: u64 = 2_000_000;

pub(super) fn check(data: &Path, faults: &mut Vec<String>) -> Result<()> {
    let list = data.join("SHA256SUMS");
    let sums = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let mut listed = Vec::new();
    let mut bytes = 0;
    for line in sums.lines() {
        let (expected, name) = line
            .split_once("  ")
            .with_context(|| format!("{}: `{line}`", list.display()))?;
        let content = fs::read(data.join(name)).with_context(|| format!("data/{name}"))?;
        let got = hexadecimal(&Sha256::digest(&content));
        if got != expected {
            faults.push(format!(
                "data/{name}: expected sha256 {expected}, got {got}"
            ));
        }
        bytes += content.len() as u64;
        listed.push(data.join(name));
    }
    if bytes > MOST_BYTES {
        faults.push(format!(
            "data: {bytes} bytes vendored, expected {MOST_BYTES} at most"
        ));
    }
    for folder in entries(data)?.into_iter().filter(|path| path.is_dir()) {
        if !folder.join("LICENCE.md").exists() {
            faults.push(format!(
                "{}: expected a LICENCE.md beside vendored data",
                folder.display()
            ));
        }
        for file in entries(&folder)? {
            if !file.ends_with("LICENCE.md") && !listed.contains(&file) {
                faults.push(format!("{}: not in SHA256SUMS", file.display()));
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = read
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}
