//! Numeric kernels of rarefy: slices in, slices out.
//!
//! The only crate with `unsafe`, and that only to call code compiled for instructions that were
//! found at start. It reads no file and no clock, draws no random numbers and allocates only
//! where a function says so. Every operation has a plain f64 twin in [`naive`], which is what
//! the tests compare with.
//!
//! All matrices are row-major. A row of `x` is a sample; row `j` of `w_enc` and of `w_dec`
//! belongs to latent `j`.

#![allow(
    clippy::inline_always,
    reason = "a kernel's body must be inlined into each of its CPU versions"
)]

mod cpu;
pub mod decoder;
pub mod encoder;
mod lanes;
mod math;
pub mod matmul;
pub mod naive;
pub mod peak;
mod strips;
#[cfg(test)]
mod twins;
pub mod vector;

pub use cpu::{Path, path};
