//! Numeric kernels of rarefy: slices in, slices out.
//!
//! The only crate with `unsafe`, and that for two things: instructions (found at start, or a prefetch,
//! which every x86-64 has), and the `gemm` crate's products. It reads no file and no clock and draws
//! no random numbers. Kernels write into the slices that they are given and allocate nothing; dense
//! products do ([`matmul`]: packed panels in the `gemm` crate, or a transposed copy for our own
//! loops), and so does [`naive`].
//!
//! Every operation has a twin in f64, written as plain loops, which the tests compare with: the whole
//! objective and its gradient in [`naive`], each single kernel in the loops of `twins.rs`.
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
pub mod int8;
mod lanes;
mod math;
pub mod matmul;
pub mod naive;
pub mod peak;
pub mod screen;
pub mod sparse;
mod strips;
#[cfg(test)]
mod twins;
pub mod vector;

pub use cpu::{Path, path};
