//! Integration tests, merged into one binary: each binary costs a link of the whole library.

mod arrays;
mod common_errors;
mod content;
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
mod lbfgs;
mod normalise;
mod readers;
mod resample;
mod schedule_free;
mod sparse;
mod synth;
mod tables;
mod upstream;
