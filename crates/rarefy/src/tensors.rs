//! Reading and writing of this project's safetensors files: codes, models, preprocessing, checkpoints.

mod checksum;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::{Error, Result, atomic};
use checksum::{CHECKSUM, Checksum};

/// Values converted to bytes at a time: few enough to stay in a core's cache.
const PIECE: usize = 1 << 14;

/// Element type of a tensor, stored in little-endian byte order.
pub(crate) trait Number: Copy + 'static {
    /// Name of the type in a safetensors header.
    const DTYPE: Dtype;

    /// Writes the bytes of all values, `PIECE` values at a time.
    fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()>;

    /// True if the value is not NaN or infinite.
    fn is_finite(self) -> bool;

    /// Converts bytes to values.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;

    /// Converts values to bytes.
    fn to_bytes(values: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        Self::write(values, &mut bytes).expect("writing to memory does not fail");
        bytes
    }
}

macro_rules! number {
    ($type:ty, $dtype:ident, $is_finite:expr) => {
        impl Number for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()> {
                let mut bytes = vec![0; PIECE.min(values.len()) * size_of::<Self>()];
                for piece in values.chunks(PIECE) {
                    let bytes = &mut bytes[..size_of_val(piece)];
                    let (places, _) = bytes.as_chunks_mut();
                    let pairs = places.iter_mut().zip(piece);
                    pairs.for_each(|(place, value)| *place = value.to_le_bytes());
                    out.write_all(bytes)?;
                }
                Ok(())
            }

            fn is_finite(self) -> bool {
                ($is_finite)(self)
            }

            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                let (values, _) = bytes.as_chunks();
                values.iter().map(|b| Self::from_le_bytes(*b)).collect()
            }
        }
    };
}

number!(f32, F32, f32::is_finite);
number!(f64, F64, f64::is_finite);
number!(i32, I32, |_| true);
number!(i64, I64, |_| true);
number!(u64, U64, |_| true);

/// Key of the header entry that holds all texts as one JSON object.
const TEXTS: &str = "rarefy";

/// Builder of a safetensors file from tensors and texts.
///
/// The builder borrows the values and streams them into the file. A checkpoint of a large model so needs
/// no second copy of the model in memory.
#[derive(Default)]
pub(crate) struct Writer<'a> {
    tensors: Vec<Tensor<'a>>,
    texts: BTreeMap<String, String>,
}

struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
    write: Box<Bytes<'a>>,
}

/// Closure that writes the bytes of one tensor.
type Bytes<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

impl<'a> Writer<'a> {
    /// Adds a vector, borrowed or owned.
    pub(crate) fn vector<T: Number>(
        &mut self,
        name: impl Into<String>,
        values: impl AsRef<[T]> + 'a,
    ) {
        let length = values.as_ref().len();
        self.tensor(name, &[length], values);
    }

    /// Adds a tensor of any shape in row-major order, borrowed or owned.
    ///
    /// # Panics
    /// If the number of values is not the product of the shape.
    #[track_caller]
    pub(crate) fn tensor<T: Number>(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: impl AsRef<[T]> + 'a,
    ) {
        let (length, bytes) = (values.as_ref().len(), size_of_val(values.as_ref()));
        assert_eq!(
            shape.iter().product::<usize>(),
            length,
            "number of values must be the product of the shape"
        );
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: T::DTYPE,
            shape: shape.to_vec(),
            bytes,
            write: Box::new(move |out| T::write(values.as_ref(), out)),
        });
    }

    /// Adds a vector of `length` values whose bytes `write` writes.
    pub(crate) fn streamed<T: Number>(
        &mut self,
        name: impl Into<String>,
        length: usize,
        write: impl Fn(&mut dyn Write) -> io::Result<()> + 'a,
    ) {
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: T::DTYPE,
            shape: vec![length],
            bytes: length * size_of::<T>(),
            write: Box::new(write),
        });
    }

    /// Adds the transpose `[cols, rows]` of the matrix `[rows, cols]`, for formats with that orientation.
    ///
    /// The transposing happens while the file is written, a few columns at a time; see
    /// [`rarefy_kernels::matmul::transpose`] for a transpose in memory.
    ///
    /// # Panics
    /// If the number of values is not `rows * cols`.
    #[track_caller]
    pub(crate) fn transposed(
        &mut self,
        name: impl Into<String>,
        values: &'a [f32],
        rows: usize,
        cols: usize,
    ) {
        assert_eq!(
            rows * cols,
            values.len(),
            "number of values must be rows * cols"
        );
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: Dtype::F32,
            shape: vec![cols, rows],
            bytes: size_of_val(values),
            write: Box::new(move |out| write_transposed(values, rows, cols, out)),
        });
    }

    /// Adds a text (key and value) to the header.
    pub(crate) fn text(&mut self, key: &str, value: &impl ToString) {
        self.texts.insert(key.into(), value.to_string());
    }

    /// Adds the CRC-32 of all texts and tensors to the header, for [`Reader::verify`].
    pub(crate) fn checksum(&mut self) {
        let mut sum = Checksum::of_texts(&self.texts);
        self.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        for tensor in &self.tensors {
            sum.update(tensor.name.as_bytes());
            (tensor.write)(&mut sum).expect("a checksum takes all bytes");
        }
        self.text(CHECKSUM, &sum);
    }

    /// Writes the file, atomically.
    pub(crate) fn write(mut self, path: &Path) -> Result<()> {
        // The format's own package sorts wider types first, so that every tensor starts at a multiple of
        // its element size.
        self.tensors
            .sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let header = self.header(path)?;
        atomic::write(path, |out| {
            out.write_all(&(header.len() as u64).to_le_bytes())?;
            out.write_all(&header)?;
            self.tensors
                .iter()
                .try_for_each(|tensor| (tensor.write)(out))
        })
    }

    /// Header bytes, padded to a multiple of eight. All texts go into one entry, as JSON with sorted keys:
    /// the format's package keeps entries in a hash map, whose order differs from run to run.
    fn header(&self, path: &Path) -> Result<Vec<u8>> {
        let texts = serde_json::to_string(&self.texts).expect("texts are JSON");
        let texts = (!self.texts.is_empty()).then(|| HashMap::from([(TEXTS.to_owned(), texts)]));
        let mut start = 0;
        let infos = self.tensors.iter().map(|tensor| {
            let offsets = (start, start + tensor.bytes);
            start = offsets.1;
            let info = TensorInfo {
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                data_offsets: offsets,
            };
            (tensor.name.clone(), info)
        });
        let metadata = Metadata::new(texts, infos.collect())
            .map_err(|e| Error::format(path, e.to_string()))?;
        let mut header = serde_json::to_vec(&metadata).expect("a header is JSON");
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }
}

