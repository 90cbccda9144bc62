//! Forward half of a step: codes, reconstructions and their residuals.

use rayon::prelude::*;

use super::model_view::ModelView;
use super::reconstruction::Reconstruction;
use super::unroll::Unrolled;
use crate::engine::{Centred, Encoder, centre, skip};
use crate::objective::{Objective, StepSchedule};

/// Results of the forward half, reused from step to step.
pub(super) struct Forward {
    /// Number of rows.
    pub(super) n: usize,
    /// Inputs as the encoder reads them, `x - b_dec` or x, `[n, d_in]`.
    pub(super) inputs: Vec<f32>,
    /// Output of a skip transcoder without its latents, `b_dec + w_skip x`, `[n, d_out]`; else empty.
    base: Vec<f32>,
    /// Reconstruction from the latents.
    pub(super) main: Reconstruction,
    /// Input and output derivative of each entry of a pursuit.
    pub(super) unrolled: Option<Unrolled>,
    /// Second reconstruction, from the pre-activations, if the objective has one.
    pub(super) second: Option<Reconstruction>,
    /// Lengths of the decoder rows, `[d_sae]`; empty if no loss term uses them.
    pub(super) decoder_norms: Vec<f32>,
}

impl Forward {
    pub(super) fn new(objective: &Objective, d_sae: usize) -> Self {
        let second = objective.pre_reconstruction();
        Self {
            n: 0,
            inputs: Vec::new(),
            base: Vec::new(),
            main: Reconstruction::new(d_sae, objective.levels(d_sae)),
            unrolled: objective.pursues().then(Unrolled::default),
            second: second.map(|_| Reconstruction::single_level(d_sae)),
            decoder_norms: Vec::new(),
        }
    }

    /// Finds the entries of the rows `x` and their values.
    pub(super) fn encode(
        &mut self,
        model: &ModelView,
        encoder: &Encoder,
        schedule: StepSchedule,
        x: &[f32],
    ) {
        let (io, params) = (model.io, model.weights);
        self.n = x.len() / io.row_width();
        if io.centre {
            self.inputs.resize(x.len(), 0.0);
            centre(x, params.get("b_dec"), &mut self.inputs);
        } else {
            self.inputs.clear();
            let rows = x.chunks_exact(io.row_width());
            rows.for_each(|row| self.inputs.extend_from_slice(&row[..model.shape.d_in]));
        }
        let rows = Centred {
            x: &self.inputs,
            w_enc: params.get("w_enc"),
            b_enc: params.get("b_enc"),
        };
        self.main.clear();
        let (codes, objective) = (&mut self.main.codes, model.objective);
        objective.encode(schedule, params, encoder, &rows, codes);
        self.main.pre.extend_from_slice(&codes.values);
        let pre = &self.main.pre;
        for ends in codes.offsets.windows(2) {
            let row = ends[0]..ends[1];
            let values = &mut codes.values[row.clone()];
            objective.activate(params, &codes.indices[row.clone()], &pre[row], values);
        }
        self.main.group();
    }

    /// Fills in the residuals of all reconstructions.
    pub(super) fn reconstruct(&mut self, model: &ModelView, x: &[f32]) {
        let (params, d_out, n) = (model.weights, model.shape.d_out, self.n as f64);
        let b_dec = params.get("b_dec");
        if model.shape.skip {
            skip(params, &self.inputs, &mut self.base);
        }
        let base = &self.base;
        let row = |i: usize| {
            let base = base.get(i * d_out..(i + 1) * d_out).unwrap_or(b_dec);
            (model.target(x, i), base)
        };
        self.main.fill_residuals(params, row);
        self.main.scale = 2.0 / n;
        if let Some(unrolled) = &mut self.unrolled {
            unrolled.fill(params, &self.main);
        }
        let weight = model
            .objective
            .pre_reconstruction()
            .map(|second| second.weight);
        if let (Some(second), Some(weight)) = (&mut self.second, weight) {
            second.codes.clone_from(&self.main.codes);
            second.codes.values.clone_from(&self.main.pre);
            second.pre.clone_from(&self.main.pre);
            second.group();
            second.fill_residuals(params, row);
            second.scale = 2.0 * weight / n;
        }
    }

    /// Turns the residuals into derivatives, and measures the decoder rows for the loss terms.
    pub(super) fn differentiate(&mut self, model: &ModelView, x: &[f32]) {
        let error = model.objective.error();
        self.main.differentiate(error, |i| model.target(x, i));
        if let Some(second) = &mut self.second {
            second.differentiate(error, |i| model.target(x, i));
        }
        if model.objective.wants_decoder_norms() {
            let w_dec = model.weights.get("w_dec");
            let rows = w_dec.par_chunks_exact(model.shape.d_out);
            let norms = rows.map(|row| model.io.decoder_norm(row) as f32);
            norms.collect_into_vec(&mut self.decoder_norms);
        }
    }

    /// Second reconstruction, if the decoder learns from it.
    pub(super) fn learning_second(&self, objective: &Objective) -> Option<&Reconstruction> {
        let learns = objective
            .pre_reconstruction()
            .is_some_and(|second| second.decoder_learns);
        self.second.as_ref().filter(|_| learns)
    }
}
