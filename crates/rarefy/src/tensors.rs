//! Safetensors files of our own: codes, models, preprocessing, checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result, atomic};

/// A number as it lies in the files that we write: little-endian.
pub(crate) trait Number: Copy {
    /// Its name in a safetensors header.
    const DTYPE: Dtype;

    /// The bytes of all values, one after the other.
    fn to_bytes(values: &[Self]) -> Vec<u8>;

    /// The values of so many bytes.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! number {
    ($type:ty, $dtype:ident) => {
        impl Number for $type {
            const DTYPE: Dtype = Dtype::$dtype;

            fn to_bytes(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|v| v.to_le_bytes()).collect()
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
#[derive(Default)]
pub(crate) struct Writer {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    texts: BTreeMap<String, String>,
}

impl Writer {
    /// Adds a vector.
    pub(crate) fn vector<T: Number>(&mut self, name: impl Into<String>, values: &[T]) {
        self.tensor(name, &[values.len()], values);
    }

    /// Adds a tensor of any shape, row-major.
    pub(crate) fn tensor<T: Number>(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: &[T],
    ) {
        let bytes = T::to_bytes(values);
        self.tensors
            .push((name.into(), T::DTYPE, shape.to_vec(), bytes));
    }

    /// Adds a text to the header.
    pub(crate) fn text(&mut self, key: &str, value: &impl ToString) {
        self.texts.insert(key.into(), value.to_string());
    }

    /// Writes the file, atomically. All texts go into one entry of the header, as JSON with sorted
    /// keys: a hash map of several would come out in another order each time.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let texts = serde_json::to_string(&self.texts).expect("texts are JSON");
        let metadata = (!self.texts.is_empty()).then(|| HashMap::from([(TEXTS.to_owned(), texts)]));
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            (name, view.expect("the shape holds as many values"))
        });
        let bytes = safetensors::serialize(views, metadata)
            .map_err(|e| Error::format(path, e.to_string()))?;
        atomic::write(path, |out| out.write_all(&bytes))
    }
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
