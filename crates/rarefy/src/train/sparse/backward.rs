//! Gradient of a step, latent by latent.

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::int8::PANEL;
use rarefy_kernels::matmul::transpose;
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::sparse::{add_rows, decoder_gradient};
use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::auxiliary::Auxiliary;
use super::blocks::{Blocks, ModelShape};
use super::forward::Forward;
use super::parametrisation::Parametrisation;
use super::step::ModelView;
use crate::objective::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared, StepSchedule};
use crate::params::Params;

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
    /// Reduction point: penalties, the gradient of `b_dec` and the squared norm are sums over panels of latents,
    /// added in order.
    pub(super) fn run(&self, schedule: StepSchedule, gradients: &mut Gradients) -> BackwardSums {
        let batch = self.batch(schedule);
        let terms = self.model.objective.terms().iter();
        let prepared: Vec<Prepared> = terms.map(|term| term.prepare(&batch)).collect();
        let latents = Latents {
            step: self,
            batch: &batch,
            prepared: &prepared,
            row_sum: self.row_sum(),
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

    /// Sum over rows of the encoder's inputs, `[d_in]`.
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

/// Sums over a panel of 64 latents.
struct PanelSums {
    /// Squared norm of the panel's gradient.
    square: f64,
    penalty: f64,
    /// `sum_j (sum_i d_pre_ij) w_enc[j]`, `[d_in]`.
    w_enc_d_pre: Vec<f32>,
    /// Derivatives by the per-latent parameters.
    d_per_latent: Vec<[f64; 2]>,
}

/// Backward pass over latents: the step's halves, the batch and the prepared loss terms.
struct Latents<'a> {
    step: &'a Backward<'a>,
    batch: &'a BatchView<'a>,
    prepared: &'a [Prepared],
    row_sum: Vec<f64>,
}

/// Gradient of one latent's rows, and buffers that the next latent takes over.
struct LatentGradient<'a> {
    d_enc: &'a mut [f32],
    d_dec: &'a mut [f32],
    scratch: &'a mut Scratch,
}

/// Buffers with one number for each entry of a latent.
#[derive(Default)]
struct Scratch {
    /// Derivative by the values, then by the pre-activations.
    d_pre: Vec<f32>,
    /// Derivative of the second reconstruction's loss.
    d_pre_reconstruction: Vec<f32>,
    /// Derivatives of the loss terms by values, gates and steps.
    d_terms: [Vec<f64>; 3],
    /// Decoder gradient that is thrown away.
    unused: Vec<f32>,
}

/// Derivatives of one latent summed over rows.
struct RowSums {
    d_pre: f64,
    d_bias: f64,
    penalty: f64,
    d_per_latent: [f64; 2],
}

