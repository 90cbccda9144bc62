//! Data sets: readers of every file format behind one trait, [`Source`], for random access to rows.

pub(crate) mod chunks;
mod csv;
mod dataset;
mod element;
mod file_matrix;
mod holdout;
mod idx;
mod image;
#[doc(hidden)]
pub mod npy;
pub(crate) mod npz;
mod options;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(not(feature = "parquet"))]
mod parquet {
    pub(super) use super::without_parquet as open;
}
mod rows;
mod safetensors;
#[doc(hidden)]
pub mod samples;
mod shards;
mod side_by_side;
mod source;
pub(crate) mod spread;
mod survey;

use std::path::{Path, PathBuf};

use crate::{Error, Result};

pub use dataset::Dataset;
#[doc(hidden)]
pub use dataset::{Column, Role};
#[doc(hidden)]
pub use element::Element;

#[doc(hidden)]
pub use file_matrix::{FileMatrix, MatrixLayout};
#[doc(hidden)]
pub use holdout::{HoldoutPart, hold_out};
#[doc(hidden)]
pub use image::{PatchOptions, patches};
pub use options::{OpenOptions, RowAxis};
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
pub(crate) use survey::{ColumnSurvey, survey_with};
#[doc(hidden)]
pub use survey::{Survey, survey};

/// Table of all readable data formats, in the order that lists show them.
#[doc(hidden)]
pub const FORMATS: &[DataFormat] = &[
    DataFormat {
        name: "npy",
        extensions: &[".npy"],
        summary: "NumPy matrix: f16, f32, f64 or integers, C or Fortran order; read in place",
        open: npy::open,
    },
    DataFormat {
        name: "npz",
        extensions: &[".npz"],
        summary: "member of a NumPy archive",
        open: npz::open,
    },
    DataFormat {
        name: "csv",
        extensions: &[".csv", ".csv.gz", ".tsv", ".tsv.gz"],
        summary: "comma- or tab-separated numbers, plain or gzip; a column named label, class or word holds labels",
        open: csv::open,
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
        summary: "matrix of f16, bf16, f32, f64 or integers; read in place",
        open: safetensors::open,
    },
    DataFormat {
        name: "parquet",
        extensions: &[".parquet"],
        summary: "column of lists of numbers, or all numeric columns; a column named label, class or word holds labels",
        open: parquet::open,
    },
    DataFormat {
        name: "image",
        extensions: &[".png", ".jpg", ".jpeg"],
        summary: "photographs, cut into grey patches at random positions",
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
    open: fn(&Path, &OpenOptions) -> Result<Dataset>,
}

/// Opens raw rows as a [`Dataset`]: `spec` is the path of a file, a folder of shards, a glob, or a sample embedded in
/// the library: `sample:digits`, `sample:words` or `sample:patches`. No preprocessing is applied here.
/// `&Default::default()` suits most files.
///
/// Shards are joined in the order of their names. In `FILE::MEMBER`, `MEMBER` names the member of an npz, the
/// tensor of a safetensors file or the column of a parquet file; it overrides `options.member`.
///
/// # Errors
/// [`Error::Io`] for a missing file, [`Error::Unknown`] for an unknown sample or file name ending,
/// [`Error::Format`] for a damaged file, [`Error::Hyper`] if `options.rows` exceeds the number of rows.
///
/// # Example
/// ```
/// let digits = rarefy::data::open("sample:digits", &Default::default())?;
/// assert_eq!((digits.source.rows(), digits.source.d_in()), (1797, 64));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn open(spec: &str, options: &OpenOptions) -> Result<Dataset> {
    open_all(&[spec], options)
}

/// Opens several paths as one [`Dataset`]: the rows of each follow those of the one before, as when a shell expands a
/// pattern.
///
/// # Errors
/// As [`open`]; [`Error::Shape`] for paths of unequal width.
pub fn open_all(specs: &[&str], options: &OpenOptions) -> Result<Dataset> {
    let open = |spec: &&str| Ok((PathBuf::from(spec), open_spec(spec, options)?));
    let dataset = match specs {
        [spec] => open_spec(spec, options)?,
        specs => Shards::join(
            &specs.join(" "),
            specs.iter().map(open).collect::<Result<_>>()?,
        )?,
    };
    match options.rows {
        None => Ok(dataset),
        Some(rows) => dataset.first(rows),
    }
}

fn open_spec(spec: &str, options: &OpenOptions) -> Result<Dataset> {
    match (spec.strip_prefix("sample:"), spec.rsplit_once("::")) {
        (Some(name), _) => samples::load(name),
        (None, Some((path, member))) if !Path::new(spec).exists() => {
            let options = OpenOptions {
                member: Some(member.into()),
                ..options.clone()
            };
            open_path(path, &options)
        }
        _ => open_path(spec, options),
    }
}

fn open_path(spec: &str, options: &OpenOptions) -> Result<Dataset> {
    let path = Path::new(spec);
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            let file = entry.map_err(Error::io(path))?.path();
            if format_of(&file).is_some() && !idx::is_labels(&file) {
                files.push(file);
            }
        }
        return open_many(spec, files, options);
    }
    if !path.exists() && spec.contains(['*', '?', '[']) {
        let found = glob::glob(spec)
            .map_err(|e| Error::format(spec, format!("invalid glob pattern: {e}")))?;
        let files = found
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|e| Error::Io {
                path: e.path().into(),
                source: e.into(),
            })?;
        let files = files.into_iter().filter(|file| !idx::is_labels(file));
        return open_many(spec, files.collect(), options);
    }
    open_file(path, options)
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
    if length == 0 {
        return Err(Error::format(path, "expected data, got an empty file"));
    }
    let known = || FORMATS.iter().flat_map(|f| f.extensions).copied();
    let format = format_of(path).ok_or_else(|| {
        Error::unknown("file name ending of", &path.display().to_string(), known())
    })?;
    (format.open)(path, options)
}

#[cfg(not(feature = "parquet"))]
fn without_parquet(path: &Path, _: &OpenOptions) -> Result<Dataset> {
    Err(missing_feature(path, "parquet"))
}

/// Error for a file of a format that this build leaves out.
#[cfg(not(all(feature = "parquet", feature = "images")))]
pub(crate) fn missing_feature(path: &Path, feature: &str) -> Error {
    let why =
        format!("this build cannot read or write this format: it lacks the feature `{feature}`");
    Error::format(path, why)
}

fn format_of(path: &Path) -> Option<&'static DataFormat> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    FORMATS
        .iter()
        .find(|format| format.extensions.iter().any(|end| name.ends_with(end)))
}

fn open_many(spec: &str, mut files: Vec<PathBuf>, options: &OpenOptions) -> Result<Dataset> {
    files.sort();
    if files.is_empty() {
        let endings: Vec<&str> = FORMATS.iter().flat_map(|f| f.extensions).copied().collect();
        return Err(Error::format(
            spec,
            format!(
                "expected files whose names end in one of {}, got none",
                endings.join(", ")
            ),
        ));
    }
    if files
        .iter()
        .all(|file| format_of(file).is_some_and(|f| f.name == "image"))
    {
        return patches(&files, &options.patches);
    }
    let open = |file: PathBuf| open_file(&file, options).map(|dataset| (file, dataset));
    Shards::join(spec, files.into_iter().map(open).collect::<Result<_>>()?)
}

/// True if a column of this name holds labels instead of data.
fn is_label_name(name: &str) -> bool {
    const NAMES: [&str; 6] = ["label", "labels", "class", "target", "word", "name"];
    NAMES.contains(&name.to_lowercase().as_str())
}
