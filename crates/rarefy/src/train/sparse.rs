//! Training of sparse architectures.

mod blocks;
pub mod step;
