//! Rows at random places in a large matrix, four at a time with prefetches.
//!
//! Measured on Zen 4 (AVX-512, one core, 4 KiB pages, other programs running), 4096 samples of d = 768
//! with 32 random latents out of 16384, in ms:
//!
//! | order | prefetch | residuals | latents' gradients |
//! |---|---|---|---|
//! | row after row | none | 39.7 | 76.9 |
//! | four rows together | none | 25.9 | 46 to 56 |
//! | four rows together | next four rows, to L1, all before the work | 31.5 | 58.9 |
//! | four rows together | next four rows, to L2, all before the work | 19.4 | 44.3 |
//! | four rows together | next four rows, to L2, line by line | 18.7 | 42.0 |
//! | eight rows together | next eight rows, to L2, line by line | 18.5 | |
//! | all rows, in blocks of 128 columns | with or without | 30 to 31 | |
//!
//! Prefetching the first rows of the next sample (or latent) too gained less than the noise. On an idle
//! machine the chosen order takes 19.3 and 40.3 ms (21 and 26 GB/s of rows), with two threads 9.8 and
//! 20.0 ms (41 and 53 GB/s), and with two threads and 2 MiB pages 8.3 and 17.5 ms. From a matrix in L2
//! one core reads 55 GB/s, so memory latency is the limit. AVX2 and plain x86-64 are as fast on
//! residuals.
//!
//! Prefetches now go to L1: on Sapphire Rapids (AVX-512, one core), exact dot products of 384 inputs with rows in L2 take 30 ns
//! each instead of 51, with rows in the last-level cache 60 instead of 79. What else counted there, in ns for an entry of 384
//! values in L1: sixteen sums of a dot product added by shuffles, four rows at a time, instead of one after the other (decoder
//! gradient 66 -> 42), and no closure left in a kernel, because a closure that is not inlined is compiled without the path's
//! instructions and gets its vectors through memory (42 -> 21; exact dot products 34 -> 20).

use crate::lanes::{LANES, Lanes, V};

/// Number of rows that are read together.
pub(crate) const TOGETHER: usize = 4;

/// `G` rows, and the `G` rows to prefetch.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, const G: usize> {
    now: [&'a [f32]; G],
    next: [&'a [f32]; G],
}

impl<'a, const G: usize> Rows<'a, G> {
    /// Rows `indices[first..first + G]` of a matrix with `d` columns; prefetches the `G` rows after them.
    #[inline(always)]
    pub(crate) fn new(matrix: &'a [f32], d: usize, indices: &[u32], first: usize) -> Self {
        // Loops, because a closure is not compiled for the kernel's instructions.
        let mut now = [matrix; G];
        for (now, &index) in now.iter_mut().zip(&indices[first..first + G]) {
            *now = row(matrix, d, index);
        }
        // At the end of the list the same rows again: a prefetch from the cache costs almost nothing.
        let mut next = now;
        for (next, &index) in next.iter_mut().zip(&indices[first + G..]) {
            *next = row(matrix, d, index);
        }
        Self { now, next }
    }

    /// Loads `count` values of a row at a column; prefetches the same columns of the next row.
    #[inline(always)]
    pub(crate) fn load<L: Lanes>(&self, g: usize, at: usize, count: usize) -> V<L> {
        self.fetch_next(g, at);
        V::load(self.now[g], at, count)
    }

    /// The first `count` registers of each row.
    #[inline(always)]
    pub(crate) fn blocks(&self, count: usize) -> [&'a [[f32; LANES]]; G] {
        let mut blocks: [&[[f32; LANES]]; G] = [&[]; G];
        for (blocks, row) in blocks.iter_mut().zip(self.now) {
            *blocks = &row.as_chunks().0[..count];
        }
        blocks
    }

    /// Prefetches the values around a column of the next row.
    #[inline(always)]
    pub(crate) fn fetch_next(&self, g: usize, at: usize) {
        fetch(self.next[g], at);
    }

    /// Adds the weighted rows: `y += sum_g factors_g row_g`.
    #[inline(always)]
    pub(crate) fn add_to<L: Lanes>(&self, y: &mut [f32], factors: [f32; G]) {
        let mut each = [V::<L>::splat(0.0); G];
        for (each, factor) in each.iter_mut().zip(factors) {
            *each = V::splat(factor);
        }
        let factors = each;
        let whole = y.len() / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            self.add_at(y, factors, at, LANES);
        }
        if whole < y.len() {
            self.add_at(y, factors, whole, y.len() - whole);
        }
    }

    #[inline(always)]
    fn add_at<L: Lanes>(&self, y: &mut [f32], factors: [V<L>; G], at: usize, count: usize) {
        let mut sum = V::load(y, at, count);
        for (g, factor) in factors.into_iter().enumerate() {
            sum = factor.mul_add(self.load(g, at, count), sum);
        }
        sum.store(y, at, count);
    }
}

/// Prefetches the first rows of a list; call it before other work.
#[inline(always)]
pub(crate) fn fetch_first(matrix: &[f32], d: usize, indices: &[u32]) {
    for &index in indices.iter().take(TOGETHER) {
        for at in (0..d).step_by(LANES) {
            fetch(row(matrix, d, index), at);
        }
    }
}

#[inline(always)]
fn row(matrix: &[f32], d: usize, index: u32) -> &[f32] {
    &matrix[index as usize * d..][..d]
}

/// Prefetches the 64 bytes around a value into L2; has no effect on results.
#[inline(always)]
fn fetch(row: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of every x86-64, and a prefetch has no visible effect: any address is
        // allowed.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (row, at);
}
