//! Project rules that no other tool checks. ARCHITECTURE.md has the reasons.

mod circles;
mod dependencies;
pub mod language;
mod manifests;
mod modules;
mod prose;
mod vendored;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::metadata::Metadata;
use crate::{mutants, root};

/// Tracked text file.
struct Text {
    /// Path from the workspace's root.
    path: PathBuf,
    /// Content of the file.
    text: String,
}

impl Text {
    fn is(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }
}

pub fn run() -> Result<()> {
    let files = texts()?;
    let mut faults = Vec::new();
    modules::check(&files, &mut faults);
    circles::check(&files, &mut faults);
    prose::check(&files, &mut faults);
    language::check(&files, &mut faults);
    vendored::check(&root().join("crates/rarefy/data"), &mut faults)?;
    let metadata = Metadata::load()?;
    dependencies::check(&metadata, &mut faults)?;
    manifests::check(&metadata, &mut faults);
    faults.extend(mutants::stale(|name| {
        let file = files.iter().find(|file| file.path == Path::new(name));
        file.map(|file| file.text.clone())
    }));
    if faults.is_empty() {
        return Ok(());
    }
    faults.iter().for_each(|fault| eprintln!("{fault}"));
    bail!("tidy found {} faults", faults.len())
}

/// All text files that git tracks or does not ignore.
fn texts() -> Result<Vec<Text>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("git could not be started")?;
    if !listed.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
    }
    let names = String::from_utf8(listed.stdout)?;
    let read = |name: &str| {
        let text = std::fs::read_to_string(root().join(name)).ok()?;
        Some(Text {
            path: Path::new(name).into(),
            text,
        })
    };
    Ok(names.lines().filter_map(read).collect())
}
