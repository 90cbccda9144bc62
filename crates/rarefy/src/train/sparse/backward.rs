//! The gradient of a step, latent by latent.

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::int8::PANEL;
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::sparse::{add_rows, decoder_gradient, project_row};
use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::blocks::{Blocks, Shape};
use super::reading::Reading;
use super::step::{Step, StepSettings};
use crate::config::DecoderNorm;
use crate::data::transpose;
use crate::params::Params;
use crate::variants::{Entries, Latent, SparseBatch, through};

/// What the backward half finds beside the gradient.
pub(super) struct Found {
    /// Norm of the gradient.
    pub(super) norm: f64,
    /// The sparsity penalty.
    pub(super) penalty: f64,
    /// See [`crate::variants::RowTerms::norms`].
    pub(super) norms: [f64; 2],
}

impl Step {
    /// Gradients of everything.
    pub(super) fn backward(&mut self, params: &Params, settings: &StepSettings, n: usize) -> Found {
        self.main.weigh();
        self.measure_norms(params);
        let mut gradient = std::mem::take(&mut self.gradient);
        let mut touched = std::mem::take(&mut self.touched);
        let batch = self.batch(params, settings.now, n);
        let latents = Latents {
            step: self,
            batch: &batch,
            row_sum: self.row_sum(),
        };
        let shape @ Shape { d_in, d_out, .. } = self.shape;
        let blocks = Blocks::of_mut(shape, &mut gradient);
        let panels: Vec<Panel> = blocks
            .w_enc
            .par_chunks_mut(PANEL * d_in)
            .zip(blocks.w_dec.par_chunks_mut(PANEL * d_out))
            .zip(blocks.b_enc.par_chunks_mut(PANEL))
            .zip(touched.par_chunks_mut(PANEL))
            .enumerate()
            .map(|(panel, (((d_enc, d_dec), d_bias), touched))| {
                latents.panel(panel * PANEL, d_enc, d_dec, d_bias, touched)
            })
            .collect();
        let penalty = batch.terms.penalty + panels.iter().map(|p| p.penalty).sum::<f64>();
        let mut squares: f64 = panels.iter().map(|p| p.square).sum();
        squares += self.of_b_dec(&panels, blocks.b_dec);
        squares += self.of_w_skip(blocks.w_skip);
        let own = panels.iter().flat_map(|p| &p.by_own).enumerate();
        for (j, by) in own {
            for (kind, by) in by.iter().enumerate().take(self.sparse.own().len()) {
                blocks.own[kind * shape.d_sae + j] = *by as f32;
                squares += by * by;
            }
        }
        let norms = batch.terms.norms;
        (self.gradient, self.touched) = (gradient, touched);
        Found {
            norm: squares.sqrt(),
            penalty,
            norms,
        }
    }

    /// Sum over rows of the rows less `b_dec`.
    fn row_sum(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.shape.d_in];
        column_sums(&self.centred, &mut sums);
        sums
    }

    /// The gradient of `b_dec`: as what is decoded on, less what the encoder takes off the rows. Its square.
    fn of_b_dec(&self, panels: &[Panel], d_b_dec: &mut [f32]) -> f64 {
        let mut sums = self.main.weighted_columns();
        sums.iter_mut().for_each(|sum| *sum *= self.main.scale);
        if let Some(second) = self.learning_second() {
            let columns = sums.iter_mut().zip(second.weighted_columns());
            columns.for_each(|(sum, column)| *sum += second.scale * column);
        }
        for panel in panels.iter().filter(|_| self.io.centre) {
            let through = sums.iter_mut().zip(&panel.through_b_dec);
            through.for_each(|(sum, t)| *sum -= f64::from(*t));
        }
        d_b_dec
            .iter_mut()
            .zip(&sums)
            .for_each(|(d, sum)| *d = *sum as f32);
        sums.iter().map(|sum| sum * sum).sum()
    }

    /// The gradient of `w_skip`, if there is one: `2/n sum_i r_i x_i^T` over all readings. Its square.
    fn of_w_skip(&self, d_skip: &mut [f32]) -> f64 {
        let Shape { d_in, d_out, .. } = self.shape;
        if d_skip.is_empty() {
            return 0.0;
        }
        let readings = std::iter::once(&self.main).chain(self.learning_second());
        for (at, reading) in readings.enumerate() {
            // What the first level answers for is what all of them leave over.
            let scaled: Vec<f32> = reading
                .residual
                .chunks_exact(reading.levels().len() * d_out)
                .flat_map(|levels| &levels[..d_out])
                .map(|r| reading.scale as f32 * r)
                .collect();
            let n = scaled.len() / d_out;
            let by_output = transpose(&scaled, n, d_out);
            d_skip
                .par_chunks_mut(PANEL * d_in)
                .zip(by_output.par_chunks(PANEL * n))
                .for_each(|(d_skip, r)| {
                    let (r, x) = ((r, Op::N), (&self.centred[..], Op::N));
                    let shape = [d_skip.len() / d_in, d_in, n];
                    matmul(d_skip, at > 0, r, x, shape);
                });
        }
        dot(d_skip, d_skip)
    }

    /// The second reading, if the decoder learns from it.
    fn learning_second(&self) -> Option<&Reading> {
        let learns = self
            .sparse
            .second_reading()
            .is_some_and(|s| s.decoder_learns);
        self.second.as_ref().filter(|_| learns)
    }
}