impl Latents<'_> {
    /// Writes the gradients of the latents of a panel.
    fn panel(
        &self,
        first: usize,
        d_enc: &mut [f32],
        d_dec: &mut [f32],
        d_bias: &mut [f32],
        touched: &mut [bool],
    ) -> PanelSums {
        let ModelShape { d_in, d_out, .. } = self.step.model.shape;
        let mut panel = PanelSums {
            square: 0.0,
            penalty: 0.0,
            w_enc_d_pre: vec![0.0; d_in],
            d_per_latent: vec![[0.0; 2]; d_bias.len()],
        };
        let mut scratch = Scratch::default();
        for (j, (d_bias, touched)) in d_bias.iter_mut().zip(touched).enumerate() {
            let latent = first + j;
            let gradient = LatentGradient {
                d_enc: &mut d_enc[j * d_in..(j + 1) * d_in],
                d_dec: &mut d_dec[j * d_out..(j + 1) * d_out],
                scratch: &mut scratch,
            };
            let sums = self.latent(latent, gradient, &mut panel.square);
            *touched = sums.is_some();
            *d_bias = 0.0;
            if let Some(sums) = sums {
                let w = self.step.model.w_enc(latent);
                add_scaled(&mut panel.w_enc_d_pre, sums.d_pre as f32, w);
                *d_bias = sums.d_bias as f32;
                panel.square += sums.d_bias * sums.d_bias;
                panel.penalty += sums.penalty;
                panel.d_per_latent[j] = sums.d_per_latent;
            }
        }
        panel
    }

    /// Writes the gradient of one latent, if it has any; adds its squared norm.
    fn latent(&self, latent: usize, mut one: LatentGradient, square: &mut f64) -> Option<RowSums> {
        let (forward, auxiliary) = (self.step.forward, self.step.auxiliary);
        let (entries, level) = (forward.main.of(latent), forward.main.level_of(latent));
        let dead = auxiliary.is_dead(latent);
        let mixed = |p: &Prepared| p.decoder_mix.get(latent).is_some_and(|m| !m.is_empty());
        if entries.rows.is_empty() && !dead && !self.prepared.iter().any(mixed) {
            return None;
        }
        one.d_enc.fill(0.0);
        one.d_dec.fill(0.0);
        let w_dec = self.step.model.w_dec(latent);
        let mut sums = self.entries(latent, level, dead, &mut one);
        let residual = auxiliary.of_level(level);
        let helping = residual.of(latent);
        if !helping.rows.is_empty() {
            let d_pre = &mut one.scratch.d_pre;
            d_pre.resize(helping.rows.len(), 0.0);
            let (r, scale) = (&residual.residual, residual.scale as f32);
            decoder_gradient(
                one.d_dec,
                d_pre,
                w_dec,
                r,
                helping.rows,
                helping.values,
                scale,
            );
            add_rows(one.d_enc, &forward.inputs, helping.rows, d_pre);
            let sum = sum(d_pre);
            sums.d_pre += sum;
            sums.d_bias += sum;
        }
        if forward.unrolled.is_some() {
            // Encoder and decoder are one matrix.
            add_scaled(one.d_dec, 1.0, one.d_enc);
            one.d_enc.fill(0.0);
            sums.d_bias = 0.0;
        }
        let LatentGradient { d_enc, d_dec, .. } = one;
        let squares = self.step.parametrisation.pull_back(
            &self.step.model,
            latent,
            d_enc,
            d_dec,
            &mut sums.d_bias,
        );
        squares.into_iter().for_each(|of_row| *square += of_row);
        Some(sums)
    }

    /// Adds the gradient through the latent's own entries and the loss terms.
    fn entries(
        &self,
        latent: usize,
        level: usize,
        dead: bool,
        one: &mut LatentGradient,
    ) -> RowSums {
        let (model, forward) = (&self.step.model, self.step.forward);
        let (main, of) = (&forward.main, forward.main.of(latent));
        let w_dec = model.w_dec(latent);
        let scratch = &mut *one.scratch;
        scratch.d_pre.resize(of.rows.len(), 0.0);
        let places = main.places(of.rows, level);
        let (x, x_rows, r, r_rows, scale) = if let Some(each) = &forward.unrolled {
            (&each.inputs, of.at, &each.outputs, of.at, 1.0)
        } else {
            let scale = main.scale as f32;
            (&forward.inputs, of.rows, &main.residual, &*places, scale)
        };
        decoder_gradient(
            one.d_dec,
            &mut scratch.d_pre,
            w_dec,
            r,
            r_rows,
            of.values,
            scale,
        );
        scratch.d_pre_reconstruction.clear();
        if let Some(second) = &forward.second {
            scratch.d_pre_reconstruction.resize(of.rows.len(), 0.0);
            let d_dec = if forward.learning_second(model.objective).is_some() {
                &mut *one.d_dec
            } else {
                scratch.unused.resize(w_dec.len(), 0.0);
                &mut scratch.unused[..]
            };
            let (r, scale) = (&second.residual, second.scale as f32);
            let d_pre = &mut scratch.d_pre_reconstruction;
            decoder_gradient(d_dec, d_pre, w_dec, r, of.rows, of.pre, scale);
        }
        let entries = Entries {
            latent,
            rows: of.rows,
            pre: of.pre,
            values: of.values,
            d_pre_reconstruction: &scratch.d_pre_reconstruction,
            dead,
            row_sum: &self.row_sum,
        };
        let sums = self.terms(&entries, &mut scratch.d_pre, &mut scratch.d_terms);
        add_rows(one.d_enc, x, x_rows, &scratch.d_pre);
        let mut d_pre = sum(&scratch.d_pre);
        if sums.d_every_row != 0.0 {
            let rows = one.d_enc.iter_mut().zip(&self.row_sum);
            rows.for_each(|(d, x)| *d += (sums.d_every_row * x) as f32);
            d_pre += sums.d_every_row * self.batch.n as f64;
        }
        self.decoder_row_terms(latent, &sums, one.d_dec);
        RowSums {
            d_pre,
            d_bias: d_pre - sums.beside_bias,
            penalty: sums.penalty,
            d_per_latent: sums.d_per_latent,
        }
    }

    /// Derivatives through the activation, with those of the loss terms; `d_pre` holds the derivatives of the
    /// reconstruction loss by the values before.
    fn terms(
        &self,
        entries: &Entries,
        d_pre: &mut [f32],
        d_terms: &mut [Vec<f64>; 3],
    ) -> LatentSums {
        let objective = self.step.model.objective;
        let mut sums = LatentSums::default();
        let wanted = if objective.terms().is_empty() {
            0
        } else {
            d_pre.len()
        };
        for d in &mut *d_terms {
            d.clear();
            d.resize(wanted, 0.0);
        }
        let [d_value, d_gate, d_step] = d_terms;
        let mut derivatives = EntryDerivatives {
            d_pre,
            d_value,
            d_gate,
            d_step,
        };
        let terms = || objective.terms().iter().zip(self.prepared);
        for (term, prepared) in terms() {
            term.entries(self.batch, prepared, entries, &mut derivatives, &mut sums);
        }
        let activation = objective.activation();
        activation.backward(self.batch, entries, &mut derivatives, &mut sums);
        for (term, _) in terms() {
            term.pre_activations(self.batch, entries, derivatives.d_pre, &mut sums);
        }
        sums
    }

    /// Adds the derivatives of the loss terms by the latent's decoder row.
    fn decoder_row_terms(&self, latent: usize, sums: &LatentSums, d_dec: &mut [f32]) {
        let model = &self.step.model;
        if sums.d_norm != 0.0 {
            let mut rest = &mut *d_dec;
            for part in model.io.decoder_parts(model.w_dec(latent)) {
                let (d_dec, others) = rest.split_at_mut(part.len());
                let length = dot(part, part).sqrt();
                if length > 0.0 {
                    add_scaled(d_dec, (sums.d_norm / length) as f32, part);
                }
                rest = others;
            }
        }
        for prepared in self.prepared {
            for (other, factor) in prepared.decoder_mix.get(latent).into_iter().flatten() {
                add_scaled(d_dec, *factor as f32, model.w_dec(*other as usize));
            }
        }
    }
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum()
}
