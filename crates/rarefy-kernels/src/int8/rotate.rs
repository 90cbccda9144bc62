//! Fixed rotation of rows before quantisation, which spreads outlier inputs over all inputs.
//!
//! Activations of language models have a few inputs that are ten or a hundred times larger than all
//! other inputs. With a quantisation step for the outliers, the other inputs round to zero. A rotation
//! leaves `x . w` unchanged if both rows are rotated, and mixes the outliers into all inputs.
//!
//! Measured quantisation error over the row's norm, mean of 4096 centred rows: 0.0179 for layer 10 of
//! `SmolLM2` without rotation, 0.0076 with; 0.0073 and 0.0072 for glosses of `MiniLM`, which have no
//! outliers. The screening bound is proportional to this error. The rotation takes 2 % of an encoder's
//! time.

use crate::cpu::kernel;
use crate::lanes::Lanes;

/// Butterfly stages of a window; each value is mixed with 31 other values.
const STAGES: u32 = 5;

kernel! {
    /// Rotates a row in place; lengths and dot products of rows are unchanged.
    ///
    /// A fixed pattern of signs is applied, then two rounds of butterflies
    /// `(a, b) -> (a + b, a - b) / sqrt 2`. The first round takes a window of `32 c` values at the start of
    /// the row, the second a window of `32 (c - 1)` values at its end. With two window sizes, each round
    /// mixes other values, up to 1024 in total.
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
    // The second window has one part fewer. With few parts it has equally many at another start: a
    // second round over the same window would undo the first.
    let parts = if parts > 2 { parts - 1 } else { parts };
    if parts << stages < d {
        mix(&mut x[d - (parts << stages)..], stages);
    }
}

/// Sign bit of a position by a fixed hash; without signs, a constant row would become a spike.
#[inline(always)]
fn sign(place: u32) -> u32 {
    let hash = (place ^ (place >> 4)).wrapping_mul(0x9E37_79B9);
    (hash ^ (hash << 13)) & 0x8000_0000
}

#[inline(always)]
fn mix(x: &mut [f32], stages: u32) {
    let mut half = x.len() / 2;
    for stage in 1..=stages {
        // The factor 1 / sqrt 2 of all stages is applied in the last stage.
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
    fn rotation_keeps_products_and_spreads_outliers() {
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
                    // Evenly spread, each value is 1.
                    assert!(d < 64 || largest < 6.0, "{path:?} {what} of {d}: {largest}");
                }
            }
        }
    }
}
