//! Bounds of quantised rows against f64; layouts of samples and weights against examples by hand.

use proptest::prelude::*;

use super::{Engine, PANEL, QUAD, Quantised, offset, pack, padded, quantise_on};
use crate::cpu::Path;
use crate::twins::{repeatable, size, values, wide};

fn quantised(path: Path, x: &[f32], levels: i32) -> (Quantised, Vec<i8>) {
    let mut q = vec![99; x.len()];
    (quantise_on(path, x, levels, &mut q), q)
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn error_and_norm_are_upper_bounds(d in size(), seed: u32, power in -44i32..38, tail in 0i32..5, coarse: bool) {
        let size = 10f64.powi(power) as f32;
        let x: Vec<f32> = values(seed, d, 1.0).iter().map(|v| size * v.powi(2 * tail + 1)).collect();
        let levels = if coarse { 63 } else { 127 };
        let largest = x.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for &path in Path::available() {
            let (row, q) = quantised(path, &x, levels);
            prop_assert_eq!((row, q.clone()), quantised(Path::Portable, &x, levels), "{:?}", path);
            prop_assert!(q.iter().all(|q| i32::from(*q).abs() <= levels), "{path:?} {q:?}");
            prop_assert_eq!(row.sum, q.iter().map(|q| i32::from(*q)).sum::<i32>());
            let step = wide(row.scale);
            let of_q = norm(q.iter().map(|q| step * f64::from(*q)));
            prop_assert!(wide(row.norm) >= of_q && wide(row.norm) <= of_q * 1.001, "{path:?} {row:?}");
            let error = norm(x.iter().zip(&q).map(|(x, q)| wide(*x) - step * f64::from(*q)));
            // The bound leaves out the rounding of its own computation: one product for each value.
            let rounding = 2f64.powi(-24) * norm(x.iter().copied().map(wide)) + 1e-22 * (d as f64).sqrt();
            prop_assert!(wide(row.error) + rounding >= error, "{path:?} {row:?} {error}");
            if largest >= 1e-12 {
                prop_assert!(q.iter().any(|q| i32::from(*q).abs() == levels), "{path:?} all levels are used");
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
                    let (row, q) = quantised(path, &x, 127);
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
        let (row, q) = quantised(path, &[0.0, -0.0, 0.0], 127);
        assert_eq!((row, q), (Quantised::default(), vec![0; 3]), "{path:?}");
        // The smallest positive number has an error, with a square above zero.
        let (row, q) = quantised(path, &[f32::from_bits(1)], 127);
        assert!(row.error * row.error > 0.0 && q == [0], "{path:?} {row:?}");
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
fn sample_bytes_are_shifted_by_the_engines_offset() {
    for (engine, middle) in [
        (Engine::Portable, 128),
        (Engine::Avx2, 64),
        (Engine::AvxVnni, 128),
        (Engine::Vnni, 128),
    ] {
        let most = engine.levels() as i8;
        assert_eq!(engine.offset(), middle);
        let mut bytes = [7; 8];
        offset(&[-most, -1, 0, 1, most], engine, &mut bytes);
        let want = [1, middle - 1, middle, middle + 1, middle + most as u8];
        assert_eq!(bytes[..5], want, "{engine:?}");
        assert_eq!(bytes[5..], [middle; 3], "{engine:?}");
    }
}
