//! A fixed rotation before quantising: no input is much larger than the others any more.
//!
//! Activations of language models have a few inputs that are ten or a hundred times larger than the
//! rest, and a quantisation step that reaches them leaves nothing of the rest. `x . w` is the same for
//! rotated rows, and a rotation that mixes every input into all of them spreads the large ones out.
//!
//! Measured: the quantisation error over the row's norm, mean of 4096 rows with their mean taken off, is
//! 0.0179 for layer 10 of `SmolLM2` as it is and 0.0076 rotated; 0.0073 and 0.0072 for `MiniLM`'s glosses, which
//! have no outliers. The bound is proportional to it. The rotation takes 2 % of an encoder's time.

use crate::cpu::kernel;
use crate::lanes::Lanes;

/// Halvings of a window: each value is mixed with 31 others.
const STAGES: u32 = 5;

kernel! {
    /// Rotates a row: signs flipped by a fixed pattern, then two rounds of butterflies
    /// `(a, b) -> (a + b, a - b) / sqrt 2`, over windows of `32 c` and `32 (c - 1)` values, the one at the
    /// start and the other at the end.
    ///
    /// The two windows differ so that the values mixed in the one are not those mixed in the other: up to
    /// 1024 values come together. Lengths and products of rotated rows are those of the rows.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::int8::rotate;
    /// let mut spike = vec![0.0; 1024];
    /// spike[7] = 1.0;
    /// rotate(&mut spike);
    /// let largest = spike.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    /// let square: f32 = spike.iter().map(|v| v * v).sum();
    /// assert!(largest < 0.19 && (square - 1.0).abs() < 1e-5);
    /// ```
    pub fn rotate / rotate_on(x: &mut [f32]) = rotate_body
}

#[inline(always)]
fn rotate_body<L: Lanes>(x: &mut [f32]) {
    for (i, x) in x.iter_mut().enumerate() {
        *x = f32::from_bits(x.to_bits() ^ sign(i as u32));
    }
    let d = x.len();
    if d < 2 {
        return;
    }
    let stages = STAGES.min(d.ilog2());
    let parts = d >> stages;
    mix(&mut x[..parts << stages], stages);
    // One part fewer; a row of few parts keeps them and begins elsewhere. A second round over the same
    // values would undo the first.
    let parts = if parts > 2 { parts - 1 } else { parts };
    if parts << stages < d {
        mix(&mut x[d - (parts << stages)..], stages);
    }
}

/// The sign bit or nothing, by a fixed hash of the place: without it a constant row would become a spike.
#[inline(always)]
fn sign(place: u32) -> u32 {
    let hash = (place ^ (place >> 4)).wrapping_mul(0x9E37_79B9);
    (hash ^ (hash << 13)) & 0x8000_0000
}

#[inline(always)]
fn mix(x: &mut [f32], stages: u32) {
    let mut half = x.len() / 2;
    for stage in 1..=stages {
        // The square roots of all stages are taken out in the last.
        let scale = if stage == stages {
            (-0.5 * stages as f32).exp2()
        } else {
            1.0
        };
        for pair in x.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                (*a, *b) = (scale * (*a + *b), scale * (*a - *b));
            }
        }
        half /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Path;

    #[test]
    fn products_stay_and_large_values_spread() {
        for d in [1, 2, 3, 7, 31, 32, 33, 64, 100, 576, 768, 2048] {
            for &path in Path::available() {
                let a: Vec<f32> = (0..d).map(|i| (i as f32 * 0.7).sin()).collect();
                let b: Vec<f32> = (0..d).map(|i| (i as f32 * 1.3).cos()).collect();
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter()
                        .zip(b)
                        .map(|(a, b)| f64::from(*a) * f64::from(*b))
                        .sum()
                };
                let (mut ra, mut rb) = (a.clone(), b.clone());
                rotate_on(path, &mut ra);
                rotate_on(path, &mut rb);
                let room = 1e-6 * d as f64;
                assert!((dot(&a, &b) - dot(&ra, &rb)).abs() < room, "{path:?} {d}");
                assert!((dot(&a, &a) - dot(&ra, &ra)).abs() < room, "{path:?} {d}");
                for (what, mut row) in [("constant", vec![1.0; d]), ("spike", vec![0.0; d])] {
                    if what == "spike" {
                        row[d / 3] = (d as f32).sqrt();
                    }
                    rotate_on(path, &mut row);
                    let largest = row.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                    // Evenly spread, every value would be 1.
                    assert!(d < 64 || largest < 6.0, "{path:?} {what} of {d}: {largest}");
                }
            }
        }
    }
}
