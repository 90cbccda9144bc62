//! `rarefy frontier`: architectures at several sparsities, on the same data for as many steps.

mod choices;
mod points;
mod results;
mod training;

use std::path::{Path, PathBuf};

use rarefy::config::Config;
use rarefy::data::Source;
use rarefy::plan::Plan;
use rarefy::recipe::{self, TrainingData};
use rarefy::variants::VARIANTS;
use rarefy::{Error, Result};
use rarefy_run::folder::{Lock, Run};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{self, FrontierArgs};
use crate::{output, reading};
use choices::Choices;
use points::{Candidate, Line};
use results::Results;

/// Default L0 at which architectures are compared: the usual k of `topk`.
const AT: f64 = 32.0;

#[derive(Serialize)]
struct Told<'a> {
    out: String,
    plot: String,
    #[serde(flatten)]
    results: &'a Results,
}

pub fn run(args: &FrontierArgs) -> anyhow::Result<()> {
    // Held before the results are read, which another process may be writing.
    let _lock = args
        .out
        .as_ref()
        .map(|out| Run::at(out).lock())
        .transpose()?;
    let before = match &args.out {
        Some(out) if args.resume => Some((Results::load(out)?, out)),
        _ => None,
    };
    let layer = before.as_ref().map(|(before, out)| before.layer(out));
    let mut config = points::configuration(args, layer.transpose()?.as_ref())?;
    let before = before.map(|(before, _)| before);
    let lines = lines(args, before.as_ref())?;
    let at = at(args, before.as_ref())?;
    let choices = Choices::of(args, before.as_ref().map(|before| &before.choices))?;
    let (folder, _fresh) = folder(args, &config)?;
    crate::threads::set(config.train.threads.take())?;

    let (dataset, raw) = recipe::open(&mut config.data)?;
    let (dataset, reading) = reading::watch(dataset, args.quiet, "frontier");
    let rows = dataset.source.rows();
    config
        .data
        .holdout
        .get_or_insert_with(|| points::default_holdout(rows));
    let mut data = TrainingData::new(&config.data, dataset.source.as_ref(), &raw)?;
    data.keep_held_out()?;
    let candidates = points::candidates(&mut config, &lines, &choices, &data)?;
    let mut results = begin(&candidates, &config, &lines, (choices, at))?;
    if let Some(before) = before {
        results.go_on(&folder, before, &points::order(&candidates))?;
    }
    if !args.quiet {
        introduce(&candidates, &data);
        if args.keep_models && !results.points.is_empty() {
            output::note(&format!(
                "{} points of this frontier are not trained again; those trained without --keep-models have no model",
                results.points.len()
            ));
        }
    }
    skip_refused(&candidates, &mut results, args.quiet);
    clear(&folder, args.resume)?;
    results.save(&folder)?;
    training::run(
        &candidates,
        &data,
        &mut results,
        (&folder, args.keep_models),
        (&reading, args.quiet),
    )?;
    reading.finish();
    tell(args, &folder, &results)
}

/// Lines of the frontier; architectures left out by default are named on stderr.
fn lines(args: &FrontierArgs, before: Option<&Results>) -> Result<Vec<Line>> {
    let architectures = before.map_or(&[][..], |before| &before.architectures);
    let names: Vec<String> = architectures.iter().map(|a| a.arch.clone()).collect();
    let lines = points::lines(&args.arch, &names)?;
    if args.arch.is_empty() && names.is_empty() && !args.quiet {
        let here = |name: &str| lines.iter().any(|line| line.info.name == name);
        let all = VARIANTS.iter().filter(|info| info.dial.is_some());
        for slow in all.filter(|info| !here(info.name)) {
            let name = slow.name;
            output::note(&format!(
                "{name} is left out, because it takes many times as long; add it with --arch"
            ));
        }
    }
    Ok(lines)
}

/// L0 of the comparison: from this call, else from the frontier to resume, else the default.
fn at(args: &FrontierArgs, before: Option<&Results>) -> Result<f64> {
    let at = args.at.or(before.map(|before| before.at_l0)).unwrap_or(AT);
    if at > 0.0 && at.is_finite() {
        return Ok(at);
    }
    Err(Error::hyper("at", "a finite number above 0", at))
}

/// Folder of the results; an existing frontier is not replaced without `--force`.
///
/// Without `--out`, the folder is created and held for this process.
fn folder(args: &FrontierArgs, config: &Config) -> Result<(PathBuf, Option<Lock>)> {
    let Some(folder) = &args.out else {
        let (run, lock) = Run::fresh("frontier", &config.data.path)?;
        return Ok((run.folder().into(), Some(lock)));
    };
    let there = [results::file(folder), results::plot(folder)];
    if !args.resume && !args.force && there.iter().any(|file| file.exists()) {
        let folder = folder.display();
        return Err(Error::Conflict(format!(
            "{folder} holds a frontier already; continue it with --resume, replace it with --force, or give another --out"
        )));
    }
    Ok((folder.clone(), None))
}

