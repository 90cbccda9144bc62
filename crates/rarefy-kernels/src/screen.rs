//! Screening of a panel's latents by upper bounds, and exact pre-activations of the candidates.
//!
//! Each pre-activation is computed roughly first, with a bound on its error. If `rough + bound` exceeds
//! the row's floor, the latent is a candidate and its pre-activation is computed exactly. The bound
//! always holds, so the selection equals that of exact pre-activations of all latents.
//!
//! With `x = x~ + e_x` and `w = w~ + e_w` (quantised rows and their errors), Cauchy and Schwarz give
//! `|x.w - x~.w~| <= |e_x| |w~| + |x| |e_w|`. The term `(d_in + 128) 2^-24 |x| |w|` is added: more than
//! all rounding in f32 arithmetic, on both sides of the comparison, and in the rotation.
//!
//! If negative pre-activations count too, `-pre` is bounded in the same way. `-pre` is, bit for bit, the
//! pre-activation of `-x` with the bias `-b`; the rough product only changes its sign.

use crate::cpu::kernel;
use crate::int8::{Engine, MOST_ROWS, PANEL, Prepared, tile};
use crate::lanes::{LANES, Lanes, V};
use crate::sparse::rows::{Rows, TOGETHER};

/// Scales, norms and error bounds of a panel's latents.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// `-128` times the sum of the latent's bytes; cancels the offset of the samples' bytes. Not used by the AVX2 engine.
    pub start: [i32; PANEL],
    /// Quantisation step of each latent.
    pub scale: [f32; PANEL],
    /// Upper bounds of `b_enc`, rounding included.
    pub bias: [f32; PANEL],
    /// Upper bounds of `-b_enc`, rounding included.
    pub minus_bias: [f32; PANEL],
    /// Upper bounds of `|w~|`.
    pub norm: [f32; PANEL],
    /// Upper bounds of `|e_w|`.
    pub error: [f32; PANEL],
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            start: [0; PANEL],
            scale: [0.0; PANEL],
            bias: [f32::NEG_INFINITY; PANEL],
            minus_bias: [f32::NEG_INFINITY; PANEL],
            norm: [0.0; PANEL],
            error: [0.0; PANEL],
        }
    }
}

/// Scales, norms, error bounds and floors of a block's rows, padded to complete tiles.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// Quantisation step of each row.
    pub scale: &'a [f32],
    /// Upper bounds of `|x|`.
    pub norm: &'a [f32],
    /// Upper bounds of `|e_x|` plus the row's share of rounding.
    pub error: &'a [f32],
    /// Floors: a latent is a candidate if its bound is above the row's floor.
    pub floor: &'a [f32],
    /// If true, latents with an absolute value above the floor are candidates too.
    pub either_sign: bool,
}

/// Places behind the last candidate of a row that a screen may write to.
pub const SPARE: usize = LANES;

/// Candidates of each row: latents, and upper bounds of their pre-activations (of the absolute values
/// with [`Samples::either_sign`]).
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Latents of the candidates, `[rows, room]`.
    pub latents: &'a mut [u32],
    /// Upper bounds of the candidates, `[rows, room]`.
    pub most: &'a mut [f32],
    /// Number of candidates in each row.
    pub counts: &'a mut [u32],
    /// Capacity of a row, [`SPARE`] more than its candidates can be.
    pub room: usize,
}

kernel! {
    /// Screens a panel of quantised weights for a block of quantised rows.
    ///
    /// Latent `first + j` becomes a candidate of row i if
    /// `scale_i scale_j q_i.q_j + bias_j + error_i norm_j + norm_i error_j` is not at most the row's floor.
    /// With `either_sign`, the same bound for `-q_i` and `-b_enc` counts too.
    ///
    /// # Shapes
    /// `bytes`: `[rows, padded]`, rows a multiple of [`Engine::rows`]; `weights`: `[padded / 4, 64, 4]`. The first
    /// `latents` of the panel are latents, the rest is padding. Rows and latents are quantised within
    /// [`Engine::of_samples`] and [`Engine::of_weights`].
    ///
    /// # Panics
    /// If sizes do not fit, or a row has more candidates than room.
    pub fn screen_bytes / screen_bytes_on(
        engine: Engine,
        bytes: &[u8],
        weights: &[i8],
        panel: &Panel,
        first: usize,
        latents: usize,
        samples: &Samples,
        found: &mut Candidates,
    ) = screen_bytes_body
}

