//! Gradient of the lecture's objective: both halves over some rows, the one-pass form, means and weight decay.

use rarefy_kernels::decoder::output_backward;
use rarefy_kernels::encoder::{column_sums, sigmoid_backward};
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector;

use super::Kl;
use crate::params::Params;
use crate::variants::{Batch, Chunk, Gradient, Scratch};

impl Kl {
    /// Loss and gradient of the decoder; leaves the derivative by the logits in `scratch.output`.
    pub(super) fn decoder_half(
        &self,
        params: &Params,
        x: &[f32],
        chunk: &Chunk,
        scratch: &mut Scratch,
        gradient: &mut Gradient,
    ) {
        let b_dec = params.get("b_dec");
        let (d_in, k) = (b_dec.len(), params.get("b_enc").len());
        let n = x.len() / d_in;
        let (latents, output) = (chunk.latents.as_slice(), &mut scratch.output);
        output.resize(n * d_in, 0.0);
        let decoder = (self.decoder(params), Op::N);
        matmul(output, false, (latents, Op::N), decoder, [n, d_in, k]);
        let mut sums = vec![0.0; d_in];
        gradient.reconstruction += output_backward(self.output, output, x, b_dec, &mut sums);
        add_f64(gradient.params.get_mut("b_dec"), &sums);
        let d_decoder = gradient.params.get_mut(self.decoder_name());
        let output = (output.as_slice(), Op::N);
        matmul(d_decoder, true, (latents, Op::T), output, [k, d_in, n]);
    }

    /// Gradient of the encoder from the derivative by the logits; the penalty pushes each latent
    /// of all rows alike, once its mean is known.
    pub(super) fn encoder_half(
        &self,
        params: &Params,
        x: &[f32],
        chunk: &Chunk,
        batch: Option<&Batch>,
        scratch: &mut Scratch,
        gradient: &mut Gradient,
    ) {
        let (d_in, k) = (params.get("b_dec").len(), params.get("b_enc").len());
        let n = x.len() / d_in;
        let (output, hidden) = (scratch.output.as_slice(), &mut scratch.hidden);
        hidden.resize(n * k, 0.0);
        let decoder = (self.decoder(params), Op::T);
        matmul(hidden, false, (output, Op::N), decoder, [n, k, d_in]);
        let push = batch.map_or_else(
            || vec![0.0; k],
            |batch| {
                self.penalty(batch)
                    .pushes
                    .iter()
                    .map(|&s| s as f32)
                    .collect()
            },
        );
        let mut sums = vec![0.0; k];
        sigmoid_backward(hidden, &chunk.slopes, &push, &mut sums);
        add_f64(gradient.params.get_mut("b_enc"), &sums);
        let (d_encoder, hidden) = (gradient.params.get_mut("w_enc"), (hidden.as_slice(), Op::T));
        matmul(d_encoder, true, hidden, (x, Op::N), [k, d_in, n]);
    }

    /// Turns sums over `rows` into means and adds the weight decay; returns the decay's value.
    pub(super) fn average_and_decay(
        &self,
        params: &Params,
        rows: usize,
        gradient: &mut Params,
    ) -> f64 {
        let scale = 1.0 / rows as f64;
        let mut squares = 0.0;
        for block in params.layout().blocks() {
            let weights = params.get(block.name);
            // Biases are never decayed (E20): the decay is of W and V, as in the objective above.
            let lambda = if block.name.starts_with('w') {
                self.weight_decay
            } else {
                0.0
            };
            if lambda > 0.0 {
                squares += vector::dot(weights, weights);
            }
            for (g, w) in gradient.get_mut(block.name).iter_mut().zip(weights) {
                *g = (f64::from(*g) * scale + lambda * f64::from(*w)) as f32;
            }
        }
        self.weight_decay / 2.0 * squares
    }
}

/// Further sums of the one-pass form: the lecture's `A = X^T (H o (1-H))`, summed.
pub(super) fn defer(x: &[f32], chunk: &Chunk, a: &mut Params) {
    let k = a.get("b_enc").len();
    let d_in = a.get("w_enc").len() / k;
    let slopes = (chunk.slopes.as_slice(), Op::T);
    let shape = [k, d_in, x.len() / d_in];
    matmul(a.get_mut("w_enc"), true, slopes, (x, Op::N), shape);
    let mut sums = vec![0.0; k];
    column_sums(&chunk.slopes, &mut sums);
    add_f64(a.get_mut("b_enc"), &sums);
}

/// The one-pass form's last step: `A diag(beta s)`, column l of the lecture's A by its own slope.
pub(super) fn add_deferred(pushes: &[f64], a: &Params, gradient: &mut Params) {
    let add = |g: &mut f32, push: f64, a: f32| *g = (f64::from(*g) + push * f64::from(a)) as f32;
    let d_in = a.get("w_enc").len() / pushes.len();
    for (l, &push) in pushes.iter().enumerate() {
        add(&mut gradient.get_mut("b_enc")[l], push, a.get("b_enc")[l]);
        let row = l * d_in..(l + 1) * d_in;
        let from = &a.get("w_enc")[row.clone()];
        gradient.get_mut("w_enc")[row]
            .iter_mut()
            .zip(from)
            .for_each(|(g, a)| add(g, push, *a));
    }
}

fn add_f64(target: &mut [f32], sums: &[f64]) {
    for (t, s) in target.iter_mut().zip(sums) {
        *t += *s as f32;
    }
}
