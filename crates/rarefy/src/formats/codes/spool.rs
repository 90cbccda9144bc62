//! Arrays of a file of codes that grow until the last row.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use super::Codes;
use crate::tensors::Number;
use crate::{Error, Result, atomic};

/// Array whose length is known at the end. Its bytes wait in a file without a name, in the folder of the target.
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    /// Number of values.
    pub(super) length: usize,
}

impl Spool {
    /// Empty array of the file `path`.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let folder = &atomic::folder_behind(path);
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        Ok(Self {
            path: path.into(),
            file: tempfile::tempfile_in(folder).map_err(Error::io(path))?,
            length: 0,
        })
    }

    /// Appends values; all of an array have one type.
    pub(super) fn push<T: Number>(&mut self, values: &[T]) -> Result<()> {
        self.length += values.len();
        T::write(values, &mut self.file).map_err(Error::io(&self.path))
    }

    /// Writes the bytes of all values.
    pub(super) fn copy(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut file = &self.file;
        file.rewind()?;
        io::copy(&mut file, out).map(drop)
    }
}

/// Arrays of a CSR matrix, and of its rows.
pub(super) struct Spools {
    pub(super) d_sae: usize,
    pub(super) rows: usize,
    pub(super) offsets: Spool,
    pub(super) indices: Spool,
    pub(super) values: Spool,
    pub(super) row_means: Spool,
    pub(super) row_scales: Spool,
}

impl Spools {
    /// Arrays of a matrix without rows: one offset, 0.
    pub(super) fn create(path: &Path, d_sae: usize) -> Result<Self> {
        let array = || Spool::create(path);
        let mut offsets = array()?;
        offsets.push(&[0_i64])?;
        Ok(Self {
            d_sae,
            rows: 0,
            offsets,
            indices: array()?,
            values: array()?,
            row_means: array()?,
            row_scales: array()?,
        })
    }

    /// Appends rows. Indices are stored as `T`.
    pub(super) fn push<T: Number>(&mut self, codes: &Codes, index: fn(u32) -> T) -> Result<()> {
        let before = self.values.length;
        let offsets = codes.offsets[1..].iter().map(|at| (before + at) as i64);
        self.offsets.push(&offsets.collect::<Vec<_>>())?;
        let indices = codes.indices.iter().map(|latent| index(*latent));
        self.indices.push(&indices.collect::<Vec<_>>())?;
        self.values.push(&codes.values)?;
        self.row_means.push(&codes.row_means)?;
        self.row_scales.push(&codes.row_scales)?;
        self.rows += codes.rows();
        Ok(())
    }

    /// Arrays of rows that hold values, by name.
    pub(super) fn of_rows(&self) -> impl Iterator<Item = (&'static str, &Spool)> {
        let named = [
            ("row_means", &self.row_means),
            ("row_scales", &self.row_scales),
        ];
        named.into_iter().filter(|(_, spool)| spool.length > 0)
    }
}
