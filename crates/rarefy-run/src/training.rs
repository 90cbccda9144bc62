//! One training run, from opened rows to figures and report, in memory or in a run folder.

mod observed;
mod room;
mod spikes;
mod together;

use std::path::Path;
use std::sync::Arc;

use rarefy::config::{self, Config};
use rarefy::data::Dataset;
use rarefy::io_spec::IoSpec;
use rarefy::latents::Responses;
use rarefy::metrics::Evaluation;
use rarefy::model::Model;
use rarefy::plan::Plan;
use rarefy::recipe::{self, Evaluated, TrainingData};
use rarefy::variants::StartRows;
use rarefy::{Error, Progress, Result, Trained, Trainer};
use toml::Table;

use crate::folder::{Lock, Run};
use crate::records::{self, Record, Recorder};
use crate::settings;
use crate::tensorboard::Events;
use crate::timings::Timings;
pub use together::{Member, run_together};

/// Caller of a run: shows its progress and messages, and says when to stop.
pub trait Listener {
    /// Message that asks for nothing.
    fn note(&mut self, text: &str);

    /// Message on something that the user may want to change, with fields of the configuration between backquotes.
    fn warn(&mut self, text: &str);

    /// The steps begin.
    fn begin(&mut self, _trainer: &Trainer) {}

    /// A step was taken.
    fn step(&mut self, progress: &Progress);

    /// The steps ended: all of them, or by an error.
    fn end(&mut self, _result: &Result<Trained>) {}

    /// True if the run should keep a checkpoint and stop.
    fn is_stopped(&self) -> bool;
}

/// Run folder that this process holds.
#[derive(Debug)]
pub struct Place {
    run: Run,
    resume: bool,
    _lock: Lock,
}

impl Place {
    /// Run in `folder`. A run that is there is continued with `resume`, and replaced with `replace`; else it is refused.
    pub fn at(folder: &Path, resume: bool, replace: bool) -> Result<Self> {
        let run = Run::at(folder);
        let lock = run.lock()?;
        if !resume {
            run.check(replace)?;
        }
        Ok(Self {
            run,
            resume,
            _lock: lock,
        })
    }

