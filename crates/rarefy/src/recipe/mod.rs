//! The recipe of a training run: open, hold out, fit preprocessing, survey, plan, train, model.
//!
//! ```text
//! open            rows, side by side; settings that cannot work are refused before a row is read
//! TrainingData    training and held-out rows, fitted preprocessing, survey of the prepared rows
//! plan            every check and default
//! trainer         initial weights, of the rows or of another model; or a checkpoint
//! train           all steps, then the model
//! ```
//!
//! # Passes over the rows
//! Rows that fit in `data.memory` once prepared are read for fitting and once more to keep them. Larger data is read
//! once for statistics and once an epoch, with these exceptions:
//!
//! - [`Pipeline::fit_surveyed`](crate::preprocess::Pipeline::fit_surveyed) says which preprocessing needs passes of its own.
//! - Initial weights are drawn from up to 32,768 rows and 16 million values, and a threshold is calibrated on up to 65,536.
//! - The architecture `kl` with a moving estimate reads all rows at the end of each epoch to report the exact
//!   mean activation; L-BFGS reads all rows in each evaluation.

mod evaluated;
mod given;
mod open;
mod pushed;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::config::{Config, DataConfig};
use crate::data::{Dataset, Excerpt, HoldoutPart, Memory, Source, Survey, hold_out};
use crate::io_spec::IoSpec;
use crate::model::Model;
use crate::plan::Plan;
use crate::preprocess::{FittedPipelines, Pipeline, Prepared};
use crate::stream::likeness::{factor, likeness};
use crate::train::Observer;
use crate::trainer::{Trained, Trainer};
use crate::variants::StartRows;
use crate::{Error, Result, stream};

pub use evaluated::Evaluated;
pub use given::of_given_rows;
pub use open::{checked_shape, default_holdout, open, open_checked, side_by_side};

/// Training and held-out rows with the fitted preprocessing and the survey of the prepared rows.
///
/// # Example
/// ```
/// use rarefy::recipe::TrainingData;
/// use rarefy::{config, data, io_spec::IoSpec, train::Silent};
/// let digits = data::open("sample:digits", &Default::default())?;
/// let text = "[data]\nholdout = 97\npreprocess = ['scale']\n[model]\nlatents = 25\n[train]\nsteps = 5";
/// let config = config::merge(&[text.parse().unwrap()])?;
/// let data = TrainingData::new(&config.data, digits.source.as_ref(), &IoSpec::autoencoder(64))?;
/// let trainer = data.trainer(data.plan(&config)?)?;
/// let trained = data.train(trainer, &mut Silent)?;
/// assert_eq!((trained.steps, data.held_out().unwrap().rows()), (5, 97));
/// # use rarefy::data::Source;
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct TrainingData<'a> {
    training: HoldoutPart<'a>,
    held_out: Option<HoldoutPart<'a>>,
    fitted: FittedPipelines,
    /// The pipeline of complete rows.
    pipeline: Pipeline,
    survey: Survey,
    /// The prepared training rows, if they fit in memory.
    kept: Option<Memory>,
    /// The raw held-out rows, if they are kept in memory.
    kept_held_out: Option<Memory>,
    /// Largest size in bytes of rows that are kept in memory.
    memory: usize,
    /// Likeness of neighbouring rows, once it is measured.
    likeness: OnceLock<f64>,
}

impl<'a> TrainingData<'a> {
    /// Holds out rows, then fits the preprocessing to the training rows and surveys them.
    ///
    /// `raw` says which columns of a row are inputs and which are the target.
    ///
    /// # Errors
    /// [`Error::Hyper`] if no row is left to train on; errors of [`FittedPipelines::fit`] and of reading the rows.
    pub fn new(config: &DataConfig, source: &'a dyn Source, raw: &IoSpec) -> Result<Self> {
        Self::with_memory(config, source, raw, config.memory.bytes())
    }

