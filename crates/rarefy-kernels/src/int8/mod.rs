//! Products of 8-bit integers, at four times the f32 rate on CPUs with instructions for them.
//!
//! A row is `scale * q` plus an error with a known norm, which bounds the error of a product of two
//! quantised rows (`screen.rs`). Rows of `x` are stored as `q + 128` in u8. Rows of weights are stored
//! as i8 in panels of [`PANEL`] latents: for each four inputs, 64 groups of four bytes.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod rotate;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use rotate::rotate;

pub use tile::{Engine, Limits, engine};
pub(crate) use tile::{MOST_ROWS, Prepared, tile};

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

/// Number of latents in a panel.
pub const PANEL: usize = 64;
/// Number of inputs that one instruction sums.
pub const QUAD: usize = 4;
/// Number of quads whose products the AVX2 engine sums in 16 bits, before it adds the sums to those in 32 bits.
pub const GROUP: usize = 8;
/// Number of samples in a tile without AMX: 6 x 64 sums take 24 of the 32 AVX-512 registers.
const ROWS: usize = 6;
/// Largest absolute value of a quantised number.
pub const LEVELS: i32 = 127;
/// Offset added to samples, so that the stored bytes are not negative.
pub const OFFSET: u8 = 128;
/// Largest number of inputs for which a sum of products fits an i32.
pub const MOST_INPUTS: usize = 1 << 15;

/// Row length `d_in`, rounded up to a multiple of four.
pub const fn padded(d_in: usize) -> usize {
    d_in.next_multiple_of(QUAD)
}

/// Scale, norm and error of a quantised row `scale * q + e`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantised {
    /// Quantisation step.
    pub scale: f32,
    /// Upper bound of `|scale * q|`.
    pub norm: f32,
    /// Upper bound of `|e|`, without the rounding in its own computation.
    pub error: f32,
    /// Sum of the integers `q`.
    pub sum: i32,
}

kernel! {
    /// Quantises a row to integers in [-127, 127]; `q` is as long as the row.
    ///
    /// ```text
    /// scale = max |x| / 127      q = round(x / scale)      e = x - scale q
    /// ```
    ///
    /// The scale is larger if the integers would exceed `limits`.
    ///
    /// Infinite or NaN values give an infinite error.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::int8::{Limits, quantise};
    /// let mut q = [0; 3];
    /// let row = quantise(&[1.27, -0.5, 0.004], Limits::NONE, &mut q);
    /// assert_eq!((q, row.sum), ([127, -50, 0], 77));
    /// assert!((row.error - 0.004).abs() < 1e-6);
    /// ```
    pub fn quantise / quantise_on(x: &[f32], limits: Limits, q: &mut [i8]) -> Quantised = quantise_body
}

#[inline(always)]
fn quantise_body<L: Lanes>(x: &[f32], limits: Limits, q: &mut [i8]) -> Quantised {
    assert_eq!(x.len(), q.len());
    let mut most = V::<L>::splat(0.0);
    for at in (0..x.len()).step_by(LANES) {
        let x = V::<L>::load(x, at, LANES.min(x.len() - at));
        most = V(L::at_least(most.0, x.abs().0));
    }
    let most = most.to_array().iter().fold(0.0f32, |a, b| a.max(*b));
    if most < TINY {
        // Squares of these values may underflow in f32. The row counts as error, which is positive
        // unless all values are zero.
        q.fill(0);
        let error = up(f64::from(most) * (x.len() as f64).sqrt());
        return Quantised {
            error: if x.iter().any(|x| x.is_nan()) {
                // `most` is 0 for a row of NaNs.
                f32::INFINITY
            } else if most > 0.0 {
                error.max(LEAST_ERROR)
            } else {
                0.0
            },
            ..Quantised::default()
        };
    }
    let mut scale = most / LEVELS as f32;
    if limits.pair.is_finite() {
        // Rounding adds at most a half to each of two values, and their sum is whole.
        scale = scale.max(most_pair::<L>(x) / (limits.pair - 0.01));
    }
    if limits.strand.is_finite() {
        // Rounding adds at most a half to each of sixteen values: 2 to their norm.
        scale = scale.max(longest::<L>(x, most) / (limits.strand - 2.01));
    }
    // Sums near the largest f32 overflow.
    let scale = if most.is_finite() {
        scale.min(f32::MAX)
    } else {
        scale
    };
    let inverse = 1.0 / scale;
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse + FILL).to_bits() as i8;
    }
    let [mut errors, mut squares, mut sums] = [V::<L>::splat(0.0); 3];
    for at in (0..x.len()).step_by(LANES) {
        let x = V::<L>::load(x, at, LANES.min(x.len() - at));
        let whole = (x * V::splat(inverse) + V::splat(FILL)) - V::splat(FILL);
        let error = x - whole * V::splat(scale);
        errors = errors + error * error;
        squares = squares + whole * whole;
        sums = sums + whole;
    }
    let total = |sums: V<L>| -> f64 { sums.to_array().iter().map(|&v| f64::from(v)).sum() };
    let error = total(errors).sqrt();
    Quantised {
        scale,
        norm: up(total(squares).sqrt() * f64::from(scale)),
        error: if error.is_finite() && scale.is_finite() {
            up(error)
        } else {
            f32::INFINITY
        },
        sum: total(sums) as i32,
    }
}

