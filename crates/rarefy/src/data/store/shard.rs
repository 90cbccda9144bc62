//! Writing a shard: rows in a number type, as a safetensors file with its checksum.

use std::io::Write;
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sha2::{Digest, Sha256};

use super::ROWS;
use super::checksum::hexadecimal;
use super::manifest::Number;
use super::scaled::SCALES;
use crate::atomic::Pending;
use crate::data::Source;
use crate::{Error, Result};

/// Rows that are read and written together.
const BLOCK: usize = 1 << 12;

/// Writes a shard of these rows; returns its checksum.
pub(super) fn write_rows(
    source: &dyn Source,
    path: &Path,
    kept: &[usize],
    number: Number,
    done: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<String> {
    let width = source.d_in();
    let mut out = Summed::create(path)?;
    out.put(&header(kept.len(), width, number))?;
    let (mut bytes, mut scales) = (Vec::new(), Vec::new());
    for rows in kept
        .chunk_by(|a, b| a + 1 == *b)
        .flat_map(|run| run.chunks(BLOCK))
    {
        bytes.clear();
        if number == Number::F64 {
            let mut values = vec![0.0; rows.len() * width];
            source.read_f64(rows[0], &mut values)?;
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        } else {
            let mut values = vec![0.0; rows.len() * width];
            source.read(rows[0], &mut values)?;
            for (row, values) in rows.iter().zip(values.chunks_exact(width)) {
                let encoded = encode(values, number, &mut bytes, &mut scales);
                encoded.map_err(|column| {
                    let place = format!("row {row}, column {column}");
                    too_large(source.name(), &place, values[column], number)
                })?;
            }
        }
        out.put(&bytes)?;
        done(rows.len())?;
    }
    for scale in &scales {
        out.put(&scale.to_le_bytes())?;
    }
    out.commit()
}

/// Error of a value that the number type cannot hold.
fn too_large(name: &str, place: &str, value: f32, number: Number) -> Error {
    let (most, better) = match number {
        Number::F16 => (
            "65504, the largest number of float16",
            "set `store.dtype` to bf16 or f32",
        ),
        _ => (
            "3.4e38, the largest number of this type",
            "scale the rows first",
        ),
    };
    Error::format(
        name,
        format!("{place}: expected at most {most}, got {value}; {better}"),
    )
}

/// Header of a shard, padded to a multiple of eight bytes.
fn header(rows: usize, width: usize, number: Number) -> Vec<u8> {
    let name = match number {
        Number::F64 => "F64",
        Number::F32 => "F32",
        Number::F16 => "F16",
        Number::Bf16 => "BF16",
        Number::Int8 => "I8",
    };
    let end = rows * width * number.size();
    let mut tensors = serde_json::Map::new();
    let tensor = |dtype: &str, shape: &[usize], from: usize, to: usize| serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [from, to]});
    tensors.insert(ROWS.into(), tensor(name, &[rows, width], 0, end));
    if number == Number::Int8 {
        tensors.insert(
            SCALES.into(),
            tensor("F32", &[rows, 1], end, end + 4 * rows),
        );
    }
    let mut text = serde_json::to_vec(&tensors).expect("a header is JSON");
    text.resize(text.len().next_multiple_of(8), b' ');
    [&(text.len() as u64).to_le_bytes()[..], &text].concat()
}

/// Appends the bytes of a row; fails with the column of a value that does not fit.
fn encode(
    row: &[f32],
    number: Number,
    bytes: &mut Vec<u8>,
    scales: &mut Vec<f32>,
) -> std::result::Result<(), usize> {
    match number {
        Number::F64 => unreachable!("rows of f64 are written from f64"),
        Number::F32 => bytes.extend(row.iter().flat_map(|value| value.to_le_bytes())),
        Number::F16 => {
            let mut narrow = vec![f16::ZERO; row.len()];
            narrow.convert_from_f32_slice(row);
            refuse_infinite(narrow.iter().map(|value| value.is_finite()))?;
            bytes.extend(narrow.iter().flat_map(|value| value.to_le_bytes()));
        }
        Number::Bf16 => {
            let mut narrow = vec![bf16::ZERO; row.len()];
            narrow.convert_from_f32_slice(row);
            refuse_infinite(narrow.iter().map(|value| value.is_finite()))?;
            bytes.extend(narrow.iter().flat_map(|value| value.to_le_bytes()));
        }
        Number::Int8 => {
            let largest = row.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let scale = largest / 127.0;
            // A row of zeros gives NaN, which becomes 0. The inverse of a tiny scale would be infinite.
            let steps = |value: &f32| (value / scale).round().clamp(-127.0, 127.0) as i8;
            bytes.extend(row.iter().map(|value| steps(value) as u8));
            scales.push(scale);
        }
    }
    Ok(())
}

/// Fails with the first column whose value is not finite.
fn refuse_infinite(are_finite: impl Iterator<Item = bool>) -> std::result::Result<(), usize> {
    let mut infinite = are_finite.enumerate().filter(|(_, is_finite)| !is_finite);
    infinite.next().map_or(Ok(()), |(column, _)| Err(column))
}

/// File that is written beside its place, and its checksum.
pub(super) struct Summed<'a> {
    path: &'a Path,
    file: Pending,
    digest: Sha256,
}

impl<'a> Summed<'a> {
    pub(super) fn create(path: &'a Path) -> Result<Self> {
        Ok(Self {
            path,
            file: Pending::create(path)?,
            digest: Sha256::new(),
        })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(Error::io(self.path))
    }

    /// Gives the file its name; returns the checksum.
    pub(super) fn commit(self) -> Result<String> {
        self.file.commit()?;
        Ok(hexadecimal(&self.digest.finalize()))
    }
}
