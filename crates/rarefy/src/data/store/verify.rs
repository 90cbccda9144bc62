//! Check of all files of a store against the checksums of its manifest.

use std::path::{Path, PathBuf};

use super::checksum::sum;
use super::manifest::{MANIFEST, Manifest};
use super::{cells, tokens};
use crate::{Error, Result};

/// Result of [`verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Number of rows.
    pub rows: usize,
    /// Number of files that were read.
    pub files: usize,
    /// Number of bytes that were read.
    pub bytes: u64,
}

/// Reads all files of a store and compares their SHA-256 with the manifest. `read` is called with the number of bytes of each piece; an error of it
/// ends the check.
///
/// # Errors
/// [`Error::Format`] for the first file that differs, and for a store that is not complete; [`Error::Io`] for a missing file.
pub fn verify(folder: &Path, read: &mut dyn FnMut(usize) -> Result<()>) -> Result<Verified> {
    if !folder.join(MANIFEST).exists() {
        std::fs::metadata(folder).map_err(Error::io(folder))?;
        let why = format!(
            "expected the folder of a store, got one without {MANIFEST}; `rarefy data shard` makes a store of data"
        );
        return Err(Error::format(folder, why));
    }
    let manifest = Manifest::read(folder)?;
    if !manifest.complete {
        let why = format!(
            "the store is not complete: its {} rows so far are not all",
            manifest.rows()
        );
        return Err(Error::format(folder, why));
    }
    let mut files: Vec<(PathBuf, &str)> = Vec::new();
    for shard in &manifest.shards {
        let tokens = tokens::path(folder, &shard.file);
        let all = [
            (folder.join(&shard.file), &shard.sha256),
            (cells::path(folder, &shard.file), &shard.cells_sha256),
            (tokens, &shard.tokens_sha256),
        ];
        files.extend(
            all.into_iter()
                .filter_map(|(path, sum)| Some((path, sum.as_deref()?))),
        );
    }
    let mut bytes = 0;
    for (path, expected) in &files {
        let got = sum(path, &mut |count| {
            bytes += count as u64;
            read(count)
        })?;
        if got != *expected {
            let why = format!(
                "damaged: expected the SHA-256 {expected} of {MANIFEST}, got {got}; copy the file again"
            );
            return Err(Error::format(path, why));
        }
    }
    Ok(Verified {
        rows: manifest.rows(),
        files: files.len(),
        bytes,
    })
}
