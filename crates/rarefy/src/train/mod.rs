//! Training: steps, full batches and mini-batches, checkpoints and resuming.

mod descend;
mod epoch;
mod full;
mod mini;
mod moving;
pub mod pass;
mod reservoir;
pub mod sparse;
mod state;
mod stepper;

use crate::Result;
use crate::config::OptimizerKind;
use crate::data::Source;
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::{Architecture, Parts};

use descend::Descent;
pub use moving::Moving;
pub use reservoir::Reservoir;
pub(crate) use sparse::{CALIBRATION_ROWS, nothing_to_calibrate_on};
pub use state::{Optimizer, State};
pub(crate) use stepper::{Pool, Stepper, lbfgs_needs_all_rows};

/// Step count, losses, gradient norm and sparsity after one training step; returned by
/// [`Trainer::step`](crate::Trainer::step) and passed to [`Observer::step`].
#[derive(Debug, Clone)]
pub struct Progress {
    /// Optimiser steps done, this one included.
    pub step: usize,
    /// Optimiser steps planned.
    pub steps: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// Value of the objective by part, on preprocessed rows: of the full batch, or of this mini-batch before its step.
    pub parts: Parts,
    /// L2 norm of the gradient over all parameters, before clipping.
    pub gradient_norm: f64,
    /// Mean over latents of (the estimate of) the mean activation; `None` for architectures other than `kl`.
    pub rho_hat_mean: Option<f64>,
    /// L0, dead latents and explained variance of the batch; `None` for `kl`.
    pub sparse: Option<SparseProgress>,
}

/// Statistics of one step of a sparse architecture, beside the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseProgress {
    /// Mean number of latents that a row of the batch kept.
    pub l0: f64,
    /// Share of the latents that were active on none of the last `dead_after` rows.
    pub dead_fraction: f64,
    /// Share of the data's variance that the batch's reconstruction explains.
    pub explained_variance: f64,
}

/// Callbacks of a training run: progress after each step, messages, checkpoints, and a request to stop. Implement the
/// trait to show or log a run; each method does nothing by default. Pass the observer to
/// [`Builder::observer`](crate::Builder::observer) or [`Trainer::step_with`](crate::Trainer::step_with).
pub trait Observer {
    /// Called after each optimiser step, with its step count and losses. An `Err` ends training, which returns the
    /// error.
    ///
    /// # Errors
    /// Whatever the observer meets; training ends with it.
    fn step(&mut self, progress: &Progress) -> Result<()> {
        let _ = progress;
        Ok(())
    }
    /// Called with one line of text for the user. Examples: warnings before [`Builder::fit`](crate::Builder::fit)
    /// starts ([`Plan::warnings`]), the number of resampled latents, the calibrated threshold, remarks of the line
    /// search of L-BFGS, the exact mean activation after an epoch of `kl`.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
    /// Called with the state of the run, to be written by [`State::save`]: every `train.checkpoint_every` steps
    /// (default 100), when [`Observer::checkpoint_due`] returns true, and when [`Observer::interrupted`] returned true. Also called at the end of
    /// [`Builder::fit`](crate::Builder::fit). An `Err` ends training, which returns the error.
    ///
    /// # Errors
    /// As [`Observer::step`].
    fn checkpoint(&mut self, state: &State) -> Result<()> {
        let _ = state;
        Ok(())
    }
    /// Called with true before the run waits for rows that are still being read, and with false behind the wait: the time between is lost.
    fn waiting(&mut self, waits: bool) {
        let _ = waits;
    }
    /// Returns true to get [`Observer::checkpoint`] after this step too, for example some minutes after the last one;
    /// false by default. Not called by L-BFGS within an iteration.
    fn checkpoint_due(&self) -> bool {
        false
    }
    /// Returns true to stop the run, for example after Ctrl-C; false by default. Called after each step (L-BFGS: before
    /// each evaluation too). Training then calls [`Observer::checkpoint`] and returns
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    fn interrupted(&self) -> bool {
        false
    }
}

/// Observer that does nothing and never stops a run.
///
/// # Example
/// ```
/// use rarefy::data;
/// let rows = data::Memory::new("four rows", 2, vec![0.1, 0.9, 0.9, 0.1, 0.2, 0.8, 0.8, 0.2]);
/// let trained = rarefy::kl().latents(2).steps(3).observer(&mut rarefy::train::Silent).train(&rows)?;
/// assert_eq!((trained.steps, trained.model.params().get("w_enc").len()), (3, 4));
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}

/// Parameters and counts at the end of a run.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The trained parameters.
    pub params: Params,
    /// Steps done.
    pub steps: usize,
    /// Rows that went through a gradient.
    pub rows_seen: u64,
    /// Reason for the end of training, as a sentence.
    pub reason: String,
}

/// Trains on preprocessed rows, from a new or a saved state. A threshold is calibrated on the rows `held_out`, which are
/// not trained on, or on all rows.
///
/// # Errors
/// [`crate::Error::Interrupted`] after the observer kept a checkpoint; errors of reading the rows and of the observer.
#[cfg(test)]
pub(crate) fn train(
    plan: &Plan,
    data: &dyn Source,
    held_out: Option<&dyn Source>,
    start: State,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut outcomes = train_together(vec![(plan, start)], data, held_out, vec![observer]);
    outcomes.pop().expect("one run has one outcome")
}

