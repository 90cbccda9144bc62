//! Where rows come from: one [`Source`] behind every file format, folder, glob and sample.

pub(crate) mod chunks;
mod csv;
mod element;
mod file_matrix;
mod holdout;
mod idx;
mod image;
pub mod npy;
pub(crate) mod npz;
pub(crate) mod parquet;
mod safetensors;
pub mod samples;
mod shards;
mod side_by_side;
pub(crate) mod spread;
mod survey;

use std::path::{Path, PathBuf};

use crate::{Error, Result};

pub use element::Element;
pub(crate) use file_matrix::transpose;
pub use file_matrix::{FileMatrix, MatrixLayout};
pub use holdout::{HoldoutPart, hold_out};
pub use image::{PatchOptions, patches};
pub use samples::SAMPLES;
pub use shards::Shards;
pub use side_by_side::{Columns, SideBySide};
pub use spread::evenly_spaced_rows;
pub use survey::{Survey, survey};

/// Every format that rows are read from, in the order that lists show them.
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
        summary: "comma- or tab-separated numbers, gzipped or not; a column named label, class or word holds labels",
        open: csv::open,
    },
    DataFormat {
        name: "idx",
        extensions: &["-ubyte", "-ubyte.gz", ".idx", ".idx.gz"],
        summary: "MNIST's format, gzipped or not; labels are taken from the file beside it",
        open: idx::open,
    },
    DataFormat {
        name: "safetensors",
        extensions: &[".safetensors"],
        summary: "a matrix of f16, bf16, f32, f64 or integers; read in place",
        open: safetensors::open,
    },
    DataFormat {
        name: "parquet",
        extensions: &[".parquet"],
        summary: "a column of lists of numbers, or all numeric columns; a column named label, class or word holds labels",
        open: parquet::open,
    },
    DataFormat {
        name: "image",
        extensions: &[".png", ".jpg", ".jpeg"],
        summary: "photographs, cut into grey patches at random places",
        open: image::open,
    },
];

/// One line of the table of data formats.
pub struct DataFormat {
    /// Name for lists.
    pub name: &'static str,
    /// How names of such files end, in lower case.
    pub extensions: &'static [&'static str],
    /// One sentence for lists.
    pub summary: &'static str,
    open: fn(&Path, &OpenOptions) -> Result<Dataset>,
}

/// What the name of a file does not say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// Member of an npz, tensor of a safetensors file, column of a parquet file.
    pub member: Option<String>,
    /// Whether a csv has a header; detected if absent: a first line with a word in it is one, and
    /// one that counts four or more columns from 0.
    pub header: Option<bool>,
    /// Use only the first so many rows.
    pub rows: Option<usize>,
    /// How photographs are cut.
    pub patches: PatchOptions,
}

/// Opens a file, a folder of shards, a glob, or an embedded sample (`sample:digits`).
///
/// Shards are taken in the order of their names. `FILE::MEMBER` names the member of an npz (tensor of a safetensors
/// file, column of a parquet file) over what the options say.
///
/// # Errors
/// [`Error::Io`] for what is not there, [`Error::Unknown`] for a sample or extension that does not
/// exist, [`Error::Format`] for damaged files, [`Error::Hyper`] if more rows are asked for than exist.
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
        let found =
            glob::glob(spec).map_err(|e| Error::format(spec, format!("not a pattern: {e}")))?;
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
                "expected files that end in one of {}, got none",
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

/// Whether a column of this name holds labels and no data.
fn is_label_name(name: &str) -> bool {
    const NAMES: [&str; 6] = ["label", "labels", "class", "target", "word", "name"];
    NAMES.contains(&name.to_lowercase().as_str())
}

/// Refuses NaN and infinities in rows that start at `first_row`.
///
/// # Errors
/// [`Error::NotFinite`] with the row and column of the first.
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

/// Rows of numbers that can be read by position, in any order, from any thread.
///
/// Values are `f32` whatever the file stores. A source checks what it reads: a NaN or an
/// infinity is [`Error::NotFinite`] with its row and column.
pub trait Source: Send + Sync {
    /// Name for messages: a path or `sample:digits`.
    fn name(&self) -> &str;

    /// Number of rows (samples), `m` in the lecture.
    fn rows(&self) -> usize;

    /// Numbers in a row.
    fn d_in(&self) -> usize;

    /// Reads consecutive rows from `start` into `out`, whose length is a multiple of `d_in`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] or [`Error::NotFinite`].
    ///
    /// # Panics
    /// If the range is not inside the source: callers stay within [`Source::rows`].
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()>;

    /// Reads `rows` in the given order into `out`, of `rows.len() * d_in` values.
    ///
    /// # Errors
    /// As [`Source::read`].
    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(self.d_in())) {
            self.read(row, out)?;
        }
        Ok(())
    }

    /// All rows, if they already lie in memory as one row-major block.
    fn as_slice(&self) -> Option<&[f32]> {
        None
    }
}

/// A source with what is known about its rows beyond their numbers.
pub struct Dataset {
    /// The rows.
    pub source: Box<dyn Source>,
    /// One label a row, if the data carries them (digit classes, words).
    pub labels: Option<Vec<String>>,
    /// Height and width, if a row is a grey image in row-major order.
    pub image_shape: Option<(usize, usize)>,
    /// Preprocessing that this data asks for unless the user says otherwise.
    pub default_preprocess: Vec<String>,
    /// Names of the sources that lie side by side in its rows; none if there is one.
    pub parts: Vec<String>,
}

impl Dataset {
    /// Rows about which nothing else is known.
    pub fn new(source: impl Source + 'static) -> Self {
        Self {
            source: Box::new(source),
            labels: None,
            image_shape: None,
            default_preprocess: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The first `rows` rows.
    ///
    /// # Errors
    /// [`Error::Hyper`] if there are not so many, or none are asked for.
    pub fn first(mut self, rows: usize) -> Result<Self> {
        if rows == 0 || rows > self.source.rows() {
            let expected = format!(
                "between 1 and the {} rows of {}",
                self.source.rows(),
                self.source.name()
            );
            return Err(Error::hyper("rows", &expected, rows));
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

/// The first rows of a source.
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
        self.source.read(start, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source
            .as_slice()
            .map(|all| &all[..self.rows * self.d_in()])
    }
}

/// Rows in memory.
#[derive(Debug)]
pub struct Memory {
    name: String,
    d_in: usize,
    values: Vec<f32>,
}

impl Memory {
    /// Rows of `d_in` values each, row-major.
    ///
    /// # Panics
    /// If `values` is not a whole number of rows.
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

    /// The values of all rows, to change.
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
