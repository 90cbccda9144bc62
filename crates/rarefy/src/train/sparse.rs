//! Runs of the sparse engine: Adam over mini-batches, and the threshold at the end.

pub mod anneal;
mod auxiliary;
mod average;
mod backward;
mod blocks;
mod forward;
mod grouped;
pub(super) mod mask;
mod model_view;
mod parametrisation;
mod reconstruction;
pub mod resample;
pub mod step;
mod unroll;
mod update;

use std::borrow::Cow;

use super::epoch::rate;
use super::{Observer, Outcome, Progress, SparseProgress, State, finish, refuse_diverged};
use crate::codes::Codes;
use crate::data::{Source, evenly_spaced_rows};
use crate::engine::{Encoder, Selection, centre};
use crate::io_spec::IoSpec;
use crate::objective::{Objective, StepSchedule, Threshold};
use crate::params::Params;
use crate::plan::{Plan, UPDATES};
use crate::variants::{Batch, Parts};
use crate::{Error, Result};

use anneal::Updates;
use mask::Mask;
use step::{Report, Step, StepSettings};

/// Rows that a threshold is calibrated on, at most.
pub(crate) const CALIBRATION_ROWS: usize = 1 << 16;

/// Ends a run: averages the weights, calibrates the threshold, keeps the last checkpoint.
///
/// `rows` has the calibration rows of a threshold and their name in messages.
pub(super) fn conclude(
    plan: &Plan,
    sparse: &Objective,
    mut state: State,
    reason: String,
    rows: (Option<&dyn Source>, &str),
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut model = average::model(plan, sparse, &mut state);
    if let Some(threshold) = &sparse.threshold() {
        let moving = state.moving.as_ref().and_then(super::Moving::estimate);
        let moving = moving.map(|estimate| estimate.statistics[0] as f32);
        let params = model.as_mut().unwrap_or(&mut state.params);
        set_threshold(plan, (threshold, moving), rows, params, observer)?;
    }
    let outcome = finish(state, reason, observer)?;
    Ok(Outcome {
        params: model.unwrap_or(outcome.params),
        ..outcome
    })
}

/// Schedule values of the next step.
fn now(plan: &Plan, state: &State) -> StepSchedule {
    let now = plan.schedules().now(state.step);
    match &state.annealing {
        None => now,
        Some(annealing) => StepSchedule {
            sparsity: now.sparsity * annealing.factor(),
            p: Some([annealing.p(), annealing.next().unwrap_or(annealing.p())]),
            ..now
        },
    }
}

/// One step on the rows `x`.
pub(super) fn advance(
    plan: &Plan,
    x: &[f32],
    state: &mut State,
    (step, mask): (&mut Step, &mut Mask),
) -> Result<Progress> {
    let settings = StepSettings {
        lr: rate(plan, state.step),
        clip: plan.clip(),
        schedule: now(plan, state),
    };
    let report = step.run(
        &mut state.params,
        state.optimizer.descent(),
        &mut state.since_fired,
        mask.rows(x, state.step),
        &settings,
    );
    let parts = Parts {
        reconstruction: report.reconstruction,
        penalty: report.penalty,
        auxiliary: report.auxiliary,
        ..Parts::default()
    };
    refuse_diverged(state.step + 1, parts.total(), report.gradient_norm)?;
    if let (Some(moving), Some(smallest)) = (&mut state.moving, report.smallest) {
        moving.update(Batch {
            rows: 1,
            statistics: vec![f64::from(smallest)],
        });
    }
    if let (Some(annealing), Some((start, end, from))) = (&mut state.annealing, plan.schedules().p)
    {
        // The last part is at the p of the end.
        let last = from + (plan.steps() - from) * (UPDATES - 1) / UPDATES;
        let updates = Updates::new(UPDATES, (from, last), (start, end));
        annealing.after(&updates, state.step, report.norms);
    }
    state.step += 1;
    if let (Some(ema), Some(decay)) = (&mut state.ema, plan.config().train.ema) {
        average::follow(ema, state.params.values(), decay, state.step);
    }
    state.rows_seen += (x.len() / plan.io().row_width()) as u64;
    Ok(Progress {
        step: state.step,
        steps: plan.steps(),
        rows_seen: state.rows_seen,
        parts,
        gradient_norm: report.gradient_norm,
        rho_hat_mean: None,
        sparse: Some(progress(plan, &report)),
    })
}

fn progress(plan: &Plan, report: &Report) -> SparseProgress {
    SparseProgress {
        l0: report.l0,
        dead_fraction: report.dead as f64 / plan.d_sae() as f64,
        explained_variance: if plan.variance() > 0.0 {
            1.0 - report.mse / plan.variance()
        } else {
            0.0
        },
    }
}

