//! Data sets: readers of every file format behind one trait, [`Source`], for random access to rows.

mod axes;
mod bionemo;
pub(crate) mod chunks;
pub(crate) mod coarse;
mod content;
mod dataset;
mod datasets;
mod drawn;
mod element;
mod endings;
mod file_matrix;
mod files;
mod finite;
mod folders;
mod holdout;
mod idx;
mod image;
mod listing;
mod natural;
#[doc(hidden)]
pub mod npy;
pub(crate) mod npz;
mod numpy_type;
mod open_file;
mod options;
mod places;
mod rows;
mod saev;
mod safetensors;
#[doc(hidden)]
pub mod samples;
mod shards;
mod side_by_side;
mod source;
pub(crate) mod sparse;
pub(crate) mod spread;
#[doc(hidden)]
pub mod store;
mod survey;
pub(crate) mod table;
mod value;

use std::path::{Path, PathBuf};

use crate::{Error, Result};

use endings::format_of;
use files::{Input, Inputs};
use options::Foreign;
#[cfg(feature = "parquet")]
use sparse::{open_arrow, open_parquet};
#[cfg(not(feature = "parquet"))]
use table::{open_arrow, open_parquet};

pub use dataset::Dataset;
#[doc(hidden)]
pub use dataset::{Column, Role};
pub use drawn::DrawnRows;
pub(crate) use drawn::Excerpt;
#[doc(hidden)]
pub use element::Element;

#[doc(hidden)]
pub use file_matrix::{FileMatrix, MatrixLayout};
#[doc(hidden)]
pub use holdout::{HoldoutPart, hold_out};
#[doc(hidden)]
pub use image::{Channels, PatchOptions, image_channels, patches};
pub use options::{OpenOptions, RowAxis, UsualColumns};
#[doc(hidden)]
pub use places::Places;
pub use rows::Rows;
pub(crate) use rows::{Slice, whole_rows};
#[doc(hidden)]
pub use samples::SAMPLES;
#[doc(hidden)]
pub use shards::Shards;
#[doc(hidden)]
pub use side_by_side::{Columns, SideBySide};
#[doc(hidden)]
pub use source::check_finite;
pub use source::{Memory, Source};
#[doc(hidden)]
pub use spread::evenly_spaced_rows;
pub(crate) use survey::{ColumnSurvey, column_survey, survey_with};
#[doc(hidden)]
pub use survey::{Survey, survey, survey_f64};
#[doc(hidden)]
pub use table::frame_roles;
#[doc(hidden)]
pub use value::Value;

/// Largest number of values in a row. A file of a few bytes can claim more than memory holds.
pub(crate) const MOST_WIDTH: usize = 1 << 24;

/// Table of all readable data formats, in the order that lists show them.
#[doc(hidden)]
pub const FORMATS: &[DataFormat] = &[
    DataFormat {
        name: "npy",
        extensions: &[".npy"],
        summary: "NumPy array: f16, bf16, f32, f64, integers or booleans; read in place",
        open: npy::open,
    },
    DataFormat {
        name: "npz",
        extensions: &[".npz"],
        summary: "member of a NumPy archive, or a matrix of scipy.sparse",
        open: npz::open,
    },
    DataFormat {
        name: "csv",
        extensions: &[".csv", ".csv.gz", ".tsv", ".tsv.gz"],
        summary: "table of numbers with any delimiter, plain or gzip",
        open: table::csv::open,
    },
    DataFormat {
        name: "idx",
        extensions: &["-ubyte", "-ubyte.gz", ".idx", ".idx.gz"],
        summary: "format of MNIST, plain or gzip; labels are read from the labels file in the same folder",
        open: idx::open,
    },
    DataFormat {
        name: "safetensors",
        extensions: &[".safetensors"],
        summary: "tensor of f16, bf16, f32, f64, integers or booleans, read in place; or the rows of a dictionary of `synth`, drawn when they are read",
        open: safetensors::open,
    },
    DataFormat {
        name: "parquet",
        extensions: &[".parquet"],
        summary: "table with a column of lists of numbers, or with columns of numbers",
        open: open_parquet,
    },
    DataFormat {
        name: "arrow",
        extensions: &[".arrow", ".feather", ".ipc"],
        summary: "table of Arrow, Feather or a Hugging Face dataset",
        open: open_arrow,
    },
    DataFormat {
        name: "json-lines",
        extensions: &[".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"],
        summary: "table with one JSON object on each line",
        open: table::json_lines::open,
    },
    DataFormat {
        name: "image",
        extensions: &[".png", ".jpg", ".jpeg"],
        summary: "photographs, cut into grey or colour patches at random positions",
        open: image::open,
    },
];

