//! Reader and writer of `NumPy`'s `.npy`: a header (a Python dictionary as text), then the values.
//!
//! The header parser is our own. `npyz` was considered: it allocates as many bytes as the file claims (up to
//! 4 GiB), parses nested lists recursively without a limit, and its errors name no byte position.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::axes::{Array, ArrayRows};
use super::file_matrix::exactly;
use super::{Dataset, Element, FileMatrix, MatrixLayout, OpenOptions, RowAxis, Source, numpy_type};
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Maximum length of a header in bytes, the default limit of `NumPy`.
const LONGEST_HEADER: usize = 10_000;

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let header = Header::read(path, &mut file)?;
    if header.shape == [0] {
        return Ok(Dataset::empty(path.display().to_string(), 0));
    }
    let (layout, rows) = header.matrix(path, options.row_axis)?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    layout.check_end(path, length)?;
    Ok(header.dataset(path, FileMatrix::open(path, layout)?, rows))
}

/// Header of an npy file: element type, shape, order and position of the data.
#[derive(Debug)]
pub(crate) struct Header {
    /// Element type in the notation of `NumPy`, such as `<f4`.
    pub(crate) descr: String,
    /// Sizes of all axes.
    pub(crate) shape: Vec<usize>,
    /// True for Fortran order.
    column_major: bool,
    /// Position of the first value in the file.
    pub(crate) offset: u64,
}

impl Header {
    /// Reads the header. The input is then at the first value.
    pub(crate) fn read(path: &Path, input: &mut impl Read) -> Result<Self> {
        let bad = |why: String| Error::format(path, why);
        let mut next = |count: usize, what: &str| exactly(path, input, count as u64, what);
        let start = next(8, "an npy file's start")?;
        if &start[..6] != MAGIC {
            return Err(bad(
                "not an npy file: expected the bytes \\x93NUMPY at byte 0".into(),
            ));
        }
        let width = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => {
                return Err(bad(format!(
                    "expected npy version 1, 2 or 3 at byte 6, got {version}"
                )));
            }
        };
        let mut length = [0; 4];
        length[..width].copy_from_slice(&next(width, "a header length at byte 8")?);
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_HEADER {
            return Err(bad(format!(
                "expected a header of at most {LONGEST_HEADER} bytes at byte 8, got {length}"
            )));
        }
        let text = next(length, "a header")?;
        let offset = (8 + width + length) as u64;
        Self::parse(path, &String::from_utf8_lossy(&text), offset)
    }

    fn parse(path: &Path, text: &str, offset: u64) -> Result<Self> {
        let field = |key: &str| {
            let (_, after) = text.split_once(&format!("'{key}':"))?;
            Some(after.trim_start())
        };
        let missing = |key: &str| {
            let shown: String = text.trim().chars().take(100).collect();
            Error::format(
                path,
                format!("header at byte 8: expected the key `{key}`, got {shown}"),
            )
        };
        let descr = field("descr").ok_or_else(|| missing("descr"))?;
        // A structured type is a list, not a quoted text. It is kept for the error message of `element`.
        let quoted = descr.strip_prefix('\'').and_then(|d| d.split_once('\''));
        let descr = quoted.map_or(descr, |(code, _)| code);
        let column_major = match field("fortran_order") {
            Some(text) if text.starts_with("True") => true,
            Some(text) if text.starts_with("False") => false,
            _ => return Err(missing("fortran_order")),
        };
        Ok(Self {
            descr: descr.to_owned(),
            shape: field("shape")
                .and_then(parse_shape)
                .ok_or_else(|| missing("shape"))?,
            column_major,
            offset,
        })
    }

    /// Number of values; `None` if the number exceeds a `usize`.
    pub(crate) fn values(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |product, n| product.checked_mul(*n))
    }

    /// Element type; true for big-endian byte order.
    pub(crate) fn element(&self, path: &Path) -> Result<(Element, bool)> {
        numpy_type::element(path, &self.descr)
    }

    /// Layout of the array as a matrix, and the rows that its axes make.
    pub(super) fn matrix(
        &self,
        path: &Path,
        axis: Option<RowAxis>,
    ) -> Result<(MatrixLayout, ArrayRows)> {
        let (element, big_endian) = self.element(path)?;
        if self.column_major && self.shape.len() > 2 {
            let why = format!(
                "expected a matrix for Fortran order, got shape {:?}; save it with np.ascontiguousarray(x)",
                self.shape
            );
            return Err(Error::format(path, why));
        }
        let array = Array {
            shape: &self.shape,
            element,
            is_images: false,
        };
        let rows = array.rows(path, axis)?;
        let layout = MatrixLayout {
            offset: self.offset,
            element,
            big_endian,
            column_major: self.column_major,
            rows: rows.rows,
            d_in: rows.d_in,
        };
        Ok((layout, rows))
    }

    /// Data set of the rows of this array, with image shape and notes.
    pub(super) fn dataset(
        &self,
        path: &Path,
        source: impl Source + 'static,
        rows: ArrayRows,
    ) -> Dataset<'static> {
        let mut dataset = Dataset::new(source);
        dataset.image_shape = rows.image_shape;
        dataset.places = rows.places;
        dataset.notes = numpy_type::note(path, &self.descr)
            .into_iter()
            .chain(rows.note)
            .collect();
        dataset
    }
}

/// Parses a Python tuple of integers; Python 2 wrote them with a trailing `L`.
fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    inside
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .map(|n| n.trim_end_matches('L').parse().ok())
        .collect()
}

/// Header of an `.npy` file with a C-order `f32` matrix `[rows, d_in]`, padded to a multiple of 64 bytes.
///
/// # Example
/// ```
/// let header = rarefy::data::npy::f32_header(10, 3);
/// assert_eq!(header.len() % 64, 0);
/// assert!(header.ends_with(b"\n"));
/// ```
pub fn f32_header(rows: usize, d_in: usize) -> Vec<u8> {
    header_of("<f4", &[rows, d_in])
}

/// Header of an `.npy` file with a C-order array of two or more axes, padded to a multiple of 64 bytes. `descr` is the
/// element type as `NumPy` writes it, such as `<f4`.
pub fn header_of(descr: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    header(descr, &format!("({})", sizes.join(", ")))
}

/// Header of a C-order array. `descr` is `NumPy`'s type code, `shape` a Python tuple.
pub(crate) fn header(descr: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
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