/// Sets the threshold of the model; the message names both estimates, calibrated and moving average.
fn set_threshold(
    plan: &Plan,
    (threshold, moving): (&Threshold, Option<f32>),
    (source, kind): (Option<&dyn Source>, &str),
    params: &mut Params,
    observer: &mut dyn Observer,
) -> Result<()> {
    let source = source.filter(|source| source.rows() > 0);
    let source = source.ok_or_else(nothing_to_calibrate_on)?;
    let rows = evenly_spaced_rows(source, CALIBRATION_ROWS)?;
    let n = rows.len() / source.d_in();
    let calibrated = calibrate(plan.io(), params, &rows, threshold.k);
    let rows = seen(plan.io(), params, &rows);
    // If no batch kept a latent, there is no average; the calibrated threshold then keeps none either.
    let moving = moving.unwrap_or(calibrated);
    let taken = if threshold.calibrated {
        calibrated
    } else {
        moving
    };
    params.get_mut("threshold")[0] = taken;
    let l0 = |above| count(params, &rows, above) as f64 / n as f64;
    observer.message(&format!(
        "threshold: calibrated {calibrated:.6} (L0 {:.3}), moving average {moving:.6} (L0 {:.3}), on {n} {kind} rows; \
         the model uses the {} one",
        l0(calibrated),
        l0(moving),
        if threshold.calibrated { "calibrated" } else { "moving" }
    ));
    Ok(())
}

/// The refusal to end a run whose model needs a threshold, without rows.
pub(crate) fn nothing_to_calibrate_on() -> Error {
    Error::Conflict(
        "the threshold of the model is calibrated on rows, but no rows were pushed: take a step first, or give \
         held-out rows"
            .into(),
    )
}

/// Encoder inputs of rows of training data: `x - b_dec`, or x.
fn seen<'a>(io: &IoSpec, params: &Params, rows: &'a [f32]) -> Cow<'a, [f32]> {
    let (inputs, _) = io.split(rows);
    if !io.centre {
        return inputs;
    }
    let mut centred = vec![0.0; inputs.len()];
    centre(&inputs, params.get("b_dec"), &mut centred);
    centred.into()
}

/// Number of pre-activations above a threshold, counted piece by piece to bound memory.
fn count(params: &Params, rows: &[f32], above: f32) -> usize {
    const ROWS: usize = 4096;
    let d_sae = params.get("b_enc").len();
    let d_in = params.get("w_enc").len() / d_sae;
    let encoder = Encoder::new(params);
    let pieces = rows.chunks(ROWS * d_in);
    pieces
        .map(|x| {
            let mut codes = Codes::new(d_sae);
            encoder.encode_as_is(params, x, Selection::Above(above), &mut codes);
            codes.values.len()
        })
        .sum()
}

/// The threshold above which these rows have k latents each on average: midway between the
/// `floor(n k)`-th largest positive pre-activation and the next, or 0 if there are fewer.
///
/// A value just below the first would be as exact here. But another program may add in another order, and its
/// rounding would then decide if that latent is kept.
///
/// # Example
/// ```
/// use rarefy::params::{Layout, Params};
/// use rarefy::io_spec::IoSpec;
/// use rarefy::train::sparse::calibrate;
/// // Latent j is x_j, so the pre-activations are the rows.
/// let blocks = [("w_enc", 2, 2), ("b_enc", 1, 2), ("w_dec", 2, 2), ("b_dec", 1, 2)];
/// let mut params = Params::zeros(&Layout::new(&blocks));
/// params.get_mut("w_enc").copy_from_slice(&[1.0, 0.0, 0.0, 1.0]);
/// let rows = [5.0, 1.0, 3.0, -2.0, 4.0, 2.0, 0.0, 0.0];
/// // Four rows and k = 0.75: three entries, 5, 4 and 3, and then comes 2.
/// let binding = IoSpec::autoencoder(2);
/// assert_eq!(calibrate(&binding, &params, &rows, 0.75), 2.5);
/// assert_eq!(calibrate(&binding, &params, &rows, 2.0), 0.0); // only five are positive
/// ```
pub fn calibrate(io: &IoSpec, params: &Params, rows: &[f32], k: f64) -> f32 {
    let rows = &seen(io, params, rows);
    let d_sae = params.get("b_enc").len();
    let d_in = params.get("w_enc").len() / d_sae;
    let n = (rows.len() / d_in) as f64;
    let wanted = (n * k).floor();
    // One more than wanted; the half keeps the division's rounding away from the next whole number.
    let one_more = Selection::Batch((wanted + 1.5) / n);
    let mut codes = Codes::new(d_sae);
    Encoder::new(params).encode_as_is(params, rows, one_more, &mut codes);
    let mut values = codes.values;
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    let wanted = wanted as usize;
    if values.len() < wanted {
        return 0.0;
    }
    if wanted == 0 {
        return values.first().copied().unwrap_or(0.0);
    }
    let (last, next) = (
        values[wanted - 1],
        values.get(wanted).copied().unwrap_or(0.0),
    );
    let between = last.midpoint(next);
    // No f32 lies between two neighbours, and only values strictly above the threshold are kept.
    if between < last { between } else { next }
}