/// Largest sum of the absolute values of two neighbours.
#[inline(always)]
fn most_pair<L: Lanes>(x: &[f32]) -> f32 {
    let mut most = V::<L>::splat(0.0);
    let pairs = x.len().saturating_sub(1);
    for at in (0..pairs).step_by(LANES) {
        let count = LANES.min(pairs - at);
        let pair = V::<L>::load(x, at, count).abs() + V::load(x, at + 1, count).abs();
        most = V(L::at_least(most.0, pair.0));
    }
    most.to_array().iter().fold(0.0f32, |a, b| a.max(*b))
}

/// Largest norm of a strand (see [`Limits`]), computed relative to the largest value `most`, so that squares stay in range.
#[inline(always)]
fn longest<L: Lanes>(x: &[f32], most: f32) -> f32 {
    let inverse = V::<L>::splat(1.0 / most);
    let mut largest = 0.0f32;
    for group in x.chunks(GROUP * QUAD) {
        let mut squares = V::<L>::splat(0.0);
        for at in (0..group.len()).step_by(LANES) {
            let x = V::load(group, at, LANES.min(group.len() - at)) * inverse;
            squares = squares + x * x;
        }
        let (mut first, mut last) = (0.0f32, 0.0f32);
        for quad in squares.to_array().as_chunks::<QUAD>().0 {
            first += quad[0] + quad[1];
            last += quad[2] + quad[3];
        }
        largest = largest.max(first).max(last);
    }
    largest.sqrt() * most
}

/// Number that, added to x with |x| < 2^22, rounds x to an integer and leaves this integer in the low bits.
const FILL: f32 = 12_582_912.0; // 1.5 * 2^23

/// Threshold of the largest value below which a row is not quantised.
const TINY: f32 = 1e-12;
/// Smallest error of such a row if it is not zero; the product of two of these errors does not underflow.
const LEAST_ERROR: f32 = 1e-18;

/// Upper bound in f32 of an f64 value, with room for the rounding in its computation.
#[inline(always)]
fn up(value: f64) -> f32 {
    (value * (1.0 + 1e-4)) as f32
}

/// Writes a quantised weight row to its position in a panel.
///
/// # Shapes
/// `panel`: `[padded / 4, 64, 4]`; `latent` is the index in the panel.
pub fn pack(q: &[i8], latent: usize, panel: &mut [i8]) {
    let (quads, last) = q.as_chunks::<QUAD>();
    let (places, _) = panel.as_chunks_mut::<QUAD>();
    for (place, quad) in places[latent..].iter_mut().step_by(PANEL).zip(quads) {
        *place = *quad;
    }
    if !last.is_empty() {
        let mut quad = [0; QUAD];
        quad[..last.len()].copy_from_slice(last);
        places[quads.len() * PANEL + latent] = quad;
    }
}

/// Converts a quantised sample to unsigned bytes `q + 128`; padding bytes represent zero.
pub fn offset(q: &[i8], bytes: &mut [u8]) {
    for (byte, q) in bytes.iter_mut().zip(q) {
        *byte = (*q as u8).wrapping_add(OFFSET);
    }
    bytes[q.len()..].fill(OFFSET);
}

#[cfg(test)]
mod tests;
