//! A matrix in a safetensors file, read in place.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::safetensors::{Dtype, SafeTensors};

use super::{Block, BlockLayout, Dataset, Element, OpenOptions};
use crate::{Error, Result};

/// The format's own limit on its header.
const LONGEST_HEADER: u64 = 100_000_000;

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let bad = |why: String| Error::format(path, why);
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| {
        bad(format!(
            "truncated: expected 8 bytes of header size, got {length}"
        ))
    })?;
    let header = u64::from_le_bytes(size);
    if header > LONGEST_HEADER || header + 8 > length {
        return Err(bad(format!(
            "not a safetensors file: expected a header size within {length} bytes at byte 0, got {header}"
        )));
    }
    let mut bytes = size.to_vec();
    file.take(header)
        .read_to_end(&mut bytes)
        .map_err(Error::io(path))?;
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|e| bad(format!("header at byte 8: {e}")))?;
    let tensors = metadata.tensors();
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let name = match (&options.member, names.as_slice()) {
        (Some(wanted), _) if tensors.contains_key(wanted) => wanted.clone(),
        (Some(wanted), names) => {
            return Err(Error::unknown(
                &format!("tensor of {}", path.display()),
                wanted,
                names.iter().map(|n| n.as_str()),
            ));
        }
        (None, [only]) => (*only).clone(),
        (None, names) => {
            let list = names
                .iter()
                .map(|n| n.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(bad(format!(
                "expected one tensor, got {} ({list}); name one with member",
                names.len()
            )));
        }
    };
    let info = tensors[&name];
    let element = match info.dtype {
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F64 => Element::F64,
        Dtype::U8 => Element::U8,
        other => {
            return Err(bad(format!(
                "tensor {name}: expected f32, f16, bf16, f64 or u8, got {other:?}"
            )));
        }
    };
    let [rows, d_in] = info.shape[..] else {
        return Err(bad(format!(
            "tensor {name}: expected a matrix (rows x values), got shape {:?}",
            info.shape
        )));
    };
    let offset = 8 + header + info.data_offsets.0 as u64;
    let layout = BlockLayout {
        offset,
        element,
        big_endian: false,
        column_major: false,
        rows,
        d_in,
    };
    Ok(Dataset::new(Block::open(path, layout)?))
}
