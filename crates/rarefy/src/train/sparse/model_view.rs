//! Model that a step evaluates.

use super::blocks::ModelShape;
use crate::io_spec::IoSpec;
use crate::objective::Objective;
use crate::params::Params;

/// Model that a step evaluates: objective, input and output widths, effective weights.
#[derive(Clone, Copy)]
pub(super) struct ModelView<'a> {
    pub(super) objective: &'a Objective,
    pub(super) io: &'a IoSpec,
    pub(super) shape: ModelShape,
    pub(super) weights: &'a Params,
}

impl<'a> ModelView<'a> {
    /// Decoder row of a latent, `[d_out]`.
    pub(super) fn w_dec(&self, latent: usize) -> &'a [f32] {
        let d_out = self.shape.d_out;
        &self.weights.get("w_dec")[latent * d_out..(latent + 1) * d_out]
    }

    /// Encoder row of a latent, `[d_in]`.
    pub(super) fn w_enc(&self, latent: usize) -> &'a [f32] {
        let d_in = self.shape.d_in;
        &self.weights.get("w_enc")[latent * d_in..(latent + 1) * d_in]
    }

    /// Values that the decoder is to write for row i of a batch, `[d_out]`.
    pub(super) fn target<'x>(&self, x: &'x [f32], i: usize) -> &'x [f32] {
        let (wide, start) = (self.io.row_width(), self.io.target_start());
        &x[i * wide + start..(i + 1) * wide]
    }
}
