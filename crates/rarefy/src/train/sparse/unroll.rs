//! Backward pass of a matching pursuit: each entry has its own input row and its own output derivative.
//!
//! ```text
//! r_0 = x - b_dec      v_t = r_t . w_t      r_{t+1} = r_t - v_t w_t        w_t: the latent taken at t
//! G_T = dJ/dx_hat      G_t = G_{t+1} - (G_{t+1} . w_t) w_t
//! dJ/dw_t = v_t G_{t+1} + (G_{t+1} . w_t) r_t       dJ/db_dec = G_0
//! ```
//!
//! The gradient of any sparse step results with `r_t` in place of the row and `G_{t+1}` in place of the residual.

use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::reconstruction::Reconstruction;
use crate::params::Params;

/// Input row and output derivative of each entry, `[entries, d]`.
#[derive(Default)]
pub(super) struct Unrolled {
    /// Residual `r_t` that the entry was taken from.
    pub(super) inputs: Vec<f32>,
    /// Derivative `G_{t+1}` of the loss by the reconstruction after the entry.
    pub(super) outputs: Vec<f32>,
}

impl Unrolled {
    /// Goes back through the entries of every row, from the last residual.
    pub(super) fn fill(&mut self, params: &Params, reconstruction: &Reconstruction) {
        let (codes, w_dec) = (&reconstruction.codes, params.get("w_dec"));
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
        let scale = reconstruction.scale as f32;
        rows.into_par_iter()
            .zip(reconstruction.residual.par_chunks_exact(d))
            .for_each(|((entries, inputs, outputs), residual)| {
                let mut residual_before: Vec<f32> = residual.iter().map(|r| -r).collect();
                let mut d_x_hat: Vec<f32> = residual.iter().map(|r| scale * r).collect();
                let seen = inputs.chunks_exact_mut(d).zip(outputs.chunks_exact_mut(d));
                for (at, (input, output)) in entries.zip(seen).rev() {
                    let latent = codes.indices[at] as usize;
                    let w = &w_dec[latent * d..(latent + 1) * d];
                    output.copy_from_slice(&d_x_hat);
                    let slope = dot(&d_x_hat, w) as f32;
                    add_scaled(&mut d_x_hat, -slope, w);
                    add_scaled(&mut residual_before, codes.values[at], w);
                    input.copy_from_slice(&residual_before);
                }
            });
    }
}
