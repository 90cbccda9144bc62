//! Writer of `.npy` files, chunk by chunk, so that a matrix larger than memory can be written.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use rarefy::data::{check_finite, npy};
use rarefy::{Error, Result, atomic};

use crate::interrupt;

/// Element type of an array.
pub trait Element: Copy {
    /// Type as `NumPy` writes it.
    const DESCR: &'static str;

    /// Bytes of a value, the lowest first.
    fn bytes(&self) -> impl AsRef<[u8]>;

    /// Values rounded to `f32`.
    fn narrowed(values: &[Self]) -> Cow<'_, [f32]>;
}

impl Element for f32 {
    const DESCR: &'static str = "<f4";

    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }

    fn narrowed(values: &[Self]) -> Cow<'_, [f32]> {
        values.into()
    }
}

impl Element for f64 {
    const DESCR: &'static str = "<f8";

    fn bytes(&self) -> impl AsRef<[u8]> {
        self.to_le_bytes()
    }

    fn narrowed(values: &[Self]) -> Cow<'_, [f32]> {
        values.iter().map(|value| *value as f32).collect()
    }
}

/// Writes an array of this shape from chunks of its values in row-major order. No file is written if a chunk fails or
/// has a value that is not finite, or if Ctrl-C is pressed.
pub fn write_rows<T: Element>(
    path: &Path,
    shape: &[usize],
    chunks: impl Iterator<Item = Result<Vec<T>>>,
) -> Result<()> {
    interrupt::watch();
    let mut failed = None;
    let width = shape.iter().skip(1).product::<usize>().max(1);
    let mut row = 0;
    let written = atomic::write(path, |out| {
        out.write_all(&npy::header_of(T::DESCR, shape))?;
        for chunk in chunks {
            let chunk = interrupt::check().and(chunk);
            let checked = chunk.and_then(|values| {
                let finite = check_finite(path, row, width, &T::narrowed(&values));
                finite.map_err(not_written)?;
                Ok(values)
            });
            let values = checked.map_err(|error| {
                failed = Some(error);
                io::Error::other("making the rows failed")
            })?;
            values
                .iter()
                .try_for_each(|v| out.write_all(v.bytes().as_ref()))?;
            row += values.len() / width;
        }
        Ok(())
    });
    interrupt::release();
    failed.map_or(written, Err)
}

/// Error of a result outside the range of `f32`, which finite input can give: a value near 3.4e38, or weights of that size.
fn not_written(error: Error) -> Error {
    match error {
        Error::NotFinite {
            path,
            row,
            column,
            got,
        } => Error::out_of_range(&path, &format!("row {row}, column {column}"), got),
        other => other,
    }
}