    /// Run in the first free folder `runs/ARCH-DATA-N`.
    pub fn fresh(arch: &str, data: &str) -> Result<Self> {
        let (run, lock) = Run::fresh(arch, data)?;
        Ok(Self {
            run,
            resume: false,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Settings of the run that is continued; `None` for a new run.
    pub fn recorded(&self) -> Result<Option<Table>> {
        self.resume.then(|| self.run.settings()).transpose()
    }

    /// Refuses to go on with another architecture or number of latents.
    pub fn refuse_another(&self, config: &Config) -> Result<()> {
        let Some(recorded) = self.recorded()? else {
            return Ok(());
        };
        let before = config::merge(&[recorded])?.model;
        let now = &config.model;
        if before.arch == now.arch && before.latents == now.latents {
            return Ok(());
        }
        let of = |arch: &str, latents: Option<usize>| {
            let latents = latents.map_or("its own".into(), |n| n.to_string());
            format!("{arch} with {latents} latents")
        };
        Err(Error::Conflict(format!(
            "{} is a run of {}; it cannot be resumed as {}",
            self.run.folder().display(),
            of(&before.arch, before.latents),
            of(&now.arch, now.latents)
        )))
    }
}

/// A run that can begin: rows, and settings.
pub struct Training<'a> {
    /// Rows with labels, texts and image shape.
    pub dataset: &'a Dataset<'a>,
    /// Columns of a row that are inputs, and those of the target.
    pub raw: &'a IoSpec,
    /// Settings; the number of held-out rows follows from the rows if it is open.
    pub config: Config,
    /// Size in bytes up to which prepared rows are kept in memory.
    pub memory: usize,
    /// Folder of the run; without one, nothing is written.
    pub place: Option<&'a Place>,
    /// If true, records and figures also go to TensorBoard event files in the folder, if there is one. A resumed run goes on
    /// with its event files in any case.
    pub tensorboard: bool,
}

/// A run that ended.
pub struct Finished {
    /// Settings and defaults of the run.
    pub plan: Arc<Plan>,
    /// Model, steps and why they ended.
    pub trained: Trained,
    /// Figures of the training rows.
    pub training: Evaluation,
    /// Figures of the held-out rows, if any.
    pub held_out: Option<Evaluation>,
    /// Records of the steps.
    pub records: Vec<Record>,
    /// Advice on the figures, one sentence each, with fields of the configuration between backquotes.
    pub advice: Vec<String>,
    /// Time that the parts took.
    pub timings: Timings,
}

impl Training<'_> {
    /// Trains, and writes model, figures and report into the folder, if there is one.
    pub fn run(self, listener: &mut dyn Listener) -> Result<Finished> {
        let mut finished = run_together(vec![(self, listener)]);
        finished.pop().expect("one run has one result")
    }

    /// Number of held-out rows, given or default.
    fn holdout(&self) -> usize {
        let rows = self.dataset.source.rows();
        let by_default = || recipe::default_holdout(rows, self.config.train.batch);
        self.config.data.holdout.unwrap_or_else(by_default)
    }

    /// Figures of the model, and the responses of its latents for the report, if there is one.
    fn evaluate(
        &self,
        model: &Model,
        dataset: &Dataset,
        holdout: usize,
    ) -> Result<(Evaluated, Option<Responses>)> {
        let source = dataset.source.as_ref();
        if self.place.is_none() {
            return Ok((Evaluated::of(model, source, holdout)?, None));
        }
        let (evaluated, responses) = Evaluated::with_responses(model, source, holdout)?;
        Ok((evaluated, Some(responses)))
    }

    /// The trainer at step 0, or at the newest checkpoint. Invalid settings are refused before the folder changes.
    fn trainer(
        &self,
        (data, rows): (&TrainingData, &StartRows),
        plan: &Arc<Plan>,
        listener: &mut dyn Listener,
    ) -> Result<Trainer> {
        let resumed = self.place.filter(|place| place.resume);
        if let Some(Place { run, .. }) = resumed.filter(|place| !place.run.can_begin()) {
            return resume(run, data, plan, listener);
        }
        if resumed.is_some() {
            listener.note("no checkpoint was written yet: starting from step 0");
        }
        let trainer = data.trainer_from(Arc::clone(plan), rows)?;
        if let Some(Place { run, .. }) = self.place {
            run.create(plan.config())?;
            run.clear()?;
        }
        Ok(trainer)
    }

    /// Keeps the model, before the evaluation, which may be interrupted; returns the records and the event file, if any.
    fn save(
        &self,
        trained: &Trained,
        mut recorder: Recorder,
    ) -> Result<(Vec<Record>, Option<Events>)> {
        recorder.finish()?;
        let (records, events) = recorder.into_parts();
        let Some(Place { run, .. }) = self.place else {
            return Ok((records, events));
        };
        trained.model.save(&run.model_path())?;
        Ok((records::read(&run.metrics_path())?, events))
    }
}

/// Trainer at the newest checkpoint that can be read. Damaged newer ones are set aside.
fn resume(
    run: &Run,
    data: &TrainingData,
    plan: &Arc<Plan>,
    listener: &mut dyn Listener,
) -> Result<Trainer> {
    let resumed = run.resume_newest(|checkpoint| data.resume(Arc::clone(plan), checkpoint));
    let (trainer, warnings) = resumed.map_err(|error| naming_data(run, plan, error))?;
    warnings.iter().for_each(|text| listener.warn(text));
    let changes = settings::changes(&run.settings()?, plan.config())?;
    if trainer.steps_done() >= plan.steps() {
        settings::refuse_of_finished(run, &changes)?;
    }
    for change in &changes {
        listener.warn(&change.warning());
    }
    run.write_config(plan.config())?;
    Ok(trainer)
}

/// Error of a refused resume; other data is named.
fn naming_data(run: &Run, plan: &Plan, error: Error) -> Error {
    let before = run.settings().and_then(|table| config::merge(&[table]));
    let now = &plan.config().data.path;
    match before {
        Ok(before) if before.data.path != *now => Error::Conflict(format!(
            "{} was trained on {}, not on {now}: {error}",
            run.folder().display(),
            before.data.path
        )),
        _ => error,
    }
}
