//! Bounds of quantised rows against f64; layouts of samples and weights against examples by hand.

use proptest::prelude::*;

use super::{
    Engine, GROUP, Limits, OFFSET, PANEL, QUAD, Quantised, offset, pack, padded, quantise_on,
};
use crate::cpu::Path;
use crate::twins::{repeatable, size, values, wide};

fn quantised(path: Path, x: &[f32], limits: Limits) -> (Quantised, Vec<i8>) {
    let mut q = vec![99; x.len()];
    (quantise_on(path, x, limits, &mut q), q)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// Share of a limit that integers reach: of 127, of the largest pair, or of the largest strand.
fn reach(q: &[i8], limits: Limits) -> f64 {
    let size = |q: &i8| f64::from(*q).abs();
    let largest = q.iter().map(size).fold(0.0, f64::max) / 127.0;
    let pairs = q.windows(2).map(|q| size(&q[0]) + size(&q[1]));
    let pair = pairs.fold(0.0, f64::max) / wide(limits.pair);
    let strand = |group: &[i8], first: usize| {
        let of_quad = |quad: &[i8]| {
            quad.iter()
                .skip(first)
                .take(2)
                .map(size)
                .map(|q| q * q)
                .sum::<f64>()
        };
        group.chunks(QUAD).map(of_quad).sum::<f64>().sqrt()
    };
    let strands = q
        .chunks(GROUP * QUAD)
        .flat_map(|group| [strand(group, 0), strand(group, 2)]);
    let strand = strands.fold(0.0, f64::max) / wide(limits.strand);
    largest.max(pair).max(strand)
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn error_and_norm_are_upper_bounds(d in size(), seed: u32, power in -44i32..38, tail in 0i32..5, kind in 0usize..3) {
        let size = 10f64.powi(power) as f32;
        let x: Vec<f32> = values(seed, d, 1.0).iter().map(|v| size * v.powi(2 * tail + 1)).collect();
        let limits = [Limits::NONE, Engine::Avx2.of_samples(), Engine::Avx2.of_weights()][kind];
        let largest = x.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for &path in Path::available() {
            let (row, q) = quantised(path, &x, limits);
            prop_assert_eq!((row, q.clone()), quantised(Path::Portable, &x, limits), "{:?}", path);
            let reached = reach(&q, limits);
            prop_assert!(reached <= 1.0, "{path:?} {q:?}");
            prop_assert_eq!(row.sum, q.iter().map(|q| i32::from(*q)).sum::<i32>());
            let step = wide(row.scale);
            let of_q = norm(q.iter().map(|q| step * f64::from(*q)));
            prop_assert!(wide(row.norm) >= of_q && wide(row.norm) <= of_q * 1.001, "{path:?} {row:?}");
            let error = norm(x.iter().zip(&q).map(|(x, q)| wide(*x) - step * f64::from(*q)));
            // The bound leaves out the rounding of its own computation: one product for each value.
            let rounding = 2f64.powi(-24) * norm(x.iter().copied().map(wide)) + 1e-22 * (d as f64).sqrt();
            prop_assert!(wide(row.error) + rounding >= error, "{path:?} {row:?} {error}");
            if largest >= 1e-12 {
                // Rounding may leave a little of each limit.
                prop_assert!(reached > 0.96, "{path:?} all levels are used: {reached}");
                let nearest = 0.501 * step * (d as f64).sqrt() + rounding;
                prop_assert!(error <= nearest, "{path:?} {error} {nearest}");
                // If the squares overflow f32, the error is infinite, which is a bound too.
                let told = wide(row.error) <= 1.001 * (error + rounding) || power > 17;
                prop_assert!(told, "{path:?} {row:?} {error}");
            }
        }
    }

    /// Both one bad value and a row of bad values; the largest of NaNs is no number.
    #[test]
    fn error_of_a_row_with_nan_or_infinity_is_infinite(d in size(), at: usize, seed: u32, size in prop_oneof![Just(0.0f32), Just(1e-30), Just(1.0)]) {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut one = values(seed, d, size);
            one[at % d] = bad;
            for x in [one, vec![bad; d]] {
                for &path in Path::available() {
                    let (row, q) = quantised(path, &x, Limits::NONE);
                    prop_assert_eq!(row.error, f32::INFINITY, "{:?} {:?}", path, x);
                    prop_assert!(q.iter().all(|q| *q >= -127));
                }
            }
        }
    }
}

#[test]
fn zero_row_has_zero_error() {
    for &path in Path::available() {
        let (row, q) = quantised(path, &[0.0, -0.0, 0.0], Limits::NONE);
        assert_eq!((row, q), (Quantised::default(), vec![0; 3]), "{path:?}");
        // The smallest positive number has an error, with a square above zero.
        let (row, q) = quantised(path, &[f32::from_bits(1)], Limits::NONE);
        assert!(row.error * row.error > 0.0 && q == [0], "{path:?} {row:?}");
    }
}

/// Sums of the largest numbers overflow; norm and error are upper bounds, never NaN.
#[test]
fn rows_of_the_largest_numbers_have_bounds() {
    for limits in [Engine::Avx2.of_samples(), Engine::Avx2.of_weights()] {
        for &path in Path::available() {
            let (row, q) = quantised(path, &[f32::MAX; 64], limits);
            assert!(row.norm >= row.scale * f32::from(q[0]), "{path:?} {row:?}");
            let far = f64::from(f32::MAX) - wide(row.scale) * f64::from(q[0]);
            assert!(wide(row.error) >= 7.9 * far.abs(), "{path:?} {row:?}");
            assert!(reach(&q, limits) <= 1.0, "{path:?} {q:?}");
        }
    }
}

#[test]
fn packed_weights_lie_by_quad_and_latent() {
    assert_eq!([1, 4, 5, 8].map(padded), [4, 4, 8, 8]);
    let mut panel = vec![0; padded(6) * PANEL];
    pack(&[1, 2, 3, 4, 5, 6], 0, &mut panel);
    pack(&[-1, -2, -3, -4, -5, -6], 63, &mut panel);
    let mut want = vec![0; 8 * 64];
    want[..4].copy_from_slice(&[1, 2, 3, 4]);
    want[252..256].copy_from_slice(&[-1, -2, -3, -4]);
    want[256..260].copy_from_slice(&[5, 6, 0, 0]);
    want[508..512].copy_from_slice(&[-5, -6, 0, 0]);
    assert_eq!(panel, want);
    // Packing over an old row also writes the padding.
    panel.fill(9);
    pack(&[7; 6], 1, &mut panel);
    assert_eq!(panel[QUAD..2 * QUAD], [7; 4]);
    assert_eq!(panel[256 + QUAD..256 + 2 * QUAD], [7, 7, 0, 0]);
    assert_eq!(panel.iter().filter(|&&w| w != 9).count(), 8);
}

#[test]
fn sample_bytes_are_shifted_by_128() {
    let mut bytes = [7; 8];
    offset(&[-127, -1, 0, 1, 127], &mut bytes);
    assert_eq!(bytes, [1, 127, 128, 129, 255, OFFSET, OFFSET, OFFSET]);
}

/// The limits of the AVX2 engine are those of its registers: saturated sums of two products, and sums of sixteen modulo 2^16.
#[test]
fn sums_within_the_limits_fit_16_bits() {
    let (x, w) = (Engine::Avx2.of_samples(), Engine::Avx2.of_weights());
    assert!(255.0 * w.pair <= 32767.0);
    assert!(x.strand * w.strand <= 32767.0);
}
