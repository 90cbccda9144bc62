//! Compiled part of the Python package `rarefy`. The classes and functions that users see are in `python/rarefy`.
#![forbid(unsafe_code)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "arguments of Python functions are owned"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock decides when a checkpoint is written; results do not depend on it"
)]

mod errors;
mod input;
mod latents;
mod model;
mod settings;
mod store;
mod trainer;
mod training;
mod watch;

use pyo3::prelude::*;
use rarefy_kernels::memory::Lines;

#[global_allocator]
static MEMORY: Lines = Lines;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::Model>()?;
    module.add_class::<trainer::Trainer>()?;
    module.add_class::<trainer::Mixer>()?;
    module.add_function(wrap_pyfunction!(latents::responses, module)?)?;
    module.add_function(wrap_pyfunction!(latents::associations, module)?)?;
    module.add_function(wrap_pyfunction!(latents::page, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    module.add_function(wrap_pyfunction!(training::open, module)?)?;
    module.add_function(wrap_pyfunction!(training::roles, module)?)?;
    module.add_function(wrap_pyfunction!(training::read_run, module)?)?;
    module.add_function(wrap_pyfunction!(training::synth, module)?)?;
    module.add_function(wrap_pyfunction!(training::architectures, module)?)?;
    module.add_function(wrap_pyfunction!(store::shard, module)?)?;
    Ok(())
}
