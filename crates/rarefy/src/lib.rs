//! Sparse autoencoders, exact and fast.
#![forbid(unsafe_code)]

pub mod atomic;
pub mod data;
mod error;

pub use error::{Error, Result, nearest};
