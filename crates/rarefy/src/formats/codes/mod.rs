//! Codes on disk: one file per format and one line in [`FORMATS`].

mod npy;
mod npz;
mod parquet;
mod safetensors;

use std::path::Path;

use crate::codes::Codes;
use crate::{Error, Result};

/// Every format of codes, in the order that lists show them.
pub const FORMATS: &[FormatInfo] = &[
    FormatInfo {
        extension: "npy",
        summary: "dense f32 matrix",
        write: npy::write,
        read: npy::read,
    },
    FormatInfo {
        extension: "npz",
        summary: "scipy.sparse CSR matrix",
        write: npz::write,
        read: npz::read,
    },
    FormatInfo {
        extension: "safetensors",
        summary: "CSR as tensors indptr, indices, data, shape",
        write: safetensors::write,
        read: safetensors::read,
    },
    FormatInfo {
        extension: "parquet",
        summary: "a list of indices and a list of values a row",
        write: parquet::write,
        read: parquet::read,
    },
];

/// One line of the table of code formats.
pub struct FormatInfo {
    /// How file names end.
    pub extension: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    write: fn(&Path, &Codes) -> Result<()>,
    read: fn(&Path) -> Result<Codes>,
}

/// Writes codes in the format that the file's name asks for, atomically.
///
/// # Errors
/// [`Error::Unknown`] for another ending; [`Error::Io`].
pub fn write(path: &Path, codes: &Codes) -> Result<()> {
    (find(path)?.write)(path, codes)
}

/// Reads codes and checks that they are whole.
///
/// # Errors
/// [`Error::Unknown`] for another ending; [`Error::Io`]; [`Error::Format`] for damaged files.
pub fn read(path: &Path) -> Result<Codes> {
    (find(path)?.read)(path)
}

/// The format that a file's name asks for.
///
/// # Errors
/// [`Error::Unknown`].
pub fn find(path: &Path) -> Result<&'static FormatInfo> {
    let ending = path
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    FORMATS
        .iter()
        .find(|f| f.extension == ending)
        .ok_or_else(|| {
            Error::unknown(
                "ending of a codes file",
                &ending,
                FORMATS.iter().map(|f| f.extension),
            )
        })
}

/// Puts the three arrays of a CSR matrix together after checking every index.
fn assemble(
    path: &Path,
    d_sae: usize,
    offsets: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
) -> Result<Codes> {
    let bad = |why: String| Error::format(path, why);
    let offsets: Vec<usize> = offsets
        .into_iter()
        .map(|o| usize::try_from(o).unwrap_or(usize::MAX))
        .collect();
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    if offsets.first() != Some(&0) || !rising || offsets.last() != Some(&indices.len()) {
        return Err(bad(format!(
            "expected row offsets that rise from 0 to {}",
            indices.len()
        )));
    }
    if indices.len() != values.len() {
        return Err(bad(format!(
            "expected a value for each of {} indices, got {}",
            indices.len(),
            values.len()
        )));
    }
    if let Some(at) = indices.iter().position(|&i| i < 0 || i as usize >= d_sae) {
        return Err(bad(format!(
            "entry {at}: expected a latent below {d_sae}, got {}",
            indices[at]
        )));
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(bad(format!(
            "entry {at}: expected a finite value, got {}",
            values[at]
        )));
    }
    let indices = indices.into_iter().map(|i| i as u32).collect();
    Ok(Codes {
        d_sae,
        offsets,
        indices,
        values,
        row_means: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let mut codes = Codes::new(4);
        codes.push_dense(
            &[0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0],
            0.0,
        );
        for format in FORMATS {
            let path = folder.path().join(format!("codes.{}", format.extension));
            write(&path, &codes).unwrap();
            assert_eq!(read(&path).unwrap(), codes, "{}", format.extension);
        }
    }

    #[test]
    fn an_index_outside_the_latents_is_refused() {
        let error = assemble(Path::new("x"), 4, vec![0, 1], vec![4], vec![1.0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x: entry 0: expected a latent below 4, got 4"
        );
        assert!(assemble(Path::new("x"), 4, vec![0, 2, 1], vec![0], vec![1.0]).is_err());
    }
}
