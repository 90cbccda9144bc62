//! Pictures and pages from plain run records; knows nothing of training.
#![forbid(unsafe_code)]
