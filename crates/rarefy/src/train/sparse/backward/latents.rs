//! Gradients of the latents of a panel, one latent after the other.

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
        self.second_reconstruction(latent, one.d_dec, scratch);
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
