//! Training on rows at hand, in memory or in files, with or without a run folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rarefy::config::{self, Config};
use rarefy::data::{Column, Dataset, OpenOptions, Role, Rows, frame_roles};
use rarefy::io_spec::IoSpec;
use rarefy::metrics::Evaluation;
use rarefy::plan::Plan;
use rarefy::recipe::{self, MEMORY_BYTES, TrainingData};
use rarefy::synth::{Spec, Truth};
use rarefy::train::{Observer, State};
use rarefy::variants::{self, VARIANTS};
use rarefy::{Error, Progress, Result, Trained, Trainer};
use rarefy_run::folder::{Lock, Run};
use rarefy_run::records::{self, Record, Recorder};
use rarefy_run::{by_data, figures, report};
use serde_json::json;
use toml::Table;

use crate::input::{Input, View, watched, with_cells};
use crate::model::Model;
use crate::watch::{self, Watch};
use crate::{errors, settings};

/// Time after which a checkpoint is written between two multiples of `train.checkpoint_every`.
const CHECKPOINT_TIME: Duration = Duration::from_secs(300);

/// Folder of a run, and what to do with a run that is there.
struct Place {
    run: Run,
    resume: bool,
    force: bool,
}

impl Place {
    /// Settings of the run that is continued; none for a new run.
    fn recorded(&self) -> Result<Table> {
        if self.resume && self.run.config_path().exists() {
            return recorded(&self.run);
        }
        Ok(Table::new())
    }
}

/// Trains a model on rows. Returns it with a JSON object: steps, reason, metrics, records, chosen settings.
#[pyfunction]
#[pyo3(signature = (rows, settings, labels, texts, out, resume, force, threads, listener))]
#[allow(
    clippy::too_many_arguments,
    reason = "a function of Python, called with names"
)]
pub fn train(
    py: Python<'_>,
    rows: Input<'_>,
    settings: &Bound<'_, PyDict>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
    out: Option<PathBuf>,
    resume: bool,
    force: bool,
    threads: Option<usize>,
    listener: Option<Py<PyAny>>,
) -> PyResult<(Model, String)> {
    let layer = settings::layer(settings)?;
    let is_plain = rows.is_plain();
    let view = rows.view();
    let place = out.map(|out| Place {
        run: Run::at(&out),
        resume,
        force,
    });
    let paths = rows.paths();
    let (model, told) = watch::run(py, listener, threads, |watch| {
        let before = place.as_ref().map(Place::recorded).transpose()?;
        let before = before.unwrap_or_default();
        let (dataset, raw, config) = opened(view, paths, watch, [before, layer])?;
        let dataset = with_cells(dataset, labels, texts)?;
        let latents_by_default = config.model.latents.is_none();
        Training {
            dataset,
            raw,
            config,
            is_plain,
            latents_by_default,
            watch,
        }
        .run(place)
    })?;
    Ok((Model::of(model), told))
}

/// Opens rows, and merges the settings with the defaults that follow from the rows.
fn opened<'d, 'a: 'd>(
    view: View<'a>,
    paths: Option<&[String]>,
    watch: &'d Watch,
    [mut before, mut layer]: [Table; 2],
) -> Result<(Dataset<'d>, IoSpec, Config)> {
    let arch = |layer: &Table| {
        layer
            .get("model")
            .and_then(|model| model.get("arch"))
            .cloned()
    };
    if let (Some(was), Some(is)) = (arch(&before), arch(&layer))
        && was != is
    {
        return Err(Error::Conflict(format!(
            "the run is one of {was}; it cannot be resumed as {is}: leave `model.arch` out"
        )));
    }
    // The recorded steps may have followed from other epochs.
    let has_epochs = layer
        .get("train")
        .is_some_and(|train| train.get("epochs").is_some());
    if let Some(train) = before
        .get_mut("train")
        .and_then(toml::Value::as_table_mut)
        .filter(|_| has_epochs)
    {
        train.remove("steps");
    }
    let Some((path, more)) = paths.and_then(<[String]>::split_first) else {
        let dataset = view.dataset(watch, &OpenOptions::default())?;
        Rows::from(&dataset).check()?;
        config::insert(&mut layer, "data.path", dataset.source.name().into());
        let config = merged(before, layer)?;
        let config = recipe::of_given_rows(config, &Rows::from(&dataset))?;
        let raw = IoSpec::autoencoder(dataset.source.d_in());
        return Ok((dataset, raw, config));
    };
    config::insert(&mut layer, "data.path", path.clone().into());
    if !more.is_empty() {
        config::insert(&mut layer, "data.more", more.to_vec().into());
    }
    let mut config = merged(before, layer)?;
    let (dataset, raw) = recipe::open_checked(&mut config)?;
    Ok((watched(dataset, watch), raw, config))
}

