//! Sparse decoding: reconstructions from codes.

use std::ops::Range;

use rarefy_kernels::matmul::{Op, matmul};
use rayon::prelude::*;

use crate::codes::Codes;
use crate::params::Params;

/// Decodes a range of rows of the codes: `x_hat_i = sum_j f_ij w_dec[j] + b_dec`.
///
/// # Shapes
/// `w_dec`: `[d_sae, d_out]`; `b_dec`: `[d_out]`, where `d_out = d_in` except for transcoders; `x_hat` is resized
/// to `[rows, d_out]` and overwritten.
/// # Panics
/// If `params` has no `w_dec` or `b_dec`, `w_dec` has another number of latents than the codes, or `rows` exceeds
/// the rows of the codes.
/// # Example
/// ```
/// use rarefy::codes::Codes;
/// use rarefy::engine::decode;
/// use rarefy::params::{Layout, Params};
/// let mut params = Params::zeros(&Layout::new(&[("w_dec", 2, 3), ("b_dec", 1, 3)]));
/// params.get_mut("w_dec").copy_from_slice(&[1.0, 0.0, 1.0, 0.0, 2.0, 0.0]);
/// params.get_mut("b_dec").copy_from_slice(&[10.0, 20.0, 30.0]);
/// let mut codes = Codes::new(2);
/// codes.push_dense(&[0.0, 0.0, 2.0, 3.0], 0.0);
/// let mut x_hat = Vec::new();
/// decode(&params, &codes, 1..2, &mut x_hat);
/// assert_eq!(x_hat, [12.0, 26.0, 32.0]); // 2 (1, 0, 1) + 3 (0, 2, 0) + b_dec
/// ```
#[track_caller]
pub fn decode(params: &Params, codes: &Codes, rows: Range<usize>, x_hat: &mut Vec<f32>) {
    decode_on(params, codes, rows, &[], x_hat);
}

/// Decodes like [`decode`], but adds the latents to `base`, `[rows, d_out]`, instead of `b_dec`. An empty `base`
/// means `b_dec`.
#[track_caller]
pub(crate) fn decode_on(
    params: &Params,
    codes: &Codes,
    rows: Range<usize>,
    base: &[f32],
    x_hat: &mut Vec<f32>,
) {
    let (w_dec, b_dec) = (params.get("w_dec"), params.get("b_dec"));
    let d_out = b_dec.len();
    assert!(
        d_out > 0 && w_dec.len() == codes.d_sae * d_out,
        "w_dec must be {} latents of {d_out} outputs, got {} values",
        codes.d_sae,
        w_dec.len()
    );
    assert!(
        rows.end <= codes.rows(),
        "codes have {} rows, not {}",
        codes.rows(),
        rows.end
    );
    x_hat.resize(rows.len() * d_out, 0.0);
    x_hat
        .par_chunks_exact_mut(d_out)
        .enumerate()
        .for_each(|(i, x_hat)| {
            let entries = codes.offsets[rows.start + i]..codes.offsets[rows.start + i + 1];
            let (indices, values) = (&codes.indices[entries.clone()], &codes.values[entries]);
            x_hat.copy_from_slice(base.get(i * d_out..(i + 1) * d_out).unwrap_or(b_dec));
            for (&j, &value) in indices.iter().zip(values) {
                let w = &w_dec[j as usize * d_out..][..d_out];
                rarefy_kernels::vector::add_scaled(x_hat, value, w);
            }
        });
}

/// Number of rows in one task. The number is fixed, so that results do not depend on the number of threads.
const ROWS: usize = 256;

/// Part of a skip transcoder's output that does not depend on latents: `base_i = b_dec + w_skip x_i`, `[n, d_out]`.
pub(crate) fn skip(params: &Params, x: &[f32], base: &mut Vec<f32>) {
    let (w_skip, b_dec) = (params.get("w_skip"), params.get("b_dec"));
    let (d_out, d_in) = (b_dec.len(), w_skip.len() / b_dec.len());
    base.resize(x.len() / d_in * d_out, 0.0);
    base.par_chunks_mut(ROWS * d_out)
        .zip(x.par_chunks(ROWS * d_in))
        .for_each(|(base, x)| {
            for row in base.chunks_exact_mut(d_out) {
                row.copy_from_slice(b_dec);
            }
            let shape = [base.len() / d_out, d_out, d_in];
            matmul(base, true, (x, Op::N), (w_skip, Op::T), shape);
        });
}
