//! Safetensors files of our own: codes, models, preprocessing, checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result, atomic};

/// Values that are turned into bytes together: few enough to stay in a core's cache.
const PIECE: usize = 1 << 14;

/// A number as it lies in the files that we write: little-endian.
pub(crate) trait Number: Copy + 'static {
    /// Its name in a safetensors header.
    const DTYPE: Dtype;

    /// Writes the bytes of all values, one after the other, a piece at a time.
    fn write(values: &[Self], out: &mut dyn Write) -> io::Result<()>;

    /// The values of so many bytes.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;

    /// The bytes of all values, one after the other.
    fn to_bytes(values: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        Self::write(values, &mut bytes).expect("memory takes what it is given");
        bytes
    }
}

macro_rules! number {
    ($type:ty, $dtype:ident) => {
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

            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                let (values, _) = bytes.as_chunks();
                values.iter().map(|b| Self::from_le_bytes(*b)).collect()
            }
        }
    };
}

number!(f32, F32);
number!(f64, F64);
number!(i64, I64);
number!(u64, U64);

/// The header's entry that holds our texts.
const TEXTS: &str = "rarefy";

/// Tensors and texts on their way to a file.
///
/// Values stay where they are until the file is written, and go into it a piece at a time: a checkpoint
/// of a large model takes no memory beside the model.
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

/// Writes so many bytes.
type Bytes<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

impl<'a> Writer<'a> {
    /// Adds a vector, borrowed or given.
    pub(crate) fn vector<T: Number>(
        &mut self,
        name: impl Into<String>,
        values: impl AsRef<[T]> + 'a,
    ) {
        let length = values.as_ref().len();
        self.tensor(name, &[length], values);
    }

    /// Adds a tensor of any shape, row-major, borrowed or given.
    ///
    /// # Panics
    /// If the shape holds another number of values.
    #[track_caller]
    pub(crate) fn tensor<T: Number>(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: impl AsRef<[T]> + 'a,
    ) {
        let (length, bytes) = (values.as_ref().len(), size_of_val(values.as_ref()));
        assert_eq!(shape.iter().product::<usize>(), length, "values of a shape");
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: T::DTYPE,
            shape: shape.to_vec(),
            bytes,
            write: Box::new(move |out| T::write(values.as_ref(), out)),
        });
    }

    /// Adds a matrix of `rows` rows the other way round, for formats that keep it so: `[cols, rows]`.
    ///
    /// # Panics
    /// If there is another number of values.
    #[track_caller]
    pub(crate) fn transposed(
        &mut self,
        name: impl Into<String>,
        values: &'a [f32],
        rows: usize,
        cols: usize,
    ) {
        assert_eq!(rows * cols, values.len(), "values of a matrix");
        self.tensors.push(Tensor {
            name: name.into(),
            dtype: Dtype::F32,
            shape: vec![cols, rows],
            bytes: size_of_val(values),
            write: Box::new(move |out| write_transposed(values, rows, cols, out)),
        });
    }

    /// Adds a text to the header.
    pub(crate) fn text(&mut self, key: &str, value: &impl ToString) {
        self.texts.insert(key.into(), value.to_string());
    }

    /// Writes the file, atomically.
    pub(crate) fn write(mut self, path: &Path) -> Result<()> {
        // As the format wants it: wider numbers first, so that every tensor begins at a multiple of
        // the size of its numbers.
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

    /// The header, filled up to whole words of eight bytes. All texts go into one entry, as JSON with
    /// sorted keys: a hash map of several would come out in another order each time.
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

/// Writes the columns of a matrix as rows, some columns at a time, so that a row's neighbours, which
/// come into the caches with it, are used while they are there.
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

/// A file's tensors, whole in memory and checked against its header.
pub(crate) struct Reader<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
    texts: BTreeMap<String, String>,
}

