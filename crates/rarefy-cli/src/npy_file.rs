//! Writer of `.npy` files, chunk by chunk, so that a matrix larger than memory can be written.

use std::io;
use std::path::Path;

use rarefy::data::{check_finite, npy};
use rarefy::{Error, Result, atomic};

use crate::interrupt;

/// Writes an array of this shape from chunks of its values in row-major order. No file is written if a chunk fails or
/// has a value that is not finite, or if Ctrl-C is pressed.
pub fn write_rows(
    path: &Path,
    shape: &[usize],
    chunks: impl Iterator<Item = Result<Vec<f32>>>,
) -> Result<()> {
    interrupt::watch();
    let mut failed = None;
    let width = shape.iter().skip(1).product::<usize>().max(1);
    let mut row = 0;
    let written = atomic::write(path, |out| {
        out.write_all(&npy::f32_header_of(shape))?;
        for chunk in chunks {
            let chunk = interrupt::check().and(chunk);
            let checked = chunk.and_then(|values| {
                let finite = check_finite(path, row, width, &values);
                finite.map_err(not_written)?;
                Ok(values)
            });
            let values = checked.map_err(|error| {
                failed = Some(error);
                io::Error::other("making the rows failed")
            })?;
            values
                .iter()
                .try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
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
