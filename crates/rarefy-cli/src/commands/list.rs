//! Command `rarefy list`: prints the tables of the library.

use rarefy::data::{FORMATS, SAMPLES};
use rarefy::formats::{MODEL_FORMATS, codes};
use rarefy::metrics::{METRICS, truth};
use rarefy::preprocess::STEPS;
use rarefy::variants::{Example, Info, OptionInfo, VARIANTS};
use serde_json::{Value, json};

use crate::cli::ListArgs;
use crate::output;

pub fn run(args: &ListArgs) -> anyhow::Result<()> {
    let table = args.table.as_str();
    if args.json {
        return output::json(&json!({ table: as_json(table) }));
    }
    match table {
        "architectures" => architectures(),
        "formats" => formats(),
        "samples" => {
            let line = |s: &rarefy::data::samples::SampleInfo| {
                row(&[&format!("sample:{}", s.name), s.summary, s.licence])
            };
            print(&["sample", "", "licence"], SAMPLES.iter().map(line))
        }
        "metrics" => {
            let line = |(name, definition): &(&str, &str)| row(&[name, definition]);
            print(&["eval", ""], METRICS.iter().map(line))?;
            output::print("")?;
            print(&["truth", ""], truth::METRICS.iter().map(line))
        }
        _ => print(
            &["step", ""],
            STEPS.iter().map(|s| row(&[s.syntax, s.summary])),
        ),
    }
}

fn formats() -> anyhow::Result<()> {
    let data = FORMATS
        .iter()
        .map(|f| row(&[f.name, &f.extensions.join(" "), f.summary]));
    print(&["data", "endings", ""], data)?;
    output::print("")?;
    let codes = codes::FORMATS
        .iter()
        .map(|f| row(&[f.extension, &format!(".{}", f.extension), f.summary]));
    print(&["codes", "ending", ""], codes)?;
    output::print("")?;
    let models = MODEL_FORMATS
        .iter()
        .map(|f| row(&[f.name, f.place, f.summary]));
    print(&["model", "", ""], models)
}

fn architectures() -> anyhow::Result<()> {
    for (at, info) in VARIANTS.iter().enumerate() {
        if at > 0 {
            output::print("")?;
        }
        architecture(info)?;
    }
    Ok(())
}

fn architecture(info: &Info) -> anyhow::Result<()> {
    let Example {
        options,
        pre,
        latents,
    } = &info.example;
    let with: Vec<String> = options.iter().map(|(k, v)| format!("{k} {v}")).collect();
    let with = if with.is_empty() {
        String::new()
    } else {
        format!("with {}, ", with.join(", "))
    };
    output::print(&format!(
        "{}: {}\n{}\n\n{with}pre-activations {pre:?} become latents {latents:?}\n{}\n",
        info.name,
        info.summary,
        info.source,
        defaults(info)
    ))?;
    let line = |o: &OptionInfo| row(&[o.name, o.default, &o.kind.expected(), o.help]);
    print(
        &["option", "default", "values", ""],
        info.options().iter().map(line),
    )
}

/// Line of the architecture's defaults.
fn defaults(info: &Info) -> String {
    let d = &info.defaults;
    let optimizer = if d.full_batch { "lbfgs" } else { "adam" };
    let norm = if d.unit_norm { "unit" } else { "free" };
    let clip = d.clip.map_or("none".into(), |clip| clip.to_string());
    let latents = d.latents_text;
    format!("latents: {latents}; optimizer {optimizer}; clip {clip}; decoder_norm {norm}")
}

fn as_json(table: &str) -> Value {
    match table {
        "architectures" => VARIANTS.iter().map(architecture_json).collect(),
        "formats" => {
            let data: Value = FORMATS
                .iter()
                .map(|f| json!({"name": f.name, "endings": f.extensions, "summary": f.summary}))
                .collect();
            let codes: Value = codes::FORMATS
                .iter()
                .map(|f| json!({"name": f.extension, "endings": [format!(".{}", f.extension)], "summary": f.summary}))
                .collect();
            let models: Value = MODEL_FORMATS
                .iter()
                .map(|f| json!({"name": f.name, "place": f.place, "summary": f.summary}))
                .collect();
            json!({"data": data, "codes": codes, "model": models})
        }
        "samples" => SAMPLES
            .iter()
            .map(|s| json!({"name": format!("sample:{}", s.name), "summary": s.summary, "licence": s.licence}))
            .collect(),
        "metrics" => {
            let all = |metrics: &[(&str, &str)]| -> Value {
                let one = |(name, definition): &(&str, &str)| json!({"name": name, "definition": definition});
                metrics.iter().map(one).collect()
            };
            json!({"eval": all(METRICS), "truth": all(truth::METRICS)})
        }
        _ => STEPS
            .iter()
            .map(|s| json!({"syntax": s.syntax, "summary": s.summary}))
            .collect(),
    }
}

fn architecture_json(info: &Info) -> Value {
    let option = |o: &OptionInfo| json!({"name": o.name, "default": o.default, "values": o.kind.expected(), "help": o.help});
    let options: Value = info.options().iter().map(option).collect();
    json!({"name": info.name, "summary": info.summary, "source": info.source, "options": options})
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

fn print(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let rows: Vec<_> = rows.into_iter().collect();
    output::print(&output::table(header, &rows, false))
}
