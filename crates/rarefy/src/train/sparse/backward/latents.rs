//! Gradients of the latents of a panel, one latent after the other, or all together by blocks of rows.

use std::borrow::Cow;
use std::ops::Range;

use rarefy_kernels::sparse::{add_rows, decoder_gradient};
use rarefy_kernels::vector::{add_scaled, dot};

use super::Backward;
use crate::objective::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use crate::train::sparse::blocks::ModelShape;

/// Sums over a panel of 64 latents.
pub(super) struct PanelSums {
    /// Squared norm of the panel's gradient.
    pub(super) square: f64,
    /// Penalties of the loss terms.
    pub(super) penalty: f64,
    /// `sum_j (sum_i d_pre_ij) w_enc[j]`, `[d_in]`.
    pub(super) w_enc_d_pre: Vec<f32>,
    /// Derivatives by the per-latent parameters.
    pub(super) d_per_latent: Vec<[f64; 2]>,
}

/// Backward pass over latents: the step's halves, the batch and the prepared loss terms.
pub(super) struct Latents<'a> {
    pub(super) step: &'a Backward<'a>,
    pub(super) batch: &'a BatchView<'a>,
    pub(super) prepared: &'a [Prepared],
    /// Sum over rows of the encoder's inputs, `[d_in]`.
    pub(super) row_sum: Vec<f64>,
    /// Number of rows whose inputs and residuals are visited by all latents of a panel before the next rows.
    pub(super) row_block: usize,
}

/// Rows of the gradient of some neighbouring latents.
struct Cohort<'a> {
    latents: Range<usize>,
    d_enc: &'a mut [f32],
    d_dec: &'a mut [f32],
}

/// Buffers that the next cohort takes over.
#[derive(Default)]
struct Scratch {
    /// Derivatives by the values, then by the pre-activations, of the entries of all latents of the cohort.
    d_pre: Vec<f32>,
    /// Bounds of each latent's entries in `d_pre`.
    ends: Vec<usize>,
    /// Sums over the rows of each latent.
    sums: Vec<LatentSums>,
    /// Derivative of the second reconstruction's loss, of one latent.
    d_pre_reconstruction: Vec<f32>,
    /// Derivatives of the loss terms by values, gates and steps, of one latent.
    d_terms: [Vec<f64>; 3],
    /// Derivatives by the values of the entries that reduce the auxiliary loss, of one latent.
    d_helping: Vec<f32>,
    /// Decoder gradient that is thrown away.
    unused: Vec<f32>,
}

impl Scratch {
    fn of_mut(&mut self, j: usize) -> &mut [f32] {
        &mut self.d_pre[self.ends[j]..self.ends[j + 1]]
    }
}

/// Derivatives of one latent summed over rows.
struct RowSums {
    d_pre: f64,
    d_bias: f64,
    penalty: f64,
    d_per_latent: [f64; 2],
}

/// Matrices whose rows the entries of a latent weight: encoder's inputs and residuals.
struct Weighted<'a> {
    x: &'a [f32],
    x_rows: &'a [u32],
    r: &'a [f32],
    r_rows: Cow<'a, [u32]>,
    scale: f32,
}

