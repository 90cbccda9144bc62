//! Run folders, records, figures and reports of training runs, shared by the program and the Python package.
//!
//! The mathematics is in `rarefy`, the page in `rarefy-report`. Nothing here prints or parses arguments; the clock is read only to
//! write checkpoints in time, to say how long the parts of a run took, and for the times in event files.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_errors_doc,
    reason = "an internal crate: all errors are of reading and writing files, or named in the first line"
)]

pub mod by_data;
pub mod figures;
pub mod folder;
pub mod follow;
pub mod output_path;
pub mod records;
pub mod report;
pub mod settings;
pub mod tensorboard;
pub mod timings;
pub mod tokens;
pub mod training;
pub mod watched;
pub mod words;
