//! `rarefy list`: the library's tables.

use rarefy::data::{FORMATS, SAMPLES};
use rarefy::formats::codes;
use rarefy::metrics::METRICS;
use rarefy::preprocess::STEPS;
use rarefy::variants::VARIANTS;

use crate::cli::ListArgs;
use crate::output;

pub fn run(args: &ListArgs) -> anyhow::Result<()> {
    let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
    match args.what.as_str() {
        "architectures" => architectures(),
        "formats" => {
            let data: Vec<_> = FORMATS
                .iter()
                .map(|f| row(&[f.name, &f.extensions.join(" "), f.summary]))
                .collect();
            let codes: Vec<_> = codes::FORMATS
                .iter()
                .map(|f| row(&[f.extension, &format!(".{}", f.extension), f.summary]))
                .collect();
            output::print(&output::table(&["data", "endings", ""], &data, false))?;
            output::print(&format!(
                "\n{}",
                output::table(&["codes", "ending", ""], &codes, false)
            ))?;
            let model = row(&[
                "saelens",
                "folder",
                "cfg.json and sae_weights.safetensors, with preprocess.safetensors beside",
            ]);
            output::print(&format!(
                "\n{}",
                output::table(&["model", "", ""], &[model], false)
            ))
        }
        "samples" => {
            let rows: Vec<_> = SAMPLES
                .iter()
                .map(|s| row(&[&format!("sample:{}", s.name), s.summary, s.licence]))
                .collect();
            output::print(&output::table(&["sample", "", "licence"], &rows, false))
        }
        "metrics" => {
            let rows: Vec<_> = METRICS
                .iter()
                .map(|(name, definition)| row(&[name, definition]))
                .collect();
            output::print(&output::table(&["metric", ""], &rows, false))
        }
        _ => {
            let rows: Vec<_> = STEPS.iter().map(|s| row(&[s.syntax, s.summary])).collect();
            output::print(&output::table(&["step", ""], &rows, false))
        }
    }
}

fn architectures() -> anyhow::Result<()> {
    for info in VARIANTS {
        output::print(&format!(
            "{}: {}\n{}\n",
            info.name, info.summary, info.source
        ))?;
        let (before, after) = info.example;
        output::print(&format!(
            "pre-activations {before:?} become latents {after:?}\n"
        ))?;
        let rows: Vec<Vec<String>> = info
            .options
            .iter()
            .map(|o| {
                vec![
                    o.name.into(),
                    o.default.into(),
                    o.kind.expected(),
                    o.help.into(),
                ]
            })
            .collect();
        output::print(&output::table(
            &["option", "default", "values", ""],
            &rows,
            false,
        ))?;
    }
    Ok(())
}
