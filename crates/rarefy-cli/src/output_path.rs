//! Checks that an output path can be written, before the work starts.

use std::path::Path;

use rarefy::{Error, Result};

/// Fails if the path of an output file is a folder, or lies below a file.
pub fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::format(
            path,
            "expected a file to write, got a folder",
        ));
    }
    path.parent().map_or(Ok(()), check_folder)
}

/// Fails if the path of an output folder is a file, or lies below a file.
pub fn check_folder(path: &Path) -> Result<()> {
    match path.ancestors().find(|ancestor| ancestor.exists()) {
        Some(there) if !there.is_dir() => Err(Error::format(
            there,
            "expected a folder to write to, got a file",
        )),
        _ => Ok(()),
    }
}
