//! A trained model.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rarefy::codes::Codes;
use rarefy::data::{OpenOptions, Rows};
use rarefy::{Error, Result, atomic};

use crate::errors::raise;
use crate::input::Input;
use crate::watch;

/// Trained model; shared, never changed.
#[pyclass(frozen, module = "rarefy._core")]
pub struct Model(pub Arc<rarefy::model::Model>);

/// Codes as arrays: values, numbers of latents, starts of rows, and the means and divisors of rows.
pub type Arrays<'py> = (
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyAny>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
);

impl Model {
    pub fn of(model: rarefy::model::Model) -> Self {
        Self(Arc::new(model))
    }

    /// A result of the model on rows, without the interpreter lock.
    fn on_rows<T: Send>(
        &self,
        py: Python<'_>,
        (rows, threads): (&Input<'_>, Option<usize>),
        f: impl FnOnce(&rarefy::model::Model, Rows<'_>) -> Result<T> + Send,
    ) -> PyResult<T> {
        let (view, model) = (rows.view(), &self.0);
        watch::run(py, None, threads, |watch| {
            let data = view.dataset(watch, &OpenOptions::default())?;
            f(model, Rows::from(&data))
        })
    }
}

#[pymethods]
impl Model {
    /// Reads a model from a folder.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| rarefy::model::Model::load(&path))
            .map(Self::of)
            .map_err(|error| raise(py, &error))
    }

    /// Writes the model into a folder.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.save(&path))
            .map_err(|error| raise(py, &error))
    }

    /// The files that `save` writes: names and contents.
    fn files<'py>(&self, py: Python<'py>) -> PyResult<BTreeMap<String, Bound<'py, PyBytes>>> {
        let files = py
            .detach(|| files(&self.0))
            .map_err(|error| raise(py, &error))?;
        let bytes = files
            .into_iter()
            .map(|(name, content)| (name, PyBytes::new(py, &content)));
        Ok(bytes.collect())
    }

    /// Model of such files.
    #[staticmethod]
    fn from_files(py: Python<'_>, files: BTreeMap<String, Vec<u8>>) -> PyResult<Self> {
        py.detach(|| from_files(&files))
            .map(Self::of)
            .map_err(|error| raise(py, &error))
    }

    #[getter]
    fn architecture(&self) -> &'static str {
        self.0.info().name
    }

    /// Options of the architecture, as text.
    #[getter]
    fn options(&self) -> Vec<(String, String)> {
        let of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        self.0.options().iter().map(of).collect()
    }

    #[getter]
    fn is_dense(&self) -> bool {
        self.0.architecture().dense().is_some()
    }

    #[getter]
    fn n_latents(&self) -> usize {
        self.0.d_sae()
    }

    #[getter]
    fn n_inputs(&self) -> usize {
        self.0.raw_d_in()
    }

    #[getter]
    fn n_outputs(&self) -> usize {
        self.0.raw_d_out()
    }

    /// True if the outputs are other rows than the inputs.
    #[getter]
    fn is_transcoder(&self) -> bool {
        self.0.io_spec().has_target()
    }

    #[getter]
    fn image_shape(&self) -> Option<(usize, usize)> {
        self.0.image_shape()
    }

    /// Names of the preprocessing steps.
    #[getter]
    fn preprocess(&self) -> Vec<String> {
        self.0.pipeline().names().to_vec()
    }

    /// Parameters by name, matrices with a row for each latent.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let weights = PyDict::new(py);
        let params = self.0.params();
        for block in params.layout().blocks() {
            let flat = PyArray1::from_slice(py, params.get(block.name));
            // Not by the number of rows, which is 1 in a matrix of a single latent too.
            if block.name.starts_with("w_") {
                weights.set_item(block.name, flat.reshape([block.rows, block.cols])?)?;
            } else {
                weights.set_item(block.name, flat)?;
            }
        }
        Ok(weights)
    }

    /// Codes of rows.
    #[pyo3(signature = (rows, threads = None))]
    fn codes<'py>(
        &self,
        py: Python<'py>,
        rows: Input<'py>,
        threads: Option<usize>,
    ) -> PyResult<Arrays<'py>> {
        let codes = self.on_rows(py, (&rows, threads), |model, rows| model.encode(rows))?;
        Ok(arrays(py, codes))
    }

    /// All latents of rows, zeros included.
    #[pyo3(signature = (rows, threads = None))]
    fn dense<'py>(
        &self,
        py: Python<'py>,
        rows: Input<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let latents = self.on_rows(py, (&rows, threads), |model, rows| model.encode_dense(rows))?;
        matrix(py, latents, self.0.d_sae())
    }

    /// Rows of codes.
    #[allow(
        clippy::too_many_arguments,
        reason = "a function of Python, called with names"
    )]
    #[pyo3(signature = (values, indices, starts, row_means, row_scales, threads = None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        values: PyReadonlyArray1<'py, f32>,
        indices: PyReadonlyArray1<'py, i64>,
        starts: PyReadonlyArray1<'py, i64>,
        row_means: PyReadonlyArray1<'py, f32>,
        row_scales: PyReadonlyArray1<'py, f32>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let codes = Codes {
            d_sae: self.0.d_sae(),
            offsets: whole(py, starts.as_slice()?, "indptr")?,
            indices: whole(py, indices.as_slice()?, "indices")?,
            values: values.as_slice()?.to_vec(),
            row_means: row_means.as_slice()?.to_vec(),
            row_scales: row_scales.as_slice()?.to_vec(),
        };
        let model = &self.0;
        let rows = watch::run(py, None, threads, |_| model.decode(&codes))?;
        matrix(py, rows, model.raw_d_out())
    }

    /// Rows of a dense matrix of latents.
    #[pyo3(signature = (latents, threads = None))]
    fn decode_dense<'py>(
        &self,
        py: Python<'py>,
        latents: PyReadonlyArray2<'py, f32>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, model) = (latents.as_slice()?, &self.0);
        let rows = watch::run(py, None, threads, |_| {
            Ok(model.decode_latents(values, &rarefy::preprocess::RowContext::default()))
        })?;
        matrix(py, rows, model.raw_d_out())
    }

    /// Reconstructions of rows.
    #[pyo3(signature = (rows, threads = None))]
    fn reconstruct<'py>(
        &self,
        py: Python<'py>,
        rows: Input<'py>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let rows = self.on_rows(py, (&rows, threads), |model, rows| model.reconstruct(rows))?;
        matrix(py, rows, self.0.raw_d_out())
    }

    /// Metrics on rows, as JSON.
    #[pyo3(signature = (rows, threads = None))]
    fn evaluate(
        &self,
        py: Python<'_>,
        rows: Input<'_>,
        threads: Option<usize>,
    ) -> PyResult<String> {
        let evaluation = self.on_rows(py, (&rows, threads), |model, rows| model.evaluate(rows))?;
        Ok(serde_json::json!(evaluation).to_string())
    }

    /// The input of length 1 that each latent responds to most.
    fn filters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let filters = py.detach(|| self.0.filters().concat());
        matrix(py, filters, self.0.raw_d_in())
    }

    /// The model without preprocessing, which its weights then contain.
    fn folded(&self, py: Python<'_>) -> PyResult<Self> {
        py.detach(|| self.0.folded())
            .map(Self::of)
            .map_err(|error| raise(py, &error))
    }
}

