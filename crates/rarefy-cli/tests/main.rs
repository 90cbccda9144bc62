//! Integration tests, merged into one binary: each binary costs a link of the whole library.

mod commands;
mod common;
mod compare;
mod convert;
mod errors;
mod explain;
mod explorer;
mod files;
mod frontier;
mod frontier_lists;
mod holdout;
mod hostile;
mod io_spec;
mod latents;
mod plots;
mod run_folders;
mod sparse;
mod survival;
mod sweep;
mod synth;
mod tensorboard;
mod train;
mod training_options;
mod watch;
