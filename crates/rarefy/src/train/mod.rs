//! Training: steps, full batches and mini-batches, checkpoints and resuming.

pub mod pass;

use crate::data::Source;
use crate::model::Params;
use crate::plan::Plan;
use crate::variants::Parts;
use crate::Result;

/// Where a run stands after a step.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: usize,
    /// Optimiser steps planned.
    pub steps: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// Value of the objective by part, of this batch.
    pub parts: Parts,
    /// Norm of the gradient.
    pub gradient_norm: f64,
    /// Mean over latents of (the estimate of) the mean activation.
    pub rho_hat_mean: Option<f64>,
}

/// What training tells, and asks.
pub trait Observer {
    /// After each step.
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
    /// Whether the user asked to stop (Ctrl-C).
    fn interrupted(&self) -> bool;
}

/// Everything a run needs to go on bit-equal: parameters, optimiser, position in the data.
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// The parameters.
    pub params: Params,
    // optimiser vectors and scalars follow
}

impl State {
    /// Writes the state as one safetensors file, atomically.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        let _ = path;
        todo!()
    }

    /// Reads what [`State::save`] wrote.
    ///
    /// # Errors
    /// [`crate::Error::Io`]; [`crate::Error::Format`] if it is not a state of this plan.
    pub fn load(path: &std::path::Path, plan: &Plan) -> Result<Self> {
        let _ = (path, plan);
        todo!()
    }
}

/// How a run ended.
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

/// Trains from the start, or from `resume`, on preprocessed rows.
///
/// # Errors
/// [`crate::Error::Interrupted`] after the observer kept a checkpoint; what the data or the observer returns.
pub fn train(plan: &Plan, data: &dyn Source, resume: Option<State>, observer: &mut dyn Observer) -> Result<Outcome> {
    let _ = (plan, data, resume, observer);
    todo!()
}