    /// [`TrainingData::new`], with the largest size in bytes of prepared rows that are kept in memory.
    ///
    /// # Errors
    /// As [`TrainingData::new`].
    pub fn with_memory(
        config: &DataConfig,
        source: &'a dyn Source,
        raw: &IoSpec,
        bytes: usize,
    ) -> Result<Self> {
        let (training, held_out) = hold_out(source, config.holdout.unwrap_or(0))?;
        // A value that cannot be read is refused now, not after training.
        if let Some(rows) = held_out.as_ref().filter(|_| source.as_slice().is_none()) {
            crate::data::survey(rows)?;
        }
        let steps = config.preprocess.as_deref().unwrap_or_default();
        let of_target = config.preprocess_target.as_deref();
        let in_memory = source.as_slice().is_some();
        let names = (steps, of_target, raw);
        let (fitted, pipeline, survey, kept) = prepare(&training, names, (bytes, in_memory))?;
        Ok(Self {
            training,
            held_out,
            fitted,
            pipeline,
            survey,
            kept,
            kept_held_out: None,
            memory: bytes,
            likeness: OnceLock::new(),
        })
    }

    /// Reads the held-out rows into memory if they fit, for several models that are measured on them.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub fn keep_held_out(&mut self) -> Result<()> {
        if let Some(rows) = &self.held_out {
            let raw = Pipeline::identity(rows.d_in());
            let mut kept = Prepared::new(rows, &raw).in_memory(self.memory)?;
            if let Some(narrow) = kept.take_if(|_| rows.has_f64()) {
                let mut exact = vec![0.0; rows.rows() * rows.d_in()];
                rows.read_f64(0, &mut exact)?;
                kept = Some(narrow.with_exact(Some(exact)));
            }
            self.kept_held_out = kept;
        }
        Ok(())
    }

    /// The prepared training rows.
    pub fn rows(&self) -> Box<dyn Source + '_> {
        match &self.kept {
            Some(kept) => Box::new(kept),
            None => Box::new(Prepared::new(&self.training, &self.pipeline)),
        }
    }

    /// The raw training rows.
    pub fn training(&self) -> &dyn Source {
        &self.training
    }

    /// The raw held-out rows, if any are held out.
    pub fn held_out(&self) -> Option<&dyn Source> {
        match &self.kept_held_out {
            Some(kept) => Some(kept),
            None => self.held_out.as_ref().map(|rows| rows as &dyn Source),
        }
    }

    /// The fitted preprocessing.
    pub fn fitted(&self) -> &FittedPipelines {
        &self.fitted
    }

    /// The survey of the prepared training rows.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// The plan of a run over these rows.
    ///
    /// # Errors
    /// As [`Plan::bound`].
    pub fn plan(&self, config: &Config) -> Result<Plan> {
        Plan::bound(config, &self.survey, self.fitted.io.clone())
    }

    /// A trainer at step 0, with weights that follow from the rows or are those of `model.init`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the model of `model.init` reads or writes other rows; errors of loading it and of
    /// reading the rows.
    pub fn trainer(&self, plan: impl Into<Arc<Plan>>) -> Result<Trainer> {
        self.trainer_from(plan, &self.start_rows())
    }

    /// The rows from which initial weights follow, for [`TrainingData::trainer_from`] of several models.
    pub fn start_rows(&self) -> StartRows<'_> {
        StartRows::new(self.rows())
    }

    /// [`TrainingData::trainer`] with the rows of [`TrainingData::start_rows`], which several models look at once.
    ///
    /// # Errors
    /// As [`TrainingData::trainer`].
    pub fn trainer_from(&self, plan: impl Into<Arc<Plan>>, rows: &StartRows) -> Result<Trainer> {
        let plan = plan.into();
        let trainer = match initial_model(&plan)? {
            Some(model) => Trainer::with_params(plan, model.params().clone())?,
            None => Trainer::with_start(plan, rows)?,
        };
        self.complete(trainer)
    }

    /// A trainer that continues from a checkpoint.
    ///
    /// # Errors
    /// As [`Trainer::resume`].
    pub fn resume(&self, plan: impl Into<Arc<Plan>>, checkpoint: &Path) -> Result<Trainer> {
        self.complete(Trainer::resume(plan, checkpoint)?)
    }

    fn complete(&self, trainer: Trainer) -> Result<Trainer> {
        let shape = trainer.plan().config().data.image_shape;
        Ok(trainer.preprocess(self.fitted.clone())?.image_shape(shape))
    }

    /// Warnings for the caller to print before the run, one sentence each: those of the plan, and one if the rows of
    /// the model of `model.init` were prepared in another way.
    ///
    /// # Errors
    /// Errors of loading the model.
    pub fn warnings(&self, plan: &Plan) -> Result<Vec<String>> {
        let mut warnings = plan.warnings().to_vec();
        if let Some(model) = initial_model(plan)?
            && (*model.pipeline() != self.fitted.inputs
                || model.target_pipeline() != self.fitted.target.as_ref())
        {
            let path = plan.config().model.init.as_ref();
            warnings.push(format!(
                "{} was trained with other preprocessing, so its weights may not fit these rows",
                path.expect("a model was loaded from it").display()
            ));
        }
        warnings.extend(self.small_window(plan)?);
        Ok(warnings)
    }

    /// True if the prepared training rows, or the raw ones from which they follow, are in memory.
    pub fn is_in_memory(&self) -> bool {
        self.kept.is_some() || self.training.is_in_memory()
    }

    /// Size in bytes of the windows of rows that a run will fill; 0 for rows in memory and for rows that are drawn.
    pub fn memory_to_come(&self) -> usize {
        if self.is_in_memory() || self.training.is_drawn() {
            return 0;
        }
        let values = self.training.rows().saturating_mul(self.pipeline.d_out());
        values.saturating_mul(size_of::<f32>()).min(self.memory)
    }

    /// Sentence on the order of the training rows if they do not fit in memory; `None` for a shuffle of all rows.
    pub fn order(&self, plan: &Plan) -> Option<String> {
        let rows = self.rows();
        stream::is_windowed(plan, rows.as_ref()).then(|| {
            format!(
                "{} rows are more than fit in {}: they are read in blocks of {}, and shuffled among {} in memory",
                rows.rows(),
                plan.config().data.memory,
                stream::BLOCK,
                window(plan)
            )
        })
    }

    /// Warning if neighbouring rows are alike and the window in which they are shuffled is too small to part them.
    fn small_window(&self, plan: &Plan) -> Result<Option<String>> {
        const MOST_EXCESS: f64 = 0.1;
        let rows = self.rows();
        if !stream::is_windowed(plan, rows.as_ref()) {
            return Ok(None);
        }
        let likeness = if let Some(known) = self.likeness.get() {
            *known
        } else {
            let (mean, variance) = (&self.survey.mean, self.survey.variance.iter().sum());
            let found = likeness(rows.as_ref(), mean, variance)?;
            *self.likeness.get_or_init(|| found)
        };
        let factor = factor(likeness, plan.batch(), window(plan));
        Ok((factor > 1.0 + MOST_EXCESS).then(|| {
            let memory = plan.config().data.memory;
            let needed = memory.bytes() as f64 * (factor - 1.0) / MOST_EXCESS;
            let mebibytes = ((needed / f64::from(1 << 20)).ceil() as usize).max(1);
            format!(
                "rows near each other are alike (texts, or labels in runs?), and {memory} holds a window of {} of {} rows: a batch of {} \
                 varies as much as a shuffled one of {:.0}; set `data.memory` to {mebibytes}MiB, or shuffle the rows once",
                window(plan),
                rows.rows(),
                plan.batch(),
                plan.batch() as f64 / factor
            )
        }))
    }

    /// Takes all remaining steps and makes the model. A threshold is calibrated on the held-out rows if there are
    /// any, else on the training rows.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after the observer kept a checkpoint; [`Error::Diverged`]; errors of reading the
    /// rows and of the observer.
    pub fn train(&self, trainer: Trainer, observer: &mut dyn Observer) -> Result<Trained> {
        let mut trained = self.train_together(vec![trainer], vec![observer]);
        trained.pop().expect("one run has one result")
    }

    /// [`TrainingData::train`] of several trainers, which share each batch where their orders of rows are equal. Results and observers have the
    /// order of the trainers; an error ends its own run alone.
    pub fn train_together(
        &self,
        trainers: Vec<Trainer>,
        observers: Vec<&mut dyn Observer>,
    ) -> Vec<Result<Trained>> {
        let held_out = self.held_out();
        let held_out = held_out.map(|rows| Prepared::new(rows, &self.pipeline));
        let held_out = held_out.as_ref().map(|rows| rows as &dyn Source);
        Trainer::run_together(trainers, self.rows().as_ref(), held_out, observers)
    }
}

