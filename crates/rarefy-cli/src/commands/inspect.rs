//! Command `rarefy inspect`: format, architecture and shapes of a path.

use std::path::Path;

use rarefy::Error;
use rarefy::data::{self, OpenOptions};
use rarefy::formats::{self, ModelFormat};
use rarefy::model::Model;
use rarefy::preprocess::Pipeline;
use rarefy_run::folder::Run;
use serde_json::json;

use crate::cli::InspectArgs;
use crate::output;

pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let path = Path::new(&args.path);
    let (value, rows) = match formats::locate(path) {
        Some((found, format)) => model(path, found != path, format)?,
        None if Run::at(path).config_path().exists() => {
            let why = format!(
                "a run without a model yet; continue it with: rarefy train --out {} --resume",
                path.display()
            );
            return Err(Error::format(path, why).into());
        }
        None => match formats::refused_model(path).filter(|_| path.is_dir()) {
            Some(error) => return Err(error.into()),
            None => rows(&args.path)?,
        },
    };
    if args.json {
        output::json(&value)
    } else {
        output::print(&output::table(&["", ""], &rows, false))
    }
}

fn model(
    path: &Path,
    in_run: bool,
    format: &ModelFormat,
) -> anyhow::Result<(serde_json::Value, Vec<Vec<String>>)> {
    let model = Model::load(path)?;
    let options: serde_json::Map<_, _> = model
        .options()
        .iter()
        .map(|(k, v)| (k.to_owned(), v.into()))
        .collect();
    let blocks: Vec<String> = model
        .params()
        .layout()
        .blocks()
        .iter()
        .map(|b| format!("{} {}x{}", b.name, b.rows, b.cols))
        .collect();
    let kind = if in_run { "run" } else { "model" };
    let value = json!({
        "kind": kind, "format": format.name, "architecture": model.info().name, "io": model.io_spec().name(),
        "d_in": model.io_spec().d_in(), "d_out": model.io_spec().d_out(), "inputs": model.io_spec().input_widths(), "d_sae": model.d_sae(),
        "parameters": model.params().values().len(), "preprocess": model.pipeline().names(), "options": options,
        "preprocess_target": model.target_pipeline().map(Pipeline::names),
        "image_shape": model.image_shape(), "finite": true,
    });
    let mut rows = vec![
        vec![
            "kind".into(),
            format!("{kind} in {}'s layout", format.program),
        ],
        vec!["architecture".into(), architecture(&model)],
        vec!["sizes".into(), sizes(&model)],
        vec![
            "parameters".into(),
            format!("{} ({})", model.params().values().len(), blocks.join(", ")),
        ],
        vec!["preprocessing".into(), preprocessing(&model)],
    ];
    rows.extend(
        model
            .options()
            .iter()
            .map(|(key, value)| vec![key.to_owned(), value.to_owned()]),
    );
    rows.push(vec![
        "checks".into(),
        "shapes agree, every weight is finite".into(),
    ]);
    Ok((value, rows))
}

fn preprocessing(model: &Model) -> String {
    let of = |pipeline: &Pipeline| match pipeline.names() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    match model.target_pipeline() {
        Some(target) => format!("{}; target: {}", of(model.pipeline()), of(target)),
        None => of(model.pipeline()),
    }
}

fn architecture(model: &Model) -> String {
    match model.io_spec().name() {
        "autoencoder" => model.info().name.to_owned(),
        layout => format!("{} ({layout})", model.info().name),
    }
}

/// Numbers of inputs and latents, and of outputs if the model has a target.
fn sizes(model: &Model) -> String {
    let (io, latents) = (model.io_spec(), model.d_sae());
    let inputs: Vec<String> = io.input_widths().iter().map(usize::to_string).collect();
    let inputs = inputs.join(" + ");
    match io.target_width() {
        Some(outputs) => format!("{inputs} inputs, {latents} latents, {outputs} outputs"),
        None => format!("{inputs} inputs, {latents} latents"),
    }
}

fn rows(spec: &str) -> anyhow::Result<(serde_json::Value, Vec<Vec<String>>)> {
    let dataset = data::open(spec, &OpenOptions::default())?;
    let (rows, d_in) = (dataset.source.rows(), dataset.source.d_in());
    let value = json!({"kind": "data", "rows": rows, "d_in": d_in, "image_shape": dataset.image_shape, "labels": dataset.labels.is_some()});
    let labels = if dataset.labels.is_some() {
        "yes"
    } else {
        "no"
    };
    let table = vec![
        vec!["kind".into(), "data".into()],
        vec!["rows".into(), rows.to_string()],
        vec!["values per row".into(), d_in.to_string()],
        vec!["labels".into(), labels.into()],
    ];
    Ok((value, table))
}
