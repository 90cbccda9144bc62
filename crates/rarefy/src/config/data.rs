//! Section `[data]` of the configuration.

use serde::{Deserialize, Serialize};

use super::ByteSize;
use crate::data::{OpenOptions, RowAxis};

/// Section `[data]` of a [`Config`](crate::config::Config): path of the rows, number of rows and of held-out rows, preprocessing, further
/// inputs of a crosscoder and target of a transcoder. [`Builder::fit`](crate::Builder::fit) gets its rows from the
/// caller. There only `holdout`, `preprocess` and `image_shape` have an effect, and settings of other rows, such as
/// `target`, are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// File, folder of shards, glob or `sample:NAME`.
    pub path: String,
    /// Further paths, whose rows follow those of `path`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
    /// Further inputs of a crosscoder: paths of data with the same number of rows as `path`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// Target of a transcoder: path of the data that is predicted from the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Number of rows to use, from the start of the data; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Number of held-out rows, spread evenly over the data; 0 for none. If absent, the library holds out none, and the
    /// program [a twentieth](crate::recipe::default_holdout).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<usize>,
    /// Member of an npz, tensor of a safetensors file, column of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Columns of a table that are data, as names or globs; chosen by type and name if absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Columns of a table to leave out, as names or globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Column of a table that holds labels; chosen by name if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Column of a table that holds texts; chosen by name if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// True if a csv file has a header; detected if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Axes of an array with more than two axes that make a row: `last` or `flatten`; `last` if absent, for images
    /// `flatten`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row_axis: Option<RowAxis>,
    /// If true, rows with NaN, infinity or, in a table, a missing or unreadable number are left out and counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_bad_rows: bool,
    /// Preprocessing steps in order, fitted to each input separately; the default of the data if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Vec<String>>,
    /// Preprocessing steps of the target; those of the input if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preprocess_target: Option<Vec<String>>,
    /// Height and width of the images in the rows, grey or with three values for each pixel; the default of the data if
    /// absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_shape: Option<(usize, usize)>,
    /// Memory for rows. Prepared rows up to this size are kept in memory; larger data is read once an epoch and shuffled in
    /// windows that take this size.
    pub memory: ByteSize,
}

impl DataConfig {
    /// Default of [`DataConfig::memory`].
    pub const MEMORY: ByteSize = ByteSize::of(1 << 30);
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: "sample:digits".into(),
            more: Vec::new(),
            with: Vec::new(),
            target: None,
            rows: None,
            holdout: None,
            member: None,
            columns: Vec::new(),
            exclude: Vec::new(),
            label: None,
            text: None,
            header: None,
            row_axis: None,
            skip_bad_rows: false,
            preprocess: None,
            preprocess_target: None,
            image_shape: None,
            memory: Self::MEMORY,
        }
    }
}

impl DataConfig {
    /// Options of reading for [`data::open`](crate::data::open).
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            member: self.member.clone(),
            columns: self.columns.clone(),
            exclude: self.exclude.clone(),
            label: self.label.clone(),
            text: self.text.clone(),
            header: self.header,
            row_axis: self.row_axis,
            skip_bad_rows: self.skip_bad_rows,
            rows: self.rows,
            ..OpenOptions::default()
        }
    }

    /// Section with a value for every key, for [`keys`](super::keys).
    pub(super) fn with_every_key() -> Self {
        Self {
            more: vec![String::new()],
            with: vec![String::new()],
            target: Some(String::new()),
            holdout: Some(0),
            rows: Some(1),
            member: Some(String::new()),
            columns: vec![String::new()],
            exclude: vec![String::new()],
            label: Some(String::new()),
            text: Some(String::new()),
            header: Some(true),
            row_axis: Some(RowAxis::Last),
            skip_bad_rows: true,
            preprocess: Some(Vec::new()),
            preprocess_target: Some(Vec::new()),
            image_shape: Some((1, 1)),
            ..Self::default()
        }
    }
}
