//! Sparse kernels on each path of this machine against plain f64 loops, at odd sizes.

use proptest::prelude::*;

use super::decode::{decode_row, decode_row_on, residual_row_on};
use super::dictionary::{normalise_row_on, project_row_on};
use super::gradient::{add_rows_on, decoder_gradient_on};
use crate::cpu::Path;
use crate::twins::{close, repeatable, size, values, wide};

/// Rows of the matrices; few, so that entries repeat them.
const PLACES: usize = 7;

/// Random indices below [`PLACES`] from a seed.
fn places(seed: u32, entries: usize) -> Vec<u32> {
    let at = |v: f32| (f32::midpoint(v, 1.0) * PLACES as f32) as u32;
    values(seed, entries, 1.0).into_iter().map(at).collect()
}

/// Decoded value `base + sum_j z_j W[l_j]`, and the sum of the terms' absolute values, which bounds the
/// rounding.
fn decoded(base: &[f32], w: &[f32], indices: &[u32], codes: &[f32], column: usize) -> (f64, f64) {
    let terms = indices
        .iter()
        .zip(codes)
        .map(|(index, code)| wide(*code) * wide(w[*index as usize * base.len() + column]));
    terms.fold(
        (wide(base[column]), wide(base[column]).abs()),
        |(sum, sizes), term| (sum + term, sizes + term.abs()),
    )
}

proptest! {
    #![proptest_config(repeatable())]

    #[test]
    fn decoded_rows_and_residuals_match_f64(d in size(), entries in 0usize..10, seed: u32) {
        let w = values(seed, PLACES * d, 1.0);
        let (base, x) = (values(seed ^ 1, d, 1.0), values(seed ^ 2, d, 2.0));
        let (indices, codes) = (places(seed ^ 3, entries), values(seed ^ 4, entries, 3.0));
        for &path in Path::available() {
            // The old values of the outputs must have no effect.
            let (mut x_hat, mut r) = (vec![f32::NAN; d], vec![f32::NAN; d]);
            decode_row_on(path, &mut x_hat, &base, &w, &indices, &codes);
            let square = residual_row_on(path, &mut r, &x, &base, &w, &indices, &codes);
            for i in 0..d {
                let (want, sizes) = decoded(&base, &w, &indices, &codes, i);
                prop_assert!(close(wide(x_hat[i]), want, 0.0, 5e-7 * sizes), "{path:?} x_hat");
                let (want, sizes) = (want - wide(x[i]), sizes + wide(x[i]).abs());
                prop_assert!(close(wide(r[i]), want, 0.0, 5e-7 * sizes), "{path:?} r");
            }
            let want: f64 = r.iter().map(|r| wide(*r).powi(2)).sum();
            prop_assert!(close(square, want, 1e-7, 0.0), "{path:?} {square} {want}");
        }
    }

    #[test]
    fn gradients_of_a_latent_match_f64(d in size(), entries in 0usize..10, seed: u32, silent: bool) {
        let (x, mut r) = (values(seed, PLACES * d, 2.0), values(seed ^ 1, PLACES * d, 1.0));
        if silent {
            r[..PLACES / 2 * d].fill(0.0);
        }
        let w = values(seed ^ 2, d, 1.0);
        let (rows, codes) = (places(seed ^ 3, entries), values(seed ^ 4, entries, 3.0));
        let (before_enc, before_dec) = (values(seed ^ 5, d, 1.0), values(seed ^ 6, d, 1.0));
        let scale = 0.25f32;
        for &path in Path::available() {
            let (mut d_enc, mut d_dec) = (before_enc.clone(), before_dec.clone());
            let mut d_values = vec![f32::NAN; entries];
            decoder_gradient_on(path, &mut d_dec, &mut d_values, &w, &r, &rows, &codes, scale);
            add_rows_on(path, &mut d_enc, &x, &rows, &d_values);
            let got: f64 = d_values.iter().copied().map(wide).sum();
            let mut want_enc: Vec<f64> = before_enc.iter().copied().map(wide).collect();
            let mut want_dec: Vec<f64> = before_dec.iter().copied().map(wide).collect();
            let (mut want, mut sizes) = (0.0, 0.0);
            for (row, code) in rows.iter().zip(&codes) {
                let at = *row as usize * d;
                let terms = (0..d).map(|i| wide(scale) * wide(r[at + i]) * wide(w[i]));
                let dp: f64 = terms.clone().sum();
                want += dp;
                sizes += terms.map(f64::abs).sum::<f64>();
                for i in 0..d {
                    want_enc[i] += dp * wide(x[at + i]);
                    want_dec[i] += wide(scale) * wide(*code) * wide(r[at + i]);
                }
            }
            prop_assert!(close(got, want, 0.0, 5e-7 * sizes), "{path:?} {got} {want}");
            for i in 0..d {
                // Inputs are below 2, so the error of a dp counts at most twice.
                prop_assert!(close(wide(d_enc[i]), want_enc[i], 5e-7, 1e-6 * (1.0 + sizes)), "{path:?} enc");
                prop_assert!(close(wide(d_dec[i]), want_dec[i], 5e-7, 1e-6), "{path:?} dec");
            }
        }
    }

    #[test]
    fn projected_and_normalised_rows_match_f64(d in size(), seed: u32, zero: bool, power in -40i32..38) {
        // The row has any length that f32 can represent.
        let size = if zero { 0.0 } else { 10f64.powi(power) as f32 };
        let (before, w) = (values(seed, d, 2.0), values(seed ^ 1, d, size));
        let square: f64 = w.iter().map(|w| wide(*w).powi(2)).sum();
        let product: f64 = before.iter().zip(&w).map(|(g, w)| wide(*g) * wide(*w)).sum();
        for &path in Path::available() {
            let (mut g, mut unit) = (before.clone(), w.clone());
            let left = project_row_on(path, &mut g, &w);
            normalise_row_on(path, &mut unit);
            let zero = square == 0.0;
            if zero {
                prop_assert_eq!(&g, &before);
                prop_assert_eq!(&unit, &w);
            }
            let (along, length) = if zero { (0.0, 1.0) } else { (product / square, square.sqrt()) };
            for i in 0..d {
                let want = wide(before[i]) - along * wide(w[i]);
                prop_assert!(close(wide(g[i]), want, 6e-8, 1e-13), "{path:?} {} {want}", g[i]);
                let want = wide(w[i]) / length;
                prop_assert!(close(wide(unit[i]), want, 6e-8, 1e-38), "{path:?} {} {want}", unit[i]);
            }
            let want: f64 = g.iter().map(|g| wide(*g).powi(2)).sum();
            prop_assert!(close(left, want, 1e-13, 0.0), "{path:?} {left} {want}");
        }
    }
}

