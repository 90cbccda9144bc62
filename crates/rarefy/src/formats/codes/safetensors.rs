//! Codes as safetensors: `indptr` and `indices` (i64), `data` (f32), `shape`, and optional `row_means` and
//! `row_scales`.

use std::path::Path;

use super::{Arrays, Codes, Error, Result};
use crate::tensors::{Reader, Writer};

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let offsets: Vec<i64> = codes.offsets.iter().map(|&o| o as i64).collect();
    let indices: Vec<i64> = codes.indices.iter().map(|&i| i64::from(i)).collect();
    let mut file = Writer::default();
    file.vector("indptr", offsets);
    file.vector("indices", indices);
    file.vector("data", &codes.values);
    file.vector("shape", [codes.rows() as i64, codes.d_sae as i64]);
    if !codes.row_means.is_empty() {
        file.vector("row_means", &codes.row_means);
    }
    if !codes.row_scales.is_empty() {
        file.vector("row_scales", &codes.row_scales);
    }
    file.write(path)
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
