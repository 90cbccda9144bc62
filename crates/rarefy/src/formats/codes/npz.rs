//! Codes in the format of `scipy.sparse.save_npz` for CSR matrices, with optional members `row_means` and
//! `row_scales`.

use std::io::Write;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use zip::result::{ZipError, ZipResult};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::spool::Spools;
use super::{Arrays, Codes, Error, Result, Sink};
use crate::atomic::Pending;
use crate::data::npy;
use crate::data::npz::Archive;
use crate::tensors::Number;

/// Members of the archive.
struct Members {
    path: PathBuf,
    arrays: Spools,
}

pub(super) fn create(path: &Path, d_sae: usize) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Members {
        path: path.into(),
        arrays: Spools::create(path, d_sae)?,
    }))
}

impl Sink for Members {
    fn push(&mut self, codes: &Codes) -> Result<()> {
        if narrow(self.arrays.d_sae) {
            self.arrays.push(codes, |latent| latent as i32)
        } else {
            self.arrays.push(codes, i64::from)
        }
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut file = Pending::create(&self.path)?;
        self.pack(&mut file).map_err(|error| match error {
            ZipError::Io(error) => Error::io(&self.path)(error),
            error => Error::format(&self.path, error.to_string()),
        })?;
        file.commit()
    }
}

impl Members {
    /// Writes the archive. Members are not compressed: values do not shrink, and packing 32 entries of a row took longer than
    /// encoding it.
    fn pack(&self, file: &mut Pending) -> ZipResult<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        // Dropped before its end, on a full disk, the writer would try to end it and print that it could not.
        let mut archive = ManuallyDrop::new(ZipWriter::new(file));
        let arrays = &self.arrays;
        let shape = [arrays.rows as i64, arrays.d_sae as i64];
        for (name, head, values) in [
            ("format", npy::header("|S3", "()"), b"csr".to_vec()),
            ("shape", npy::header("<i8", "(2,)"), i64::to_bytes(&shape)),
        ] {
            archive.start_file(format!("{name}.npy"), options)?;
            archive.write_all(&[head, values].concat())?;
        }
        let index = if narrow(arrays.d_sae) { "<i4" } else { "<i8" };
        let csr = [
            ("indices", index, &arrays.indices),
            ("indptr", "<i8", &arrays.offsets),
            ("data", "<f4", &arrays.values),
        ];
        let of_rows = arrays.of_rows().map(|(name, spool)| (name, "<f4", spool));
        for (name, descr, spool) in csr.into_iter().chain(of_rows) {
            archive.start_file(format!("{name}.npy"), options)?;
            archive.write_all(&npy::header(descr, &format!("({},)", spool.length)))?;
            spool.copy(&mut *archive)?;
        }
        ManuallyDrop::into_inner(archive).finish().map(drop)
    }
}

/// True if indices of so many latents fit into 32 bits.
fn narrow(d_sae: usize) -> bool {
    i32::try_from(d_sae).is_ok()
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
