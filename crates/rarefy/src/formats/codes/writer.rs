//! Writing of codes piece by piece, so that codes larger than memory can be written.

use std::path::{Path, PathBuf};

use super::find;
use crate::codes::Codes;
use crate::{Error, Result};

/// Writer of a file of codes that takes the rows piece by piece. Memory does not grow with the rows.
///
/// The file appears under its name at [`Writer::finish`]; a writer that is dropped before leaves no file. Arrays whose
/// length is known at the end only (`.npz`, `.safetensors`, `.npy`) wait in files without a name beside the target, so the
/// folder needs twice the space for a moment.
///
/// # Example
/// ```
/// use rarefy::codes::Codes;
/// use rarefy::formats::codes::{self, Writer};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("codes.npz");
/// let mut writer = Writer::create(&path, 3)?;
/// for row in [[0.0, 5.0, 0.0], [7.0, 0.0, 6.0]] {
///     let mut codes = Codes::new(3);
///     codes.push_dense(&row, 0.0);
///     writer.push(&codes)?;
/// }
/// writer.finish()?;
/// assert_eq!(codes::read(&path)?.to_dense(), [0.0, 5.0, 0.0, 7.0, 0.0, 6.0]);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct Writer {
    path: PathBuf,
    d_sae: usize,
    rows: usize,
    /// Means and divisors of rows, given or not; open before the first row.
    of_rows: Option<(bool, bool)>,
    sink: Box<dyn Sink>,
}

/// Writer of one format. Pieces have the same latents, and either all or none have row means and divisors.
pub(super) trait Sink: Send {
    /// Takes the next rows.
    fn push(&mut self, codes: &Codes) -> Result<()>;

    /// Completes the file and gives it its name.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Function that starts a file of a format, for codes over a number of latents.
pub(super) type Create = fn(&Path, usize) -> Result<Box<dyn Sink>>;

impl Writer {
    /// Starts a file of codes over `d_sae` latents, in the format of the file's extension.
    ///
    /// # Errors
    /// [`Error::Unknown`] for an unknown extension; [`Error::Shape`] for 0 latents; [`Error::Io`] if no file can be written there.
    pub fn create(path: &Path, d_sae: usize) -> Result<Self> {
        let format = find(path)?;
        if d_sae == 0 {
            return Err(Error::Shape {
                what: "number of latents of codes".into(),
                expected: "at least 1".into(),
                got: "0".into(),
            });
        }
        Ok(Self {
            path: path.into(),
            d_sae,
            rows: 0,
            of_rows: None,
            sink: (format.create)(path, d_sae)?,
        })
    }

    /// Appends the rows of `codes`.
    ///
    /// # Errors
    /// [`Error::Shape`] for codes over another number of latents, or with row means or divisors where rows before had none;
    /// [`Error::Format`] for a value that is NaN or infinite; [`Error::Io`] if the file cannot be written.
    pub fn push(&mut self, codes: &Codes) -> Result<()> {
        codes.check(self.d_sae)?;
        check_finite(&self.path, self.rows, codes)?;
        if codes.rows() > 0 {
            let given = (!codes.row_means.is_empty(), !codes.row_scales.is_empty());
            let before = *self.of_rows.get_or_insert(given);
            if before != given {
                return Err(Error::Shape {
                    what: "row means and divisors of codes".into(),
                    expected: words(before).into(),
                    got: words(given).into(),
                });
            }
        }
        self.rows += codes.rows();
        self.sink.push(codes)
    }

    /// Completes the file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.sink.finish()
    }
}

/// Parts that rows have, in words.
fn words(of_rows: (bool, bool)) -> &'static str {
    match of_rows {
        (true, true) => "both",
        (true, false) => "means alone",
        (false, true) => "divisors alone",
        (false, false) => "none",
    }
}

/// Refuses values outside the range of `f32`, which rows with values near 3.4e38 give. `first` is the first row's number.
fn check_finite(path: &Path, first: usize, codes: &Codes) -> Result<()> {
    let arrays = [&codes.values, &codes.row_means, &codes.row_scales];
    for (which, values) in arrays.into_iter().enumerate() {
        if rarefy_kernels::vector::all_finite(values) {
            continue;
        }
        let at = values.iter().position(|value| !value.is_finite());
        let at = at.expect("one value is not finite");
        let row = codes.offsets.partition_point(|offset| *offset <= at);
        let place = match which {
            0 => format!("row {}, latent {}", first + row - 1, codes.indices[at]),
            1 => format!("row {}, mean", first + at),
            _ => format!("row {}, divisor", first + at),
        };
        return Err(Error::out_of_range(path, &place, values[at]));
    }
    Ok(())
}
