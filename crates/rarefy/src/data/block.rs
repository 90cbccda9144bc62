//! Row-major values at an offset of a file, read by position.
//!
//! Positioned reads rather than a memory map: they need no `unsafe`, a file that shrinks while it
//! is read gives an error instead of a killed process, and resident memory is what is asked for
//! and not what the system happens to keep mapped. The system's file cache does the rest.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Element, Memory, Source, check_finite};
use crate::{Error, Result};

/// A matrix of one element type inside a file.
#[derive(Debug)]
pub struct Block {
    path: PathBuf,
    name: String,
    file: File,
    layout: BlockLayout,
}

/// Where and how the matrix lies.
#[derive(Debug, Clone, Copy)]
pub struct BlockLayout {
    /// First byte.
    pub offset: u64,
    /// Element type.
    pub element: Element,
    /// Byte order.
    pub big_endian: bool,
    /// Column after column instead of row after row.
    pub column_major: bool,
    /// Rows.
    pub rows: usize,
    /// Values in a row.
    pub d_in: usize,
}

impl BlockLayout {
    /// Bytes of all values, if that is a number at all.
    pub fn bytes(&self) -> Option<u64> {
        let values = (self.rows as u64).checked_mul(self.d_in as u64)?;
        values.checked_mul(self.element.size() as u64)
    }

    /// Checks that a file of `length` bytes holds the matrix to its end.
    ///
    /// # Errors
    /// [`Error::Format`] saying how many bytes were expected and found.
    pub fn check(&self, path: &Path, length: u64) -> Result<()> {
        if self.rows == 0 || self.d_in == 0 {
            return Err(Error::format(
                path,
                format!(
                    "expected at least one row and column, got {} x {}",
                    self.rows, self.d_in
                ),
            ));
        }
        let found = length.saturating_sub(self.offset);
        match self.bytes() {
            Some(needed) if needed <= found => Ok(()),
            needed => Err(Error::format(
                path,
                format!(
                    "truncated: expected {} bytes of data from byte {} on ({} x {} {}), got {found}",
                    needed.map_or_else(|| "more than 2^64".into(), |n| n.to_string()),
                    self.offset,
                    self.rows,
                    self.d_in,
                    self.element.name()
                ),
            )),
        }
    }

    /// Decodes the matrix from bytes that hold it whole, into rows.
    ///
    /// # Errors
    /// As [`BlockLayout::check`]; [`Error::NotFinite`].
    pub fn decode(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<Memory> {
        self.check(path, bytes.len() as u64)?;
        let total = self.rows * self.d_in;
        let mut values = vec![0.0; total];
        let data = &bytes[self.offset as usize..][..total * self.element.size()];
        self.element.convert(data, self.big_endian, &mut values);
        if self.column_major {
            values = (0..total)
                .map(|i| values[i % self.d_in * self.rows + i / self.d_in])
                .collect();
        }
        check_finite(path, 0, self.d_in, &values)?;
        Ok(Memory::new(name, self.d_in, values))
    }
}

impl Block {
    /// Opens a matrix in a file, after checking that it is all there.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is too short.
    pub fn open(path: &Path, layout: BlockLayout) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        layout.check(path, length)?;
        Ok(Self {
            path: path.into(),
            name: path.display().to_string(),
            file,
            layout,
        })
    }

    fn values_at(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let size = self.layout.element.size();
        let mut bytes = vec![0; out.len() * size];
        let at = self.layout.offset + (index * size) as u64;
        read_exact_at(&self.file, &mut bytes, at).map_err(Error::io(&self.path))?;
        self.layout
            .element
            .convert(&bytes, self.layout.big_endian, out);
        Ok(())
    }
}

impl Source for Block {
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
        let (rows, d_in) = (self.layout.rows, self.layout.d_in);
        let count = out.len() / d_in;
        assert!(
            start + count <= rows,
            "rows {start}..{} of {rows}",
            start + count
        );
        if self.layout.column_major {
            let mut column = vec![0.0; count];
            for j in 0..d_in {
                self.values_at(j * rows + start, &mut column)?;
                out.iter_mut()
                    .skip(j)
                    .step_by(d_in)
                    .zip(&column)
                    .for_each(|(out, value)| *out = *value);
            }
        } else {
            self.values_at(start * d_in, out)?;
        }
        check_finite(&self.path, start, d_in, out)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let got = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[got..];
        at += got as u64;
    }
    Ok(())
}
