//! Folders of the Hugging Face `datasets` library: shards in the order that `state.json` lists.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Error, Result};

/// Largest file of JSON that is read, in bytes.
const LONGEST: u64 = 1 << 24;

/// Shards of a data set in order; `None` if the folder is none of the library's.
///
/// # Errors
/// [`Error::Format`] for a folder of several splits and for a damaged list of shards.
pub(super) fn shards(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    let dictionary = folder.join("dataset_dict.json");
    if dictionary.is_file() {
        let splits = texts(&read(&dictionary)?["splits"]);
        let paths: Vec<String> = splits
            .iter()
            .map(|split| folder.join(split).display().to_string())
            .collect();
        let why = format!(
            "expected one data set, got a folder of several splits; give one of them: {}",
            paths.join(", ")
        );
        return Err(Error::format(folder, why));
    }
    let state = folder.join("state.json");
    if !state.is_file() {
        return Ok(None);
    }
    let value = read(&state)?;
    let files = value["_data_files"].as_array();
    let names = files
        .into_iter()
        .flatten()
        .filter_map(|file| file["filename"].as_str());
    let shards = names
        .map(|name| shard(folder, name))
        .collect::<Result<Vec<_>>>()?;
    if shards.is_empty() {
        let why =
            "expected the names of the shards as `_data_files`, got none; save the data set again";
        return Err(Error::format(state, why));
    }
    // Rows chosen by `select` or `shuffle` are a list of numbers beside the shards.
    if !value["_indices_data_files"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        let why = "expected all rows in their order, got a choice of rows; save the data set after flatten_indices()";
        return Err(Error::format(state, why));
    }
    Ok(Some(shards))
}

/// Path of a shard, which must be an Arrow file in the folder itself.
fn shard(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    let is_plain = Path::new(name).file_name() == Some(name.as_ref());
    let is_arrow = path.extension().is_some_and(|ending| ending == "arrow");
    if is_plain && is_arrow && path.is_file() {
        return Ok(path);
    }
    let why = format!(
        "state.json lists the shard `{name}`, expected the name of an Arrow file in this folder"
    );
    Err(Error::format(folder, why))
}

/// Reads a short file of JSON.
pub(super) fn read(path: &Path) -> Result<Value> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length > LONGEST {
        let why = format!("expected at most {LONGEST} bytes, got {length}");
        return Err(Error::format(path, why));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::format(path, format!("damaged JSON: {e}")))
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}
