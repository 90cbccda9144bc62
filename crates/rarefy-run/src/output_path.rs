//! Checks that an output path can be written, before the work starts.

use std::path::{Path, PathBuf};

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

/// Fails if an output file is one of the inputs, is a file of an input folder, or is another output.
///
/// Names that are no files, such as `sample:digits` and globs, are passed over.
pub fn check_apart(out: &Path, others: &[&Path]) -> Result<()> {
    if let Some(other) = others.iter().find(|other| same(out, other)) {
        let why = format!(
            "expected another file to write than {}, which would be lost",
            other.display()
        );
        return Err(Error::format(out, why));
    }
    Ok(())
}

/// Folder with the files of a model: that of a run, or the path itself.
pub fn model_files(model: &Path) -> PathBuf {
    let of_run = model.join("model");
    if of_run.is_dir() {
        of_run
    } else {
        model.into()
    }
}

/// True if both paths are one file, or `other` is a folder and `out` an existing file in it.
fn same(out: &Path, other: &Path) -> bool {
    match (out.canonicalize(), other.canonicalize()) {
        (Ok(out), Ok(other)) => out.starts_with(other),
        // Outputs that do not exist yet.
        _ => out == other,
    }
}

/// Fails if the path of an output folder is a file, or lies below a file.
pub fn check_folder(path: &Path) -> Result<()> {
    let dangling = |ancestor: &&Path| ancestor.is_symlink() && !ancestor.exists();
    if let Some(link) = path.ancestors().find(dangling) {
        let why = "expected a folder to write to, got a link to a path that does not exist";
        return Err(Error::format(link, why));
    }
    match path.ancestors().find(|ancestor| ancestor.exists()) {
        Some(there) if !there.is_dir() => Err(Error::format(
            there,
            "expected a folder to write to, got a file",
        )),
        _ => Ok(()),
    }
}
