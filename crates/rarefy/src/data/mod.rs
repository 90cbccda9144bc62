//! Where rows come from: one [`Source`] behind every file format, folder, glob and sample.

use crate::Result;

/// Rows of numbers that can be read by position, in any order, from any thread.
///
/// Values are `f32` whatever the file stores. A source checks what it reads: a NaN or an
/// infinity is [`crate::Error::NotFinite`] with its row and column.
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
    /// [`crate::Error::Io`], [`crate::Error::Format`] or [`crate::Error::NotFinite`].
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
}

/// Rows in memory.
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
        assert!(d_in > 0 && values.len() % d_in == 0, "{} values are not rows of {d_in}", values.len());
        Self { name: name.into(), d_in, values }
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

/// What one pass over all rows tells about them.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Number of rows.
    pub rows: usize,
    /// Numbers in a row.
    pub d_in: usize,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Variance of each column (divided by the number of rows).
    pub variance: Vec<f64>,
}
