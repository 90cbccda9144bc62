//! The lecture's autoencoder: sigmoid latents kept mostly silent by a KL penalty.
//!
//! ```text
//! z = W_enc x + b_enc      h = sigma(z)      r = W_dec^T h + b_dec      x_hat = r or sigma(r)
//! J = 1/m sum_i loss(x_i, x_hat_i) + beta sum_l KL(rho || rho_hat_l) + lambda/2 (|W_enc|^2 + |W_dec|^2)
//! ```
//!
//! The lecture's W (`n x k`, used as `W^T x + b`) is the transpose of `w_enc`, its neuron l our
//! latent l. Its derivation of `drho_hat_l / dW_jl = 1/m sum_i g'(z_il) x_ij` is what the code
//! computes. The lecture's last line, "in matrix notation", differs: there the mean over examples is missing, and a
//! full matrix is shown where only column l belongs to latent l.

mod formulas;
mod gradient;
mod options;
mod saturated;

pub use options::{EncoderBiasStart, KlDecoder, KlLoss, KlOptions, RhoEstimate};

use std::sync::Arc;

use rand::RngExt;
use rarefy_kernels::decoder::{Output, output_forward};
use rarefy_kernels::encoder::sigmoid_latents;
use rarefy_kernels::matmul::{Op, matmul};

use super::{
    Architecture, Batch, Chunk, Defaults, Estimate, Example, Gradient, Info, Parts, Scratch,
    Variant, Visit,
};
use crate::objective::{Conversions, Maths, TermFormula};
use crate::options::OptionSet;
use crate::params::{Layout, Params};
use crate::penalty::kl_sparsity;
use crate::{Error, Result, Rng};
use gradient::{add_deferred, defer};

/// Table line of the architecture.
pub const INFO: Info = Info {
    name: "kl",
    summary: "Sigmoid latents with a KL penalty that keeps their mean activations near rho (the lecture's model)",
    source: "lecture Module 7.5; Ng, Sparse autoencoder (CS294A lecture notes)",
    own_options: KlOptions::TABLE,
    example: Example {
        options: &[],
        pre: [0.0, -1.0, 2.0, 40.0],
        latents: [0.5, 0.268_941_4, 0.880_797, 1.0],
    },
    defaults: Defaults {
        full_batch: true,
        sgd: true,
        latents: |_, _| 64,
        latents_text: "64",
        lr: |_| 1e-3,
        clip: None,
        unit_norm: false,
        penalised: false,
        fewest_steps: 3000,
    },
    dial: None,
    checks: &[],
    resolve: options::resolve,
    compose: |options| {
        let kl = Kl::new(&KlOptions::read(options))?;
        Ok(Architecture::Dense(Arc::new(kl)))
    },
};

/// The lecture's autoencoder with its settings.
#[derive(Debug, Clone)]
pub struct Kl {
    output: Output,
    decoder: KlDecoder,
    rho: f64,
    beta: f64,
    weight_decay: f64,
    tied: bool,
    estimate: Estimate,
    start_on_target: bool,
}

impl Kl {
    /// Builds the architecture; `auto` choices are resolved by the plan before.
    ///
    /// # Errors
    /// [`Error::Conflict`] for cross-entropy with a linear decoder.
    pub fn new(options: &KlOptions) -> Result<Self> {
        let output = match (options.decoder, options.loss) {
            (KlDecoder::Linear, KlLoss::CrossEntropy) => {
                return Err(Error::Conflict(
                    "loss cross-entropy needs decoder sigmoid: a linear decoder's output is no probability".into(),
                ));
            }
            (KlDecoder::Linear, KlLoss::Squared) => Output::LinearSquared,
            (_, KlLoss::CrossEntropy) => Output::SigmoidCrossEntropy,
            (_, KlLoss::Squared) => Output::SigmoidSquared,
        };
        Ok(Self {
            output,
            decoder: options.decoder,
            rho: options.rho,
            beta: options.beta,
            weight_decay: options.weight_decay,
            tied: options.tied,
            estimate: match options.rho_estimate {
                RhoEstimate::Batch => Estimate::Batch,
                RhoEstimate::Moving => Estimate::Moving {
                    decay: options.rho_decay,
                },
                RhoEstimate::Auto | RhoEstimate::Exact => Estimate::Exact,
            },
            start_on_target: options.bias_start == EncoderBiasStart::LogitRho,
        })
    }

