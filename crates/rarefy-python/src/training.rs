//! Training on rows at hand, in memory or in files, with or without a run folder.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rarefy::config::{self, Config};
use rarefy::data::{Column, Dataset, OpenOptions, Role, Rows, frame_roles};
use rarefy::io_spec::IoSpec;
use rarefy::recipe;
use rarefy::synth::{FactorSpec, Spec, Truth};
use rarefy::variants::{self, VARIANTS};
use rarefy::{Progress, Result};
use rarefy_run::folder::Run;
use rarefy_run::training::{Finished, Listener, Place, Training};
use rarefy_run::{by_data, figures};
use serde_json::{Value, json};
use toml::Table;

use crate::input::{Input, View, watched, with_cells};
use crate::model::Model;
use crate::watch::{self, Watch};
use crate::{errors, settings};

/// Trains a model on rows. Returns it with a JSON object: steps, reason, metrics, records, chosen settings.
#[pyfunction]
#[pyo3(signature = (rows, settings, labels, texts, out, resume, force, tensorboard, threads, listener))]
#[allow(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
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
    tensorboard: bool,
    threads: Option<usize>,
    listener: Option<Py<PyAny>>,
) -> PyResult<(Model, String)> {
    let layer = settings::layer(settings)?;
    let is_plain = rows.is_plain();
    let view = rows.view();
    let paths = rows.paths();
    let (model, told) = watch::run(py, listener, threads, |watch| {
        let place = out.map(|out| Place::at(&out, resume, force)).transpose()?;
        let before = place.as_ref().map(Place::recorded).transpose()?.flatten();
        let (dataset, raw, config) =
            opened(view, paths, watch, [before.unwrap_or_default(), layer])?;
        if let Some(place) = &place {
            place.refuse_another(&config)?;
        }
        let dataset = with_cells(dataset, labels, texts)?;
        let latents_by_default = config.model.latents.is_none();
        let mut told = Told(watch);
        dataset.notes.iter().for_each(|text| told.note(text));
        let memory = memory(&config, is_plain)?;
        let training = Training {
            dataset: &dataset,
            raw: &raw,
            config,
            memory,
            place: place.as_ref(),
            tensorboard,
        };
        let finished = training.run(&mut told)?;
        finished.advice.iter().for_each(|text| told.warn(text));
        let summary = summary(&finished, latents_by_default);
        Ok((finished.trained.model, summary))
    })?;
    Ok((Model::of(model), told))
}

/// Size in bytes up to which prepared rows are kept in memory.
///
/// Plain rows are read where they are: a copy gains time only if rows are prepared, or all are read in each step.
fn memory(config: &Config, is_plain: bool) -> Result<usize> {
    let reads_all = variants::find(&config.model.arch)?.defaults.full_batch;
    let steps = config.data.preprocess.iter().flatten();
    let is_prepared = steps.into_iter().any(|step| step != "none");
    let is_read_in_place = is_plain && !reads_all && !is_prepared;
    Ok(if is_read_in_place {
        0
    } else {
        config.data.memory.bytes()
    })
}

/// Figures, records and chosen settings, as JSON.
fn summary(finished: &Finished, latents_by_default: bool) -> String {
    let (trained, plan) = (&finished.trained, &finished.plan);
    let rule = latents_by_default.then_some(plan.info().defaults.latents_text);
    json!({
        "steps": trained.steps, "rows_seen": trained.rows_seen, "reason": trained.reason,
        "training": finished.training, "held_out": finished.held_out, "records": finished.records,
        "timings": finished.timings,
        "chosen": {
            "architecture": plan.info().name, "n_latents": plan.d_sae(), "steps": plan.steps(), "batch_size": plan.batch(),
            "learning_rate": plan.lr(), "k": plan.options().find_number("k"), "mask": plan.mask(),
            "holdout": plan.config().data.holdout, "rule": rule,
        },
    })
    .to_string()
}

/// Progress and messages for the caller, in the names of Python parameters.
struct Told<'a>(&'a Watch);

impl Listener for Told<'_> {
    fn note(&mut self, text: &str) {
        self.0.say(errors::in_python(text));
    }

    fn warn(&mut self, text: &str) {
        self.note(text);
    }

    fn step(&mut self, progress: &Progress) {
        self.0.step(progress);
    }

    fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// Opens rows, and merges the settings with the defaults that follow from the rows.
fn opened<'d, 'a: 'd>(
    view: View<'a>,
    paths: Option<&[String]>,
    watch: &'d Watch,
    [mut before, mut layer]: [Table; 2],
) -> Result<(Dataset<'d>, IoSpec, Config)> {
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
        let table = run.settings()?;
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
    let bad = |e: serde_json::Error| errors::of_class(py, "ConfigError", &format!("synth: {e}"));
    let fields: Value = serde_json::from_str(spec).map_err(bad)?;
    let published = fields["like"].as_str();
    let own = published.map_or_else(
        || serde_json::from_value(fields.clone()).map(Some),
        |_| Ok(None),
    );
    let own: Option<Spec> = own.map_err(bad)?;
    let (width, (x, codes, directions)) = watch::run(py, None, None, |_| {
        let truth = match &own {
            Some(spec) => Truth::new(spec)?,
            None => Truth::of_factors(&published_spec(&fields)?)?,
        };
        let sample = truth.draw(0..rows);
        Ok((
            truth.d_in(),
            (sample.x, sample.codes, truth.directions().to_vec()),
        ))
    })?;
    Ok((
        crate::model::matrix(py, x, width)?,
        crate::model::arrays(py, codes),
        crate::model::matrix(py, directions, width)?,
    ))
}

/// Specification of the published benchmark `like`, with other sizes if they are given.
fn published_spec(fields: &Value) -> Result<FactorSpec> {
    const NAME: &str = "synthsaebench-16k";
    let like = fields["like"].as_str().unwrap_or_default();
    if like != NAME {
        return Err(rarefy::Error::unknown("benchmark", like, [NAME]));
    }
    let published = FactorSpec::synth_sae_bench_16k();
    let size = |field: &str, default: usize| fields[field].as_u64().map_or(default, |n| n as usize);
    Ok(FactorSpec {
        d_in: size("d_in", published.d_in),
        features: size("features", published.features),
        seed: fields["seed"].as_u64().unwrap_or(0),
        ..published
    })
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
