//! `NumPy`'s `.npz`: a zip of `.npy` members; one of them is the data.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Dataset, OpenOptions, npy};
use crate::{Error, Result};

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let (name, bytes) = member(path, options.member.as_deref())?;
    let inside = format!("{}[{name}]", path.display());
    Ok(Dataset::new(npy::decode(
        Path::new(&inside),
        &inside,
        &bytes,
    )?))
}

/// The bytes of one member; the sole one if no name is given.
fn member(path: &Path, wanted: Option<&str>) -> Result<(String, Vec<u8>)> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive = zip::ZipArchive::new(file)
        .map_err(|e| Error::format(path, format!("not an npz file: {e}")))?;
    let names: Vec<String> = archive
        .file_names()
        .filter_map(|n| n.ok()?.strip_suffix(".npy").map(str::to_owned))
        .collect();
    let name = match (wanted, names.as_slice()) {
        (Some(wanted), _) if names.iter().any(|n| n == wanted) => wanted.to_owned(),
        (Some(wanted), _) => {
            return Err(Error::unknown(
                &format!("member of {}", path.display()),
                wanted,
                names,
            ));
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            let why = format!(
                "expected one array, got {} ({}); name one with member",
                names.len(),
                names.join(", ")
            );
            return Err(Error::format(path, why));
        }
    };
    let damaged = |e: &dyn std::fmt::Display| Error::format(path, format!("member {name}: {e}"));
    let mut entry = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|e| damaged(&e))?;
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    Ok((name.clone(), bytes))
}