    /// Penalty at the batch's means. A saturated latent counts as on target here, at no cost
    /// and with no slope; [`Variant::finish`] adds its exact share.
    fn penalty(&self, batch: &Batch) -> Penalty {
        let (mut on, mut off) = means(batch);
        let saturated = saturated::latents(&on, &off);
        for &l in &saturated {
            (on[l], off[l]) = (self.rho, 1.0 - self.rho);
        }
        let mut slopes = vec![0.0; on.len()];
        let omega = kl_sparsity(self.rho, &on, &off, &mut slopes);
        slopes.iter_mut().for_each(|s| *s *= self.beta);
        Penalty {
            omega,
            pushes: slopes,
            saturated,
        }
    }

    fn decoder<'a>(&self, params: &'a Params) -> &'a [f32] {
        params.get(self.decoder_name())
    }

    fn decoder_name(&self) -> &'static str {
        if self.tied { "w_enc" } else { "w_dec" }
    }
}

/// Penalty of the latents that are not saturated.
struct Penalty {
    /// Sum of KL over these latents, without beta.
    omega: f64,
    /// `beta dOmega/drho_hat_l`.
    pushes: Vec<f64>,
    /// Saturated latents, which are left out.
    saturated: Vec<usize>,
}

/// Means of h and of 1 - h over the batch.
///
/// Each h and 1 - h is rounded to f32 on its own, so the two sums miss `m` by a few 1e-8 of it.
/// Divided by their sum, the two are probabilities again and KL is never below 0.
fn means(batch: &Batch) -> (Vec<f64>, Vec<f64>) {
    let (on, off) = batch.statistics.split_at(batch.statistics.len() / 2);
    on.iter()
        .zip(off)
        .map(|(on, off)| (on / (on + off), off / (on + off)))
        .unzip()
}

impl Variant for Kl {
    fn formulas(&self) -> Vec<TermFormula> {
        self.terms()
    }

    fn lines(&self, sizes: &str) -> Vec<(Maths, Maths, String)> {
        self.row_lines(sizes)
    }

