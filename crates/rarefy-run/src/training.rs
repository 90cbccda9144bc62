//! One training run, from opened rows to figures and report, in memory or in a run folder.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rarefy::config::{self, Config};
use rarefy::data::Dataset;
use rarefy::io_spec::IoSpec;
use rarefy::latents::Responses;
use rarefy::metrics::{self, Evaluation};
use rarefy::model::Model;
use rarefy::plan::Plan;
use rarefy::recipe::{self, Evaluated, TrainingData};
use rarefy::train::{Observer, State};
use rarefy::{Error, Progress, Result, Trained, Trainer};
use toml::Table;

use crate::folder::{Lock, Run};
use crate::records::{self, Record, Recorder};
use crate::timings::{Timings, Watch, now};
use crate::{figures, report, settings};

/// Time after which a checkpoint is written between two multiples of `train.checkpoint_every`.
const CHECKPOINT_TIME: Duration = Duration::from_secs(300);

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
    pub fn run(mut self, listener: &mut dyn Listener) -> Result<Finished> {
        let source = self.dataset.source.as_ref();
        let by_default = || recipe::default_holdout(source.rows(), self.config.train.batch);
        let holdout = self.config.data.holdout.unwrap_or_else(by_default);
        self.config.data.holdout = Some(holdout);
        let mut watch = Watch::start();
        let data = TrainingData::with_memory(&self.config.data, source, self.raw, self.memory)?;
        let preparation = watch.lap();
        let plan = Arc::new(data.plan(&self.config)?);
        let warnings = data.warnings(&plan)?;
        warnings.iter().for_each(|text| listener.warn(text));
        if let Some(order) = data.order(&plan) {
            listener.note(&order);
        }
        let trainer = self.trainer(&data, &plan, listener)?;
        let start = watch.lap();
        let (trained, recorder, waiting) = self.steps(&data, trainer, listener)?;
        let steps = watch.lap();
        let records = self.save(&trained, recorder)?;
        let saving = watch.lap();
        let drawn = source.is_drawn();
        let drawn = drawn.then(|| Dataset::new(source).representative(holdout));
        let dataset = drawn.as_ref().unwrap_or(self.dataset);
        let (evaluated, responses) = self.evaluate(&trained.model, dataset, holdout)?;
        let evaluation = watch.lap();
        if let (Some(Place { run, .. }), Some(responses)) = (self.place, responses) {
            let found = (&evaluated, &responses);
            let written = (&trained.model, dataset);
            report::write(run, &run.report_path(), written, found, None)?;
            let Evaluated { training, held_out } = &evaluated;
            figures::write(run, training, held_out.as_ref(), trained.steps)?;
        }
        let report = watch.lap();
        let Evaluated { training, held_out } = evaluated;
        let gap = held_out.as_ref();
        let gap = gap.and_then(|held_out| metrics::gap(&plan, &training, held_out));
        let advice = metrics::advice(&plan, data.survey(), &training);
        Ok(Finished {
            plan,
            trained,
            training,
            held_out,
            records,
            advice: advice.into_iter().chain(gap).collect(),
            timings: Timings {
                preparation,
                start,
                steps,
                waiting,
                saving,
                evaluation,
                report,
            },
        })
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
        data: &TrainingData,
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
        let trainer = data.trainer(Arc::clone(plan))?;
        if let Some(Place { run, .. }) = self.place {
            run.create(plan.config())?;
            run.clear()?;
        }
        Ok(trainer)
    }

    /// Takes the steps; also returns the seconds that they waited for rows.
    fn steps(
        &self,
        data: &TrainingData,
        trainer: Trainer,
        listener: &mut dyn Listener,
    ) -> Result<(Trained, Recorder, f64)> {
        let plan = Arc::clone(trainer.plan());
        let run = self.place.map(|place| &place.run);
        let first = trainer.steps_done();
        let recorder = match run.map(Run::metrics_path) {
            Some(path) => {
                if first > 0 && !path.exists() {
                    listener.warn(&format!(
                        "{} is missing: the curves of the report begin at step {first}",
                        path.display()
                    ));
                }
                Recorder::in_file(&path, &plan, first)?
            }
            None => Recorder::in_memory(&plan),
        };
        listener.begin(&trainer);
        let mut observed = Observed {
            plan: &plan,
            run,
            recorder,
            saved: now(),
            waits_since: None,
            waited: Duration::ZERO,
            listener,
        };
        if first > 0 {
            observed.message(&format!("continuing from step {first}"));
        }
        let result = data.train(trainer, &mut observed);
        let Observed {
            recorder,
            listener,
            waited,
            ..
        } = observed;
        listener.end(&result);
        Ok((result?, recorder, waited.as_secs_f64()))
    }

    /// Keeps the model, before the evaluation, which may be interrupted; returns the records.
    fn save(&self, trained: &Trained, mut recorder: Recorder) -> Result<Vec<Record>> {
        recorder.finish()?;
        let Some(Place { run, .. }) = self.place else {
            return Ok(recorder.into_records());
        };
        trained.model.save(&run.model_path())?;
        records::read(&run.metrics_path())
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

/// Observer of the steps: records, checkpoints, and the caller.
struct Observed<'a> {
    plan: &'a Plan,
    run: Option<&'a Run>,
    recorder: Recorder,
    /// Time of the last checkpoint, or of the start.
    saved: Instant,
    /// Start of a wait for rows.
    waits_since: Option<Instant>,
    /// Time of all waits so far.
    waited: Duration,
    listener: &'a mut dyn Listener,
}

impl Observer for Observed<'_> {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self.listener.step(progress);
        self.recorder.step(progress)
    }

    fn message(&mut self, text: &str) {
        self.listener.note(text);
    }

    fn waiting(&mut self, waits: bool) {
        let since = std::mem::replace(&mut self.waits_since, waits.then(now));
        self.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        let Some(run) = self.run else {
            return Ok(());
        };
        self.recorder.sync()?;
        state.save(&run.checkpoint_path(state.step), self.plan)?;
        self.saved = now();
        run.prune_checkpoints()
    }

    fn checkpoint_due(&self) -> bool {
        self.run.is_some() && self.saved.elapsed() > CHECKPOINT_TIME
    }

    fn interrupted(&self) -> bool {
        self.listener.is_stopped()
    }
}
