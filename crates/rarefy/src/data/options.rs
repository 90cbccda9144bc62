//! Options of reading that a file name does not determine.

use serde::{Deserialize, Serialize};

use super::PatchOptions;

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
    /// If true, rows of a table with a missing or unreadable number are left out and counted in
    /// [`Dataset::notes`](crate::data::Dataset::notes); otherwise the first is an error.
    pub skip_bad_rows: bool,
    /// Number of rows to use, from the first; `None` for all.
    pub rows: Option<usize>,
    /// Size, number, channels and seed of the patches cut from photographs.
    pub patches: PatchOptions,
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
