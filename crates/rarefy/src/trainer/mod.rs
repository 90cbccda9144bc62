//! The owned trainer: rows pushed by the caller, checkpoints, and the model at the end.
//!
//! [`Trainer`] takes one step for each batch that the caller pushes. Training on random-access rows
//! ([`Builder::fit`](crate::Builder::fit), [`recipe::TrainingData::train`](crate::recipe::TrainingData::train)) takes the same steps in a loop.

mod finish;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use crate::config::OptimizerKind;
use crate::data::{Slice, Source, check_finite, whole_rows};
use crate::model::{Model, ModelDescription};
use crate::params::Params;
use crate::plan::Plan;
use crate::preprocess::{FittedPipelines, Pipeline};
use crate::train::{
    self, Observer, Outcome, Pool, Progress, Reservoir, Silent, State, Stepper, after_step,
};
use crate::variants::{Architecture, Estimate, StartRows};
use crate::{Error, Result};

/// Training loop that the caller drives: each [`Trainer::step`] takes one optimiser step on a batch, and
/// [`Trainer::finish`] returns the model. Made by [`Builder::stream`](crate::Builder::stream). If all rows are at hand,
/// use [`Builder::fit`](crate::Builder::fit) instead.
///
/// A trainer owns all that it needs, so it can be kept in a struct, moved to another thread and dropped
/// at any time. Schedules, annealing, EMA, resampling, dead counts and checkpoints work as in a run
/// over random-access rows. In place of all rows there is a [`Reservoir`] of recent rows: resampling
/// draws from it, and without held-out rows the threshold is calibrated on it.
///
/// # Example
/// ```
/// use rarefy::Trainer;
/// let batches: Vec<Vec<f32>> = (0..20)
///     .map(|b| (0..64).map(|i| ((b * 64 + i) as f32 * 0.7).sin()).collect())
///     .collect();
/// let mut trainer: Trainer = rarefy::topk(2).latents(8).steps(20).batch(16).stream((&batches[0], 4))?;
/// for batch in &batches {
///     let progress = trainer.step(batch)?;
///     assert!(progress.parts.total().is_finite());
/// }
/// let model = trainer.finish()?;
/// assert_eq!(model.encode((&batches[0], 4))?.rows(), 16);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct Trainer {
    plan: Arc<Plan>,
    prepare: Option<Preparation>,
    image_shape: Option<(usize, usize)>,
    /// None before the first rows are seen.
    state: Option<State>,
    /// None before the first step.
    stepper: Option<Stepper>,
    /// Reason why the run cannot go on; None while it can.
    ended: Option<&'static str>,
}

/// End of a run whose last step failed.
const FAILED: &str =
    "the last step failed, so the weights are lost: resume from a checkpoint, or begin a new run";
/// End of a run whose model was made.
const FINISHED: &str = "`finish` was called and gave the model: begin a new run";

/// The preprocessing of pushed rows.
#[derive(Clone)]
struct Preparation {
    fitted: FittedPipelines,
    /// The pipeline of complete rows: inputs, then the target.
    rows: Pipeline,
}

/// Result of [`Builder::train`](crate::Builder::train) and [`Trainer::run`]: the model, the number of steps and rows,
/// and the reason for the end of training.
pub struct Trained {
    /// Trained model, with the preprocessing of its rows.
    pub model: Model,
    /// Optimiser steps done, steps before a resumed checkpoint included.
    pub steps: usize,
    /// Rows that went through a gradient; a row counts once for each time.
    pub rows_seen: u64,
    /// Reason for the end of training, as a sentence such as `all 200 steps done`.
    pub reason: String,
}

impl Trainer {
    /// Trainer at step 0 for a `plan`, the checked settings and sizes of a run. The initial weights are made from the
    /// first pushed batch (decoder bias: by default its geometric median). All pushed rows must already be
    /// preprocessed. For raw rows, make the trainer with [`Builder::stream`](crate::Builder::stream) instead.
    ///
    /// # Errors
    /// [`Error::Conflict`] for L-BFGS, which needs all rows in every step.
    pub fn new(plan: impl Into<Arc<Plan>>) -> Result<Self> {
        let plan = plan.into();
        refuse_lbfgs(&plan)?;
        Ok(Self::at(plan, None))
    }

    /// Trainer at step 0 whose initial weights are made from `rows` instead of the first pushed batch; no step is taken
    /// on `rows`. Use if the first batch does not represent the data. Both `rows` and all later batches must already be
    /// preprocessed. For raw rows, make the trainer with [`Builder::stream`](crate::Builder::stream) instead.
    ///
    /// # Errors
    /// [`Error::Shape`] for rows of another width; errors of reading the rows.
    pub fn with_rows(plan: impl Into<Arc<Plan>>, rows: &dyn Source) -> Result<Self> {
        let plan = plan.into();
        check_width(rows.name(), plan.io().row_width(), rows.d_in())?;
        let state = State::new(&plan, rows, None)?;
        Ok(Self::at(plan, Some(state)))
    }