impl Latents<'_> {
    /// Writes the gradients of the latents of a panel.
    pub(super) fn panel(
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
        let size = if self.row_block < self.batch.n {
            d_bias.len()
        } else {
            1
        };
        for at in (0..d_bias.len()).step_by(size) {
            let mut cohort = Cohort {
                latents: first + at..first + at + size,
                d_enc: &mut d_enc[at * d_in..(at + size) * d_in],
                d_dec: &mut d_dec[at * d_out..(at + size) * d_out],
            };
            if cohort
                .latents
                .clone()
                .any(|latent| self.has_gradient(latent))
            {
                self.through_entries(&mut cohort, &mut scratch);
            }
            for j in 0..size {
                let sums = self.finish(&mut cohort, j, &mut scratch, &mut panel.square);
                touched[at + j] = sums.is_some();
                d_bias[at + j] = 0.0;
                if let Some(sums) = sums {
                    let w = self.step.model.w_enc(first + at + j);
                    add_scaled(&mut panel.w_enc_d_pre, sums.d_pre as f32, w);
                    d_bias[at + j] = sums.d_bias as f32;
                    panel.square += sums.d_bias * sums.d_bias;
                    panel.penalty += sums.penalty;
                    panel.d_per_latent[at + j] = sums.d_per_latent;
                }
            }
        }
        panel
    }

    /// True if a latent has a gradient: entries, a share in the auxiliary loss, or a loss term that mixes decoder rows.
    fn has_gradient(&self, latent: usize) -> bool {
        let mixed = |p: &Prepared| p.decoder_mix.get(latent).is_some_and(|m| !m.is_empty());
        !self.step.forward.main.of(latent).rows.is_empty()
            || self.step.auxiliary.is_dead(latent)
            || self.prepared.iter().any(mixed)
    }

    /// Adds the gradients through the latents' own entries, and through activation and loss terms.
    fn through_entries(&self, cohort: &mut Cohort, scratch: &mut Scratch) {
        let ModelShape { d_in, d_out, .. } = self.step.model.shape;
        let latents = cohort.latents.clone();
        let main = &self.step.forward.main;
        let of: Vec<_> = latents
            .clone()
            .map(|latent| self.weighted(latent))
            .collect();
        scratch.ends.clear();
        scratch.ends.push(0);
        for (j, latent) in latents.clone().enumerate() {
            scratch
                .ends
                .push(scratch.ends[j] + main.of(latent).rows.len());
            if self.has_gradient(latent) {
                cohort.d_enc[j * d_in..(j + 1) * d_in].fill(0.0);
                cohort.d_dec[j * d_out..(j + 1) * d_out].fill(0.0);
            }
        }
        scratch.d_pre.resize(scratch.ends[latents.len()], 0.0);
        self.by_row_blocks(&latents, |j, latent, part| {
            let (entries, w_dec) = (main.of(latent), self.step.model.w_dec(latent));
            let Weighted {
                r, r_rows, scale, ..
            } = &of[j];
            decoder_gradient(
                &mut cohort.d_dec[j * d_out..(j + 1) * d_out],
                &mut scratch.of_mut(j)[part.clone()],
                w_dec,
                r,
                &r_rows[part.clone()],
                &entries.values[part],
                *scale,
            );
        });
        scratch.sums.clear();
        for (j, latent) in latents.clone().enumerate() {
            let d_dec = &mut cohort.d_dec[j * d_out..(j + 1) * d_out];
            self.second_reconstruction(latent, d_dec, scratch);
            let sums = self.terms(latent, j, scratch);
            scratch.sums.push(sums);
        }
        self.by_row_blocks(&latents, |j, _, part| {
            let d_enc = &mut cohort.d_enc[j * d_in..(j + 1) * d_in];
            let Weighted { x, x_rows, .. } = &of[j];
            add_rows(d_enc, x, &x_rows[part.clone()], &scratch.of_mut(j)[part]);
        });
    }

    /// Visits the entries of some latents, a block of rows at a time: for each latent with entries in the block its index,
    /// its number and the positions of these entries.
    fn by_row_blocks(
        &self,
        latents: &Range<usize>,
        mut visit: impl FnMut(usize, usize, Range<usize>),
    ) {
        let main = &self.step.forward.main;
        let mut next = vec![0; latents.len()];
        for first in (0..self.batch.n).step_by(self.row_block) {
            let end = (first + self.row_block) as u32;
            for (j, latent) in latents.clone().enumerate() {
                let rows = &main.of(latent).rows[next[j]..];
                let count = rows.partition_point(|row| *row < end);
                if count > 0 {
                    visit(j, latent, next[j]..next[j] + count);
                    next[j] += count;
                }
            }
        }
    }

    /// Matrices that the entries of a latent weight.
    fn weighted(&self, latent: usize) -> Weighted<'_> {
        let forward = self.step.forward;
        let (main, of) = (&forward.main, forward.main.of(latent));
        if let Some(each) = &forward.unrolled {
            return Weighted {
                x: &each.inputs,
                x_rows: of.at,
                r: &each.outputs,
                r_rows: of.at.into(),
                scale: 1.0,
            };
        }
        Weighted {
            x: &forward.inputs,
            x_rows: of.rows,
            r: &main.residual,
            r_rows: main.places(of.rows, main.level_of(latent)),
            scale: main.scale as f32,
        }
    }

    /// Completes the gradient of the latent with index j, if it has any; adds its squared norm.
    fn finish(
        &self,
        cohort: &mut Cohort,
        j: usize,
        scratch: &mut Scratch,
        square: &mut f64,
    ) -> Option<RowSums> {
        let (forward, auxiliary) = (self.step.forward, self.step.auxiliary);
        let ModelShape { d_in, d_out, .. } = self.step.model.shape;
        let latent = cohort.latents.start + j;
        if !self.has_gradient(latent) {
            return None;
        }
        let d_enc = &mut cohort.d_enc[j * d_in..(j + 1) * d_in];
        let d_dec = &mut cohort.d_dec[j * d_out..(j + 1) * d_out];
        let of_rows = std::mem::take(&mut scratch.sums[j]);
        let mut sums = self.every_row(&of_rows, d_enc, sum(scratch.of_mut(j)));
        self.decoder_row_terms(latent, &of_rows, d_dec);
        let residual = auxiliary.of_level(forward.main.level_of(latent));
        let helping = residual.of(latent);
        if !helping.rows.is_empty() {
            let d_pre = &mut scratch.d_helping;
            d_pre.resize(helping.rows.len(), 0.0);
            let (r, scale) = (&residual.residual, residual.scale as f32);
            let w_dec = self.step.model.w_dec(latent);
            decoder_gradient(d_dec, d_pre, w_dec, r, helping.rows, helping.values, scale);
            add_rows(d_enc, &forward.inputs, helping.rows, d_pre);
            let sum = sum(d_pre);
            sums.d_pre += sum;
            sums.d_bias += sum;
        }
        let level = forward.main.level_of(latent);
        if let Some((dec, enc, sum)) = auxiliary.helped(level, latent) {
            add_scaled(d_dec, residual.scale as f32, dec);
            add_scaled(d_enc, residual.scale as f32, enc);
            sums.d_pre += residual.scale * sum;
            sums.d_bias += residual.scale * sum;
        }
        if forward.unrolled.is_some() {
            // Encoder and decoder are one matrix.
            add_scaled(d_dec, 1.0, d_enc);
            d_enc.fill(0.0);
            sums.d_bias = 0.0;
        }
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

    /// Adds the derivative that is equal for all rows to the sum `d_pre` over the entries.
    fn every_row(&self, sums: &LatentSums, d_enc: &mut [f32], mut d_pre: f64) -> RowSums {
        if sums.d_every_row != 0.0 {
            let rows = d_enc.iter_mut().zip(&self.row_sum);
            rows.for_each(|(d, x)| *d += (sums.d_every_row * x) as f32);
            d_pre += sums.d_every_row * self.batch.n as f64;
        }
        RowSums {
            d_pre,
            d_bias: d_pre - sums.beside_bias,
            penalty: sums.penalty,
            d_per_latent: sums.d_per_latent,
        }
    }

    /// Writes the derivatives of the second reconstruction's loss by the latent's pre-activations, and adds those by
    /// its decoder row if the decoder learns from it.
    fn second_reconstruction(&self, latent: usize, d_dec: &mut [f32], scratch: &mut Scratch) {
        let (model, forward) = (&self.step.model, self.step.forward);
        scratch.d_pre_reconstruction.clear();
        let Some(second) = &forward.second else {
            return;
        };
        let (of, w_dec) = (forward.main.of(latent), model.w_dec(latent));
        scratch.d_pre_reconstruction.resize(of.rows.len(), 0.0);
        let d_dec = if forward.learning_second(model.objective).is_some() {
            d_dec
        } else {
            scratch.unused.resize(w_dec.len(), 0.0);
            &mut scratch.unused[..]
        };
        let (r, scale) = (&second.residual, second.scale as f32);
        let d_pre = &mut scratch.d_pre_reconstruction;
        decoder_gradient(d_dec, d_pre, w_dec, r, of.rows, of.pre, scale);
    }

    /// Derivatives through the activation, with those of the loss terms, of the latent with index j; its `d_pre` holds the
    /// derivatives of the reconstruction loss by the values before.
    fn terms(&self, latent: usize, j: usize, scratch: &mut Scratch) -> LatentSums {
        let of = self.step.forward.main.of(latent);
        let Scratch {
            d_pre,
            ends,
            d_pre_reconstruction,
            d_terms,
            ..
        } = scratch;
        let d_pre = &mut d_pre[ends[j]..ends[j + 1]];
        let entries = &Entries {
            latent,
            rows: of.rows,
            pre: of.pre,
            values: of.values,
            d_pre_reconstruction,
            dead: self.step.auxiliary.is_dead(latent),
            row_sum: &self.row_sum,
        };
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
