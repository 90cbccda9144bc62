//! A pursuit's entries one after the other: each of them saw another row, and answers for another residual.
//!
//! ```text
//! r_0 = x - b_dec      v_t = r_t . w_t      r_{t+1} = r_t - v_t w_t        w_t: the latent taken at t
//! G_T = dJ/dx_hat      G_t = G_{t+1} - (G_{t+1} . w_t) w_t
//! dJ/dw_t = v_t G_{t+1} + (G_{t+1} . w_t) r_t       dJ/db_dec = G_0
//! ```
//!
//! This is the gradient of any sparse step, with `r_t` for the row and `G_{t+1}` for the residual.

use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::reading::Reading;
use crate::params::Params;

/// What each entry saw and answers for, `[entries, d]`.
#[derive(Default)]
pub(super) struct Unrolled {
    /// `r_t`.
    pub(super) inputs: Vec<f32>,
    /// `G_{t+1}`.
    pub(super) outputs: Vec<f32>,
}

impl Unrolled {
    /// Goes back through the entries of every row, from what is left over in the end.
    pub(super) fn fill(&mut self, params: &Params, reading: &Reading) {
        let (codes, w_dec) = (&reading.codes, params.get("w_dec"));
        let d = w_dec.len() / codes.d_sae;
        self.inputs.resize(codes.indices.len() * d, 0.0);
        self.outputs.resize(codes.indices.len() * d, 0.0);
        let mut inputs = self.inputs.as_mut_slice();
        let mut outputs = self.outputs.as_mut_slice();
        let mut rows = Vec::with_capacity(codes.rows());
        for ends in codes.offsets.windows(2) {
            let wide = (ends[1] - ends[0]) * d;
            let (input, more) = inputs.split_at_mut(wide);
            let (output, further) = outputs.split_at_mut(wide);
            rows.push((ends[0]..ends[1], input, output));
            (inputs, outputs) = (more, further);
        }
        let scale = reading.scale as f32;
        rows.into_par_iter()
            .zip(reading.residual.par_chunks_exact(d))
            .for_each(|((entries, inputs, outputs), residual)| {
                let mut left: Vec<f32> = residual.iter().map(|r| -r).collect();
                let mut by: Vec<f32> = residual.iter().map(|r| scale * r).collect();
                let seen = inputs.chunks_exact_mut(d).zip(outputs.chunks_exact_mut(d));
                for (at, (input, output)) in entries.zip(seen).rev() {
                    let latent = codes.indices[at] as usize;
                    let w = &w_dec[latent * d..(latent + 1) * d];
                    output.copy_from_slice(&by);
                    let slope = dot(&by, w) as f32;
                    add_scaled(&mut by, -slope, w);
                    add_scaled(&mut left, codes.values[at], w);
                    input.copy_from_slice(&left);
                }
            });
    }
}
