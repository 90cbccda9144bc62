//! Sparse autoencoders, exact and fast.
#![forbid(unsafe_code)]

pub mod atomic;
pub mod check;
pub mod codes;
pub mod config;
pub mod data;
mod error;
pub mod formats;
pub mod metrics;
pub mod model;
pub mod optim;
pub mod params;
pub mod penalty;
pub mod plan;
pub mod preprocess;
mod tensors;
pub mod train;
pub mod variants;

pub use error::{Error, Result, nearest};

/// The generator of every random number: seeded by the caller, its stream pinned for ever.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;