/// Numbers of latents or starts of rows, which cannot be negative.
fn whole<T: TryFrom<i64>>(py: Python<'_>, numbers: &[i64], name: &str) -> PyResult<Vec<T>> {
    let number = |value: &i64| {
        T::try_from(*value).map_err(|_| {
            let error = Error::hyper(name, "whole numbers from 0 on", value);
            raise(py, &error)
        })
    };
    numbers.iter().map(number).collect()
}

/// A flat vector as a matrix of rows of this width.
pub fn matrix(
    py: Python<'_>,
    values: Vec<f32>,
    width: usize,
) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let rows = values.len() / width.max(1);
    values.into_pyarray(py).reshape([rows, width])
}

/// Codes as arrays of numpy, which take over their memory.
pub fn arrays(py: Python<'_>, codes: Codes) -> Arrays<'_> {
    // Both types have one size, so `collect` uses the same memory again.
    let indices: Vec<i32> = codes.indices.into_iter().map(u32::cast_signed).collect();
    // SciPy copies arrays of different index types, so the starts are i32 too if they fit.
    let fits = codes
        .offsets
        .last()
        .is_none_or(|last| i32::try_from(*last).is_ok());
    let starts = if fits {
        let starts: Vec<i32> = codes
            .offsets
            .into_iter()
            .map(|start| start as i32)
            .collect();
        starts.into_pyarray(py).into_any()
    } else {
        let starts: Vec<i64> = codes
            .offsets
            .into_iter()
            .map(|start| start as i64)
            .collect();
        starts.into_pyarray(py).into_any()
    };
    (
        codes.values.into_pyarray(py),
        indices.into_pyarray(py),
        starts,
        codes.row_means.into_pyarray(py),
        codes.row_scales.into_pyarray(py),
    )
}

/// Files of a saved model.
fn files(model: &rarefy::model::Model) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    model.save(folder.path())?;
    let entries = std::fs::read_dir(folder.path()).map_err(Error::io(folder.path()))?;
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.map_err(Error::io(folder.path()))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok((name, std::fs::read(&path).map_err(Error::io(&path))?))
    };
    entries.map(read).collect()
}

fn from_files(files: &BTreeMap<String, Vec<u8>>) -> Result<rarefy::model::Model> {
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    for (name, content) in files {
        let is_plain = !name.contains(['/', '\\']) && name != "..";
        if !is_plain {
            return Err(Error::hyper("files", "names without folders", name));
        }
        atomic::write(folder.path().join(name), |out| out.write_all(content))?;
    }
    rarefy::model::Model::load(folder.path())
}
