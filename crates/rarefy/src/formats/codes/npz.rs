//! Codes in the format of `scipy.sparse.save_npz` for CSR matrices, with optional members `row_means` and
//! `row_scales`.

use std::io::{Cursor, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Arrays, Codes, Error, Result};
use crate::atomic;
use crate::data::npy;
use crate::data::npz::Archive;
use crate::tensors::Number;

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let offsets: Vec<i64> = codes.offsets.iter().map(|&o| o as i64).collect();
    let indices: Vec<i64> = codes.indices.iter().map(|&i| i64::from(i)).collect();
    let mut members = vec![
        ("indices", vector("<i8", &indices)),
        ("indptr", vector("<i8", &offsets)),
        (
            "format",
            [&npy::header("|S3", "()"), b"csr".as_slice()].concat(),
        ),
        (
            "shape",
            vector("<i8", &[codes.rows() as i64, codes.d_sae as i64]),
        ),
        ("data", vector("<f4", &codes.values)),
    ];
    if !codes.row_means.is_empty() {
        members.push(("row_means", vector("<f4", &codes.row_means)));
    }
    if !codes.row_scales.is_empty() {
        members.push(("row_scales", vector("<f4", &codes.row_scales)));
    }
    let pack = || -> zip::result::ZipResult<Vec<u8>> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(true);
        for (name, bytes) in &members {
            archive.start_file(format!("{name}.npy"), options)?;
            archive.write_all(bytes)?;
        }
        Ok(archive.finish()?.into_inner())
    };
    let packed = pack().map_err(|e| Error::format(path, e.to_string()))?;
    atomic::write(path, |out| out.write_all(&packed))
}

/// Content of an `.npy` file with one vector.
fn vector<T: Number>(descr: &str, values: &[T]) -> Vec<u8> {
    let header = npy::header(descr, &format!("({},)", values.len()));
    [header, T::to_bytes(values)].concat()
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let mut archive = Archive::open(path)?;
    if archive.member("format")?.text()? != b"csr" {
        return Err(Error::format(
            path,
            "expected a scipy.sparse matrix in CSR format, got another format; convert it with .tocsr()",
        ));
    }
    let mut integers = |name: &str| archive.member(name)?.integers();
    let shape = integers("shape")?;
    let &[rows, d_sae] = shape.as_slice() else {
        return Err(Error::format(
            path,
            format!("expected a shape of two numbers, got {shape:?}"),
        ));
    };
    let (offsets, indices) = (integers("indptr")?, integers("indices")?);
    let names = archive.names().clone();
    let mut floats = |name: &str| archive.member(name)?.floats();
    let mut of_rows = |name: &str| {
        if names.iter().any(|there| there == name) {
            floats(name)
        } else {
            Ok(Vec::new())
        }
    };
    let (row_means, row_scales) = (of_rows("row_means")?, of_rows("row_scales")?);
    let arrays = Arrays {
        d_sae,
        offsets,
        indices,
        values: floats("data")?,
        row_means,
        row_scales,
    };
    arrays.of_rows(path, rows)
}
