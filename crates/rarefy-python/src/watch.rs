//! Work without the interpreter lock: progress, messages and Ctrl-C, looked at twenty times a second.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rarefy::{Error, Progress, Result};

use crate::errors::raise;

/// Time between two looks at signals.
const PAUSE: Duration = Duration::from_millis(50);

/// Process that first did work here; threads do not survive a fork.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Progress and messages of the working thread for the caller's thread, and the request to stop.
#[derive(Default)]
pub struct Watch {
    stop: AtomicBool,
    progress: Mutex<Option<Progress>>,
    messages: Mutex<Vec<String>>,
}

impl Watch {
    /// Fails with [`Error::Interrupted`] if the caller asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.is_stopped() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    /// True if the caller asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Progress for the next look.
    pub fn step(&self, progress: &Progress) {
        *lock(&self.progress) = Some(progress.clone());
    }

    /// Message for the next look.
    pub fn say(&self, message: String) {
        lock(&self.messages).push(message);
    }

    /// Passes progress and messages on, and looks at signals.
    fn look(&self, py: Python<'_>, listener: Option<&Py<PyAny>>) -> PyResult<()> {
        py.check_signals()?;
        let Some(listener) = listener else {
            return Ok(());
        };
        for message in lock(&self.messages).drain(..).collect::<Vec<_>>() {
            listener.call_method1(py, "message", (message,))?;
        }
        let progress = lock(&self.progress).take();
        if let Some(progress) = progress {
            listener.call_method1(py, "step", (dict(py, &progress)?,))?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Progress as a dictionary.
pub fn dict<'py>(py: Python<'py>, progress: &Progress) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("step", progress.step)?;
    dict.set_item("steps", progress.steps)?;
    dict.set_item("rows_seen", progress.rows_seen)?;
    dict.set_item("loss", progress.parts.total())?;
    dict.set_item("reconstruction", progress.parts.reconstruction)?;
    dict.set_item("penalty", progress.parts.penalty)?;
    dict.set_item("auxiliary", progress.parts.auxiliary)?;
    dict.set_item("gradient_norm", progress.gradient_norm)?;
    dict.set_item("rho_hat_mean", progress.rho_hat_mean)?;
    dict.set_item("l0", progress.sparse.map(|s| s.l0))?;
    dict.set_item("dead_fraction", progress.sparse.map(|s| s.dead_fraction))?;
    dict.set_item(
        "explained_variance",
        progress.sparse.map(|s| s.explained_variance),
    )?;
    Ok(dict)
}

/// Refuses work in a forked child: the threads of the parent are gone there, and a call would wait for them for ever.
fn check_process() -> PyResult<()> {
    let process = std::process::id();
    let first = PROCESS.compare_exchange(0, process, Ordering::Relaxed, Ordering::Relaxed);
    match first {
        Err(other) if other != process => Err(PyRuntimeError::new_err(
            "rarefy was used before os.fork(), and its threads do not exist in the child: start processes with the method \
             'spawn' or 'forkserver' of multiprocessing, or use joblib's default",
        )),
        _ => Ok(()),
    }
}

/// Does `work` on a thread of its own without the interpreter lock. Progress and messages go to `listener`, an object with
/// the methods `step` and `message`. Ctrl-C, or an exception of the listener, stops the work at the next safe point and is
/// raised then.
pub fn run<T: Send>(
    py: Python<'_>,
    listener: Option<Py<PyAny>>,
    threads: Option<usize>,
    work: impl FnOnce(&Watch) -> Result<T> + Send,
) -> PyResult<T> {
    check_process()?;
    let watch = Watch::default();
    let pool = threads.map(pool).transpose()?;
    let (outcome, failure) = py.detach(|| {
        std::thread::scope(|scope| {
            let (done, ended) = sync_channel::<()>(1);
            let watch = &watch;
            let worker = scope.spawn(move || {
                let _done = done;
                match &pool {
                    Some(pool) => pool.install(|| work(watch)),
                    None => work(watch),
                }
            });
            let mut failure = None;
            // The channel closes when the worker ends, also by a panic.
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(PAUSE) {
                if failure.is_none()
                    && let Err(error) = Python::attach(|py| watch.look(py, listener.as_ref()))
                {
                    watch.stop.store(true, Ordering::Relaxed);
                    failure = Some(error);
                }
            }
            (worker.join(), failure)
        })
    });
    let outcome = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if let Some(failure) = failure {
        return Err(failure);
    }
    // Warnings come before the error that they explain.
    let told = watch.look(py, listener.as_ref());
    match outcome {
        Err(Error::Interrupted) => Err(PyKeyboardInterrupt::new_err("interrupted")),
        Err(error) => Err(raise(py, &error)),
        Ok(result) => told.map(|()| result),
    }
}

fn pool(threads: usize) -> PyResult<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| PyRuntimeError::new_err(format!("threads: {error}")))
}
