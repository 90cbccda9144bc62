//! Integration tests, merged into one binary: each binary costs a link of the whole library.

mod arrays;
#[cfg(feature = "parquet")]
mod caches;
mod closed_form;
mod common_errors;
mod content;
mod csv;
mod explain;
mod files;
mod fixtures;
mod folder;
mod formats;
mod fuzz;
mod golden;
mod golden_peers;
mod golden_topk;
mod holdout;
mod hostile;
mod hostile_tables;
mod io_spec;
mod kept;
mod latents_found;
mod lbfgs;
mod normalise;
mod offsets;
mod readers;
mod resample;
mod schedule_free;
mod sparse;
mod synth;
mod tables;
mod upstream;