/// The configuration: settings of the caller, then those that a resumed run recorded, then defaults by the data.
fn merged(before: Table, layer: Table) -> Result<Config> {
    let given = [before, layer];
    let by_data = by_data::defaults(&given);
    let [before, layer] = given;
    let layers = [by_data, before, layer];
    let config = config::merge(&layers)?;
    variants::find(&config.model.arch)?;
    let of_sample = config::sample_defaults(&config.data.path, &config.model.arch);
    let [by_data, before, layer] = layers;
    config::merge(&[of_sample, by_data, before, layer])
}

/// One run.
struct Training<'a> {
    dataset: Dataset<'a>,
    raw: IoSpec,
    config: Config,
    is_plain: bool,
    /// The number of latents follows from the data.
    latents_by_default: bool,
    watch: &'a Watch,
}

impl Training<'_> {
    fn run(mut self, place: Option<Place>) -> Result<(rarefy::model::Model, String)> {
        let _lock: Option<Lock> = place.as_ref().map(|place| place.run.lock()).transpose()?;
        if let Some(place) = place.as_ref().filter(|place| !place.resume) {
            place.run.check(place.force)?;
        }
        self.dataset.notes.iter().for_each(|note| self.say(note));
        let source = self.dataset.source.as_ref();
        let (rows, data) = (source.rows(), &mut self.config.data);
        data.holdout
            .get_or_insert_with(|| recipe::default_holdout(rows, self.config.train.batch));
        let is_dense = matches!(variants::find(&self.config.model.arch)?.name, "kl");
        // Plain rows are read where they are. A copy gains time if rows are prepared, or all are read in each step.
        let is_prepared = data
            .preprocess
            .as_ref()
            .is_some_and(|steps| steps.iter().any(|step| step != "none"));
        let bytes = if self.is_plain && !is_dense && !is_prepared {
            0
        } else {
            MEMORY_BYTES
        };
        let data = TrainingData::with_memory(&self.config.data, source, &self.raw, bytes)?;
        let plan = Arc::new(data.plan(&self.config)?);
        data.warnings(&plan)?
            .iter()
            .for_each(|warning| self.say(warning));
        let (trainer, mut observer) = self.start(&data, &plan, place.as_ref())?;
        let trained = data.train(trainer, &mut observer)?;
        observer.recorder.finish()?;
        // Before the evaluation, which may be interrupted.
        if let Some(place) = &place {
            trained.model.save(&place.run.model_path())?;
        }
        let training = trained.model.evaluate(data.training())?;
        let held_out = data
            .held_out()
            .map(|rows| trained.model.evaluate(rows))
            .transpose()?;
        let advice = rarefy::metrics::advice(&plan, data.survey(), &training);
        let gap = held_out
            .as_ref()
            .and_then(|held_out| rarefy::metrics::gap(&plan, &training, held_out));
        advice.iter().chain(&gap).for_each(|text| self.say(text));
        let records = self.write(
            &trained,
            (&training, held_out.as_ref()),
            place.as_ref(),
            &observer.recorder,
        )?;
        let rule = self
            .latents_by_default
            .then_some(plan.info().defaults.latents_text);
        let told = json!({
            "steps": trained.steps, "rows_seen": trained.rows_seen, "reason": trained.reason,
            "training": training, "held_out": held_out, "records": records,
            "chosen": {
                "architecture": plan.info().name, "n_latents": plan.d_sae(), "steps": plan.steps(), "batch_size": plan.batch(),
                "learning_rate": plan.lr(), "k": plan.options().find_number("k"),
                "holdout": self.config.data.holdout, "rule": rule,
            },
        });
        Ok((trained.model, told.to_string()))
    }

    fn say(&self, text: &str) {
        self.watch.say(errors::in_python(text));
    }

    /// The trainer at its first step or at the newest checkpoint, and the observer.
    fn start(
        &self,
        data: &TrainingData,
        plan: &Arc<Plan>,
        place: Option<&Place>,
    ) -> Result<(Trainer, Observed<'_>)> {
        let observed = |recorder, run| Observed {
            saved: Instant::now(),
            watch: self.watch,
            recorder,
            run,
            plan: Arc::clone(plan),
        };
        let Some(place) = place else {
            return Ok((
                data.trainer(Arc::clone(plan))?,
                observed(Recorder::in_memory(plan), None),
            ));
        };
        let run = &place.run;
        let trainer = if place.resume && !run.can_begin() {
            refuse_another(run, plan)?;
            let resume = |checkpoint: &Path| data.resume(Arc::clone(plan), checkpoint);
            let (trainer, warnings) = run.resume_newest(resume)?;
            warnings.iter().for_each(|warning| self.say(warning));
            let changes = rarefy_run::settings::changes(&recorded(run)?, plan.config())?;
            if trainer.steps_done() >= plan.steps() {
                rarefy_run::settings::refuse_of_finished(run, &changes)?;
            }
            changes
                .iter()
                .for_each(|change| self.say(&change.warning()));
            run.write_config(plan.config())?;
            trainer
        } else {
            let trainer = data.trainer(Arc::clone(plan))?;
            run.create(plan.config())?;
            run.clear()?;
            trainer
        };
        let recorder = Recorder::in_file(&run.metrics_path(), plan, trainer.steps_done())?;
        Ok((trainer, observed(recorder, Some(run.clone()))))
    }

    /// Writes report and figures into the run folder, if there is one; returns the records.
    fn write(
        &self,
        trained: &Trained,
        (training, held_out): (&Evaluation, Option<&Evaluation>),
        place: Option<&Place>,
        recorder: &Recorder,
    ) -> Result<Vec<Record>> {
        let Some(Place { run, .. }) = place else {
            return Ok(recorder.records().to_vec());
        };
        report::write(
            run,
            &trained.model,
            &self.dataset,
            (training, held_out),
            None,
        )?;
        figures::write(run, training, held_out, trained.steps)?;
        records::read(&run.metrics_path())
    }
}

