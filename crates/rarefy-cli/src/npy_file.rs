//! Writer of `.npy` files, chunk by chunk, so that a matrix larger than memory can be written.

use std::io;
use std::path::Path;

use rarefy::data::npy;
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
                check_finite(path, row, width, &values)?;
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

/// Refuses results outside the range of `f32`, which finite input can give: a value near 3.4e38, weights or noise of that size.
fn check_finite(path: &Path, first_row: usize, width: usize, values: &[f32]) -> Result<()> {
    let Some(at) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    Err(Error::Format {
        path: path.into(),
        why: format!(
            "not written: row {}, column {}: expected a finite number, got {}; a number exceeds the range of f32, about \
             3.4e38: scale the rows, or leave this row out",
            first_row + at / width,
            at % width,
            values[at]
        ),
    })
}
