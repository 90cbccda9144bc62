//! Data sets: readers of every file format behind one trait, [`Source`], for random access to rows.

pub(crate) mod chunks;
mod csv;
mod element;
mod file_matrix;
mod holdout;
mod idx;
mod image;
#[doc(hidden)]
pub mod npy;
pub(crate) mod npz;
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
pub(crate) mod spread;
mod survey;

use std::path::{Path, PathBuf};

use crate::{Error, Result};

#[doc(hidden)]
pub use element::Element;

#[doc(hidden)]
pub use file_matrix::{FileMatrix, MatrixLayout};
#[doc(hidden)]
pub use holdout::{HoldoutPart, hold_out};
#[doc(hidden)]
pub use image::{PatchOptions, patches};
pub use rows::Rows;
pub(crate) use rows::{Slice, whole_rows};
#[doc(hidden)]
pub use samples::SAMPLES;
#[doc(hidden)]
pub use shards::Shards;
#[doc(hidden)]
pub use side_by_side::{Columns, SideBySide};
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

/// Options of [`open`] that a file name does not determine: member of an archive, csv header, number of rows, size of
/// the patches into which photographs are cut. `OpenOptions::default()` suits most files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// Name of the member of an npz, tensor of a safetensors file, or column of a parquet file. `None` takes the only
    /// member, tensor or column of lists; without lists, all numeric columns of a parquet file.
    pub member: Option<String>,
    /// True if a csv file has a header line. If `None`, the header is detected: a first line is a header if it
    /// contains a word, or if it counts four or more columns from 0.
    pub header: Option<bool>,
    /// Number of rows to use, from the first; `None` for all.
    pub rows: Option<usize>,
    /// Size, number and seed of the patches cut from photographs.
    pub patches: PatchOptions,
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
    let dataset = match (spec.strip_prefix("sample:"), spec.rsplit_once("::")) {
        (Some(name), _) => samples::load(name)?,
        (None, Some((path, member))) if !Path::new(spec).exists() => {
            let options = OpenOptions {
                member: Some(member.into()),
                ..options.clone()
            };
            open_path(path, &options)?
        }
        _ => open_path(spec, options)?,
    };
    match options.rows {
        None => Ok(dataset),
        Some(rows) => dataset.first(rows),
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

/// Checks that all values of consecutive rows are finite. The first row has the number `first_row`.
///
/// # Errors
/// [`Error::NotFinite`] with the row and column of the first NaN or infinity.
#[doc(hidden)]
pub fn check_finite(path: &Path, first_row: usize, d_in: usize, values: &[f32]) -> Result<()> {
    if rarefy_kernels::vector::all_finite(values) {
        return Ok(());
    }
    let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(Error::NotFinite {
        path: path.into(),
        row: first_row + at / d_in,
        column: at % d_in,
        got: values[at],
    })
}

/// Random access to n rows of `d_in` values of type `f32`, like a map-style `Dataset` of PyTorch; rows can be read in
/// any order, from any thread. [`open`] and [`Memory`] give sources; implement the trait for other storage.
///
/// Values are `f32`, converted from the stored type if necessary. Reading a NaN or an infinity from a file gives
/// [`Error::NotFinite`] with its row and column; rows in memory are checked when training starts, not in each read.
pub trait Source: Send + Sync {
    /// Name of the rows for error messages: the path of a file, or a name such as `sample:digits`, a sample embedded in
    /// the library.
    fn name(&self) -> &str;

    /// Number of rows (samples), n.
    fn rows(&self) -> usize;

    /// Number of values in each row.
    fn d_in(&self) -> usize;

    /// Reads consecutive rows, the first with index `start` (from 0), into `out`, row-major `[n, d_in]`. The length of
    /// `out`, a multiple of `d_in`, sets the number n of rows. All n rows must exist.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] or [`Error::NotFinite`].
    /// # Panics
    /// If `start + n` exceeds [`Source::rows`].
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()>;

    /// Reads the rows with the indices `rows` (from 0), in the given order, into `out`, row-major `[rows.len(), d_in]`.
    /// `out` must have exactly this size, and each index must be below [`Source::rows`]. The default implementation
    /// calls [`Source::read`] for each row; override for storage with a faster way.
    ///
    /// # Errors
    /// Same as [`Source::read`].
    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        assert_eq!(
            out.len(),
            rows.len() * self.d_in(),
            "length of the rows' buffer"
        );
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(self.d_in())) {
            self.read(row, out)?;
        }
        Ok(())
    }

    /// All rows as one row-major slice `[rows, d_in]`, without a copy. Override if the rows are in memory in this form,
    /// so that training and encoding read them in place. `None`, the default, if not.
    fn as_slice(&self) -> Option<&[f32]> {
        None
    }
}

