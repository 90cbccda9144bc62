//! One training step of a sparse architecture.
//!
//! ```text
//! f = the entries of w_enc (x - b_dec) + b_enc that the selection finds       encode
//! r_l = w_dec^T f + b_dec - x over the latents of level l                     reconstruct
//! L = sum_l c_l 1/n sum |r_l|^2
//! aux = c sum |r + w_dec^T a|^2 / sum |r - mean r|^2   a: largest dead latents   auxiliary
//! df = 2/n r . w_dec[j]      dw_dec[j] = 2/n sum f r                          backward
//! dpre = df through the activation, plus the loss terms
//! dw_enc[j] = sum dpre (x - b_dec)      db_dec = 2/n sum r - w_enc^T sum dpre
//! clipping, Adam, constraints, encoder quantised again                        update
//! ```
//!
//! With a mask, the encoder reads x with some values replaced, and `x` in the residual stays whole.
//!
//! This is an autoencoder. A transcoder decodes for another row y than the one that it encodes, on top of
//! `b_dec` and, if it has a skip, `w_skip x` (`dw_skip = 2/n sum r x^T`), and subtracts nothing from x.
//!
//! All work after the encoder goes latent by latent: a latent's rows of both matrices, of their gradients and moments
//! are visited twice, once for the gradient and, when the norm of the whole is known, once for the update. (A single
//! visit would need the norm before the gradient.)
//!
//! A comment "Reduction point" marks each place where rows or latents meet; ARCHITECTURE.md lists the places. No
//! result depends on the number of threads: partial sums belong to a panel of latents or to a few rows and are added
//! in order.

use std::sync::Arc;

use super::auxiliary::Auxiliary;
use super::backward::{Backward, BackwardSums, Gradients};
use super::blocks::ModelShape;
use super::forward::Forward;
use super::model_view::ModelView;
use super::parametrisation::Parametrisation;
use super::update;
use crate::codes::Codes;
use crate::config::DecoderNorm;
use crate::engine::Encoder;
use crate::io_spec::IoSpec;
use crate::objective::{Objective, StepSchedule};
use crate::optim::Descent;
use crate::params::Params;

/// Settings of one training step.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// Learning rate.
    pub lr: f64,
    /// Largest norm of the gradient; `None` for no clipping.
    pub clip: Option<f64>,
    /// Values of the schedules.
    pub schedule: StepSchedule,
}

/// Rows of one training step, `[n, io.row_width()]`.
#[derive(Debug, Clone, Copy)]
pub struct StepRows<'a> {
    /// Rows whose input columns the encoder reads.
    pub seen: &'a [f32],
    /// Rows whose target columns the decoder reconstructs.
    pub whole: &'a [f32],
}

/// Rows that the encoder reads as they are.
impl<'a> From<&'a [f32]> for StepRows<'a> {
    fn from(whole: &'a [f32]) -> Self {
        Self { seen: whole, whole }
    }
}

/// Losses and statistics of one training step, at the parameters before the update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Mean over rows of the reconstruction error, all levels with their weights.
    pub reconstruction: f64,
    /// Mean over rows of the squared error, summed over outputs, of all latents together.
    pub mse: f64,
    /// Penalties with their coefficients.
    pub penalty: f64,
    /// Norm of the penalty without its coefficient, at this p and at the next one, where p is annealed.
    pub norms: [f64; 2],
    /// Losses of dead latents and of the gate reconstruction, with their coefficients.
    pub auxiliary: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// L0: mean over rows of the number of active latents.
    pub l0: f64,
    /// Number of dead latents.
    pub dead: usize,
    /// Smallest absolute value of the active latents of the batch.
    pub smallest: Option<f32>,
}

/// Stages of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Centring, screening, selection, activation; entries sorted by latent.
    Encode,
    /// Residuals and their sums; counts of firing latents.
    Decode,
    /// Loss of the dead latents.
    Auxiliary,
    /// Gradients by latent and their norm.
    Backward,
    /// Clipping, optimiser, constraints, quantisation of the encoder.
    Update,
}

/// Training step of a sparse architecture, with its buffers and its encoder.
pub struct Step {
    pub(super) objective: Arc<Objective>,
    pub(super) io: IoSpec,
    pub(super) shape: ModelShape,
    pub(super) encoder: Encoder,
    parametrisation: Parametrisation,
    pub(super) forward: Forward,
    auxiliary: Auxiliary,
    gradients: Gradients,
}