    /// [`Trainer::with_rows`], with rows that several models start from.
    pub(crate) fn with_start(plan: Arc<Plan>, rows: &StartRows) -> Result<Self> {
        let state = State::from_start(&plan, rows, None)?;
        Ok(Self::at(plan, Some(state)))
    }

    /// Trainer at step 0 that starts from the parameters of another model ([`Model::params`]), with a fresh optimiser,
    /// for fine-tuning. Names and shapes of all parameter blocks must be those of the plan.
    ///
    /// # Errors
    /// [`Error::Shape`] if the parameters have other blocks than the plan's architecture.
    #[doc(hidden)]
    pub fn with_params(plan: impl Into<Arc<Plan>>, params: Params) -> Result<Self> {
        let plan = plan.into();
        let none = Slice {
            values: &[],
            width: plan.io().row_width(),
        };
        let state = State::new(&plan, &none, Some(params))?;
        Ok(Self::at(plan, Some(state)))
    }

    /// Trainer that continues from a checkpoint file of [`Trainer::checkpoint`], for the same plan. If the caller
    /// pushes the batches that follow, training is bit-equal to a run that was never stopped. The file holds no
    /// preprocessing: a trainer of [`Builder::stream`](crate::Builder::stream) continues by
    /// [`Builder::resume_stream`](crate::Builder::resume_stream), which fits the same preprocessing again.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a damaged file; [`Error::Conflict`] if the checkpoint belongs to another
    /// architecture, optimiser or data, or is past the plan's end; [`Error::Shape`] for another size.
    pub fn resume(plan: impl Into<Arc<Plan>>, path: &Path) -> Result<Self> {
        let plan = plan.into();
        let state = State::load(path, &plan)?;
        Ok(Self::at(plan, Some(state)))
    }

    fn at(plan: Arc<Plan>, state: Option<State>) -> Self {
        Self {
            plan,
            prepare: None,
            image_shape: None,
            state,
            stepper: None,
            ended: None,
        }
    }

    /// Makes [`Trainer::step`] take raw rows: fitted pipelines ([`FittedPipelines::fit`]) prepare each pushed row and
    /// become the preprocessing of the model. Without this call, pushed rows must already be preprocessed as the plan
    /// expects, and the model takes such rows too.
    ///
    /// [`Trainer::run`] takes preprocessed rows in any case.
    ///
    /// # Errors
    /// [`Error::Shape`] if prepared rows have another width than the plan's.
    #[doc(hidden)]
    pub fn preprocess(mut self, fitted: FittedPipelines) -> Result<Self> {
        let rows = fitted.rows();
        check_width("preprocessing", self.plan.io().row_width(), rows.d_out())?;
        self.prepare = Some(Preparation { fitted, rows });
        Ok(self)
    }

    /// Stores the shape `(height, width)` of raw rows that are images in the finished model, to draw the vectors
    /// of [`Model::filters`] as pictures. The width of a raw row must be `height * width`, or three times that; [`Model::load`] refuses a
    /// saved model whose shape does not fit. Training does not use the shape. `None`, the default, means that rows are
    /// no images; [`Builder::stream`](crate::Builder::stream) takes the shape of a `Dataset`.
    #[doc(hidden)]
    #[must_use]
    pub fn image_shape(mut self, shape: Option<(usize, usize)>) -> Self {
        self.image_shape = shape;
        self
    }