/// A reference to rows is rows.
impl<S: Source + ?Sized> Source for &S {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn d_in(&self) -> usize {
        (**self).d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        (**self).read(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        (**self).gather(rows, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        (**self).as_slice()
    }
}

/// Raw rows with optional labels, image shape and default preprocessing; returned by [`open`].
/// [`Builder::fit`](crate::Builder::fit) applies the default preprocessing unless
/// [`Builder::preprocess`](crate::Builder::preprocess) names other steps.
pub struct Dataset {
    /// Source of the raw rows.
    pub source: Box<dyn Source>,
    /// Label of each row, `[rows]` (digit classes, words); `None` if the data has no labels.
    pub labels: Option<Vec<String>>,
    /// Height and width in pixels, if each row is a grey image in row-major order.
    pub image_shape: Option<(usize, usize)>,
    /// Names of preprocessing steps that training applies unless the configuration names others; empty for none. The
    /// rows of `source` themselves stay raw.
    pub default_preprocess: Vec<String>,
    /// Names of the sources joined column by column (inputs, then the target); empty for a single source.
    pub parts: Vec<String>,
}

impl Dataset {
    /// Data set of the rows of `source`, without labels, image shape or default preprocessing; set the public fields to
    /// add them.
    pub fn new(source: impl Source + 'static) -> Self {
        Self {
            source: Box::new(source),
            labels: None,
            image_shape: None,
            default_preprocess: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Data set of the first `rows` rows, with their labels, for example for a quick trial. Image shape and default
    /// preprocessing stay. An error if `rows` is 0 or exceeds the number of rows.
    ///
    /// # Errors
    /// [`Error::Hyper`] if `rows` is 0 or exceeds the number of rows.
    pub fn first(mut self, rows: usize) -> Result<Self> {
        if rows == 0 || rows > self.source.rows() {
            let expected = format!(
                "between 1 and the {} rows of {}",
                self.source.rows(),
                self.source.name()
            );
            return Err(Error::hyper("data.rows", &expected, rows));
        }
        if let Some(labels) = &mut self.labels {
            labels.truncate(rows);
        }
        self.source = Box::new(First {
            source: self.source,
            rows,
        });
        Ok(self)
    }
}

/// Source of the first `rows` rows of another source.
struct First {
    source: Box<dyn Source>,
    rows: usize,
}

impl Source for First {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        assert!(
            start + out.len() / self.d_in() <= self.rows,
            "rows past the end"
        );
        self.source.read(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        assert!(
            rows.iter().all(|row| *row < self.rows),
            "a row past the end"
        );
        self.source.gather(rows, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source
            .as_slice()
            .map(|all| &all[..self.rows * self.d_in()])
    }
}

/// [`Source`] that owns its rows in memory, a row-major matrix `[n, d_in]` of `f32`. Borrowed rows need no source: pass
/// `(&values, d_in)` as [`Rows`].
#[derive(Debug)]
pub struct Memory {
    name: String,
    d_in: usize,
    values: Vec<f32>,
}

impl Memory {
    /// Takes the row-major matrix `values`, `[n, d_in]`, as a source; a length that is no multiple of `d_in` causes a
    /// panic. `name` stands for the rows in error messages.
    ///
    /// # Panics
    /// If the number of values is not a multiple of `d_in`, or `d_in` is 0.
    #[track_caller]
    pub fn new(name: impl Into<String>, d_in: usize, values: Vec<f32>) -> Self {
        assert!(
            d_in > 0 && values.len().is_multiple_of(d_in),
            "{} values are not rows of {d_in}",
            values.len()
        );
        Self {
            name: name.into(),
            d_in,
            values,
        }
    }

    /// All values, row-major `[rows, d_in]`, to change in place; the number of rows stays.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Source for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.values.len() / self.d_in
    }

    fn d_in(&self) -> usize {
        self.d_in
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.values[start * self.d_in..][..out.len()]);
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        Some(&self.values)
    }
}