#[test]
fn squares_stay_exact_in_long_rows() {
    let d = 4096;
    let x = values(11, d, 1.0);
    let want: f64 = x.iter().map(|x| wide(*x).powi(2)).sum();
    for &path in Path::available() {
        let mut r = vec![0.0; d];
        let got = residual_row_on(path, &mut r, &x, &vec![0.0; d], &[], &[], &[]);
        assert!(close(got, want, 1e-7, 0.0), "{path:?} {got} {want}");
    }
}

#[test]
fn paths_differ_by_rounding_and_repeated_calls_are_equal() {
    let (d, entries) = (101, 9);
    let (w, base) = (values(1, PLACES * d, 1.0), values(2, d, 1.0));
    let (indices, codes) = (places(3, entries), values(4, entries, 3.0));
    let decode = |path| {
        let mut x_hat = vec![0.0; d];
        decode_row_on(path, &mut x_hat, &base, &w, &indices, &codes);
        x_hat
    };
    for &path in Path::available() {
        assert_eq!(decode(path), decode(path));
        for (a, b) in decode(path).into_iter().zip(decode(Path::Portable)) {
            assert!(close(wide(a), wide(b), 0.0, 1e-5), "{path:?} {a} {b}");
        }
    }
}

#[test]
#[should_panic(expected = "out of range")]
fn index_beyond_the_latents_panics() {
    decode_row(&mut [0.0; 2], &[0.0; 2], &[1.0; 6], &[3], &[1.0]);
}
