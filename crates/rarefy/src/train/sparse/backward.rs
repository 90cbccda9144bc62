//! Gradient of a step, latent by latent.

mod latents;

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::int8::PANEL;
use rarefy_kernels::matmul::transpose;
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

use super::auxiliary::Auxiliary;
use super::blocks::{Blocks, ModelShape};
use super::forward::Forward;
use super::model_view::ModelView;
use super::parametrisation::Parametrisation;
use crate::objective::{BatchView, Prepared, StepSchedule};
use crate::params::Params;
use latents::{Latents, PanelSums};

/// Values of a block of rows that the latents of a panel visit together. Unit tests, which have few rows, use blocks of a few.
const BLOCK: usize = if cfg!(test) { 32 } else { 96 * 1024 };
/// Fewest entries of a latent in a block of rows, in the mean.
const FEWEST_ENTRIES: f64 = if cfg!(test) { 0.0 } else { 6.0 };

/// Gradient of the loss by all parameters.
pub(super) struct Gradients {
    /// Values in the parameters' layout; rows of untouched latents hold old numbers.
    pub(super) values: Vec<f32>,
    /// True for each latent that has a gradient, `[d_sae]`.
    pub(super) touched: Vec<bool>,
}

impl Gradients {
    pub(super) fn new(params: &Params, d_sae: usize) -> Self {
        Self {
            values: vec![0.0; params.values().len()],
            touched: vec![false; d_sae],
        }
    }

    /// Gradient with zeros in the rows of untouched latents.
    pub(super) fn complete(&self, params: &Params, shape: ModelShape) -> Params {
        let mut gradient = params.clone();
        let (d_in, d_out) = (shape.d_in, shape.d_out);
        gradient.values_mut().copy_from_slice(&self.values);
        for j in (0..shape.d_sae).filter(|&j| !self.touched[j]) {
            gradient.get_mut("w_enc")[j * d_in..(j + 1) * d_in].fill(0.0);
            gradient.get_mut("w_dec")[j * d_out..(j + 1) * d_out].fill(0.0);
        }
        gradient
    }
}

/// Sums of the backward half beside the gradient.
pub(super) struct BackwardSums {
    /// Norm of the gradient.
    pub(super) gradient_norm: f64,
    /// Penalties of all loss terms.
    pub(super) penalty: f64,
    /// Penalty without its coefficient, see [`Prepared::norms`].
    pub(super) norms: [f64; 2],
}

/// Backward half of a step: everything that it reads.
pub(super) struct Backward<'a> {
    pub(super) model: ModelView<'a>,
    pub(super) forward: &'a Forward,
    pub(super) auxiliary: &'a Auxiliary,
    pub(super) parametrisation: &'a Parametrisation,
}