/// Trains several runs on the same rows, each with the bytes that it has alone. Runs with the same batches read them once and take their steps
/// at the same time. The outcomes are in the order of the runs, whose observers are in the same order.
pub(crate) fn train_together(
    runs: Vec<(&Plan, State)>,
    data: &dyn Source,
    held_out: Option<&dyn Source>,
    observers: Vec<&mut dyn Observer>,
) -> Vec<Result<Outcome>> {
    let mut observers: Vec<Option<&mut dyn Observer>> = observers.into_iter().map(Some).collect();
    let mut outcomes: Vec<Option<Result<Outcome>>> = runs.iter().map(|_| None).collect();
    let mut groups: Vec<(BatchesOf, Vec<(usize, Descent)>)> = Vec::new();
    for (at, (plan, start)) in runs.into_iter().enumerate() {
        // Rows of a pushed run; all rows are at hand here.
        let state = State {
            reservoir: None,
            ..start
        };
        if let (Architecture::Dense(variant), OptimizerKind::Lbfgs) =
            (plan.architecture(), plan.optimizer())
        {
            let observer = observers[at].take().expect("one observer for each run");
            outcomes[at] = Some(full::train(plan, variant.as_ref(), data, state, observer));
            continue;
        }
        let batches = BatchesOf::new(plan);
        match (
            Descent::new(plan, state),
            groups.iter_mut().find(|(of, _)| *of == batches),
        ) {
            (Err(error), _) => outcomes[at] = Some(Err(error)),
            (Ok(run), Some((_, group))) => group.push((at, run)),
            (Ok(run), None) => groups.push((batches, vec![(at, run)])),
        }
    }
    let rows = match held_out {
        Some(held_out) => (Some(held_out), "held-out"),
        None => (Some(data), "training"),
    };
    for (_, group) in groups {
        let (places, mut descents): (Vec<usize>, Vec<Descent>) = group.into_iter().unzip();
        let of_group = places.iter().map(|at| observers[*at].take());
        let of_group = of_group.map(|observer| observer.expect("one observer for each run"));
        let mut of_group: Vec<&mut dyn Observer> = of_group.collect();
        descend::descend(&mut descents, data, &mut of_group);
        for ((at, run), observer) in places.into_iter().zip(descents).zip(of_group) {
            let plan = run.plan();
            let ended = run.ended();
            outcomes[at] = Some(
                ended.and_then(|(state, reason)| conclude(plan, state, reason, rows, observer)),
            );
        }
    }
    let all = outcomes.into_iter();
    all.map(|outcome| outcome.expect("each run has an outcome"))
        .collect()
}

/// Settings that set the batches of a run; runs with equal ones share them.
#[derive(PartialEq, Eq)]
struct BatchesOf {
    batch: usize,
    seed: u64,
    shuffle: bool,
    memory: usize,
}

impl BatchesOf {
    fn new(plan: &Plan) -> Self {
        let config = plan.config();
        Self {
            batch: plan.batch(),
            seed: config.train.seed,
            shuffle: config.train.shuffle,
            memory: config.data.memory.bytes(),
        }
    }
}

/// Ends a run of mini-batches; a threshold is calibrated on `rows`, named as in messages.
pub(crate) fn conclude(
    plan: &Plan,
    state: State,
    reason: String,
    rows: (Option<&dyn Source>, &str),
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    match plan.architecture() {
        Architecture::Dense(_) => finish(state, reason, observer),
        Architecture::Sparse(sparse) => {
            sparse::conclude(plan, sparse, state, reason, rows, observer)
        }
    }
}

/// Saves a checkpoint if one is due, and ends the run if the user asked for it.
pub(crate) fn after_step(plan: &Plan, state: &State, observer: &mut dyn Observer) -> Result<()> {
    if observer.interrupted() {
        observer.checkpoint(state)?;
        return Err(crate::Error::Interrupted);
    }
    let train = &plan.config().train;
    let is_multiple = |every: usize| every > 0 && state.step.is_multiple_of(every);
    let due = is_multiple(train.checkpoint_every)
        || is_multiple(train.keep_every)
        || observer.checkpoint_due();
    if due && state.step < plan.steps() {
        observer.checkpoint(state)?;
    }
    Ok(())
}

/// Refuses a diverged objective or gradient, before the state reaches a checkpoint.
fn refuse_diverged(step: usize, objective: f64, gradient: f64) -> Result<()> {
    if objective.is_finite() && gradient.is_finite() {
        return Ok(());
    }
    Err(crate::Error::Diverged {
        step,
        objective,
        gradient,
    })
}

fn finish(state: State, reason: String, observer: &mut dyn Observer) -> Result<Outcome> {
    observer.checkpoint(&state)?;
    Ok(Outcome {
        steps: state.step,
        rows_seen: state.rows_seen,
        params: state.params,
        reason,
    })
}
