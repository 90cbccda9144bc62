//! Products of 8-bit integers, at four times the f32 rate on CPUs with instructions for them.
//!
//! A row is `scale * q` plus an error with a known norm, which bounds the error of a product of two
//! quantised rows (`screen.rs`). Rows of `x` are stored as `q + offset` in u8. Rows of weights are stored
//! as i8 in panels of [`PANEL`] latents: for each four inputs, 64 groups of four bytes.

mod rotate;
mod tile;

pub use rotate::rotate;

pub(crate) use tile::tile;
pub use tile::{Engine, ROWS, engine};

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

/// Number of latents in a panel.
pub const PANEL: usize = 64;
/// Number of inputs that one instruction sums.
pub const QUAD: usize = 4;
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
    /// Quantises a row to integers in [-levels, levels]; `q` is as long as the row.
    ///
    /// ```text
    /// scale = max |x| / levels      q = round(x / scale)      e = x - scale q
    /// ```
    ///
    /// Infinite or NaN values give an infinite error.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::int8::quantise;
    /// let mut q = [0; 3];
    /// let row = quantise(&[1.27, -0.5, 0.004], 127, &mut q);
    /// assert_eq!((q, row.sum), ([127, -50, 0], 77));
    /// assert!((row.error - 0.004).abs() < 1e-6);
    /// ```
    pub fn quantise / quantise_on(x: &[f32], levels: i32, q: &mut [i8]) -> Quantised = quantise_body
}

#[inline(always)]
fn quantise_body<L: Lanes>(x: &[f32], levels: i32, q: &mut [i8]) -> Quantised {
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
    let scale = most / levels as f32;
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

/// Converts a quantised sample to unsigned bytes `q + offset`; padding bytes represent zero.
pub fn offset(q: &[i8], engine: Engine, bytes: &mut [u8]) {
    for (byte, q) in bytes.iter_mut().zip(q) {
        *byte = (*q as u8).wrapping_add(engine.offset());
    }
    bytes[q.len()..].fill(engine.offset());
}

#[cfg(test)]
mod tests;