impl Backward<'_> {
    /// Writes the gradient of all parameters.
    ///
    /// Reduction point: the gradient of a latent is a sum over its rows, added in their order. Penalties, the
    /// gradient of `b_dec` and the squared norm are sums over panels of latents, added in order.
    pub(super) fn run(&self, schedule: StepSchedule, gradients: &mut Gradients) -> BackwardSums {
        let batch = self.batch(schedule);
        let terms = self.model.objective.terms().iter();
        let prepared: Vec<Prepared> = terms.map(|term| term.prepare(&batch)).collect();
        let latents = Latents {
            step: self,
            batch: &batch,
            prepared: &prepared,
            row_sum: self.row_sum(),
            row_block: self.row_block(),
        };
        let shape @ ModelShape { d_in, d_out, .. } = self.model.shape;
        let blocks = Blocks::of_mut(shape, &mut gradients.values);
        let panels: Vec<PanelSums> = blocks
            .w_enc
            .par_chunks_mut(PANEL * d_in)
            .zip(blocks.w_dec.par_chunks_mut(PANEL * d_out))
            .zip(blocks.b_enc.par_chunks_mut(PANEL))
            .zip(gradients.touched.par_chunks_mut(PANEL))
            .enumerate()
            .map(|(panel, (((d_enc, d_dec), d_bias), touched))| {
                latents.panel(panel * PANEL, d_enc, d_dec, d_bias, touched)
            })
            .collect();
        let mut square: f64 = panels.iter().map(|p| p.square).sum();
        square += self.b_dec_gradient(&panels, blocks.b_dec);
        square += self.w_skip_gradient(blocks.w_skip);
        let per_latent = panels.iter().flat_map(|p| &p.d_per_latent).enumerate();
        let kinds = self.model.objective.per_latent().len();
        for (j, d) in per_latent {
            for (kind, d) in d.iter().enumerate().take(kinds) {
                blocks.per_latent[kind * shape.d_sae + j] = *d as f32;
                square += d * d;
            }
        }
        let of_rows: f64 = prepared.iter().map(|p| p.penalty).sum();
        let sum = |at: usize| 0.0 + prepared.iter().map(|p| p.norms[at]).sum::<f64>();
        BackwardSums {
            gradient_norm: square.sqrt(),
            penalty: of_rows + panels.iter().map(|p| p.penalty).sum::<f64>(),
            norms: [sum(0), sum(1)],
        }
    }

    /// View of the batch for the loss terms.
    fn batch(&self, schedule: StepSchedule) -> BatchView<'_> {
        BatchView {
            schedule,
            n: self.forward.n,
            codes: &self.forward.main.codes,
            pre: &self.forward.main.pre,
            params: self.model.weights,
            decoder_norms: &self.forward.decoder_norms,
        }
    }

    /// Number of rows whose inputs and residuals fit a core's own cache, or all rows if a latent has too few entries in a
    /// block for this to save anything.
    fn row_block(&self) -> usize {
        let ModelShape {
            d_in, d_out, d_sae, ..
        } = self.model.shape;
        let main = &self.forward.main;
        let rows = BLOCK / d_in.max(d_out * main.levels().len());
        let entries = main.codes.indices.len() as f64 / d_sae as f64;
        let in_block = entries * rows as f64 / self.forward.n as f64;
        if in_block < FEWEST_ENTRIES {
            return self.forward.n.max(1);
        }
        rows.clamp(1, self.forward.n.max(1))
    }

    /// Sum over rows of the encoder's inputs, `[d_in]`.
    ///
    /// Reduction point: the rows are added in order, on one thread.
    fn row_sum(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.model.shape.d_in];
        column_sums(&self.forward.inputs, &mut sums);
        sums
    }

    /// Writes `d_b_dec = sum d_x_hat - W_enc^T sum d_pre`, the second part only with a centred encoder; returns its
    /// squared norm.
    fn b_dec_gradient(&self, panels: &[PanelSums], d_b_dec: &mut [f32]) -> f64 {
        let main = &self.forward.main;
        let mut sums = main.weighted_columns();
        sums.iter_mut().for_each(|sum| *sum *= main.scale);
        if let Some(second) = self.forward.learning_second(self.model.objective) {
            let columns = sums.iter_mut().zip(second.weighted_columns());
            columns.for_each(|(sum, column)| *sum += second.scale * column);
        }
        for panel in panels.iter().filter(|_| self.model.io.centre) {
            let through = sums.iter_mut().zip(&panel.w_enc_d_pre);
            through.for_each(|(sum, t)| *sum -= f64::from(*t));
        }
        d_b_dec
            .iter_mut()
            .zip(&sums)
            .for_each(|(d, sum)| *d = *sum as f32);
        sums.iter().map(|sum| sum * sum).sum()
    }

    /// Writes `d_w_skip = sum_i d_x_hat_i x_i^T` over all reconstructions, if there is a skip; returns its squared
    /// norm.
    ///
    /// Reduction point: each panel of outputs is one product over all rows, on one thread.
    fn w_skip_gradient(&self, d_skip: &mut [f32]) -> f64 {
        let ModelShape { d_in, d_out, .. } = self.model.shape;
        if d_skip.is_empty() {
            return 0.0;
        }
        let second = self.forward.learning_second(self.model.objective);
        let reconstructions = std::iter::once(&self.forward.main).chain(second);
        for (at, reconstruction) in reconstructions.enumerate() {
            // The first level holds the sum over all levels.
            let scaled: Vec<f32> = reconstruction
                .residual
                .chunks_exact(reconstruction.levels().len() * d_out)
                .flat_map(|levels| &levels[..d_out])
                .map(|r| reconstruction.scale as f32 * r)
                .collect();
            let n = scaled.len() / d_out;
            let by_output = transpose(&scaled, n, d_out);
            d_skip
                .par_chunks_mut(PANEL * d_in)
                .zip(by_output.par_chunks(PANEL * n))
                .for_each(|(d_skip, r)| {
                    let (r, x) = ((r, Op::N), (&self.forward.inputs[..], Op::N));
                    let shape = [d_skip.len() / d_in, d_in, n];
                    matmul(d_skip, at > 0, r, x, shape);
                });
        }
        dot(d_skip, d_skip)
    }
}