    /// Plan of the run: every setting with defaults filled in, such as the number of steps.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Number of optimiser steps done, steps before a resumed checkpoint included.
    pub fn steps_done(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.step)
    }

    /// Number of rows trained on so far, the sum of batch sizes over all steps done.
    pub fn rows_seen(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.rows_seen)
    }

    /// Current parameters, optimiser moments and step count, as a checkpoint saves them. `None` for a trainer of
    /// [`Trainer::new`] before the first batch.
    #[doc(hidden)]
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// True if all planned steps are done; a further [`Trainer::step`] then fails. Also true right after an epoch whose
    /// mean objective fell, relative to its value, by at most `train.tolerance`. A tolerance of 0, the default, turns
    /// this test off.
    pub fn is_done(&self) -> bool {
        let converged = self.stepper.as_ref().is_some_and(Stepper::converged);
        converged || self.steps_done() >= self.plan.steps()
    }

    /// Takes one optimiser step on a batch and returns step count and losses. `batch` is row-major `[n, width]`; an
    /// incomplete last row is an error. A trainer of [`Builder::stream`](crate::Builder::stream) takes raw rows and
    /// preprocesses them here. A trainer of [`Trainer::new`] takes rows that the caller preprocessed. A transcoder's
    /// row holds the input, then the target.
    ///
    /// A batch usually has the plan's `train.batch` rows; another number is allowed where the
    /// architecture's estimates do not need all rows.
    ///
    /// # Errors
    /// [`Error::Shape`] for values that are no whole rows; [`Error::NotFinite`] for NaN or infinities;
    /// [`Error::Conflict`] after the last planned step, and for L-BFGS; [`Error::Diverged`].
    pub fn step(&mut self, batch: &[f32]) -> Result<Progress> {
        self.step_with(batch, &mut Silent)
    }

    /// Takes one step like [`Trainer::step`], on the same kind of `batch`, row-major `[n, width]`, and sends progress
    /// and messages to `observer`. Every `train.checkpoint_every` steps (default 100), except after the last step,
    /// [`Observer::checkpoint`] receives the state.
    ///
    /// # Errors
    /// As [`Trainer::step`]; errors of the observer; [`Error::Interrupted`] if [`Observer::interrupted`] is true after
    /// the step, which is done and kept.
    pub fn step_with(&mut self, batch: &[f32], observer: &mut dyn Observer) -> Result<Progress> {
        let plan = Arc::clone(&self.plan);
        self.check_open()?;
        self.check_batch(batch)?;
        let prepared = match &self.prepare {
            Some(prepare) if !prepare.rows.is_identity() => Cow::Owned(prepare.rows.apply(batch).0),
            _ => Cow::Borrowed(batch),
        };
        let width = plan.io().row_width();
        check_finite(Path::new("pushed batch, prepared"), 0, width, &prepared)?;
        let values = prepared.as_ref();
        let rows = Slice { values, width };
        let state = match &mut self.state {
            Some(state) => state,
            none => none.insert(State::new(&plan, &rows, None)?),
        };
        let stepper = match &mut self.stepper {
            Some(stepper) => stepper,
            none => none.insert(Stepper::new(&plan, &state.params)?),
        };
        if state.reservoir.is_none() {
            state.reservoir = Reservoir::of(&plan);
        }
        // The reservoir is lent to the step, which changes the rest of the state.
        let mut reservoir = state.reservoir.take();
        if let Some(reservoir) = &mut reservoir {
            reservoir.push(values);
        }
        let pool = reservoir.as_ref().map(|rows| rows as &dyn Source);
        let progress = stepper.step(&plan, state, &rows, Pool::Recent(pool), observer);
        state.reservoir = reservoir;
        let progress = progress.inspect_err(|_| self.ended = Some(FAILED))?;
        observer.step(&progress)?;
        after_step(&plan, state, observer)?;
        Ok(progress)
    }

    /// Refuses a run that failed or gave its model.
    fn check_open(&self) -> Result<()> {
        match self.ended {
            Some(why) => Err(Error::Conflict(why.into())),
            None => Ok(()),
        }
    }

    /// Refuses a batch that no step can be taken on, before anything changes.
    fn check_batch(&self, batch: &[f32]) -> Result<()> {
        let plan = &self.plan;
        let width = self.pushed_width();
        whole_rows("pushed batch", batch, width)?;
        check_finite(Path::new("pushed batch"), 0, width, batch)?;
        refuse_lbfgs(plan)?;
        check_exact(plan, batch.len() / width)?;
        if self.steps_done() < plan.steps() {
            return Ok(());
        }
        let steps = plan.steps();
        Err(Error::Conflict(format!(
            "all {steps} steps of `train.steps` are done: call `finish`, or plan more steps"
        )))
    }

    /// Number of values in a row that the caller pushes.
    #[doc(hidden)]
    pub fn pushed_width(&self) -> usize {
        let prepare = self.prepare.as_ref();
        prepare.map_or(self.plan.io().row_width(), |prepare| prepare.rows.d_in())
    }

    /// Writes one file (safetensors) with parameters, optimiser state, step count and number of rows seen, from which
    /// [`Trainer::resume`] continues. Pushed rows are not stored, except for a sample if a threshold or resampling
    /// needs one. An existing file is replaced atomically, and missing folders are created.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Conflict`] before the first batch of a trainer of [`Trainer::new`], after a step that
    /// failed, and after [`Trainer::finish`].
    pub fn checkpoint(&self, path: &Path) -> Result<()> {
        self.check_open()?;
        let state = self.state.as_ref().ok_or_else(|| nothing_pushed("save"))?;
        state.save(path, &self.plan)
    }

    /// Takes all remaining steps on mini-batches of `rows` and returns the model; for rows at hand, in place of
    /// [`Trainer::step`]. `rows` and `held_out` are preprocessed as the plan expects. `observer` receives progress and
    /// may stop the run.
    ///
    /// [`TrainingData::train`](crate::recipe::TrainingData::train) calls this with the rows that it prepared. Batches are drawn
    /// in a seeded order ([`stream`](crate::stream)). A threshold is calibrated on `held_out` if given, else on
    /// `rows`.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after the observer kept a checkpoint; [`Error::Diverged`]; errors of reading the rows
    /// and of the observer.
    #[doc(hidden)]
    pub fn run(
        self,
        rows: &dyn Source,
        held_out: Option<&dyn Source>,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        let mut trained = Self::run_together(vec![self], rows, held_out, vec![observer]);
        trained.pop().expect("one run has one result")
    }

    /// [`Trainer::run`] of several trainers on the same rows: those with the same seed, batch size and order share each batch. Each model is that of
    /// its run alone, to the last bit, and an error ends its own run alone. Results and observers have the order of the trainers.
    #[doc(hidden)]
    pub fn run_together(
        mut trainers: Vec<Self>,
        rows: &dyn Source,
        held_out: Option<&dyn Source>,
        observers: Vec<&mut dyn Observer>,
    ) -> Vec<Result<Trained>> {
        let starts = trainers.iter_mut();
        let starts: Vec<Result<State>> = starts
            .map(|trainer| trainer.start_on(rows, held_out))
            .collect();
        let plans: Vec<Arc<Plan>> = trainers.iter().map(|t| Arc::clone(&t.plan)).collect();
        let (mut runs, mut of_runs) = (Vec::new(), Vec::new());
        let mut refused: Vec<Option<Error>> = Vec::new();
        for ((start, plan), observer) in starts.into_iter().zip(&plans).zip(observers) {
            match start {
                Ok(state) => {
                    runs.push((plan.as_ref(), state));
                    of_runs.push(observer);
                    refused.push(None);
                }
                Err(error) => refused.push(Some(error)),
            }
        }
        let outcomes = train::train_together(runs, rows, held_out, of_runs);
        let mut outcomes = outcomes.into_iter();
        let all = trainers.into_iter().zip(refused);
        all.map(|(mut trainer, refused)| match refused {
            Some(error) => Err(error),
            None => trainer.model(outcomes.next().expect("each run has an outcome")?),
        })
        .collect()
    }

    /// The state to go on from; checks that the rows are those of the plan.
    fn start_on(&mut self, rows: &dyn Source, held_out: Option<&dyn Source>) -> Result<State> {
        self.check_open()?;
        let (expected, got) = (self.plan.n_rows(), rows.rows());
        if expected != got {
            return Err(Error::Shape {
                what: format!("{}: number of rows", rows.name()),
                expected: format!("{expected} as in the plan"),
                got: got.to_string(),
            });
        }
        for rows in [Some(rows), held_out].into_iter().flatten() {
            check_width(rows.name(), self.plan.io().row_width(), rows.d_in())?;
        }
        match self.state.take() {
            Some(state) => Ok(state),
            None => State::new(&self.plan, rows, None),
        }
    }

    fn model(&mut self, outcome: Outcome) -> Result<Trained> {
        let plan = &self.plan;
        let (inputs, target) = if let Some(Preparation { fitted, .. }) = self.prepare.take() {
            (fitted.inputs, fitted.target)
        } else {
            let target = plan.io().target_width().map(Pipeline::identity);
            (Pipeline::identity(plan.io().d_in()), target)
        };
        let (info, options) = (plan.info(), plan.options().clone());
        let description = ModelDescription::new(info, options, plan.io().clone(), outcome.params)
            .with_pipelines(inputs, target)
            .with_image_shape(self.image_shape);
        Ok(Trained {
            model: Model::new(description)?,
            steps: outcome.steps,
            rows_seen: outcome.rows_seen,
            reason: outcome.reason,
        })
    }
}

fn nothing_pushed(what: &str) -> Error {
    Error::Conflict(format!(
        "there is nothing to {what}: no batch was pushed yet; call `step` first"
    ))
}

fn check_width(what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("{what}: values in a prepared row"),
        expected: format!("{expected} as in the plan"),
        got: got.to_string(),
    })
}

/// Refuses a part of the rows where the statistics are those of all rows.
fn check_exact(plan: &Plan, n: usize) -> Result<()> {
    let exact = match plan.architecture() {
        Architecture::Dense(variant) => variant.estimate() == Estimate::Exact,
        Architecture::Sparse(_) => false,
    };
    if !exact || n == plan.n_rows() || plan.optimizer() == OptimizerKind::Lbfgs {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "`model.options.rho_estimate` exact needs all {} rows in each step, got {n}: set it to moving, or push all \
         rows",
        plan.n_rows()
    )))
}

fn refuse_lbfgs(plan: &Plan) -> Result<()> {
    if plan.optimizer() == OptimizerKind::Lbfgs {
        return Err(train::lbfgs_needs_all_rows());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