/// Results without points.
fn begin(
    candidates: &[Candidate],
    config: &Config,
    lines: &[Line],
    (choices, at): (Choices, f64),
) -> Result<Results> {
    let mut plans = candidates
        .iter()
        .filter_map(|candidate| candidate.plan.as_ref().ok());
    let data = plans
        .next()
        .expect("at least one candidate can be trained")
        .fingerprint();
    let mut config = serde_json::to_value(config)
        .map_err(|e| Error::Conflict(format!("the configuration: {e}")))?;
    if let Some(model) = config.get_mut("model").and_then(Value::as_object_mut) {
        // Each point names its architecture.
        model.remove("arch");
    }
    let names: Vec<&str> = lines.iter().map(|line| line.info.name).collect();
    Ok(Results::new(data, config, &names, choices, at))
}

/// Prints the number of models, steps and rows on stderr.
fn introduce(candidates: &[Candidate], data: &TrainingData) {
    let plans: Vec<&Plan> = candidates
        .iter()
        .filter_map(|c| c.plan.as_deref().ok())
        .collect();
    let Some(first) = plans.first() else {
        return;
    };
    let mut widths: Vec<usize> = plans.iter().map(|plan| plan.d_sae()).collect();
    widths.sort_unstable();
    widths.dedup();
    let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
    let training = data.survey().rows;
    let held_out = data.held_out().map_or(0, Source::rows);
    output::note(&format!(
        "{} models of {} latents, {} steps of {} rows each: {training} rows to train on, {held_out} held out",
        plans.len(),
        widths.join(", "),
        first.steps(),
        first.batch()
    ));
    let mut said: Vec<&String> = Vec::new();
    for warning in plans.iter().flat_map(|plan| plan.warnings()) {
        if !said.contains(&warning) {
            said.push(warning);
            output::warn(warning, &cli::named("frontier"));
        }
    }
}

fn skip_refused(candidates: &[Candidate], results: &mut Results, quiet: bool) {
    for candidate in candidates {
        if let Err(why) = &candidate.plan
            && !results.has(candidate.place())
        {
            results.skipped.push(candidate.skipped(why));
            if !quiet {
                output::note(&format!("skipped {}: {why}", candidate.name()));
            }
        }
    }
    results.sort(&points::order(candidates));
}

/// Removes plot and models of a frontier that is replaced; the old plot would be wrong until the first point is trained.
fn clear(folder: &Path, resume: bool) -> Result<()> {
    if resume {
        return Ok(());
    }
    let (plot, models) = (results::plot(folder), folder.join(training::MODELS));
    if plot.exists() {
        std::fs::remove_file(&plot).map_err(Error::io(&plot))?;
    }
    for entry in std::fs::read_dir(&models).into_iter().flatten().flatten() {
        let run = Run::at(&entry.path());
        if run.config_path().exists() {
            std::fs::remove_dir_all(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}

fn tell(args: &FrontierArgs, folder: &Path, results: &Results) -> anyhow::Result<()> {
    let (out, plot) = (folder.display().to_string(), results::plot(folder));
    let plot = plot.display().to_string();
    if args.json {
        return output::json(&Told { out, plot, results });
    }
    if args.quiet {
        return Ok(());
    }
    output::print(&table(results))?;
    outside(results).iter().for_each(|text| output::note(text));
    let file = results::file(folder);
    output::print(&format!("\nresults  {}\nplot     {plot}", file.display()))
}

/// Why architectures have no comparison: their points lie on one side of the L0 asked for.
fn outside(results: &Results) -> Vec<String> {
    let at = results.at_l0;
    let mut told = Vec::new();
    for architecture in &results.architectures {
        let points = results.points.iter().filter(|p| architecture.has(p));
        let l0: Vec<f64> = points.map(|point| point.l0).collect();
        let (Some(low), Some(high)) = (
            l0.iter().copied().reduce(f64::min),
            l0.iter().copied().reduce(f64::max),
        ) else {
            continue;
        };
        if architecture.explained_variance_at.is_none() {
            told.push(format!(
                "{}: no comparison at L0 {at}, because its points lie between {low:.1} and {high:.1}; take another L0 with --at, \
                 or train longer with --steps",
                architecture.name()
            ));
        }
    }
    told
}

/// Table with a line for each point; the first line of each architecture has the comparison.
fn table(results: &Results) -> String {
    let at = format!("at L0 {}", results.at_l0);
    let header = [
        "",
        at.as_str(),
        "setting",
        "L0",
        "explained variance",
        "dead latents",
        "seconds",
    ];
    let share = |value: f64| format!("{value:.4}");
    let mut rows = Vec::new();
    for architecture in &results.architectures {
        let points = results.points.iter().filter(|p| architecture.has(p));
        let of_line = architecture.name();
        for (index, point) in points.enumerate() {
            let name = if index == 0 { &*of_line } else { "" };
            let compared = match architecture.explained_variance_at {
                _ if index > 0 => String::new(),
                Some(share_there) => share(share_there),
                None => "-".into(),
            };
            rows.push(vec![
                name.to_owned(),
                compared,
                format!("{} {}", point.option, point.setting),
                format!("{:.2}", point.l0),
                share(point.explained_variance),
                point.dead_latents.to_string(),
                point
                    .seconds
                    .map_or_else(|| "-".into(), |s| format!("{s:.1}")),
            ]);
        }
    }
    output::table(&header, &rows, true)
}
