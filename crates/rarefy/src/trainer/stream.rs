//! Plans for streams: rows whose total number is not known.

use super::Trainer;
use crate::config::{Config, OptimizerKind};
use crate::data::{Rows, Source, Survey, survey};
use crate::io_spec::IoSpec;
use crate::plan::Plan;
use crate::preprocess::{FittedPipelines, Prepared};
use crate::train;
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
    pub fn of_stream(config: &Config, sample: &dyn Source, io: IoSpec) -> Result<Self> {
        check(config)?;
        let survey = Survey {
            rows: ENDLESS,
            ..survey(sample)?
        };
        let plan = Self::bound(config, &survey, io)?;
        if plan.optimizer() == OptimizerKind::Lbfgs {
            return Err(train::lbfgs_needs_all_rows());
        }
        Ok(plan.with_fingerprint(format!("a stream of rows of {}", survey.d_in)))
    }
}

impl Trainer {
    /// Trainer for raw batches that arrive one by one, from a configuration;
    /// [`Builder::stream`](crate::Builder::stream) does the same from a builder. Preprocessing (`data.preprocess`,
    /// `None` for no step) and initial weights are fitted to the raw rows of `sample`; no step is taken on them.
    ///
    /// # Errors
    /// As [`Plan::of_stream`] and [`FittedPipelines::fit`].
    pub fn stream<'a>(config: &Config, sample: impl Into<Rows<'a>>) -> Result<Self> {
        let sample = sample.into().check()?;
        let source = sample.source();
        check(config)?;
        let steps = config.data.preprocess.as_deref().unwrap_or_default();
        let raw = IoSpec::autoencoder(source.d_in());
        let fitted = FittedPipelines::fit(steps, None, source, &raw)?;
        let pipeline = fitted.rows();
        let prepared = Prepared::new(source, &pipeline);
        let plan = Plan::of_stream(config, &prepared, fitted.io.clone())?;
        let trainer = Self::with_rows(plan, &prepared)?;
        let shape = config.data.image_shape;
        Ok(trainer.preprocess(fitted).image_shape(shape))
    }
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
    if config.data.holdout > 0 {
        return refuse(
            "`data.holdout` needs the total number of rows: keep rows back and give them to `finish_with`",
        );
    }
    Ok(())
}