impl Step {
    /// Step for parameters of these sizes.
    ///
    /// `norm` is the constraint on decoder rows. `Unit`: length 1, with gradients perpendicular to the rows. `Free`:
    /// none. `Rescale`: none, and pre-activations are multiplied by the lengths, so the step evaluates effective
    /// weights ([`rescaled`](crate::variants::rescaled)).
    ///
    /// # Panics
    /// If the parameters have other sizes than `io`.
    pub fn new(
        objective: &Arc<Objective>,
        io: &IoSpec,
        norm: DecoderNorm,
        params: &Params,
    ) -> Self {
        let d_sae = params.get("b_enc").len();
        assert_eq!(
            (params.get("w_enc").len(), params.get("b_dec").len()),
            (d_sae * io.d_in(), io.d_out()),
            "parameters do not fit this {}",
            io.name()
        );
        let mut encoder = Encoder::new(params);
        let mut parametrisation = Parametrisation::new(norm, params);
        parametrisation.refresh(params, &mut encoder);
        Self {
            objective: Arc::clone(objective),
            io: io.clone(),
            shape: ModelShape::new(io, d_sae),
            encoder,
            parametrisation,
            forward: Forward::new(objective, d_sae),
            auxiliary: Auxiliary::new(objective, d_sae),
            gradients: Gradients::new(params, d_sae),
        }
    }

    /// Takes one optimiser step on rows.
    ///
    /// `since_fired` counts, for each latent, the rows since it was last active.
    ///
    /// # Panics
    /// If the sizes differ from those that the step was made for.
    pub fn run(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        since_fired: &mut [u64],
        rows: StepRows,
        settings: &StepSettings,
    ) -> Report {
        self.run_watched(params, descent, since_fired, rows, settings, &mut |_| {})
    }

    /// Takes one step as [`Step::run`] does; `done` is called at the end of each stage, so that a benchmark can look at its clock.
    ///
    /// # Panics
    /// As [`Step::run`].
    pub fn run_watched(
        &mut self,
        params: &mut Params,
        descent: &mut Descent,
        since_fired: &mut [u64],
        rows: StepRows,
        settings: &StepSettings,
        done: &mut dyn FnMut(Stage),
    ) -> Report {
        let model = ModelView {
            objective: &self.objective,
            io: &self.io,
            shape: self.shape,
            weights: self.parametrisation.effective(params),
        };
        let (forward, auxiliary) = (&mut self.forward, &mut self.auxiliary);
        forward.encode(&model, &self.encoder, settings.schedule, rows.seen);
        done(Stage::Encode);
        forward.reconstruct(&model, rows.whole);
        auxiliary.count(&model, forward, since_fired);
        done(Stage::Decode);
        auxiliary.explain_residual(&model, forward);
        done(Stage::Auxiliary);
        forward.differentiate(&model, rows.whole);
        let backward = Backward {
            model,
            forward,
            auxiliary,
            parametrisation: &self.parametrisation,
        };
        let sums = backward.run(settings.schedule, &mut self.gradients);
        let report = report(forward, auxiliary, &sums);
        done(Stage::Backward);
        let (step, moments) = descent.next(settings.lr, sums.gradient_norm, settings.clip);
        update::move_all(&step, &self.objective, self.shape, &self.parametrisation).apply(
            params,
            moments,
            &self.gradients,
            &mut self.encoder,
        );
        self.objective.constrain(params);
        self.parametrisation.refresh(params, &mut self.encoder);
        done(Stage::Update);
        report
    }

    /// Codes of the last step's rows; some entries may have the value 0.
    pub fn codes(&self) -> &Codes {
        &self.forward.main.codes
    }

    /// Gradient of the last step before clipping.
    pub fn gradient(&self, params: &Params) -> Params {
        self.gradients.complete(params, self.shape)
    }

    /// Squared error of each row with all latents, without a step.
    pub(super) fn errors(
        &mut self,
        schedule: StepSchedule,
        params: &Params,
        rows: &[f32],
    ) -> Vec<f64> {
        let model = ModelView {
            objective: &self.objective,
            io: &self.io,
            shape: self.shape,
            weights: params,
        };
        self.forward.encode(&model, &self.encoder, schedule, rows);
        self.forward.reconstruct(&model, rows);
        self.forward.main.row_errors(self.shape.d_out)
    }

    /// Builds the encoder again after parameters were changed from outside.
    pub(super) fn reset_encoder(&mut self, params: &Params) {
        self.encoder = Encoder::new(params);
    }
}

/// Losses and statistics of a step.
///
/// Reduction point: the smallest active value is a minimum over the batch.
fn report(forward: &Forward, auxiliary: &Auxiliary, sums: &BackwardSums) -> Report {
    let n = forward.n as f64;
    let further = auxiliary.reconstructions.iter().chain(&forward.second);
    let values = forward.main.codes.values.iter().map(|value| value.abs());
    Report {
        reconstruction: forward.main.error / n,
        mse: forward.main.sums.last().map_or(0.0, |sums| sums.square) / n,
        penalty: sums.penalty,
        norms: sums.norms,
        auxiliary: 0.0
            + further
                .map(|reconstruction| reconstruction.scale / 2.0 * reconstruction.error)
                .sum::<f64>(),
        gradient_norm: sums.gradient_norm,
        l0: auxiliary.active as f64 / n,
        dead: auxiliary.dead.len(),
        smallest: values.filter(|value| *value > 0.0).reduce(f32::min),
    }
}
