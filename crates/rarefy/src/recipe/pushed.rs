//! Plans for streams: rows whose total number is not known.

use std::path::Path;

use super::{TrainingData, of_given_rows};
use crate::config::{Config, OptimizerKind};
use crate::data::{Rows, Source, Survey, survey};
use crate::io_spec::IoSpec;
use crate::plan::{Plan, fingerprint};
use crate::train;
use crate::trainer::Trainer;
use crate::{Error, Result};

/// Number of rows of a stream, as far as a plan counts them: no epoch ends.
const ENDLESS: usize = 1 << 40;

impl Plan {
    /// Plan of a run whose batches are pushed to a [`Trainer`], with an unknown total number of rows; for rows at hand
    /// use [`Plan::new`]. `sample` holds preprocessed rows that represent the stream, and `io` the widths of inputs and
    /// target.
    ///
    /// Default values that depend on the data, and the explained variance, follow from `sample`. `train.steps` and
    /// `train.batch` must be set, as schedules need the total number of steps. Settings that need the total number of
    /// rows are refused: `train.epochs`, `train.tolerance`, `data.holdout`.
    ///
    /// # Errors
    /// [`Error::Conflict`] naming the field; else as [`Plan::new`].
    ///
    /// # Example
    /// ```
    /// use rarefy::{config, data::Memory, io_spec::IoSpec, plan::Plan};
    /// let sample = Memory::new("sample", 2, vec![0.1, 0.9, 0.4, 0.3]);
    /// let config = config::merge(&["[model]\narch = 'topk'\nlatents = 4\noptions = { k = 1 }".parse().unwrap()])?;
    /// let error = Plan::of_stream(&config, &sample, IoSpec::autoencoder(2)).err().unwrap();
    /// assert!(error.to_string().contains("`train.steps`"));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    #[doc(hidden)]
    pub fn of_stream(config: &Config, sample: &dyn Source, io: IoSpec) -> Result<Self> {
        Self::of_stream_surveyed(config, survey(sample)?, io)
    }

    /// [`Plan::of_stream`], from the survey of the sample.
    pub(crate) fn of_stream_surveyed(config: &Config, sample: Survey, io: IoSpec) -> Result<Self> {
        check(config)?;
        let rows = sample.rows;
        let survey = Survey {
            rows: ENDLESS,
            ..sample
        };
        let plan = Self::bound(config, &survey, io)?;
        if plan.optimizer() == OptimizerKind::Lbfgs {
            return Err(train::lbfgs_needs_all_rows());
        }
        let sample = fingerprint(&Survey { rows, ..survey });
        Ok(plan.with_fingerprint(format!("a stream with a sample of {sample}")))
    }
}

impl Trainer {
    /// Trainer for raw batches that arrive one by one, from a configuration;
    /// [`Builder::stream`](crate::Builder::stream) does the same from a builder. Preprocessing and initial weights are
    /// fitted to the raw rows of `sample`, on which the model is not trained. Preprocessing is the list of
    /// `data.preprocess`; without it, the default of `sample` if that is a `Dataset`, else none. [`Trainer::step`] then
    /// takes raw batches and preprocesses them.
    ///
    /// # Errors
    /// As [`Plan::of_stream`] and [`FittedPipelines::fit`](crate::preprocess::FittedPipelines::fit);
    /// [`Error::Conflict`] for settings that name other rows, such as `data.target`.
    pub fn stream<'a>(config: &Config, sample: impl Into<Rows<'a>>) -> Result<Self> {
        of_sample(config, &sample.into().check()?, |data, plan| {
            data.trainer(plan)
        })
    }

    /// Trainer of [`Trainer::stream`] that continues from a checkpoint file of [`Trainer::checkpoint`]. `config` and
    /// `sample` must be those of the first trainer, because preprocessing is fitted to `sample` again.
    ///
    /// # Errors
    /// As [`Trainer::stream`] and [`Trainer::resume`]; [`Error::Conflict`] for another sample or preprocessing.
    pub fn resume_stream<'a>(
        config: &Config,
        sample: impl Into<Rows<'a>>,
        checkpoint: &Path,
    ) -> Result<Self> {
        of_sample(config, &sample.into().check()?, |data, plan| {
            data.resume(plan, checkpoint)
        })
    }
}

/// A trainer from the plan of a stream and its sample.
fn of_sample(
    config: &Config,
    sample: &Rows,
    start: impl Fn(&TrainingData, Plan) -> Result<Trainer>,
) -> Result<Trainer> {
    check(config)?;
    let config = of_given_rows(config.clone(), sample)?;
    let raw = IoSpec::autoencoder(sample.source().d_in());
    let data = TrainingData::new(&config.data, sample.source(), &raw)?;
    let io = data.fitted().io.clone();
    let plan = Plan::of_stream_surveyed(&config, data.survey().clone(), io)?;
    start(&data, plan)
}

/// Refuses settings that need the total number of rows, and asks for the total number of steps.
fn check(config: &Config) -> Result<()> {
    let train = &config.train;
    let refuse = |why: &str| Err(Error::Conflict(why.into()));
    if train.optimizer == Some(OptimizerKind::Lbfgs) {
        return Err(train::lbfgs_needs_all_rows());
    }
    if train.epochs.is_some() {
        return refuse(
            "`train.epochs` needs the total number of rows, which a stream does not have: set `train.steps`",
        );
    }
    if train.steps.is_none() {
        return refuse(
            "`train.steps` is missing: schedules need the total number of steps, and a stream has no epochs to count",
        );
    }
    if train.batch.is_none() {
        return refuse(
            "`train.batch` is missing: a stream has no total number of rows that a step could take",
        );
    }
    if train.tolerance.is_some_and(|tolerance| tolerance > 0.0) {
        return refuse(
            "`train.tolerance` compares epochs, which need the total number of rows: leave it out of a stream",
        );
    }
    if config.data.holdout.is_some_and(|rows| rows > 0) {
        return refuse(
            "`data.holdout` needs the total number of rows: keep rows back and give them to `finish_with`",
        );
    }
    Ok(())
}