/// Configuration that a run recorded.
fn recorded(run: &Run) -> Result<Table> {
    let bad = |e| {
        Error::format(
            run.config_path(),
            format!("expected a configuration as TOML: {e}"),
        )
    };
    run.config_text()?.parse().map_err(bad)
}

/// Refuses to go on with another architecture or number of latents.
fn refuse_another(run: &Run, plan: &Plan) -> Result<()> {
    let before = config::merge(&[recorded(run)?])?.model;
    let was = (before.arch.as_str(), before.latents);
    let is = (plan.info().name, Some(plan.d_sae()));
    if was == is {
        return Ok(());
    }
    let of = |(arch, latents): (&str, Option<usize>)| {
        format!("{arch} with {} latents", latents.unwrap_or_default())
    };
    Err(Error::Conflict(format!(
        "{} is a run of {}; it cannot be resumed as {}: give the same `model.arch` and `model.latents`",
        run.folder().display(),
        of(was),
        of(is)
    )))
}

/// Observer of a run: records, checkpoints, progress for the caller.
struct Observed<'a> {
    /// Time of the last checkpoint, or of the start.
    saved: Instant,
    watch: &'a Watch,
    recorder: Recorder,
    run: Option<Run>,
    plan: Arc<Plan>,
}

impl Observer for Observed<'_> {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self.watch.step(progress);
        self.recorder.step(progress)
    }

    fn message(&mut self, text: &str) {
        self.watch.say(errors::in_python(text));
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        let Some(run) = &self.run else {
            return Ok(());
        };
        self.recorder.sync()?;
        state.save(&run.checkpoint_path(state.step), &self.plan)?;
        self.saved = Instant::now();
        run.prune_checkpoints()
    }

    fn checkpoint_due(&self) -> bool {
        self.run.is_some() && self.saved.elapsed() > CHECKPOINT_TIME
    }

    fn interrupted(&self) -> bool {
        self.watch.is_stopped()
    }
}