/// Data format: one entry of [`FORMATS`].
#[doc(hidden)]
pub struct DataFormat {
    /// Name of the format.
    pub name: &'static str,
    /// Endings of file names, in lower case.
    pub extensions: &'static [&'static str],
    /// One-sentence description for lists.
    pub summary: &'static str,
    open: fn(&Path, &OpenOptions) -> Result<Dataset<'static>>,
}

/// Opens raw rows as a [`Dataset`]: `spec` is the path of a file, a folder of shards, a glob, or a sample embedded in
/// the library: `sample:digits`, `sample:words` or `sample:patches`. No preprocessing is applied here.
/// `&Default::default()` suits most files.
///
/// Shards are joined in natural order of their names: numbers by value, `shard_2` before `shard_10`. Names that start
/// with `.` or `_` and subfolders are not read. Shards without rows are passed over. In `FILE::MEMBER`, `MEMBER` names
/// the member of an npz, the tensor of a safetensors file or the column of a parquet file; it overrides
/// `options.member`.
///
/// # Errors
/// [`Error::Io`] for a missing file, [`Error::Unknown`] for an unknown sample, [`Error::Format`] for an unknown file
/// name ending, files of several formats or a damaged file, [`Error::Hyper`] if `options.rows` exceeds the number of
/// rows, [`Error::Conflict`] for an option that the format does not have.
///
/// # Example
/// ```
/// let digits = rarefy::data::open("sample:digits", &Default::default())?;
/// assert_eq!((digits.source.rows(), digits.source.d_in()), (1797, 64));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn open(spec: &str, options: &OpenOptions) -> Result<Dataset<'static>> {
    open_all(&[spec], options)
}

/// Opens several paths as one [`Dataset`]: the rows of each follow those of the one before, as when a shell expands a
/// pattern. The order of the paths is kept.
///
/// # Errors
/// As [`open`]; [`Error::Shape`] for paths of unequal width.
pub fn open_all(specs: &[&str], options: &OpenOptions) -> Result<Dataset<'static>> {
    open_named(specs, options, Foreign::Refused)
}

/// Opens rows that belong beside other rows: a target or a further input. Options for the format of those other rows
/// have no effect here if this format does not have them.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_beside(spec: &str, options: &OpenOptions) -> Result<Dataset<'static>> {
    open_named(&[spec], options, Foreign::Ignored)
}

