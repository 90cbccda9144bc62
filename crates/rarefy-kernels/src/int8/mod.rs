//! Products of 8-bit numbers: four times the f32 rate where the CPU has the instructions.
//!
//! A row is `scale * q` plus an error whose norm is known, so that what a product of two quantised rows
//! may be off by is known too (`screen.rs`). Rows of `x` are stored as `q + offset` in u8, rows of weights
//! as i8 in panels of [`PANEL`] latents: for every four inputs, 64 groups of four bytes.

mod rotate;
mod tile;

pub use rotate::rotate;

pub(crate) use tile::tile;
pub use tile::{Engine, ROWS, engine};

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

/// Latents in a panel.
pub const PANEL: usize = 64;
/// Inputs that one instruction adds up.
pub const QUAD: usize = 4;
/// Inputs beyond which sums of products could leave an i32.
pub const MOST_INPUTS: usize = 1 << 15;

/// `d_in` rounded up to whole groups of four.
pub const fn padded(d_in: usize) -> usize {
    d_in.next_multiple_of(QUAD)
}

/// What is known of a quantised row `scale * q + e`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quantised {
    /// One step.
    pub scale: f32,
    /// At least `|scale * q|`.
    pub norm: f32,
    /// At least `|e|`, without the rounding that found it.
    pub error: f32,
    /// `sum q`.
    pub sum: i32,
}

kernel! {
    /// Quantises a row to whole numbers in [-levels, levels]; `q` is as long as the row.
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
        // Squares of what is in it may vanish in f32: it is all error, and none is zero that is not.
        q.fill(0);
        let error = up(f64::from(most) * (x.len() as f64).sqrt());
        return Quantised {
            error: if x.iter().any(|x| x.is_nan()) {
                // The largest of NaNs was 0.
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

/// Adding it rounds to a whole number, for |x| < 2^22, and leaves that number in the low bits.
const FILL: f32 = 12_582_912.0; // 1.5 * 2^23

/// A row whose largest value is below this is not quantised.
const TINY: f32 = 1e-12;
/// Such rows' errors are at least this, so that the product of two of them is above what vanishes.
const LEAST_ERROR: f32 = 1e-18;

/// An f32 that is not below the value, with room for the rounding of the sums before it.
#[inline(always)]
fn up(value: f64) -> f32 {
    (value * (1.0 + 1e-4)) as f32
}

/// Writes a quantised weight row into its place in a panel.
///
/// # Shapes
/// `panel`: `[padded / 4, 64, 4]`; `latent` counts within the panel.
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

/// A quantised sample as the unsigned bytes that products take; the bytes behind it count as zero.
pub fn offset(q: &[i8], engine: Engine, bytes: &mut [u8]) {
    for (byte, q) in bytes.iter_mut().zip(q) {
        *byte = (*q as u8).wrapping_add(engine.offset());
    }
    bytes[q.len()..].fill(engine.offset());
}

#[cfg(test)]
mod tests;
