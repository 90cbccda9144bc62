//! Pre-activations measured in the lengths of decoder rows, `rescale_acts_by_decoder_norm` in `SAELens`.
//!
//! ```text
//! pre_j = |w_j| (W_enc[j] (x - b_dec) + b_enc[j])        x_hat = sum_j f_j w_j / |w_j| + b_dec
//! ```
//!
//! The effective model has `|w_j| W_enc[j]`, `|w_j| b_enc[j]` and decoder rows of length 1. It encodes, decodes and is
//! saved. The optimiser moves the trained parameters, among them the lengths of decoder rows.

use rarefy_kernels::sparse::project_row;
use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use crate::params::Params;

/// Effective model of rescaled parameters.
///
/// # Example
/// ```
/// use rarefy::params::{Layout, Params};
/// use rarefy::variants::rescaled;
/// let blocks = [("w_enc", 1, 2), ("b_enc", 1, 1), ("w_dec", 1, 2), ("b_dec", 1, 2)];
/// let mut params = Params::zeros(&Layout::new(&blocks));
/// params.get_mut("w_enc").copy_from_slice(&[1.0, 2.0]);
/// params.get_mut("b_enc")[0] = -1.0;
/// params.get_mut("w_dec").copy_from_slice(&[0.0, 4.0]); // 4 long
/// assert_eq!(rescaled(&params).values(), [4.0, 8.0, -4.0, 0.0, 1.0, 0.0, 0.0]);
/// ```
pub fn rescaled(params: &Params) -> Params {
    let mut model = params.clone();
    rescale(params, &mut model, &mut Vec::new());
    model
}

/// Writes the effective model of `params` into `model`, and the lengths of decoder rows into `lengths`.
pub fn rescale(params: &Params, model: &mut Params, lengths: &mut Vec<f32>) {
    let width = |name: &str| params.get(name).len() / params.get("b_enc").len();
    let rows = params.get("w_dec").par_chunks_exact(width("w_dec"));
    rows.map(|row| dot(row, row).sqrt() as f32)
        .collect_into_vec(lengths);
    model.values_mut().copy_from_slice(params.values());
    let times = |row: &mut [f32], factor: f32| row.iter_mut().for_each(|w| *w *= factor);
    for name in ["w_enc", "b_enc"] {
        let rows = model.get_mut(name).par_chunks_exact_mut(width(name));
        rows.zip(&*lengths)
            .for_each(|(row, length)| times(row, *length));
    }
    let rows = model.get_mut("w_dec").par_chunks_exact_mut(width("w_dec"));
    // A row of zeros has no direction, and stays.
    let some = |(_, length): &(&mut [f32], &f32)| **length > 0.0;
    rows.zip(&*lengths)
        .filter(some)
        .for_each(|(row, length)| times(row, 1.0 / length));
}

/// Rows of both matrices and encoder bias of one latent: values, or derivatives by them.
pub struct Latent<'a> {
    /// Row of `w_enc`.
    pub w_enc: &'a mut [f32],
    /// Row of `w_dec`.
    pub w_dec: &'a mut [f32],
    /// Entry of `b_enc`.
    pub b_enc: &'a mut f64,
}

/// Pulls the derivatives by a latent of the effective model back to the parameters.
///
/// ```text
/// d|w| = dW_enc' . W_enc + db' b      dW_enc = |w| dW_enc'      db = |w| db'
/// dw = (dw' - (dw' . u) u) / |w| + d|w| u        u = w / |w|
/// ```
///
/// with `'` for the effective model's. `w_enc`, `b_enc` and `w_dec` are the model's, `length` is `|w|`.
pub fn through(length: f32, (w_enc, b_enc, w_dec): (&[f32], f32, &[f32]), derivatives: Latent) {
    let Latent {
        w_enc: d_enc,
        w_dec: d_dec,
        b_enc: d_bias,
    } = derivatives;
    if length == 0.0 {
        d_enc.fill(0.0);
        d_dec.fill(0.0);
        *d_bias = 0.0;
        return;
    }
    let wide = f64::from(length);
    let by_length = (dot(d_enc, w_enc) + *d_bias * f64::from(b_enc)) / wide;
    project_row(d_dec, w_dec);
    d_dec.iter_mut().for_each(|d| *d /= length);
    add_scaled(d_dec, by_length as f32, w_dec);
    d_enc.iter_mut().for_each(|d| *d *= length);
    *d_bias *= wide;
}
