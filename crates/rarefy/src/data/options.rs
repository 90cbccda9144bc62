//! Options of reading that a file name does not determine.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DataFormat, PatchOptions};
use crate::{Error, Result};

/// Options of [`open`](crate::data::open) that a file name does not determine: columns of a table, member of an archive,
/// csv header, axes of an array, number of rows, patches of photographs. `OpenOptions::default()` suits most files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// Name of the member of an npz, tensor of a safetensors file, or column of a table. `None` takes the only member
    /// or tensor, and the columns of a table by their roles.
    pub member: Option<String>,
    /// Columns of a table that are data, as names or globs such as `x_*`; empty to choose by type and name. Values of a
    /// row have the order of this list.
    pub columns: Vec<String>,
    /// Columns of a table to leave out, as names or globs.
    pub exclude: Vec<String>,
    /// Name of the column of labels; `None` to choose by name.
    pub label: Option<String>,
    /// Name of the column of texts; `None` to choose by name.
    pub text: Option<String>,
    /// True if a csv file has a header line. If `None`, the header is detected, and a first line that could be either is
    /// an error.
    pub header: Option<bool>,
    /// Axis of an array with more than two axes that is one row; `None` for the last, and all but the first for images.
    pub row_axis: Option<RowAxis>,
    /// If true, rows with a NaN or an infinity, and rows of a table with a missing or unreadable number, are left out and counted in
    /// [`Dataset::notes`](crate::data::Dataset::notes); otherwise the first is an error.
    pub skip_bad_rows: bool,
    /// True to read the tokens of the rows too, where the data has them: [`Dataset::places`](crate::data::Dataset::places).
    pub places: bool,
    /// Number of rows to use, from the first; `None` for all.
    pub rows: Option<usize>,
    /// Size, number, channels and seed of the patches cut from photographs.
    pub patches: PatchOptions,
    /// Columns of the rows that a model was trained on: they have the same roles here, where a table has them and no option
    /// says otherwise.
    pub usual: UsualColumns,
}

/// Columns of earlier data, as names or globs; the fields are those of [`OpenOptions`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsualColumns {
    /// Columns that were the data, in the order of their values in a row.
    pub columns: Vec<String>,
    /// Columns that were left out.
    pub exclude: Vec<String>,
    /// Column of labels.
    pub label: Option<String>,
    /// Column of texts.
    pub text: Option<String>,
}

/// Axes of an array with more than two axes that make one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowAxis {
    /// The last axis: activations `[prompts, tokens, width]` are `prompts * tokens` rows.
    Last,
    /// All axes but the first: images `[n, height, width]` are n rows.
    Flatten,
}

/// Treatment of options that a format does not have, such as a member of an npy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    Refused,
    Ignored,
}

impl OpenOptions {
    /// Options for one file of a format, or for a sample without a format. Options that the format does not have are
    /// refused by name, or left out.
    ///
    /// # Errors
    /// [`Error::Conflict`] with the path and the option.
    pub(super) fn for_format(
        &self,
        path: &Path,
        format: Option<&DataFormat>,
        foreign: Foreign,
    ) -> Result<Self> {
        self.for_kind(path, format.map_or("sample", |format| format.name), foreign)
    }

    /// Options for a file of the format of this name, as [`OpenOptions::for_format`]; also for `sample` and for a folder of `saev`.
    pub(super) fn for_kind(&self, path: &Path, name: &str, foreign: Foreign) -> Result<Self> {
        let mut kept = self.clone();
        let mut unused = Vec::new();
        if ["npy", "idx", "image", "sample"].contains(&name) {
            unused.extend(kept.member.take().map(|member| ("member", member)));
        }
        if [
            "npy",
            "npz",
            "idx",
            "safetensors",
            "image",
            "sample",
            "saev",
        ]
        .contains(&name)
        {
            let lists = [
                ("columns", &mut kept.columns),
                ("exclude", &mut kept.exclude),
            ];
            for (key, list) in lists {
                let names = std::mem::take(list);
                unused.extend((!names.is_empty()).then(|| (key, names.join(","))));
            }
            let cells = [("label", &mut kept.label), ("text", &mut kept.text)];
            unused.extend(
                cells
                    .into_iter()
                    .filter_map(|(key, name)| Some((key, name.take()?))),
            );
        }
        if name != "csv" {
            let header = kept.header.take();
            unused.extend(header.map(|header| ("header", header.to_string())));
        }
        if !["npy", "npz", "idx", "safetensors"].contains(&name) {
            let axis = kept.row_axis.take();
            unused.extend(axis.map(|axis| ("row_axis", format!("{axis:?}").to_lowercase())));
        }
        match unused.first() {
            Some((key, value)) if foreign == Foreign::Refused => {
                Err(without_meaning(path, name, key, value))
            }
            _ => Ok(kept),
        }
    }
}

/// Error for an option that the format of a file does not have.
fn without_meaning(path: &Path, format: &str, key: &str, value: &str) -> Error {
    let of = match format {
        "sample" => "a sample".to_owned(),
        "saev" => "a folder of saev".to_owned(),
        "csv" | "parquet" | "safetensors" | "json-lines" => format!("a {format} file"),
        format => format!("an {format} file"),
    };
    let holds = match key {
        "member" => "no members",
        "header" => "no header line",
        "row_axis" => "no axes",
        _ => "no columns with names",
    };
    let path = path.display();
    Error::Conflict(format!(
        "{path}: `data.{key}` has no meaning here: {of} has {holds}, got `{value}`; leave it out"
    ))
}
