//! Matrix at an offset of a file, read row by row at the requested positions.
//!
//! Positioned reads have three advantages over a memory map. They need no `unsafe`. A file that shrinks during
//! a read gives an error; a memory map kills the process. Resident memory holds the requested rows only, while
//! the system's file cache keeps recent pages.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::failed;
use super::open_file::OpenFile;
use super::value::Value;
use super::{Element, Memory, Source, check_finite, coarse};
use crate::{Error, Result};

/// Source of a matrix that is stored uncompressed in a file; rows are read on request.
#[derive(Debug)]
pub struct FileMatrix {
    path: PathBuf,
    name: String,
    file: Arc<OpenFile>,
    layout: MatrixLayout,
    /// Number of the first row, for messages.
    first_row: usize,
}

/// Position, element type and shape of a matrix in a file.
#[derive(Debug, Clone, Copy)]
pub struct MatrixLayout {
    /// Position of the first byte of data in the file.
    pub offset: u64,
    /// Element type.
    pub element: Element,
    /// True for big-endian byte order, false for little-endian.
    pub big_endian: bool,
    /// True if columns are stored one after the other (Fortran order), false for rows (C order).
    pub column_major: bool,
    /// Number of rows.
    pub rows: usize,
    /// Number of values in a row.
    pub d_in: usize,
}

impl MatrixLayout {
    /// Size of the data in bytes; `None` if the size exceeds a `u64`.
    pub fn bytes(&self) -> Option<u64> {
        let values = (self.rows as u64).checked_mul(self.d_in as u64)?;
        values.checked_mul(self.element.size() as u64)
    }

    /// Checks that a file of `length` bytes holds the complete matrix.
    ///
    /// # Errors
    /// [`Error::Format`] with the expected and the actual number of bytes.
    pub fn check(&self, path: &Path, length: u64) -> Result<()> {
        let needed = self.needed(path)?;
        let found = length.saturating_sub(self.offset);
        if needed <= found {
            Ok(())
        } else {
            Err(self.truncated(path, needed, found))
        }
    }

    /// Checks that a file of `length` bytes ends with the matrix. `np.save` to an open file appends an array, of which a
    /// reader would see the first only.
    ///
    /// # Errors
    /// [`Error::Format`] with the number of bytes behind the matrix.
    pub(super) fn check_end(&self, path: &Path, length: u64) -> Result<()> {
        let end = self.needed(path)?.saturating_add(self.offset);
        if length <= end {
            return Ok(());
        }
        let why = format!(
            "too long: expected the end of the file at byte {end} ({}), got {} more bytes; save each array in a file of \
             its own",
            self.shape(),
            length - end
        );
        Err(Error::format(path, why))
    }

    /// Reads the matrix from a stream that starts with the first byte of data and ends with the last.
    ///
    /// Memory grows with the bytes that arrive, never with the size that a header claims. The stream is read
    /// to its end, so that a decompressor verifies its checksum.
    ///
    /// # Errors
    /// [`Error::Io`] for a damaged stream; [`Error::Format`] if the stream is too short or too long.
    pub(crate) fn decode<V: Value>(&self, path: &Path, mut input: impl Read) -> Result<Vec<V>> {
        const PIECE: usize = 1 << 16;
        let size = self.element.size();
        let needed = self.needed(path)?;
        let (mut values, mut piece, mut found) = (Vec::new(), Vec::new(), 0);
        while found < needed {
            let want = (needed - found).min(PIECE as u64);
            piece.clear();
            let read = input.by_ref().take(want).read_to_end(&mut piece);
            let got = read.map_err(|e| failed(path, found + piece.len() as u64, e))?;
            if (got as u64) < want {
                return Err(self.truncated(path, needed, found + got as u64));
            }
            let start = values.len();
            values.resize(start + got / size, V::default());
            self.element
                .convert(&piece, self.big_endian, &mut values[start..]);
            found += want;
        }
        let more = input.read(&mut [0]);
        if more.map_err(|e| failed(path, found, e))? > 0 {
            return Err(Error::format(
                path,
                format!(
                    "too long: expected {needed} bytes of data ({}), got more",
                    self.shape()
                ),
            ));
        }
        if self.column_major {
            values = rarefy_kernels::matmul::transpose(&values, self.d_in, self.rows);
        }
        Ok(values)
    }

    /// True if `f32` cuts off too many digits of decoded values, so that they are to be decoded to `f64` too.
    pub(super) fn needs_f64(&self, values: &[f32]) -> bool {
        self.element.has_f64() && coarse::is_coarse(values, self.d_in)
    }

    /// Source of decoded values.
    pub(super) fn source(&self, path: &Path, values: Vec<f32>, exact: Option<Vec<f64>>) -> Memory {
        let exact = exact.and_then(|exact| coarse::needed(exact, &values, self.d_in));
        let rows = Memory::new(path.display().to_string(), self.d_in, values);
        rows.with_exact(exact)
    }