#[allow(clippy::too_many_arguments, reason = "as the kernel")]
#[inline(always)]
fn screen_bytes_body<L: Lanes>(
    engine: Engine,
    bytes: &[u8],
    weights: &[i8],
    panel: &Panel,
    first: usize,
    latents: usize,
    samples: &Samples,
    found: &mut Candidates,
) {
    // The `unsafe` of the tiles relies on this check.
    assert!(
        Engine::available().contains(&engine),
        "{engine:?} cannot run here"
    );
    let padded = weights.len() / PANEL;
    let prepared = Prepared::new(engine, weights);
    let mut sums = [[0; PANEL]; MOST_ROWS];
    let rows = engine.rows();
    let mut limits = [Limits::<L>::of(panel, 0); PANEL / LANES];
    for (part, limits) in limits.iter_mut().enumerate() {
        *limits = Limits::of(panel, part * LANES);
    }
    for group in 0..bytes.len() / (rows * padded) {
        let bytes = &bytes[group * rows * padded..];
        tile(engine, bytes, weights, &panel.start, &prepared, &mut sums);
        for (i, sums) in sums[..rows].iter().enumerate() {
            let row = rows * group + i;
            let sample = Sample::of(samples, row);
            for (part, limits) in limits.iter().enumerate() {
                let column = part * LANES;
                let sums = sums[column..].first_chunk().expect("a panel is 64");
                let most = limits.most(V(L::from_i32(sums)), &sample);
                if column < latents {
                    let count = LANES.min(latents - column);
                    append(most, sample.floor, first + column, count, row, found);
                }
            }
        }
    }
}

kernel! {
    /// Screens a panel by f32 products; see [`screen_bytes`].
    ///
    /// The products `pre` (`[rows, latents]` with a `stride` between rows, latents of one panel) come from
    /// a matrix product: they differ from exact pre-activations by rounding only.
    pub fn screen_products / screen_products_on(
        pre: &[f32],
        stride: usize,
        panel: &Panel,
        first: usize,
        latents: usize,
        samples: &Samples,
        found: &mut Candidates,
    ) = screen_products_body
}

#[inline(always)]
fn screen_products_body<L: Lanes>(
    pre: &[f32],
    stride: usize,
    panel: &Panel,
    first: usize,
    latents: usize,
    samples: &Samples,
    found: &mut Candidates,
) {
    for column in (0..latents).step_by(LANES) {
        let count = LANES.min(latents - column);
        let limits = Limits::<L>::of(panel, column);
        for (row, pre) in pre.chunks(stride).enumerate() {
            let sample = Sample::of(samples, row);
            let most = limits.most(V::load(pre, column, count), &sample);
            append(most, sample.floor, first + column, count, row, found);
        }
    }
}

/// Facts of one row in each lane, and its floor.
struct Sample<L: Lanes> {
    scale: V<L>,
    norm: V<L>,
    error: V<L>,
    floor: f32,
    either_sign: bool,
}

impl<L: Lanes> Sample<L> {
    #[inline(always)]
    fn of(samples: &Samples, row: usize) -> Self {
        Self {
            scale: V::splat(samples.scale[row]),
            norm: V::splat(samples.norm[row]),
            error: V::splat(samples.error[row]),
            floor: samples.floor[row],
            either_sign: samples.either_sign,
        }
    }
}

/// Scales and bounds of sixteen latents.
#[derive(Clone, Copy)]
struct Limits<L: Lanes> {
    scale: V<L>,
    bias: V<L>,
    minus_bias: V<L>,
    norm: V<L>,
    error: V<L>,
}

impl<L: Lanes> Limits<L> {
    #[inline(always)]
    fn of(panel: &Panel, column: usize) -> Self {
        Self {
            scale: V::load(&panel.scale, column, LANES),
            bias: V::load(&panel.bias, column, LANES),
            minus_bias: V::load(&panel.minus_bias, column, LANES),
            norm: V::load(&panel.norm, column, LANES),
            error: V::load(&panel.error, column, LANES),
        }
    }

    /// Upper bounds of the pre-activations, or of their absolute values.
    #[inline(always)]
    fn most(&self, rough: V<L>, sample: &Sample<L>) -> V<L> {
        let product = rough * self.scale;
        let most = self.most_of(product, self.bias, sample);
        if sample.either_sign {
            let minus = V::splat(-1.0) * product;
            // If one of the two bounds is NaN, the other is NaN or infinite.
            let most_of_minus = self.most_of(minus, self.minus_bias, sample);
            V(L::at_least(most.0, most_of_minus.0))
        } else {
            most
        }
    }

    #[inline(always)]
    fn most_of(&self, product: V<L>, bias: V<L>, sample: &Sample<L>) -> V<L> {
        let with_own_error = self.norm.mul_add(sample.error, bias);
        let bound = self.error.mul_add(sample.norm, with_own_error);
        product.mul_add(sample.scale, bound)
    }
}

