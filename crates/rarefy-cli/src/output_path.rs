//! Whether something can be written to a place, asked before the work and not after it.

use std::path::Path;

use rarefy::{Error, Result};

/// Refuses a file's place that is a folder, or that lies below a file.
pub fn check_file(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Error::format(
            path,
            "expected a file to write, got a folder",
        ));
    }
    path.parent().map_or(Ok(()), check_folder)
}

/// Refuses a folder's place that is a file, or that lies below one.
pub fn check_folder(path: &Path) -> Result<()> {
    match path.ancestors().find(|ancestor| ancestor.exists()) {
        Some(there) if !there.is_dir() => Err(Error::format(
            there,
            "expected a folder to write to, got a file",
        )),
        _ => Ok(()),
    }
}
