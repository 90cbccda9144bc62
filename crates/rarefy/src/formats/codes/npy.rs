//! Codes as a dense `.npy` matrix.

use std::path::Path;

use super::{Codes, Error, Result};
use crate::atomic;
use crate::data::{OpenOptions, npy};

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    atomic::write(path, |out| {
        out.write_all(&npy::f32_header(codes.rows(), codes.d_sae))?;
        codes
            .to_dense()
            .iter()
            .try_for_each(|v| out.write_all(&v.to_le_bytes()))
    })
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let rows = npy::open(path, &OpenOptions::default())?.source;
    if rows.rows() == 0 {
        return Err(Error::format(
            path,
            "expected at least one row of codes, got none",
        ));
    }
    let mut values = vec![0.0; rows.rows() * rows.d_in()];
    rows.read(0, &mut values)?;
    let mut codes = Codes::new(rows.d_in());
    // Zeros get no entry. Negative activations are kept, as some architectures have them.
    codes.push_nonzero(&values);
    Ok(codes)
}
