//! Which latents of a panel can be among a row's largest, and what exactly they are.
//!
//! A pre-activation is found twice. First roughly, for every latent, with a bound on how far off it may
//! be; only where `rough + bound` reaches what the row already has is it computed exactly. The bound
//! holds always, so the selection is that of computing everything exactly.
//!
//! With `x = x~ + e_x` and `w = w~ + e_w` (the quantised rows and their errors), Cauchy and Schwarz give
//! `|x.w - x~.w~| <= |e_x| |w~| + |x| |e_w|`. To that comes what f32 arithmetic may round, on both
//! sides of the comparison, and by the rotation: `(d_in + 128) 2^-24 |x| |w|` is more than all of it.
//!
//! Where values of either sign matter, the largest that `-pre` can be is bounded in the same way: it is the
//! pre-activation of `-x` with the bias `-b`, bit for bit, and the rough product changes its sign alone.

use crate::cpu::kernel;
use crate::int8::{Engine, PANEL, ROWS, tile};
use crate::lanes::{LANES, Lanes, V};
use crate::sparse::rows::{Rows, TOGETHER};

/// What the comparison needs to know of a panel's latents.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// `-offset` times the sum of the latent's bytes: what the samples' offset adds to a product.
    pub start: [i32; PANEL],
    /// The latent's quantisation step.
    pub scale: [f32; PANEL],
    /// At least `b_enc`, rounding included.
    pub bias: [f32; PANEL],
    /// At least `-b_enc`, rounding included.
    pub minus_bias: [f32; PANEL],
    /// At least `|w~|`.
    pub norm: [f32; PANEL],
    /// At least `|e_w|`.
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

/// Rows of a block, whole tiles of them, and what the comparison needs to know of each.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// Quantisation steps.
    pub scale: &'a [f32],
    /// At least `|x|`.
    pub norm: &'a [f32],
    /// At least `|e_x|` plus the row's share of rounding.
    pub error: &'a [f32],
    /// A latent is of interest above this.
    pub floor: &'a [f32],
    /// Whether it is of interest also below its negative.
    pub either_sign: bool,
}

/// Candidates of each row: latents, and what their pre-activations (or these without their signs) are at
/// most.
#[derive(Debug)]
pub struct Found<'a> {
    /// `[rows, room]`.
    pub latents: &'a mut [u32],
    /// `[rows, room]`.
    pub most: &'a mut [f32],
    /// How many of each row's places are taken.
    pub counts: &'a mut [u32],
    /// Places of a row.
    pub room: usize,
}

