//! Folders that hold something else than data files in a row: models, runs, tables with a log.

use std::path::Path;

/// Kind of folder that is no plain folder of data files, and what to do; `None` for all others.
///
/// A folder is known by the names in it: one of `first`, and one of `second` unless that is empty.
pub(super) fn foreign(folder: &Path) -> Option<(&'static str, &'static str)> {
    let has = |names: &[&str]| names.iter().any(|name| folder.join(name).exists());
    let found = FOREIGN
        .iter()
        .find(|(first, second, ..)| has(first) && (second.is_empty() || has(second)))?;
    Some((found.2, found.3))
}

/// Names in a folder, further names in the same folder, the kind of folder, and what to do.
const FOREIGN: &[(&[&str], &[&str], &str, &str)] = &[
    (
        &["config.toml"],
        &["model", "checkpoints"],
        "the folder of a run",
        "give the data; a run comes before the data in `rarefy eval` and `rarefy encode`",
    ),
    (
        &["cfg.json", "config.json"],
        &[
            "sae_weights.safetensors",
            "sae.safetensors",
            "ae.pt",
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
        ],
        "the folder of a model",
        "give data, such as activations of the model",
    ),
    (
        &[".zarray", ".zgroup", "zarr.json"],
        &[],
        "a Zarr array",
        "convert it with np.save('x.npy', zarr.open(path)[:])",
    ),
    (
        &["_delta_log", ".hoodie"],
        &[],
        "a table whose log says which files count",
        "export the current rows as parquet",
    ),
];
