//! Store of activations: a folder of shards with a manifest, which names their rows and says if all are there.
//!
//! ```text
//! acts/
//!   _manifest.json              version, width, number type, counts, sources, shards with their rows and checksums
//!   shard-00000.safetensors     `activations` [rows, width]; of int8 also `scales` [rows]
//!   cells/shard-00000.jsonl     label and text of each row, if there are any
//!   tokens/shard-00000.safetensors   contexts, with context, position and token of each row, if the data has them
//! ```
//!
//! A shard counts once it stands in the manifest, which is replaced as a whole. A store is refused until its manifest says that it is complete, so
//! a killed writer leaves nothing that reads as a smaller data set. `lm.harvest` writes the same manifest.

mod cells;
mod checksum;
mod manifest;
mod mask;
mod scaled;
mod shard;
mod tokens;
mod verify;
mod writer;

use std::path::{Path, PathBuf};

use super::options::Foreign;
use super::{Dataset, OpenOptions, open_listed};
use crate::{Error, Result};

pub(super) use cells::Cells;
pub use manifest::{LeftOut, Number};
pub(super) use manifest::{MANIFEST, Manifest};
pub(super) use scaled::{SCALES, ScaledRows};
pub use verify::{Verified, verify};
pub use writer::{Begin, StoreOptions, Written, write};

/// Name of the tensor with the rows.
pub(super) const ROWS: &str = "activations";

/// True for a folder with the manifest of a store.
pub(super) fn is_store(folder: &Path) -> bool {
    Manifest::is_in(folder)
}

/// Rows of the shards in the manifest's order, with labels and texts.
///
/// # Errors
/// [`Error::Format`] for a store that is not complete, for shards that are missing or differ from the manifest, and for a damaged manifest.
pub(super) fn open(
    folder: &Path,
    options: &OpenOptions,
    foreign: Foreign,
) -> Result<Dataset<'static>> {
    let manifest = Manifest::read(folder)?;
    if !manifest.complete {
        let why = format!(
            "a store that is not complete, with {} rows so far; continue the command that writes it, or use the finished shards alone by the pattern '{}/shard-*.safetensors'",
            manifest.rows(),
            folder.display()
        );
        return Err(Error::format(folder, why));
    }
    let full: Vec<_> = manifest
        .shards
        .iter()
        .filter(|shard| shard.rows > 0)
        .collect();
    let files: Vec<PathBuf> = full.iter().map(|shard| folder.join(&shard.file)).collect();
    let mut dataset = open_listed(folder, &files, options, foreign)?;
    let (rows, width) = (dataset.source.rows(), dataset.source.d_in());
    if (rows, width) != (manifest.rows(), manifest.n_inputs) {
        let why = format!(
            "expected {} rows of {} values as in {MANIFEST}, got {rows} of {width} in the shards; copy the store again",
            manifest.rows(),
            manifest.n_inputs
        );
        return Err(Error::format(folder, why));
    }
    let cells = Cells::read_all(folder, &full)?;
    dataset.labels = cells.labels;
    dataset.texts = cells.texts;
    dataset.image_shape = manifest.image_shape;
    if options.places {
        dataset.places = tokens::read_all(folder, &manifest.shards)?;
    }
    Ok(dataset)
}

#[cfg(test)]
mod tests;
