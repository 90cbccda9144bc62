//! Safetensors reader: one tensor of a file as a matrix, read in place; or rows of a known dictionary.

use std::fs::File;
use std::path::Path;

use ::safetensors::tensor::{Dtype, Metadata};

use super::axes::Array;
use super::file_matrix::exactly;
use super::store::{self, ScaledRows};
use super::{Dataset, DrawnRows, Element, FileMatrix, MatrixLayout, OpenOptions, sparse};
use crate::{Error, Result, synth};

/// Maximum length of a header in bytes, set by the format.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    let bad = |why: String| Error::format(path, why);
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let size = exactly(path, &mut file, 8, "a header size")?;
    let header = size.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    if header <= LONGEST_HEADER && header + 8 > length && length > 8 {
        return Err(bad(format!(
            "truncated, or no safetensors file: expected a header of {header} bytes at byte 8, got {} bytes",
            length - 8
        )));
    }
    if header > LONGEST_HEADER || header + 8 > length {
        return Err(bad(format!(
            "not a safetensors file: expected a header size within {length} bytes at byte 0, got {header}"
        )));
    }
    let bytes = exactly(path, &mut file, header, "a header")?;
    // `SafeTensors::read_metadata` needs the whole file in memory, so the header is parsed here.
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|e| bad(format!("damaged header at byte 8: {e}")))?;
    if options.member.is_none() && synth::is_truth(path) {
        return Ok(Dataset::new(DrawnRows::open(path)?));
    }
    let tensors = metadata.tensors();
    let mut names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    names.sort_unstable();
    if ["indptr", "indices", "data"]
        .iter()
        .all(|part| names.contains(part))
    {
        return sparse::open_tensors(path, options);
    }
    let matrix = |name: &str| {
        let info = tensors[name];
        let element = Element::of_tensor(info.dtype);
        let element = element.ok_or_else(|| unreadable(path, name, info.dtype))?;
        let array = Array {
            shape: &info.shape,
            element,
            is_images: false,
        };
        let of_tensor = format!("{}[{name}]", path.display());
        let rows = array.rows(Path::new(&of_tensor), options.row_axis)?;
        let layout = MatrixLayout {
            offset: (8 + header).saturating_add(info.data_offsets.0 as u64),
            element,
            big_endian: false,
            column_major: false,
            rows: rows.rows,
            d_in: rows.d_in,
        };
        Ok((FileMatrix::open(path, layout)?, rows))
    };
    if options.member.is_none() && names == [store::ROWS, store::SCALES] {
        let [(numbers, _), (scales, _)] = [matrix(store::ROWS)?, matrix(store::SCALES)?];
        return Ok(Dataset::new(ScaledRows::new(path, numbers, &scales)?));
    }
    let (source, rows) = matrix(choose(path, &names, options.member.as_deref())?)?;
    let mut dataset = Dataset::new(source);
    dataset.image_shape = rows.image_shape;
    dataset.places = rows.places;
    dataset.notes.extend(rows.note);
    Ok(dataset)
}

/// Error for a tensor whose element type is not read.
fn unreadable(path: &Path, name: &str, dtype: Dtype) -> Error {
    let kind = format!("{dtype:?}");
    let named = if kind.starts_with('F') {
        "floats of fewer than 16 bits, whose values depend on scales of the model"
    } else if kind.starts_with('C') {
        "complex numbers"
    } else {
        "numbers of another type"
    };
    let why = format!(
        "tensor {name}: expected f16, bf16, f32, f64, integers or booleans, got {kind}, {named}; convert the tensor, \
         for example with x.to(torch.float32)"
    );
    Error::format(path, why)
}

/// Tensor to read: the wanted one, or the only one.
fn choose<'n>(path: &Path, names: &[&'n str], wanted: Option<&str>) -> Result<&'n str> {
    match (wanted, names) {
        (Some(wanted), names) => {
            let found = names.iter().find(|name| **name == wanted).copied();
            let what = format!("tensor of {}", path.display());
            found.ok_or_else(|| Error::unknown(&what, wanted, names.iter().copied()))
        }
        (None, [only]) => Ok(only),
        (None, names) => {
            let why = format!(
                "expected one tensor, got {} ({}); choose one with `data.member`",
                names.len(),
                names.join(", ")
            );
            Err(Error::format(path, why))
        }
    }
}
