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

pub use descend::Batches;
pub use moving::Moving;
pub use reservoir::Reservoir;
pub use state::{Optimizer, State};
pub(crate) use stepper::{Pool, Stepper, lbfgs_needs_all_rows};

/// Position and losses of a run after one step.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: usize,
    /// Optimiser steps planned.
    pub steps: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// Value of the objective by part: of the full batch, or of this mini-batch before its step.
    pub parts: Parts,
    /// Norm of the gradient.
    pub gradient_norm: f64,
    /// Mean over latents of (the estimate of) the mean activation.
    pub rho_hat_mean: Option<f64>,
    /// L0, dead latents and explained variance; only of sparse architectures.
    pub sparse: Option<SparseProgress>,
}

/// Statistics of one step of a sparse architecture, beside the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SparseProgress {
    /// Mean number of latents that a row of the batch kept.
    pub l0: f64,
    /// Share of the latents that no row has kept for long.
    pub dead_fraction: f64,
    /// Share of the data's variance that the batch's reconstruction explains.
    pub explained_variance: f64,
}

/// Receiver of progress, messages and checkpoints of a run, which may also stop the run.
pub trait Observer {
    /// Called after each step.
    ///
    /// # Errors
    /// Whatever the observer meets; training ends with it.
    fn step(&mut self, progress: &Progress) -> Result<()>;
    /// A line for the user: line search trouble, the epoch's audit of `rho_hat`, convergence.
    fn message(&mut self, text: &str);
    /// A state to keep; called every `checkpoint_every` steps, at the end and when interrupted.
    ///
    /// # Errors
    /// As [`Observer::step`].
    fn checkpoint(&mut self, state: &State) -> Result<()>;
    /// True if the user asked to stop (Ctrl-C).
    fn interrupted(&self) -> bool;
}

/// An observer that says nothing, keeps nothing and never stops a run.
///
/// # Example
/// ```
/// use rarefy::{config, data, plan::Plan, train};
/// let rows = data::Memory::new("four rows", 2, vec![0.1, 0.9, 0.9, 0.1, 0.2, 0.8, 0.8, 0.2]);
/// let config = config::merge(&["[model]\nlatents = 2\n[train]\nsteps = 3".parse().unwrap()])?;
/// let plan = Plan::new(&config, &data::survey(&rows)?)?;
/// let start = train::State::new(&plan, &rows, None)?;
/// let outcome = train::train(&plan, &rows, start, &mut train::Silent)?;
/// assert_eq!((outcome.steps, outcome.params.get("w_enc").len()), (3, 4));
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &Progress) -> Result<()> {
        Ok(())
    }
    fn message(&mut self, _: &str) {}
    fn checkpoint(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
    fn interrupted(&self) -> bool {
        false
    }
}

/// Parameters and counts at the end of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trained parameters.
    pub params: Params,
    /// Steps done.
    pub steps: usize,
    /// Rows that went through a gradient.
    pub rows_seen: u64,
    /// Why it stopped, as a sentence.
    pub reason: String,
}

/// Trains on preprocessed rows, from a fresh state of [`State::new`] or one that was saved.
///
/// # Errors
/// [`crate::Error::Interrupted`] after the observer kept a checkpoint; what the data or the
/// observer returns.
pub fn train(
    plan: &Plan,
    data: &dyn Source,
    start: State,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    train_with_holdout(plan, data, None, start, observer)
}

/// [`train`], with prepared rows that it never trains on. A threshold is calibrated on them.
///
/// # Errors
/// As [`train`].
pub fn train_with_holdout(
    plan: &Plan,
    data: &dyn Source,
    held_out: Option<&dyn Source>,
    start: State,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    // Rows of a pushed run; all rows are at hand here.
    let mut state = State {
        reservoir: None,
        ..start
    };
    if let (Architecture::Dense(variant), OptimizerKind::Lbfgs) =
        (plan.architecture(), plan.optimizer())
    {
        return full::train(plan, variant.as_ref(), data, state, observer);
    }
    let mut stepper = Stepper::new(plan, &state.params)?;
    let reason = descend::descend(plan, data, &mut state, &mut stepper, observer)?;
    let rows = match held_out {
        Some(held_out) => (Some(held_out), "held-out"),
        None => (Some(data), "training"),
    };
    conclude(plan, state, reason, rows, observer)
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

/// Keeps a checkpoint where one is due and ends the run where the user asked for it.
fn after_step(plan: &Plan, state: &State, observer: &mut dyn Observer) -> Result<()> {
    if observer.interrupted() {
        observer.checkpoint(state)?;
        return Err(crate::Error::Interrupted);
    }
    let every = plan.config().train.checkpoint_every;
    if every > 0 && state.step.is_multiple_of(every) && state.step < plan.steps() {
        observer.checkpoint(state)?;
    }
    Ok(())
}

/// Ends a run that ran away, before its numbers reach a checkpoint.
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