    fn shape(&self) -> String {
        format!("{} x {} {}", self.rows, self.d_in, self.element.name())
    }

    fn needed(&self, path: &Path) -> Result<u64> {
        if self.d_in == 0 {
            let why = format!("expected at least one column, got shape {} x 0", self.rows);
            return Err(Error::format(path, why));
        }
        self.bytes().ok_or_else(|| {
            Error::format(
                path,
                format!(
                    "expected less than 2^64 bytes of data, got shape {}",
                    self.shape()
                ),
            )
        })
    }

    fn truncated(&self, path: &Path, needed: u64, found: u64) -> Error {
        Error::format(
            path,
            format!(
                "truncated: expected {needed} bytes of data from byte {} on ({}), got {found}; write the file again",
                self.offset,
                self.shape()
            ),
        )
    }
}

/// Reads exactly `count` bytes of a header; `what` names them in the error for a truncated file.
pub(super) fn exactly(
    path: &Path,
    input: &mut impl Read,
    count: u64,
    what: &str,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = input.by_ref().take(count).read_to_end(&mut bytes);
    let got = read.map_err(|e| failed(path, bytes.len() as u64, e))?;
    if (got as u64) < count {
        let why = format!("truncated: expected {what} of {count} bytes, got {got}");
        return Err(Error::format(path, why));
    }
    Ok(bytes)
}

impl FileMatrix {
    /// Opens the matrix at `layout` in a file and checks that the file is long enough.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened; [`Error::Format`] if the file is too short.
    pub fn open(path: &Path, layout: MatrixLayout) -> Result<Self> {
        let mut pieces = Self::pieces(path, &[layout])?;
        Ok(pieces.remove(0))
    }

    /// Opens several matrices of one file, whose rows follow each other.
    ///
    /// # Errors
    /// As [`FileMatrix::open`].
    pub(super) fn pieces(path: &Path, layouts: &[MatrixLayout]) -> Result<Vec<Self>> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let file = Arc::new(OpenFile::keep(file));
        let mut first_row = 0;
        let piece = |layout: &MatrixLayout| {
            layout.check(path, length)?;
            let piece = Self {
                path: path.into(),
                name: path.display().to_string(),
                file: file.clone(),
                layout: *layout,
                first_row,
            };
            first_row += layout.rows;
            Ok(piece)
        };
        layouts.iter().map(piece).collect()
    }

    /// Reads the stored values from position `index` on into `out`, in pieces that stay in a core's cache: a buffer for all of them
    /// would be cleared by the system each time.
    fn values_at<V: Value>(&self, index: usize, out: &mut [V]) -> Result<()> {
        const PIECE: usize = 1 << 16;
        let size = self.layout.element.size();
        let mut bytes = vec![0; PIECE.min(out.len() * size)];
        let mut at = self.layout.offset + (index * size) as u64;
        for out in out.chunks_mut(PIECE / size) {
            let bytes = &mut bytes[..out.len() * size];
            self.bytes_at(at, bytes)?;
            let layout = &self.layout;
            layout.element.convert(bytes, layout.big_endian, out);
            at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Reads bytes from a position of the file on.
    fn bytes_at(&self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(&self.path, bytes, at);
        read.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                let why = format!(
                    "truncated since it was opened: expected {} bytes from byte {at} on",
                    bytes.len()
                );
                Error::format(&self.path, why)
            }
            _ => Error::io(&self.path)(error),
        })
    }
}

impl FileMatrix {
    /// Reads consecutive rows, which may hold NaN or infinities.
    fn rows_at<V: Value>(&self, start: usize, out: &mut [V]) -> Result<()> {
        let (rows, d_in) = (self.layout.rows, self.layout.d_in);
        let count = out.len() / d_in;
        assert!(
            start + count <= rows,
            "rows {start}..{} exceed the {rows} rows of the matrix",
            start + count
        );
        if !self.layout.column_major {
            return self.values_at(start * d_in, out);
        }
        let mut column = vec![V::default(); count];
        for j in 0..d_in {
            self.values_at(j * rows + start, &mut column)?;
            let of_column = out.iter_mut().skip(j).step_by(d_in);
            of_column
                .zip(&column)
                .for_each(|(out, value)| *out = *value);
        }
        Ok(())
    }
}

impl Source for FileMatrix {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.layout.rows
    }

    fn d_in(&self) -> usize {
        self.layout.d_in
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.rows_at(start, out)?;
        check_finite(&self.path, self.first_row + start, self.layout.d_in, out)
    }

    fn has_f64(&self) -> bool {
        self.layout.element.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.rows_at(start, out)?;
        if out.iter().all(|value| (*value as f32).is_finite()) {
            return Ok(());
        }
        let narrow = f64::narrowed(out.to_vec());
        check_finite(
            &self.path,
            self.first_row + start,
            self.layout.d_in,
            &narrow,
        )
    }
}
