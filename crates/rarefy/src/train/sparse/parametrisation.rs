//! Parametrisation of decoder rows: effective weights, and the gradient of the trained parameters.
//!
//! | `decoder_norm` | effective weights | gradient | after the optimiser |
//! |---|---|---|---|
//! | `unit` | the parameters | decoder rows: part perpendicular to the row | decoder rows scaled to length 1 |
//! | `free` | the parameters | unchanged | nothing |
//! | `rescale` | encoder rows times, decoder rows divided by `decoder_norms` | chain rule through the lengths | effective weights computed again |

use rarefy_kernels::sparse::{normalise_row, project_row};
use rarefy_kernels::vector::dot;

use super::model_view::ModelView;
use crate::config::DecoderNorm;
use crate::engine::Encoder;
use crate::params::Params;
use crate::variants::{Latent, rescale, through};

/// Parametrisation of decoder rows, with the effective weights where they differ from the parameters.
pub(super) struct Parametrisation {
    norm: DecoderNorm,
    /// Effective weights and the lengths of the parameters' decoder rows; only with `rescale`.
    rescaled: Option<(Params, Vec<f32>)>,
}

impl Parametrisation {
    pub(super) fn new(norm: DecoderNorm, params: &Params) -> Self {
        let rescales = norm == DecoderNorm::Rescale;
        Self {
            norm,
            rescaled: rescales.then(|| (params.clone(), Vec::new())),
        }
    }

    /// Weights that the step evaluates.
    pub(super) fn effective<'a>(&'a self, params: &'a Params) -> &'a Params {
        self.rescaled.as_ref().map_or(params, |(model, _)| model)
    }

    /// True if the encoder can be quantised from the parameters themselves.
    pub(super) fn is_direct(&self) -> bool {
        self.rescaled.is_none()
    }

    /// Computes effective weights and encoder again, where the weights differ from the parameters.
    pub(super) fn refresh(&mut self, params: &Params, encoder: &mut Encoder) {
        if let Some((model, lengths)) = &mut self.rescaled {
            rescale(params, model, lengths);
            encoder.quantise(model.get("w_enc"), model.get("b_enc"));
        }
    }

    /// Takes one latent's gradient by the effective weights back to the parameters; returns the squared norms of
    /// the encoder row's and the decoder row's gradient.
    pub(super) fn pull_back(
        &self,
        model: &ModelView,
        latent: usize,
        d_enc: &mut [f32],
        d_dec: &mut [f32],
        d_bias: &mut f64,
    ) -> [f64; 2] {
        let w_dec = model.w_dec(latent);
        if let Some((_, lengths)) = &self.rescaled {
            let bias = model.weights.get("b_enc")[latent];
            let derivatives = Latent {
                w_enc: d_enc,
                w_dec: d_dec,
                b_enc: d_bias,
            };
            through(
                lengths[latent],
                (model.w_enc(latent), bias, w_dec),
                derivatives,
            );
        }
        let of_decoder = if self.norm == DecoderNorm::Unit {
            project_row(d_dec, w_dec)
        } else {
            dot(d_dec, d_dec)
        };
        [dot(d_enc, d_enc), of_decoder]
    }

    /// Projects decoder rows back onto their constraint after the optimiser moved them.
    pub(super) fn constrain(&self, w_dec: &mut [f32], d_out: usize) {
        constrain_rows(self.norm, w_dec, d_out);
    }
}

/// Projects decoder rows of length `d_out` onto their constraint.
pub(super) fn constrain_rows(norm: DecoderNorm, w_dec: &mut [f32], d_out: usize) {
    if norm == DecoderNorm::Unit {
        w_dec.chunks_exact_mut(d_out).for_each(normalise_row);
    }
}
