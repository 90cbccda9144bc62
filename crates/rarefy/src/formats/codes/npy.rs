//! Codes as a dense `.npy` matrix.

use std::path::{Path, PathBuf};

use super::spool::Spool;
use super::{Codes, Error, Result, Sink};
use crate::atomic;
use crate::data::{OpenOptions, npy};

/// Dense rows.
struct Dense {
    path: PathBuf,
    d_sae: usize,
    values: Spool,
}

pub(super) fn create(path: &Path, d_sae: usize) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Dense {
        path: path.into(),
        d_sae,
        values: Spool::create(path)?,
    }))
}

impl Sink for Dense {
    fn push(&mut self, codes: &Codes) -> Result<()> {
        self.values.push(&codes.to_dense())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let rows = self.values.length / self.d_sae;
        atomic::write(&self.path, |out| {
            out.write_all(&npy::f32_header(rows, self.d_sae))?;
            self.values.copy(out)
        })
    }
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
