//! `NumPy`'s `.npy`: a header that is a Python dictionary in text, then the values.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Block, BlockLayout, Dataset, Element, Memory, OpenOptions};
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// `NumPy` itself refuses headers longer than this (64 KiB) unless told otherwise.
const LONGEST_HEADER: usize = 1 << 16;

pub(super) fn open(path: &Path, _: &OpenOptions) -> Result<Dataset> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut start = vec![0; LONGEST_HEADER + 12];
    let got = read_up_to(&mut file, &mut start).map_err(Error::io(path))?;
    let layout = header(path, &start[..got])?;
    Ok(Dataset::new(Block::open(path, layout)?))
}

/// Decodes a whole `.npy` file held in memory (a member of an npz).
pub(super) fn decode(path: &Path, name: &str, bytes: &[u8]) -> Result<Memory> {
    header(path, bytes)?.decode(path, name, bytes)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

/// Reads the header from the start of a file.
pub(super) fn header(path: &Path, bytes: &[u8]) -> Result<BlockLayout> {
    let bad = |why: String| Error::format(path, why);
    if bytes.len() < 10 || &bytes[..6] != MAGIC {
        return Err(bad(
            "not an npy file: expected the bytes \\x93NUMPY at byte 0".into(),
        ));
    }
    let (start, length) = match bytes[6] {
        1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
        2 | 3 if bytes.len() >= 12 => (
            12,
            u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize,
        ),
        version => {
            return Err(bad(format!(
                "expected npy version 1, 2 or 3 at byte 6, got {version}"
            )));
        }
    };
    let Some(text) = bytes
        .get(start..start + length.min(LONGEST_HEADER))
        .filter(|t| t.len() == length)
    else {
        return Err(bad(format!(
            "truncated: expected a header of {length} bytes at byte {start}, got {}",
            bytes.len() - start
        )));
    };
    let text = String::from_utf8_lossy(text);
    let field = |key: &str| {
        let (_, after) = text.split_once(&format!("'{key}':"))?;
        Some(after.trim_start())
    };
    let missing = |key: &str| {
        bad(format!(
            "expected `{key}` in the header at byte {start}, got {}",
            text.trim()
        ))
    };
    let descr = field("descr").ok_or_else(|| missing("descr"))?;
    let (element, big_endian) = element(path, descr)?;
    let column_major = field("fortran_order")
        .ok_or_else(|| missing("fortran_order"))?
        .starts_with("True");
    let shape = field("shape")
        .and_then(parse_shape)
        .ok_or_else(|| missing("shape"))?;
    let (rows, d_in) = match shape.as_slice() {
        [] | [_] => {
            let hint = "expected a matrix (rows x values); reshape a single row with x[None, :]";
            return Err(bad(format!("{hint}, got shape {shape:?}")));
        }
        [rows, rest @ ..] => {
            let d_in = rest
                .iter()
                .try_fold(1usize, |product, n| product.checked_mul(*n));
            (
                *rows,
                d_in.ok_or_else(|| bad(format!("shape {shape:?} is too large")))?,
            )
        }
    };
    if column_major && shape.len() > 2 {
        return Err(bad(format!(
            "expected a matrix for Fortran order, got shape {shape:?}; save it with order='C'"
        )));
    }
    Ok(BlockLayout {
        offset: (start + length) as u64,
        element,
        big_endian,
        column_major,
        rows,
        d_in,
    })
}

fn element(path: &Path, descr: &str) -> Result<(Element, bool)> {
    let quoted = descr
        .strip_prefix('\'')
        .and_then(|d| d.split_once('\''))
        .map(|(code, _)| code);
    let code = quoted.unwrap_or(descr);
    if code.contains('O') {
        let why = "it holds pickled Python objects, which are never unpickled here because that can run code; \
                   save numbers with x.astype('float32')";
        return Err(Error::format(path, why));
    }
    let (order, kind) = match code.as_bytes().first() {
        Some(b'<' | b'|' | b'=') => (false, &code[1..]),
        Some(b'>') => (true, &code[1..]),
        _ => (false, code),
    };
    let element = match kind {
        "f4" => Element::F32,
        "f8" => Element::F64,
        "f2" => Element::F16,
        "u1" | "b1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        _ => {
            let why = format!(
                "expected element type f2, f4, f8 or an integer, got descr {}",
                code.chars().take(40).collect::<String>()
            );
            return Err(Error::format(path, why));
        }
    };
    Ok((element, order))
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(|n| n.trim_end_matches('L').parse().ok())
        .collect()
}

/// The header of a C-order f32 matrix, padded to 64 bytes as `NumPy` does.
///
/// # Example
/// ```
/// let header = rarefy::data::npy::f32_header(10, 3);
/// assert_eq!(header.len() % 64, 0);
/// assert!(header.ends_with(b"\n"));
/// ```
pub fn f32_header(rows: usize, d_in: usize) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {d_in}), }}");
    let padding = (64 - (10 + text.len() + 1) % 64) % 64;
    let length = (text.len() + padding + 1) as u16;
    let mut header = [
        MAGIC.as_slice(),
        &[1, 0],
        &length.to_le_bytes(),
        text.as_bytes(),
    ]
    .concat();
    header.resize(header.len() + padding, b' ');
    header.push(b'\n');
    header
}
