//! Numeric kernels of rarefy: slices in, slices out.
//!
//! This is the only crate with `unsafe`. It has three uses: CPU instructions (detected at start, or a
//! prefetch, which every x86-64 has), the `gemm` crate's products, and the allocator of [`memory`]. The
//! crate reads no file and no clock, and draws no random numbers.
//!
//! Kernels write into the caller's slices and allocate nothing. Two modules allocate: [`matmul`] (packed
//! panels in the `gemm` crate, or a transposed copy for our own loops) and [`naive`].
//!
//! Each operation has an f64 twin of plain loops, which the tests compare with. The complete objective
//! and its gradient are in [`naive`]; the twins of single kernels are in `twins.rs`.
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
pub mod memory;
pub mod naive;
pub mod normal;
pub mod peak;
pub mod pursuit;
pub mod screen;
pub mod sparse;
mod strips;
#[cfg(test)]
mod twins;
pub mod vector;

pub use cpu::{Path, path};