/// What 64 latents add up to.
struct Panel {
    square: f64,
    penalty: f64,
    /// `sum_j (sum_i dp_ij) w_enc[j]`.
    through_b_dec: Vec<f32>,
    /// Derivatives by each latent's own numbers.
    by_own: Vec<[f64; 2]>,
}

/// Everything that the gradient of one latent depends on.
struct Latents<'a> {
    step: &'a Step,
    batch: &'a SparseBatch<'a>,
    row_sum: Vec<f64>,
}

/// One latent's gradient, and buffers that the next latent takes over.
struct OfOne<'a> {
    d_enc: &'a mut [f32],
    d_dec: &'a mut [f32],
    scratch: &'a mut Scratch,
}

#[derive(Default)]
struct Scratch {
    by: Vec<f32>,
    by_second: Vec<f32>,
    /// A decoder gradient that nobody wants.
    unwanted: Vec<f32>,
}

/// Derivatives summed over rows: by the pre-activation, by the bias (less, where a part of what the
/// encoder's row gets does not go through it).
struct Sums {
    by_pre: f64,
    by_bias: f64,
    penalty: f64,
    by_own: [f64; 2],
}

impl Latents<'_> {
    /// The gradients of the latents of a panel.
    fn panel(
        &self,
        first: usize,
        d_enc: &mut [f32],
        d_dec: &mut [f32],
        d_bias: &mut [f32],
        touched: &mut [bool],
    ) -> Panel {
        let Shape { d_in, d_out, .. } = self.step.shape;
        let mut panel = Panel {
            square: 0.0,
            penalty: 0.0,
            through_b_dec: vec![0.0; d_in],
            by_own: vec![[0.0; 2]; d_bias.len()],
        };
        let mut scratch = Scratch::default();
        let w_enc = self.batch.params.get("w_enc");
        for (j, (d_bias, touched)) in d_bias.iter_mut().zip(touched).enumerate() {
            let latent = first + j;
            let of_one = OfOne {
                d_enc: &mut d_enc[j * d_in..(j + 1) * d_in],
                d_dec: &mut d_dec[j * d_out..(j + 1) * d_out],
                scratch: &mut scratch,
            };
            let sums = self.latent(latent, of_one, &mut panel.square);
            *touched = sums.is_some();
            *d_bias = 0.0;
            if let Some(sums) = sums {
                let w = &w_enc[latent * d_in..(latent + 1) * d_in];
                add_scaled(&mut panel.through_b_dec, sums.by_pre as f32, w);
                *d_bias = sums.by_bias as f32;
                panel.square += sums.by_bias * sums.by_bias;
                panel.penalty += sums.penalty;
                panel.by_own[j] = sums.by_own;
            }
        }
        panel
    }

    /// The gradient of one latent, if it has any; adds its square.
    fn latent(&self, latent: usize, mut one: OfOne, square: &mut f64) -> Option<Sums> {
        let step = self.step;
        let of = step.main.of(latent);
        let level = step.main.level_of(latent);
        let rest = &step.rest[if step.rest.len() > 1 { level } else { 0 }];
        let dead = step.dead.binary_search(&(latent as u32)).is_ok();
        if of.rows.is_empty() && !dead {
            return None;
        }
        one.d_enc.fill(0.0);
        one.d_dec.fill(0.0);
        let d_out = step.shape.d_out;
        let w_dec = &self.batch.params.get("w_dec")[latent * d_out..(latent + 1) * d_out];
        let mut sums = self.main(latent, level, dead, w_dec, &mut one);
        let helping = rest.of(latent);
        if !helping.rows.is_empty() {
            let by = &mut one.scratch.by;
            by.resize(helping.rows.len(), 0.0);
            let (r, scale) = (&rest.residual, rest.scale as f32);
            decoder_gradient(one.d_dec, by, w_dec, r, helping.rows, helping.values, scale);
            add_rows(one.d_enc, &step.centred, helping.rows, by);
            let sum = sum(by);
            sums.by_pre += sum;
            sums.by_bias += sum;
        }
        if step.unrolled.is_some() {
            // Both are one matrix.
            add_scaled(one.d_dec, 1.0, one.d_enc);
            one.d_enc.fill(0.0);
            sums.by_bias = 0.0;
        }
        if let Some(&length) = step.lengths.get(latent) {
            self.through_length(latent, length, &mut one, &mut sums);
        }
        *square += dot(one.d_enc, one.d_enc);
        *square += if step.norm == DecoderNorm::Unit {
            project_row(one.d_dec, w_dec)
        } else {
            dot(one.d_dec, one.d_dec)
        };
        Some(sums)
    }

    /// To the parameters of a model that is another one's.
    fn through_length(&self, latent: usize, length: f32, one: &mut OfOne, sums: &mut Sums) {
        let Shape { d_in, d_out, .. } = self.step.shape;
        let params = self.batch.params;
        let model = (
            &params.get("w_enc")[latent * d_in..(latent + 1) * d_in],
            params.get("b_enc")[latent],
            &params.get("w_dec")[latent * d_out..(latent + 1) * d_out],
        );
        let derivatives = Latent {
            w_enc: one.d_enc,
            w_dec: one.d_dec,
            b_enc: &mut sums.by_bias,
        };
        through(length, model, derivatives);
    }

    /// What the latent's own entries give.
    fn main(
        &self,
        latent: usize,
        level: usize,
        dead: bool,
        w_dec: &[f32],
        one: &mut OfOne,
    ) -> Sums {
        let (step, of) = (self.step, self.step.main.of(latent));
        let Scratch {
            by,
            by_second,
            unwanted,
        } = &mut *one.scratch;
        by.resize(of.rows.len(), 0.0);
        let main = &step.main;
        let places = main.places(of.rows, level);
        let (x, x_rows, r, r_rows, scale) = match &step.unrolled {
            Some(each) => (&each.inputs, of.at, &each.outputs, of.at, 1.0),
            None => (
                &step.centred,
                of.rows,
                &main.residual,
                &*places,
                main.scale as f32,
            ),
        };
        decoder_gradient(one.d_dec, by, w_dec, r, r_rows, of.values, scale);
        by_second.clear();
        if let Some(second) = &step.second {
            by_second.resize(of.rows.len(), 0.0);
            let d_dec = if step.learning_second().is_some() {
                &mut *one.d_dec
            } else {
                unwanted.resize(w_dec.len(), 0.0);
                &mut unwanted[..]
            };
            let (r, scale) = (&second.residual, second.scale as f32);
            decoder_gradient(d_dec, by_second, w_dec, r, of.rows, of.pre, scale);
        }
        let entries = Entries {
            latent,
            rows: of.rows,
            pre: of.pre,
            values: of.values,
            by_second,
            dead,
            row_sum: &self.row_sum,
        };
        let terms = step.sparse.backward(self.batch, &entries, by);
        add_rows(one.d_enc, x, x_rows, by);
        let mut by_pre = sum(by);
        if terms.by_every_row != 0.0 {
            let rows = one.d_enc.iter_mut().zip(&self.row_sum);
            rows.for_each(|(d, x)| *d += (terms.by_every_row * x) as f32);
            by_pre += terms.by_every_row * self.batch.n as f64;
        }
        if terms.by_norm != 0.0 {
            let mut rest = &mut *one.d_dec;
            for part in step.io.decoder_parts(w_dec) {
                let (d_dec, others) = rest.split_at_mut(part.len());
                let length = dot(part, part).sqrt();
                if length > 0.0 {
                    add_scaled(d_dec, (terms.by_norm / length) as f32, part);
                }
                rest = others;
            }
        }
        Sums {
            by_pre,
            by_bias: by_pre - terms.beside_bias,
            penalty: terms.penalty,
            by_own: terms.by_own,
        }
    }
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v)).sum()
}
