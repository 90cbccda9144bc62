//! File formats of sparse codes: one file per format and one entry in [`FORMATS`].

mod npy;
mod npz;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(not(feature = "parquet"))]
mod parquet {
    use std::path::Path;

    use super::Sink;
    use crate::Result;
    use crate::codes::Codes;
    use crate::data::missing_feature;

    pub(super) fn create(path: &Path, _: usize) -> Result<Box<dyn Sink>> {
        Err(missing_feature(path, "parquet"))
    }

    pub(super) fn read(path: &Path) -> Result<Codes> {
        Err(missing_feature(path, "parquet"))
    }
}
mod safetensors;
mod spool;
mod writer;

use std::path::Path;

use crate::codes::Codes;
use crate::{Error, Result};
pub use writer::Writer;
use writer::{Create, Sink};

/// Table of all formats of codes, in the order that lists show them.
pub const FORMATS: &[CodesFormat] = &[
    CodesFormat {
        extension: "npy",
        summary: "dense f32 matrix",
        create: npy::create,
        read: npy::read,
    },
    CodesFormat {
        extension: "npz",
        summary: "scipy.sparse CSR matrix",
        create: npz::create,
        read: npz::read,
    },
    CodesFormat {
        extension: "safetensors",
        summary: "CSR as tensors indptr, indices, data, shape",
        create: safetensors::create,
        read: safetensors::read,
    },
    CodesFormat {
        extension: "parquet",
        summary: "a list of indices and a list of values for each row",
        create: parquet::create,
        read: parquet::read,
    },
];

/// Format of codes: one entry of [`FORMATS`].
pub struct CodesFormat {
    /// Extension of file names, without the dot.
    pub extension: &'static str,
    /// One-sentence description for lists.
    pub summary: &'static str,
    create: Create,
    read: fn(&Path) -> Result<Codes>,
}

/// Writes codes in the format of the file's extension, atomically.
///
/// # Errors
/// [`Error::Unknown`] for an unknown extension; [`Error::Format`] for a value that is NaN or infinite; [`Error::Io`] if the
/// file cannot be written.
pub fn write(path: &Path, codes: &Codes) -> Result<()> {
    let mut writer = Writer::create(path, codes.d_sae)?;
    writer.push(codes)?;
    writer.finish()
}

/// Reads codes and validates every number.
///
/// # Errors
/// [`Error::Unknown`] for an unknown extension; [`Error::Io`] if the file cannot be read; [`Error::Format`] for a
/// damaged file.
pub fn read(path: &Path) -> Result<Codes> {
    (find(path)?.read)(path)
}

/// Finds the format of codes for a file's extension.
///
/// # Errors
/// [`Error::Unknown`] for an unknown extension.
pub fn find(path: &Path) -> Result<&'static CodesFormat> {
    let ending = path
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    FORMATS
        .iter()
        .find(|f| f.extension == ending)
        .ok_or_else(|| {
            Error::unknown(
                "extension of a codes file",
                &ending,
                FORMATS.iter().map(|f| f.extension),
            )
        })
}

/// Arrays of a CSR matrix as read from a file, not yet validated.
struct Arrays {
    d_sae: i64,
    offsets: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
    row_means: Vec<f32>,
    row_scales: Vec<f32>,
}

impl Arrays {
    /// Validates the arrays like [`Arrays::assemble`], and the number of rows that the file states.
    fn of_rows(self, path: &Path, rows: i64) -> Result<Codes> {
        let codes = self.assemble(path)?;
        let got = codes.rows();
        if usize::try_from(rows) == Ok(got) {
            return Ok(codes);
        }
        let why = format!("expected row offsets for {rows} rows, got row offsets for {got}");
        Err(Error::format(path, why))
    }