/// Writes the transpose of a matrix, 16 columns at a time: one cache line of a row holds 16 values, so each
/// line is loaded once.
fn write_transposed(
    values: &[f32],
    rows: usize,
    cols: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    const COLUMNS: usize = 16;
    let mut piece = vec![0.0; COLUMNS.min(cols) * rows];
    for first in (0..cols).step_by(COLUMNS) {
        let width = COLUMNS.min(cols - first);
        for (row, values) in values.chunks_exact(cols).enumerate() {
            for (column, value) in values[first..first + width].iter().enumerate() {
                piece[column * rows + row] = *value;
            }
        }
        f32::write(&piece[..width * rows], out)?;
    }
    Ok(())
}

/// Texts in the header of a file of [`Writer`]; empty for other files and for damaged headers. Only the header is read.
pub(crate) fn texts(path: &Path) -> BTreeMap<String, String> {
    /// Longest header that is read; those of our files are far shorter.
    const LONGEST: u64 = 16 << 20;
    let read = || -> Option<BTreeMap<String, String>> {
        let mut file = std::fs::File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = Some(u64::from_le_bytes(length)).filter(|length| *length <= LONGEST)?;
        let mut header = Vec::new();
        file.take(length).read_to_end(&mut header).ok()?;
        let metadata: Metadata = serde_json::from_slice(&header).ok()?;
        let texts = metadata.metadata().as_ref()?.get(TEXTS)?;
        serde_json::from_str(texts).ok()
    };
    read().unwrap_or_default()
}

/// Reader of a safetensors file that is whole in memory and was checked against its header.
pub(crate) struct Reader<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
    texts: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    /// Reads the header. `bytes` is the content of the whole file.
    pub(crate) fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let damaged = |e: SafeTensorError| {
            let why = match e {
                SafeTensorError::MetadataIncompleteBuffer => {
                    "truncated, or longer than its header says".into()
                }
                e => e.to_string(),
            };
            Error::format(path, format!("damaged safetensors file: {why}"))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let texts = metadata.metadata().as_ref().and_then(|all| all.get(TEXTS));
        let texts = texts.map_or(Ok(BTreeMap::new()), |json| serde_json::from_str(json));
        Ok(Self {
            path,
            file,
            texts: texts.map_err(|e| {
                let why =
                    format!("damaged header: expected a JSON object of texts as `{TEXTS}`: {e}");
                Error::format(path, why)
            })?,
        })
    }

    /// [`Error::Format`] with the path of this file.
    pub(crate) fn bad(&self, why: impl Into<String>) -> Error {
        Error::format(self.path, why)
    }

    /// Text with this key in the header.
    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        self.texts
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.bad(format!("expected `{key}` in the header, got none")))
    }

    /// Fails if the content differs from the checksum of the header. A file without a checksum passes.
    pub(crate) fn verify(&self) -> Result<()> {
        let Some(expected) = self.texts.get(CHECKSUM) else {
            return Ok(());
        };
        let mut sum = Checksum::of_texts(&self.texts);
        let names: std::collections::BTreeSet<&str> = self.names().collect();
        for name in names {
            sum.update(name.as_bytes());
            sum.update(self.view(name)?.data());
        }
        let got = sum.to_string();
        if got == *expected {
            return Ok(());
        }
        Err(self.bad(format!(
            "damaged: expected the checksum {expected} of the header, got {got} for the content"
        )))
    }

    /// True if the file has a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.file.names().into_iter()
    }

    /// Tensor of this name: type, shape and bytes.
    pub(crate) fn view(&self, name: &str) -> Result<TensorView<'a>> {
        self.file
            .tensor(name)
            .map_err(|_| self.bad(format!("expected a tensor `{name}`, got none")))
    }

    /// Values of the tensor of this name, whose type must be `T`.
    pub(crate) fn vector<T: Number>(&self, name: &str) -> Result<Vec<T>> {
        let view = self.view(name)?;
        if view.dtype() != T::DTYPE {
            let why = format!(
                "tensor {name}: expected type {:?}, got {:?}",
                T::DTYPE,
                view.dtype()
            );
            return Err(self.bad(why));
        }
        Ok(T::from_bytes(view.data()))
    }

    /// Values of the tensor of this name, which must be finite.
    pub(crate) fn finite<T: Number + Display>(&self, name: &str) -> Result<Vec<T>> {
        let values: Vec<T> = self.vector(name)?;
        let Some(at) = values.iter().position(|value| !value.is_finite()) else {
            return Ok(values);
        };
        let got = values[at];
        Err(self.bad(format!(
            "damaged: {name}: expected finite numbers, got {got} at index {at}"
        )))
    }
}

#[cfg(test)]
mod tests;