    fn conversions(&self) -> &'static Conversions {
        &formulas::CONVERSIONS
    }

    fn unfoldable(&self) -> Option<&'static str> {
        match (self.tied, self.decoder) {
            (true, _) => {
                Some(" with a tied decoder: encoder and decoder would become different matrices")
            }
            (false, KlDecoder::Linear) => None,
            (false, KlDecoder::Auto | KlDecoder::Sigmoid) => {
                Some(": its decoder ends with a sigmoid")
            }
        }
    }

    fn target_activation(&self) -> Option<f64> {
        Some(self.rho)
    }

    fn with_plain_penalty(&self) -> Option<(f64, Arc<dyn Variant>)> {
        let plain = Self {
            beta: 1.0,
            ..self.clone()
        };
        Some((self.beta, Arc::new(plain)))
    }

    fn layout(&self, d_in: usize, d_sae: usize) -> Layout {
        let blocks = [
            ("w_enc", d_sae, d_in),
            ("b_enc", 1, d_sae),
            ("w_dec", d_sae, d_in),
            ("b_dec", 1, d_in),
        ];
        let stored = blocks
            .into_iter()
            .filter(|(name, ..)| !(self.tied && *name == "w_dec"));
        Layout::new(&stored.collect::<Vec<_>>())
    }

    /// Weights uniform in (-r, r) with `r = sqrt(6 / (d_in + d_sae + 1))` (the Stanford
    /// exercise's), decoder bias 0, encoder bias `logit(rho)` or 0.
    fn init(&self, layout: &Layout, rng: &mut Rng) -> Params {
        let mut params = Params::zeros(layout);
        let encoder = &layout.blocks()[0];
        let r = (6.0 / (encoder.rows + encoder.cols + 1) as f64).sqrt();
        for block in layout
            .blocks()
            .iter()
            .filter(|b| b.rows > 1 || b.name.starts_with('w'))
        {
            for w in params.get_mut(block.name) {
                *w = (r * (2.0 * rng.random::<f64>() - 1.0)) as f32;
            }
        }
        if self.start_on_target {
            params
                .get_mut("b_enc")
                .fill((self.rho / (1.0 - self.rho)).ln() as f32);
        }
        params
    }

    fn estimate(&self) -> Estimate {
        self.estimate
    }

    fn mean_activation(&self, batch: &Batch) -> Option<f64> {
        let (on, _) = means(batch);
        Some(on.iter().sum::<f64>() / on.len() as f64)
    }

    fn statistics_len(&self, d_sae: usize) -> usize {
        2 * d_sae
    }

    fn deferred_layout(&self, d_in: usize, d_sae: usize) -> Option<Layout> {
        Some(Layout::new(&[("w_enc", d_sae, d_in), ("b_enc", 1, d_sae)]))
    }

    fn forward(&self, params: &Params, x: &[f32], chunk: &mut Chunk, statistics: &mut [f64]) {
        let (w_enc, b_enc) = (params.get("w_enc"), params.get("b_enc"));
        let k = b_enc.len();
        let d_in = w_enc.len() / k;
        let n = x.len() / d_in;
        chunk.latents.resize(n * k, 0.0);
        chunk.slopes.resize(n * k, 0.0);
        matmul(
            &mut chunk.latents,
            false,
            (x, Op::N),
            (w_enc, Op::T),
            [n, k, d_in],
        );
        let (sum_on, sum_off) = statistics.split_at_mut(k);
        sigmoid_latents(
            &mut chunk.latents,
            &mut chunk.slopes,
            b_enc,
            sum_on,
            sum_off,
        );
    }

    fn backward(
        &self,
        params: &Params,
        x: &[f32],
        chunk: &Chunk,
        batch: Option<&Batch>,
        scratch: &mut Scratch,
        gradient: &mut Gradient,
    ) {
        self.decoder_half(params, x, chunk, scratch, gradient);
        self.encoder_half(params, x, chunk, batch, scratch, gradient);
        if let (None, Some(a)) = (batch, &mut gradient.deferred) {
            defer(x, chunk, a);
        }
    }

    fn finish(
        &self,
        params: &Params,
        batch: &Batch,
        rows: &Visit,
        gradient: &mut Gradient,
    ) -> Result<Parts> {
        let Penalty {
            mut omega,
            pushes,
            saturated,
        } = self.penalty(batch);
        if let Some(a) = &gradient.deferred {
            add_deferred(&pushes, a, &mut gradient.params);
        }
        if !saturated.is_empty() {
            omega += saturated::finish(
                self.rho,
                self.beta,
                params,
                &saturated,
                rows,
                &mut gradient.params,
            )?;
        }
        let weight_decay = self.average_and_decay(params, batch.rows, &mut gradient.params);
        Ok(Parts {
            reconstruction: gradient.reconstruction / batch.rows as f64,
            penalty: self.beta * omega,
            weight_decay,
            ..Parts::default()
        })
    }

    fn encode(&self, params: &Params, x: &[f32], latents: &mut Vec<f32>) {
        let mut chunk = Chunk {
            latents: std::mem::take(latents),
            slopes: Vec::new(),
        };
        let mut sums = vec![0.0; self.statistics_len(params.get("b_enc").len())];
        self.forward(params, x, &mut chunk, &mut sums);
        *latents = chunk.latents;
    }

    fn decode(&self, params: &Params, latents: &[f32], x_hat: &mut Vec<f32>) {
        let b_dec = params.get("b_dec");
        let (d_in, k) = (b_dec.len(), params.get("b_enc").len());
        let n = latents.len() / k;
        x_hat.resize(n * d_in, 0.0);
        matmul(
            x_hat,
            false,
            (latents, Op::N),
            (self.decoder(params), Op::N),
            [n, d_in, k],
        );
        output_forward(self.output != Output::LinearSquared, x_hat, b_dec);
    }
}
