//! Rows of data with random access: the trait [`Source`] and rows in memory.

use std::path::Path;

use crate::{Error, Result};

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
/// any order, from any thread. [`open`](crate::data::open) and [`Memory`] give sources; implement the trait for other storage.
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

    /// True if values have more digits than `f32` holds, so that [`Source::read_f64`] gives more than [`Source::read`]. Steps
    /// of preprocessing then compute with `f64`: `1e9 + noise` keeps its noise when the mean is subtracted. False by
    /// default.
    fn has_f64(&self) -> bool {
        false
    }

    /// Reads rows like [`Source::read`], with all digits that are stored. The default implementation reads `f32`; override
    /// together with [`Source::has_f64`].
    ///
    /// # Errors
    /// Same as [`Source::read`]; values beyond the range of `f32` are refused too.
    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        let mut values = vec![0.0; out.len()];
        self.read(start, &mut values)?;
        out.iter_mut()
            .zip(values)
            .for_each(|(out, value)| *out = value.into());
        Ok(())
    }

    /// All rows as one row-major slice `[rows, d_in]`, without a copy. Override if the rows are in memory in this form,
    /// so that training and encoding read them in place. `None`, the default, if not.
    fn as_slice(&self) -> Option<&[f32]> {
        None
    }

    /// True if each row is drawn by itself from one distribution when it is read. Such rows need no shuffling, so training reads those
    /// that do not fit in memory in their order. The last ones are held out; of the others, preprocessing is fitted to the first 131,072,
    /// and figures of runs are theirs. False by default.
    fn is_drawn(&self) -> bool {
        false
    }

    /// True if rows at any places are read as fast as rows that follow each other, as in memory. Training shuffles such rows as a whole, others
    /// in windows if they do not fit in memory. The default is true for rows of [`Source::as_slice`].
    fn is_in_memory(&self) -> bool {
        self.as_slice().is_some()
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

    fn has_f64(&self) -> bool {
        (**self).has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        (**self).read_f64(start, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        (**self).as_slice()
    }

    fn is_drawn(&self) -> bool {
        (**self).is_drawn()
    }

    fn is_in_memory(&self) -> bool {
        (**self).is_in_memory()
    }
}

/// [`Source`] that owns its rows in memory, a row-major matrix `[n, d_in]` of `f32`. Borrowed rows need no source: pass
/// `(&values, d_in)` as [`Rows`](crate::data::Rows).
#[derive(Debug)]
pub struct Memory {
    name: String,
    d_in: usize,
    values: Vec<f32>,
    /// The values with all digits, where `f32` cuts off too many.
    exact: Option<Vec<f64>>,
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
            exact: None,
        }
    }

    /// Rows with all digits of their values, for preprocessing.
    pub(crate) fn with_exact(self, exact: Option<Vec<f64>>) -> Self {
        debug_assert!(
            exact
                .as_ref()
                .is_none_or(|exact| exact.len() == self.values.len())
        );
        Self { exact, ..self }
    }

    /// Takes other rows of the same width, and returns the values before.
    pub(crate) fn replace(&mut self, values: Vec<f32>) -> Vec<f32> {
        debug_assert!(values.len().is_multiple_of(self.d_in));
        self.exact = None;
        std::mem::replace(&mut self.values, values)
    }

    /// All values, row-major `[rows, d_in]`, to change in place; the number of rows stays.
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.exact = None;
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

    fn has_f64(&self) -> bool {
        self.exact.is_some()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        let from = start * self.d_in..start * self.d_in + out.len();
        if let Some(exact) = &self.exact {
            out.copy_from_slice(&exact[from]);
        } else {
            let values = out.iter_mut().zip(&self.values[from]);
            values.for_each(|(out, value)| *out = f64::from(*value));
        }
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        Some(&self.values)
    }
}
