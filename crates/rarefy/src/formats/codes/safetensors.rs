//! Codes as safetensors: `indptr` and `indices` (i64), `data` (f32), `shape`, and optional `row_means` and
//! `row_scales`.

use std::path::{Path, PathBuf};

use super::spool::Spools;
use super::{Arrays, Codes, Error, Result, Sink};
use crate::tensors::{Reader, Writer};

/// Tensors of the file.
struct Tensors {
    path: PathBuf,
    arrays: Spools,
}

pub(super) fn create(path: &Path, d_sae: usize) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Tensors {
        path: path.into(),
        arrays: Spools::create(path, d_sae)?,
    }))
}

impl Sink for Tensors {
    fn push(&mut self, codes: &Codes) -> Result<()> {
        self.arrays.push(codes, i64::from)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let arrays = &self.arrays;
        let mut file = Writer::default();
        file.vector("shape", [arrays.rows as i64, arrays.d_sae as i64]);
        for (name, spool) in [("indptr", &arrays.offsets), ("indices", &arrays.indices)] {
            file.streamed::<i64>(name, spool.length, |out| spool.copy(out));
        }
        for (name, spool) in [("data", &arrays.values)]
            .into_iter()
            .chain(arrays.of_rows())
        {
            file.streamed::<f32>(name, spool.length, |out| spool.copy(out));
        }
        file.write(&self.path)
    }
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = Reader::new(path, &bytes)?;
    let shape: Vec<i64> = file.vector("shape")?;
    let &[rows, d_sae] = shape.as_slice() else {
        return Err(file.bad(format!("tensor shape: expected two numbers, got {shape:?}")));
    };
    let of_rows = |name: &str| {
        if file.has(name) {
            file.vector(name)
        } else {
            Ok(Vec::new())
        }
    };
    let arrays = Arrays {
        d_sae,
        offsets: file.vector("indptr")?,
        indices: file.vector("indices")?,
        values: file.vector("data")?,
        row_means: of_rows("row_means")?,
        row_scales: of_rows("row_scales")?,
    };
    arrays.of_rows(path, rows)
}