kernel! {
    /// Screens a panel of quantised weights for a block of quantised rows.
    ///
    /// Appends `first + j` to the candidates of row i where
    /// `scale_i scale_j q_i.q_j + bias_j + error_i norm_j + norm_i error_j` is not at most the row's floor,
    /// or the same of `-q_i` and `-b_enc` where either sign counts.
    ///
    /// # Shapes
    /// `bytes`: `[rows, padded]`, rows a multiple of 6; `weights`: `[padded / 4, 64, 4]`; the panel has
    /// `latents` of them, the rest is padding.
    ///
    /// # Panics
    /// If sizes do not fit or a row has no room left.
    pub fn screen_bytes / screen_bytes_on(
        engine: Engine,
        bytes: &[u8],
        weights: &[i8],
        panel: &Panel,
        first: usize,
        latents: usize,
        samples: &Samples,
        found: &mut Found,
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
    found: &mut Found,
) {
    // The tiles' `unsafe` stands on this.
    assert!(
        Engine::available().contains(&engine),
        "{engine:?} cannot run here"
    );
    let padded = weights.len() / PANEL;
    let mut sums = [[0; PANEL]; ROWS];
    for (group, bytes) in bytes.chunks_exact(ROWS * padded).enumerate() {
        tile(engine, bytes, weights, &panel.start, &mut sums);
        for column in (0..latents).step_by(LANES) {
            let count = LANES.min(latents - column);
            let limits = Limits::<L>::of(panel, column);
            for (i, sums) in sums.iter().enumerate() {
                let row = ROWS * group + i;
                let rough = V(L::from_i32(
                    sums[column..].first_chunk().expect("a panel is 64"),
                ));
                let most = limits.most(rough, samples, row);
                append(most, samples.floor[row], first + column, count, row, found);
            }
        }
    }
}

kernel! {
    /// As [`screen_bytes`], from products `pre` (`[rows, latents]`, latents of one panel with their
    /// `stride`) that a library has computed in f32: only rounding is between them and the exact ones.
    pub fn screen_products / screen_products_on(
        pre: &[f32],
        stride: usize,
        panel: &Panel,
        first: usize,
        latents: usize,
        samples: &Samples,
        found: &mut Found,
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
    found: &mut Found,
) {
    for column in (0..latents).step_by(LANES) {
        let count = LANES.min(latents - column);
        let limits = Limits::<L>::of(panel, column);
        for (row, pre) in pre.chunks(stride).enumerate() {
            let rough = V::load(pre, column, count);
            let most = limits.most(rough, samples, row);
            append(most, samples.floor[row], first + column, count, row, found);
        }
    }
}

/// Sixteen latents' part of the comparison.
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

    /// What the pre-activations, or their sizes, are at most.
    #[inline(always)]
    fn most(&self, rough: V<L>, samples: &Samples, row: usize) -> V<L> {
        let product = rough * self.scale;
        let most = self.most_of(product, self.bias, samples, row);
        if samples.either_sign {
            let minus = V::splat(-1.0) * product;
            // A bound that is NaN on one side is NaN or infinite on the other.
            let most_of_minus = self.most_of(minus, self.minus_bias, samples, row);
            V(L::at_least(most.0, most_of_minus.0))
        } else {
            most
        }
    }

    #[inline(always)]
    fn most_of(&self, product: V<L>, bias: V<L>, samples: &Samples, row: usize) -> V<L> {
        let with_own_error = self.norm.mul_add(V::splat(samples.error[row]), bias);
        let bound = self
            .error
            .mul_add(V::splat(samples.norm[row]), with_own_error);
        product.mul_add(V::splat(samples.scale[row]), bound)
    }
}

/// Appends the latents that are not at most the floor. NaN is no limit: such a latent is a candidate,
/// but above an infinite floor nothing is.
#[inline(always)]
fn append<L: Lanes>(
    most: V<L>,
    floor: f32,
    first: usize,
    count: usize,
    row: usize,
    found: &mut Found,
) {
    let mut mask = L::not_at_most(most.0, L::splat(floor)) & (u32::MAX >> (32 - count));
    if mask == 0 || floor == f32::INFINITY {
        return;
    }
    let most = most.to_array();
    while mask != 0 {
        let lane = mask.trailing_zeros() as usize;
        let place = found.counts[row] as usize;
        assert!(place < found.room, "a row has more candidates than room");
        found.latents[row * found.room + place] = (first + lane) as u32;
        found.most[row * found.room + place] = most[lane];
        found.counts[row] += 1;
        mask &= mask - 1;
    }
}

kernel! {
    /// The exact pre-activations of some latents: `b_enc[j] + x . w_enc[j]`.
    ///
    /// "Exact" means in one agreed order of f32 operations, the same on every path: thirty-two sums of
    /// products, no fused multiply-add, added up pairwise. Which latents are the largest is decided by
    /// these numbers, so it is the same everywhere.
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

/// Registers that each dot product adds up in.
const CHAINS: usize = 2;

/// Dot products of some latents' rows with x; together they hide how long memory and additions take.
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
    let whole = x.len() / (CHAINS * LANES) * (CHAINS * LANES);
    for block in (0..whole).step_by(CHAINS * LANES) {
        for chain in 0..CHAINS {
            let at = block + chain * LANES;
            let x = V::load(x, at, LANES);
            for (g, sums) in sums.iter_mut().enumerate() {
                sums[chain] = sums[chain] + x * rows.load(g, at, LANES);
            }
        }
    }
    for (chain, at) in (whole..x.len()).step_by(LANES).enumerate() {
        let count = LANES.min(x.len() - at);
        let x = V::load(x, at, count);
        for (g, sums) in sums.iter_mut().enumerate() {
            sums[chain] = sums[chain] + x * rows.load(g, at, count);
        }
    }
    for (g, [even, odd]) in sums.into_iter().enumerate() {
        let mut sums = (even + odd).to_array();
        for width in [8, 4, 2, 1] {
            for j in 0..width {
                sums[j] += sums[j + width];
            }
        }
        dots[first + g] = sums[0];
    }
}

#[cfg(test)]
mod tests;