/// Number of rows that are shuffled together where not all fit in memory.
fn window(plan: &Plan) -> usize {
    stream::window_rows(plan.config().data.memory.bytes(), plan.io().row_width())
}

/// The fitted preprocessing, its pipeline, and the survey of the prepared rows, which are kept if they fit.
fn prepare(
    training: &dyn Source,
    (steps, of_target, raw): (&[String], Option<&[String]>, &IoSpec),
    (bytes, in_memory): (usize, bool),
) -> Result<(FittedPipelines, Pipeline, Survey, Option<Memory>)> {
    let fits = |width: usize| {
        let values = training.rows().checked_mul(width);
        values.is_some_and(|values| values.saturating_mul(size_of::<f32>()) <= bytes)
    };
    let io = FittedPipelines::io(steps, of_target, raw)?;
    if in_memory || fits(io.row_width()) {
        let fitted = FittedPipelines::fit(steps, of_target, training, raw)?;
        let pipeline = fitted.rows();
        let kept = Prepared::new(training, &pipeline).in_memory(bytes)?;
        let survey = match &kept {
            Some(kept) => crate::data::survey(kept)?,
            None => crate::data::survey(&Prepared::new(training, &pipeline))?,
        };
        return Ok((fitted, pipeline, survey, kept));
    }
    // A part of drawn rows represents all.
    let part = Excerpt::new(Box::new(training), 0);
    let (fitted, survey) = FittedPipelines::fit_surveyed(steps, of_target, &part, raw)?;
    let pipeline = fitted.rows();
    let survey = Survey {
        rows: training.rows(),
        ..survey
    };
    Ok((fitted, pipeline, survey, None))
}

/// Model of `model.init`; refused if its input and output columns differ from the plan's.
fn initial_model(plan: &Plan) -> Result<Option<Model>> {
    let Some(path) = &plan.config().model.init else {
        return Ok(None);
    };
    let model = Model::load(path)?;
    let is = |io: &IoSpec| format!("{} with centre {}", io.name(), io.centre);
    let (there, here) = (is(model.io_spec()), is(plan.io()));
    if there == here {
        return Ok(Some(model));
    }
    let path = path.display();
    Err(Error::Conflict(format!(
        "{path} is the model of a run with {there}, and this run has {here}"
    )))
}

/// Trains on all rows of a dataset: every part of the recipe in order.
///
/// # Errors
/// As [`TrainingData::new`], [`TrainingData::plan`] and [`TrainingData::train`].
pub fn train(
    config: &Config,
    dataset: &Dataset,
    raw: &IoSpec,
    observer: &mut dyn Observer,
) -> Result<Trained> {
    let data = TrainingData::new(&config.data, dataset.source.as_ref(), raw)?;
    let trainer = data.trainer(data.plan(config)?)?;
    data.train(trainer, observer)
}

#[cfg(test)]
mod tests;