fn open_named(specs: &[&str], options: &OpenOptions, foreign: Foreign) -> Result<Dataset<'static>> {
    let inputs = Inputs::of(specs)?;
    let name = files::name_of(specs);
    let mut dataset = if inputs.are_images() {
        open_photographs(&inputs.paths(), options, foreign)?
    } else {
        let several = inputs.all.len() > 1;
        let open = |input: &Input| {
            let dataset = open_input(input, options, foreign, several)?;
            Ok((PathBuf::from(input.name()), dataset))
        };
        let mut parts = inputs.all.iter().map(open).collect::<Result<Vec<_>>>()?;
        match parts.pop() {
            // A path of one file or sample, not of a folder: rows in memory stay one slice.
            Some((path, only))
                if parts.is_empty() && name.starts_with(&*path.to_string_lossy()) =>
            {
                only
            }
            last => Shards::join(&name, parts.into_iter().chain(last).collect())?,
        }
    };
    if dataset.source.rows() == 0 {
        let width = dataset.source.d_in();
        let why = format!("expected at least one row, got 0 rows (shape 0 x {width})");
        return Err(Error::format(name, why));
    }
    let width = dataset.source.d_in();
    if width > MOST_WIDTH {
        let why = format!(
            "expected at most {MOST_WIDTH} values in a row, got {width}; `data.row_axis` sets how the axes of an array become rows"
        );
        return Err(Error::format(name, why));
    }
    dataset.notes.splice(0..0, inputs.notes);
    if options.skip_bad_rows {
        dataset = finite::finite_rows(dataset)?;
    }
    if let Some(rows) = options.rows {
        dataset = dataset.first(rows)?;
    }
    dataset.notes.extend(coarse::note(&dataset));
    Ok(dataset)
}

/// Draws patches from all photographs together.
fn open_photographs(
    paths: &[PathBuf],
    options: &OpenOptions,
    foreign: Foreign,
) -> Result<Dataset<'static>> {
    for path in paths {
        content::check_regular(path)?;
        if let Some(format) = format_of(path) {
            options.for_format(path, Some(format), foreign)?;
            content::check(path, format)?;
        }
    }
    let mut dataset = patches(paths, &options.patches)?;
    dataset.files = paths.to_vec();
    Ok(dataset)
}

/// Opens files as one data set, in the order given.
fn open_listed(
    folder: &Path,
    files: &[PathBuf],
    options: &OpenOptions,
    foreign: Foreign,
) -> Result<Dataset<'static>> {
    let open = |path: &PathBuf| {
        let input = Input::File(path.clone(), None);
        Ok((path.clone(), open_input(&input, options, foreign, true)?))
    };
    let parts = files.iter().map(open).collect::<Result<Vec<_>>>()?;
    Shards::join(&folder.display().to_string(), parts)
}

/// Opens one sample, file or store. A text file without content is a shard without rows, if it is one of `several`.
fn open_input(
    input: &Input,
    options: &OpenOptions,
    foreign: Foreign,
    several: bool,
) -> Result<Dataset<'static>> {
    let (path, member) = match input {
        Input::Sample(name) => {
            options.for_format(Path::new(&input.name()), None, foreign)?;
            return samples::load(name);
        }
        Input::File(path, member) => (path, member),
        Input::Store(folder) => return store::open(folder, options, foreign),
        Input::BioNeMo(folder) => return bionemo::open(folder, options, foreign),
        Input::Saev(folder, layer) => {
            return saev::open(folder, layer.as_deref(), options, foreign);
        }
    };
    content::check_regular(path)?;
    let format = format_of(path).ok_or_else(|| content::unknown(path))?;
    let mut options = options.for_format(path, Some(format), foreign)?;
    if member.is_some() {
        options.member.clone_from(member);
        options = options.for_format(path, Some(format), Foreign::Refused)?;
    }
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    let mut dataset = match length {
        // Spark writes such a file for a part without rows.
        0 if several && ["csv", "json-lines"].contains(&format.name) => {
            Dataset::empty(input.name(), 0)
        }
        0 => return Err(Error::format(path, "expected data, got an empty file")),
        _ => {
            content::check(path, format)?;
            (format.open)(path, &options)?
        }
    };
    dataset.files = vec![path.clone()];
    Ok(dataset)
}

/// Error for a file of a format that this build leaves out.
#[cfg(not(all(feature = "parquet", feature = "images")))]
pub(crate) fn missing_feature(path: &Path, feature: &str) -> Error {
    let why =
        format!("this build cannot read or write this format: it lacks the feature `{feature}`");
    Error::format(path, why)
}
