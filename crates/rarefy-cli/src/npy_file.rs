//! Writer of `.npy` files, chunk by chunk, so that a matrix larger than memory can be written.

use std::io;
use std::path::Path;

use rarefy::data::npy;
use rarefy::{Result, atomic};

use crate::interrupt;

/// Writes an array of this shape from chunks of its values in row-major order; writes no file if a chunk fails or Ctrl-C is pressed.
pub fn write_rows(
    path: &Path,
    shape: &[usize],
    chunks: impl Iterator<Item = Result<Vec<f32>>>,
) -> Result<()> {
    interrupt::watch();
    let mut failed = None;
    let written = atomic::write(path, |out| {
        out.write_all(&npy::f32_header_of(shape))?;
        for chunk in chunks {
            let values = interrupt::check().and(chunk).map_err(|error| {
                failed = Some(error);
                io::Error::other("reading the rows failed")
            })?;
            values
                .iter()
                .try_for_each(|v| out.write_all(&v.to_le_bytes()))?;
        }
        Ok(())
    });
    interrupt::release();
    failed.map_or(written, Err)
}