/// Appends the latents with bounds that are not at most the floor. A latent with a NaN bound is a
/// candidate, except with an infinite floor.
#[inline(always)]
fn append<L: Lanes>(
    most: V<L>,
    floor: f32,
    first: usize,
    count: usize,
    row: usize,
    found: &mut Candidates,
) {
    let mask = L::not_at_most(most.0, L::splat(floor)) & (u32::MAX >> (32 - count));
    if mask == 0 || floor == f32::INFINITY {
        return;
    }
    let count = found.counts[row] as usize;
    assert!(
        count + SPARE <= found.room,
        "a row has more candidates than room"
    );
    let at = row * found.room + count;
    let (latents, bounds) = (&mut found.latents[at..], &mut found.most[at..]);
    L::compress(most.0, mask, bounds.first_chunk_mut().expect("room"));
    L::numbers(first as u32, mask, latents.first_chunk_mut().expect("room"));
    found.counts[row] += mask.count_ones();
}

kernel! {
    /// Exact pre-activations of some latents: `b_enc[j] + x . w_enc[j]`.
    ///
    /// "Exact" means a fixed order of f32 operations, the same on each path: thirty-two sums of products,
    /// without fused multiply-add, added pairwise. The largest latents are selected by these numbers, so
    /// the selection is the same on each machine.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::screen::pre_activations;
    /// let mut pre = [0.0; 2];
    /// pre_activations(&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0], &[0.5, -0.5], &[1, 0], &mut pre);
    /// assert_eq!(pre, [16.5, 11.5]);
    /// ```
    pub fn pre_activations / pre_activations_on(
        x: &[f32],
        w_enc: &[f32],
        b_enc: &[f32],
        latents: &[u32],
        pre: &mut [f32],
    ) = pre_activations_body
}

#[inline(always)]
fn pre_activations_body<L: Lanes>(
    x: &[f32],
    w_enc: &[f32],
    b_enc: &[f32],
    latents: &[u32],
    pre: &mut [f32],
) {
    assert!(latents.len() == pre.len());
    let whole = latents.len() / TOGETHER * TOGETHER;
    for first in (0..whole).step_by(TOGETHER) {
        dots_in_order::<L, TOGETHER>(x, w_enc, latents, first, pre);
    }
    for first in whole..latents.len() {
        dots_in_order::<L, 1>(x, w_enc, latents, first, pre);
    }
    for (&latent, pre) in latents.iter().zip(pre) {
        *pre += b_enc[latent as usize];
    }
}

/// Blocks of sixteen values of each next row that are prefetched; the CPU then goes on by itself. On Zen 4, prefetches of whole rows
/// cost more than they save: 20 ns for a row of 384 in L2 and 23 in the last-level cache, where these take 17 and 21.
const FETCHED: usize = 4;
/// Number of accumulators of each dot product.
const CHAINS: usize = 2;

/// Dot products of `G` latents' rows with x, interleaved to hide the latency of memory and additions.
#[inline(always)]
fn dots_in_order<L: Lanes, const G: usize>(
    x: &[f32],
    w_enc: &[f32],
    latents: &[u32],
    first: usize,
    dots: &mut [f32],
) {
    let rows = Rows::<G>::new(w_enc, x.len(), latents, first);
    let mut sums = [[V::<L>::splat(0.0); CHAINS]; G];
    let (blocks, rest) = x.as_chunks::<LANES>();
    let of_rows = rows.blocks(blocks.len());
    let (pairs, last) = blocks.as_chunks::<CHAINS>();
    for (pair, blocks) in pairs.iter().enumerate() {
        for (chain, x) in blocks.iter().enumerate() {
            let (x, at) = (V(L::load(x)), CHAINS * pair + chain);
            for (g, sums) in sums.iter_mut().enumerate() {
                if at < FETCHED {
                    rows.fetch_next(g, at * LANES);
                }
                sums[chain] = sums[chain] + x * V(L::load(&of_rows[g][at]));
            }
        }
    }
    for (chain, x) in last.iter().enumerate() {
        let (x, at) = (V(L::load(x)), CHAINS * pairs.len() + chain);
        for (g, sums) in sums.iter_mut().enumerate() {
            sums[chain] = sums[chain] + x * V(L::load(&of_rows[g][at]));
        }
    }
    if !rest.is_empty() {
        let (chain, at) = (last.len(), x.len() - rest.len());
        let x = V::load(x, at, rest.len());
        for (g, sums) in sums.iter_mut().enumerate() {
            sums[chain] = sums[chain] + x * rows.load(g, at, rest.len());
        }
    }
    // Loops, because a closure is not compiled for the kernel's instructions.
    let mut vectors = [L::splat(0.0); TOGETHER];
    for (vector, [even, odd]) in vectors.iter_mut().zip(sums) {
        *vector = (even + odd).0;
    }
    dots[first..first + G].copy_from_slice(&L::four_sums(vectors)[..G]);
}

#[cfg(test)]
mod tests;