    /// Validates every number and builds the codes.
    fn assemble(self, path: &Path) -> Result<Codes> {
        let bad = |why: String| Error::format(path, why);
        let entries = self.indices.len();
        let d_sae = u32::try_from(self.d_sae).ok().filter(|d| *d > 0);
        let d_sae = d_sae.ok_or_else(|| {
            bad(format!(
                "expected 1 to 2^32 - 1 latents, got {}",
                self.d_sae
            ))
        })?;
        let offsets: Vec<usize> = self.offsets.iter().map(|&o| o as usize).collect();
        let rising = self.offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        if self.offsets.first() != Some(&0) || !rising || offsets.last() != Some(&entries) {
            return Err(bad(format!(
                "expected row offsets that rise from 0 to {entries}, got other offsets"
            )));
        }
        self.check_lengths(path)?;
        self.check_numbers(path, d_sae)?;
        let mut codes = Codes {
            d_sae: d_sae as usize,
            offsets,
            indices: self.indices.iter().map(|&i| i as u32).collect(),
            values: self.values,
            row_means: self.row_means,
            row_scales: self.row_scales,
        };
        match codes.sort_rows() {
            None => Ok(codes),
            Some(row) => Err(bad(format!(
                "row {row}: expected each latent at most once, got one twice"
            ))),
        }
    }

    /// Checks that each entry has a value, and each row a mean and a scale if there are any.
    fn check_lengths(&self, path: &Path) -> Result<()> {
        let bad = |why: String| Err(Error::format(path, why));
        let (rows, entries) = (self.offsets.len() - 1, self.indices.len());
        if self.values.len() != entries {
            let got = self.values.len();
            return bad(format!(
                "expected a value for each of {entries} indices, got {got}"
            ));
        }
        for (what, got) in [
            ("mean", self.row_means.len()),
            ("scale", self.row_scales.len()),
        ] {
            if ![0, rows].contains(&got) {
                return bad(format!(
                    "expected a {what} for each of {rows} rows or none, got {got}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that latents are below `d_sae` and that numbers are finite.
    fn check_numbers(&self, path: &Path, d_sae: u32) -> Result<()> {
        let bad = |why: String| Err(Error::format(path, why));
        let outside = |i: &i64| u32::try_from(*i).map_or(true, |i| i >= d_sae);
        if let Some(at) = self.indices.iter().position(outside) {
            let got = self.indices[at];
            return bad(format!(
                "entry {at}: expected a latent below {d_sae}, got {got}"
            ));
        }
        let of_rows = self.row_means.iter().chain(&self.row_scales);
        let numbers = self.values.iter().chain(of_rows);
        if let Some((at, got)) = numbers.enumerate().find(|(_, v)| !v.is_finite()) {
            return bad(format!("entry {at}: expected a finite value, got {got}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_indices_and_offsets_are_refused() {
        let arrays = |offsets: &[i64], indices: &[i64]| Arrays {
            d_sae: 4,
            offsets: offsets.into(),
            indices: indices.into(),
            values: vec![1.0; indices.len()],
            row_means: Vec::new(),
            row_scales: Vec::new(),
        };
        let refusal = |offsets: &[i64], indices: &[i64]| {
            let path = Path::new("x");
            arrays(offsets, indices)
                .assemble(path)
                .unwrap_err()
                .to_string()
        };
        let error = refusal(&[0, 1], &[4]);
        assert_eq!(error, "x: entry 0: expected a latent below 4, got 4");
        assert!(refusal(&[0, 2, 1], &[0]).contains("offsets"));
        assert!(refusal(&[0, -1, 1], &[0]).contains("offsets"));
        let error = refusal(&[0, 1, 3], &[2, 1, 1]);
        assert_eq!(
            error,
            "x: row 1: expected each latent at most once, got one twice"
        );
        let codes = arrays(&[0, 1, 3], &[2, 3, 1]).assemble(Path::new("x"));
        assert_eq!(codes.unwrap().indices, [2, 1, 3]);
    }

    #[test]
    fn codes_that_are_not_finite_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.npz");
        let codes = || {
            let mut codes = Codes::new(3);
            codes.push_dense(&[0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 7.0, 0.0, 6.0], 0.0);
            codes
        };
        let refusal = |codes: &Codes| write(&path, codes).expect_err("an error").to_string();
        let mut infinite = codes();
        infinite.values[2] = f32::INFINITY;
        let why = refusal(&infinite);
        assert!(
            why.contains("row 2, latent 2: expected a finite number, got inf"),
            "{why}"
        );
        let mut means = codes();
        means.row_means = vec![0.0, f32::NAN, 0.0];
        assert!(refusal(&means).contains("row 1, mean"));
        assert!(!path.exists());
        write(&path, &codes()).unwrap();
        assert_eq!(read(&path).unwrap().values, [5.0, 7.0, 6.0]);
    }
}