/// Rows, their codes, and the directions of the dictionary.
type Synthetic<'py> = (
    Bound<'py, numpy::PyArray2<f32>>,
    crate::model::Arrays<'py>,
    Bound<'py, numpy::PyArray2<f32>>,
);

/// Rows of files in memory, as (matrix, labels, texts, image shape, notes).
type Opened<'py> = (
    Bound<'py, numpy::PyArray2<f32>>,
    Option<Vec<String>>,
    Option<Vec<String>>,
    Option<(usize, usize)>,
    Vec<String>,
);

/// Reads files into memory.
#[pyfunction]
pub fn open<'py>(py: Python<'py>, rows: Input<'py>) -> PyResult<Opened<'py>> {
    let view = rows.view();
    let (values, width, labels, texts, shape, notes) = watch::run(py, None, None, |watch| {
        let data = view.dataset(watch, &OpenOptions::default())?;
        let source = data.source.as_ref();
        let mut values = vec![0.0; source.rows() * source.d_in()];
        source.read(0, &mut values)?;
        Ok((
            values,
            source.d_in(),
            data.labels,
            data.texts,
            data.image_shape,
            data.notes,
        ))
    })?;
    Ok((
        crate::model::matrix(py, values, width)?,
        labels,
        texts,
        shape,
        notes,
    ))
}

/// Settings of a run folder with dotted keys, and its figures, as JSON.
#[pyfunction]
pub fn read_run(py: Python<'_>, folder: PathBuf) -> PyResult<String> {
    let read = || -> Result<String> {
        let run = Run::at(&folder);
        let table = recorded(&run)?;
        let part = |metrics: &figures::Metrics| metrics.value().clone();
        let figures = figures::read(&run)?;
        let figures = figures.map(|f| json!({"training": part(&f.training), "held_out": f.held_out.as_ref().map(part), "steps": f.steps}));
        Ok(json!({"settings": table, "figures": figures}).to_string())
    };
    read().map_err(|error| errors::raise(py, &error))
}

/// Rows of a random dictionary, for tests of methods: (rows, codes, directions).
#[pyfunction]
pub fn synth<'py>(py: Python<'py>, spec: &str, rows: usize) -> PyResult<Synthetic<'py>> {
    let spec: Spec = serde_json::from_str(spec)
        .map_err(|e| errors::of_class(py, "ConfigError", &format!("synth: {e}")))?;
    let (width, (x, codes, directions)) = (
        spec.d_in,
        watch::run(py, None, None, |_| {
            let truth = Truth::new(&spec)?;
            let sample = truth.draw(0..rows);
            Ok((sample.x, sample.codes, truth.directions().to_vec()))
        })?,
    );
    Ok((
        crate::model::matrix(py, x, width)?,
        crate::model::arrays(py, codes),
        crate::model::matrix(py, directions, width)?,
    ))
}

/// Role of each column of a data frame with its reason, by the rules of files.
#[pyfunction]
pub fn roles(
    py: Python<'_>,
    names: Vec<String>,
    kinds: Vec<String>,
) -> PyResult<Vec<(String, String)>> {
    let columns: Vec<(String, String)> = names.into_iter().zip(kinds).collect();
    let columns = frame_roles("X", &columns).map_err(|error| errors::raise(py, &error))?;
    let role = |role| match role {
        Role::Data => "data",
        Role::Label => "label",
        Role::Text => "text",
        Role::Id => "id",
        Role::LeftOut => "left-out",
    };
    let of = |column: Column| (role(column.role).to_owned(), column.reason);
    Ok(columns.into_iter().map(of).collect())
}

/// Names, summaries and options of all architectures, as JSON.
#[pyfunction]
pub fn architectures() -> String {
    let of = |info: &variants::Info| {
        let options: Vec<_> = info
            .options()
            .iter()
            .map(|option| json!({"name": option.name, "help": option.help, "expected": option.kind.expected()}))
            .collect();
        json!({"name": info.name, "summary": info.summary, "options": options})
    };
    json!(VARIANTS.iter().map(of).collect::<Vec<_>>()).to_string()
}
