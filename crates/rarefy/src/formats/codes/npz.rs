//! Codes as `scipy.sparse.save_npz` writes a CSR matrix, with `row_means` beside if there are any.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{Codes, Error, Result, assemble};
use crate::atomic;

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let i64s = |values: &mut dyn Iterator<Item = i64>| {
        values.flat_map(i64::to_le_bytes).collect::<Vec<u8>>()
    };
    let f32s = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let n = codes.indices.len();
    let mut members = vec![
        (
            "indices",
            array(
                "<i8",
                &format!("({n},)"),
                &i64s(&mut codes.indices.iter().map(|&i| i64::from(i))),
            ),
        ),
        (
            "indptr",
            array(
                "<i8",
                &format!("({},)", codes.offsets.len()),
                &i64s(&mut codes.offsets.iter().map(|&o| o as i64)),
            ),
        ),
        ("format", array("|S3", "()", b"csr")),
        (
            "shape",
            array(
                "<i8",
                "(2,)",
                &i64s(&mut [codes.rows() as i64, codes.d_sae as i64].into_iter()),
            ),
        ),
        (
            "data",
            array("<f4", &format!("({n},)"), &f32s(&codes.values)),
        ),
    ];
    if !codes.row_means.is_empty() {
        members.push((
            "row_means",
            array(
                "<f4",
                &format!("({},)", codes.row_means.len()),
                &f32s(&codes.row_means),
            ),
        ));
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

/// An `.npy` file with one array.
fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let padding = (64 - (10 + text.len() + 1) % 64) % 64;
    let length = (text.len() + padding + 1) as u16;
    let mut file = [
        b"\x93NUMPY\x01\x00".as_slice(),
        &length.to_le_bytes(),
        text.as_bytes(),
    ]
    .concat();
    file.resize(file.len() + padding, b' ');
    file.push(b'\n');
    file.extend_from_slice(data);
    file
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut archive =
        ZipArchive::new(file).map_err(|e| Error::format(path, format!("not an npz file: {e}")))?;
    let format = member(path, &mut archive, "format")?;
    if !format.1.starts_with(b"csr") {
        return Err(Error::format(
            path,
            "expected a scipy.sparse matrix in CSR format",
        ));
    }
    let shape = integers(path, &member(path, &mut archive, "shape")?)?;
    let d_sae = shape
        .get(1)
        .and_then(|&d| usize::try_from(d).ok())
        .unwrap_or(0);
    let offsets = integers(path, &member(path, &mut archive, "indptr")?)?;
    let indices = integers(path, &member(path, &mut archive, "indices")?)?;
    let values = floats(path, &member(path, &mut archive, "data")?)?;
    let mut codes = assemble(path, d_sae, offsets, indices, values)?;
    if archive.index_for_name("row_means.npy").is_some() {
        codes.row_means = floats(path, &member(path, &mut archive, "row_means")?)?;
    }
    Ok(codes)
}

/// Type code and data of a one-dimensional member.
fn member(path: &Path, archive: &mut ZipArchive<File>, name: &str) -> Result<(String, Vec<u8>)> {
    let bad = |why: String| Error::format(path, format!("member {name}: {why}"));
    let mut bytes = Vec::new();
    archive
        .by_name(&format!("{name}.npy"))
        .map_err(|e| bad(e.to_string()))?
        .read_to_end(&mut bytes)
        .map_err(|e| bad(e.to_string()))?;
    if bytes.len() < 10 || !bytes.starts_with(b"\x93NUMPY\x01") {
        return Err(bad("expected an npy array of version 1".into()));
    }
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(
        bytes
            .get(10..start)
            .ok_or_else(|| bad("truncated header".into()))?,
    )
    .into_owned();
    let descr = header
        .split("'descr': '")
        .nth(1)
        .and_then(|d| d.split('\'').next());
    Ok((
        descr
            .ok_or_else(|| bad("expected a type in the header".into()))?
            .to_owned(),
        bytes[start..].to_vec(),
    ))
}

fn integers(path: &Path, (descr, bytes): &(String, Vec<u8>)) -> Result<Vec<i64>> {
    match descr.as_str() {
        "<i8" => Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b))
            .collect()),
        "<i4" => Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from(i32::from_le_bytes(*b)))
            .collect()),
        other => Err(Error::format(
            path,
            format!("expected 32- or 64-bit integers, got {other}"),
        )),
    }
}

fn floats(path: &Path, (descr, bytes): &(String, Vec<u8>)) -> Result<Vec<f32>> {
    match descr.as_str() {
        "<f4" => Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()),
        "<f8" => Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b) as f32)
            .collect()),
        other => Err(Error::format(
            path,
            format!("expected 32- or 64-bit floats, got {other}"),
        )),
    }
}
