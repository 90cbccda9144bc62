//! Training step by step on batches that the caller pushes, and mixing of a stream.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::PyArray2;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rand::{RngExt, SeedableRng};
use rarefy::data::{OpenOptions, Rows};
use rarefy::{Error, Result, Rng, config};

use crate::input::{Input, View};
use crate::model::{Model, matrix};
use crate::watch::{self, Watch};
use crate::{errors, settings};

/// Trainer of batches that are pushed.
#[pyclass(frozen, module = "rarefy._core")]
pub struct Trainer {
    inner: Mutex<rarefy::Trainer>,
    /// Threads of all its steps; all cores if absent.
    threads: Option<usize>,
}

/// Rows of an input in memory.
fn values(view: View<'_>, watch: &Watch) -> Result<(Vec<f32>, usize)> {
    let data = view.dataset(watch, &OpenOptions::default())?;
    let source = data.source.as_ref();
    let mut values = vec![0.0; source.rows() * source.d_in()];
    source.read(0, &mut values)?;
    Ok((values, source.d_in()))
}

impl Trainer {
    fn lock(&self) -> MutexGuard<'_, rarefy::Trainer> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Trainer {
    /// Trainer at step 0, or at a checkpoint. Preprocessing and initial weights follow from the rows of `sample`.
    #[new]
    #[pyo3(signature = (sample, settings, checkpoint = None, threads = None))]
    fn new(
        py: Python<'_>,
        sample: Input<'_>,
        settings: &Bound<'_, PyDict>,
        checkpoint: Option<PathBuf>,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let layer = settings::layer(settings)?;
        let view = sample.view();
        let trainer = watch::run(py, None, threads, |watch| {
            let config = config::merge(&[layer])?;
            let (values, width) = values(view, watch)?;
            let sample: Rows = (&values, width).into();
            match &checkpoint {
                Some(path) => rarefy::Trainer::resume_stream(&config, sample, path),
                None => rarefy::Trainer::stream(&config, sample),
            }
        })?;
        let inner = Mutex::new(trainer);
        Ok(Self { inner, threads })
    }

    /// Takes one step, and returns its progress.
    fn step<'py>(&self, py: Python<'py>, batch: Input<'py>) -> PyResult<Bound<'py, PyDict>> {
        let view = batch.view();
        let progress = watch::run(py, None, self.threads, |watch| {
            let (values, _) = values_of_width(view, watch, &self.lock())?;
            self.lock().step(&values)
        })?;
        watch::dict(py, &progress)
    }

    fn checkpoint(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.lock().checkpoint(&path))
            .map_err(|error| errors::raise(py, &error))
    }

    /// Ends training; a threshold is calibrated on `held_out`, if given.
    #[pyo3(signature = (held_out = None))]
    fn finish(&self, py: Python<'_>, held_out: Option<Input<'_>>) -> PyResult<Model> {
        let view = held_out.as_ref().map(Input::view);
        // On a copy: after Ctrl-C, training can go on or be ended again.
        let model = watch::run(py, None, self.threads, |watch| match view {
            Some(view) => {
                let data = view.dataset(watch, &OpenOptions::default())?;
                self.lock().snapshot(Some(data.source.as_ref()))
            }
            None => self.lock().snapshot(None),
        })?;
        self.lock().close();
        Ok(Model::of(model))
    }

    /// Model of the steps so far.
    fn snapshot(&self, py: Python<'_>) -> PyResult<Model> {
        watch::run(py, None, self.threads, |_| self.lock().snapshot(None)).map(Model::of)
    }

    #[getter]
    fn steps_done(&self) -> usize {
        self.lock().steps_done()
    }

    #[getter]
    fn rows_seen(&self) -> u64 {
        self.lock().rows_seen()
    }

    #[getter]
    fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    #[getter]
    fn warnings(&self) -> Vec<String> {
        let warnings = self.lock().plan().warnings().to_vec();
        warnings
            .iter()
            .map(|text| errors::in_python(text))
            .collect()
    }
}

/// Rows of a batch; refused if they have another width than the run's.
fn values_of_width(
    view: View<'_>,
    watch: &Watch,
    trainer: &rarefy::Trainer,
) -> Result<(Vec<f32>, usize)> {
    let (values, width) = values(view, watch)?;
    let expected = trainer.pushed_width();
    if width != expected {
        return Err(Error::Shape {
            what: "batch: values in a row".into(),
            expected: expected.to_string(),
            got: width.to_string(),
        });
    }
    Ok((values, width))
}

/// Store of rows of a stream that gives batches of rows drawn at random, so that neighbours in the stream part.
///
/// Each drawn row is replaced by the last row of the store. The same seed and rows give the same batches, however the
/// stream is cut into pieces.
#[pyclass(module = "rarefy._core")]
pub struct Mixer {
    width: usize,
    capacity: usize,
    rows: Vec<f32>,
    rng: Rng,
}

#[pymethods]
impl Mixer {
    #[new]
    fn new(width: usize, capacity: usize, seed: u64) -> Self {
        let rng = Rng::seed_from_u64(seed);
        Self {
            width,
            capacity,
            rows: Vec::new(),
            rng,
        }
    }

    /// Adds rows from `start` on, until the store is full; returns the number of the first row that was not added.
    fn push(&mut self, py: Python<'_>, rows: Input<'_>, start: usize) -> PyResult<usize> {
        let view = rows.view();
        let free = self.capacity.saturating_sub(self.len());
        let width = self.width;
        let added = watch::run(py, None, None, |watch| {
            let data = view.dataset(watch, &OpenOptions::default())?;
            let source = data.source.as_ref();
            if source.d_in() != width {
                return Err(Error::Shape {
                    what: "stream: values in a row".into(),
                    expected: width.to_string(),
                    got: source.d_in().to_string(),
                });
            }
            let count = free.min(source.rows().saturating_sub(start));
            let mut values = vec![0.0; count * width];
            source.read(start, &mut values)?;
            Ok(values)
        })?;
        self.rows.extend_from_slice(&added);
        Ok(start + added.len() / width)
    }

    /// Number of rows in the store.
    fn __len__(&self) -> usize {
        self.len()
    }

    #[getter]
    fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// Draws `count` rows, or as many as there are.
    fn draw<'py>(&mut self, py: Python<'py>, count: usize) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let width = self.width;
        let mut batch = Vec::with_capacity(count * width);
        for _ in 0..count.min(self.len()) {
            let last = self.len() - 1;
            let row = self.rng.random_range(0..=last);
            batch.extend_from_slice(&self.rows[row * width..][..width]);
            self.rows.copy_within(last * width.., row * width);
            self.rows.truncate(last * width);
        }
        matrix(py, batch, width)
    }
}

impl Mixer {
    fn len(&self) -> usize {
        self.rows.len() / self.width
    }
}