impl<'a> Reader<'a> {
    /// Reads the header; `bytes` is the whole file.
    pub(crate) fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let damaged =
            |e: safetensors::SafeTensorError| Error::format(path, format!("damaged file: {e}"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let texts = metadata.metadata().as_ref().and_then(|all| all.get(TEXTS));
        let texts = texts.map_or(Ok(BTreeMap::new()), |json| serde_json::from_str(json));
        Ok(Self {
            path,
            file,
            texts: texts.map_err(|e| Error::format(path, format!("damaged header: {e}")))?,
        })
    }

    /// An error that names the file.
    pub(crate) fn bad(&self, why: impl Into<String>) -> Error {
        Error::format(self.path, why)
    }

    /// A text of the header.
    pub(crate) fn text(&self, key: &str) -> Result<&str> {
        self.texts
            .get(key)
            .map(String::as_str)
            .ok_or_else(|| self.bad(format!("expected `{key}` in the header, got none")))
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_ok()
    }

    /// A tensor as it lies in the file.
    pub(crate) fn view(&self, name: &str) -> Result<TensorView<'a>> {
        self.file
            .tensor(name)
            .map_err(|_| self.bad(format!("expected a tensor `{name}`, got none")))
    }

    /// All values of a tensor that must be of this very type.
    pub(crate) fn vector<T: Number>(&self, name: &str) -> Result<Vec<T>> {
        let view = self.view(name)?;
        if view.dtype() != T::DTYPE {
            let why = format!("{name}: expected {:?}, got {:?}", T::DTYPE, view.dtype());
            return Err(self.bad(why));
        }
        Ok(T::from_bytes(view.data()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of all kinds of tensors, in an order that is not the format's.
    fn write(path: &Path, matrix: &[f32]) {
        let mut file = Writer::default();
        file.text("step", &7);
        file.text("arch", &"kl");
        file.vector("z", [1.0f32, 2.0]);
        file.transposed("turned", matrix, 3, 20);
        file.vector("wide", vec![0.5f64; PIECE + 1]);
        file.tensor("a", &[2, 1], [3.0f32, 4.0]);
        file.vector("none", Vec::<u64>::new());
        file.vector("whole", [u64::MAX]);
        file.write(path).unwrap();
    }

    #[test]
    fn a_file_is_the_one_that_the_formats_own_package_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let matrix: Vec<f32> = (0..60).map(|v| v as f32).collect();
        write(&path, &matrix);

        let mut turned = Vec::new();
        for column in 0..20 {
            turned.extend((0..3).map(|row| matrix[row * 20 + column]));
        }
        let tensors = [
            ("z", Dtype::F32, vec![2], f32::to_bytes(&[1.0, 2.0])),
            ("turned", Dtype::F32, vec![20, 3], f32::to_bytes(&turned)),
            (
                "wide",
                Dtype::F64,
                vec![PIECE + 1],
                f64::to_bytes(&vec![0.5; PIECE + 1]),
            ),
            ("a", Dtype::F32, vec![2, 1], f32::to_bytes(&[3.0, 4.0])),
            ("none", Dtype::U64, vec![0], Vec::new()),
            ("whole", Dtype::U64, vec![1], vec![255; 8]),
        ];
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let texts = "{\"arch\":\"kl\",\"step\":\"7\"}".to_owned();
        let metadata = HashMap::from([(TEXTS.to_owned(), texts)]);
        let expected = safetensors::serialize(views, Some(metadata)).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        write(&path, &[0.25; 60]);
        let bytes = std::fs::read(&path).unwrap();
        let file = Reader::new(&path, &bytes).unwrap();
        assert_eq!(
            (file.text("step").unwrap(), file.text("arch").unwrap()),
            ("7", "kl")
        );
        assert_eq!(file.vector::<f64>("wide").unwrap(), vec![0.5; PIECE + 1]);
        assert_eq!(file.vector::<u64>("whole").unwrap(), [u64::MAX]);
        assert_eq!(file.view("turned").unwrap().shape(), [20, 3]);
    }
}
