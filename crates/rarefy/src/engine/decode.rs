//! From codes back to rows.

use std::ops::Range;

use rayon::prelude::*;

use crate::codes::Codes;
use crate::params::Params;

/// Reconstructions `[rows, d_in]` of some rows: `x_hat = sum_j f_j w_dec[j] + b_dec`.
pub fn decode(params: &Params, codes: &Codes, rows: Range<usize>, x_hat: &mut Vec<f32>) {
    let (w_dec, b_dec) = (params.get("w_dec"), params.get("b_dec"));
    let d_in = b_dec.len();
    x_hat.resize(rows.len() * d_in, 0.0);
    x_hat
        .par_chunks_exact_mut(d_in)
        .enumerate()
        .for_each(|(i, x_hat)| {
            let entries = codes.offsets[rows.start + i]..codes.offsets[rows.start + i + 1];
            let (indices, values) = (&codes.indices[entries.clone()], &codes.values[entries]);
            x_hat.copy_from_slice(b_dec);
            for (&j, &value) in indices.iter().zip(values) {
                let w = &w_dec[j as usize * d_in..][..d_in];
                rarefy_kernels::vector::add_scaled(x_hat, value, w);
            }
        });
}
