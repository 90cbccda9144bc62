//! `rarefy train --sweep`: a model for each combination of values, on the same batches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use rarefy::config::{self, Config};
use rarefy::recipe;
use rarefy::{Error, Result, atomic};
use rarefy_run::figures;
use rarefy_run::folder::{Lock, Run};
use rarefy_run::settings;
use rarefy_run::timings::Timings;
use rarefy_run::training::{Finished, Listener, Place, Training, run_together};
use serde::{Deserialize, Serialize};
use serde_json::json;
use toml::Table;

use super::board::{Board, Watcher};
use super::chosen::Chosen;
use crate::cli::{self, TrainArgs};
use crate::commands::compare;
use crate::{configuration, output, reading, threads};

/// File of a sweep in its folder: the keys with their values, and the settings of all members.
const FILE: &str = "sweep.toml";
/// Page that compares the members.
const PAGE: &str = "sweep.html";
/// Largest number of members: each keeps three files open.
const MOST: usize = 200;
/// Longest name of a member in bytes.
const LONGEST: usize = 200;

/// Settings of the data that members may differ in: the rows are opened once.
const OF_DATA: [&str; 3] = ["data.holdout", "data.preprocess", "data.memory"];

/// Content of [`FILE`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    /// Keys with their values, the slowest first.
    sweep: Vec<Axis>,
    /// Settings before those of the members.
    config: Table,
}

/// Key of a sweep with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Axis {
    key: String,
    values: Vec<String>,
}

/// True for a sweep, or one that is resumed.
pub fn is_asked(args: &TrainArgs) -> bool {
    let resumed = args.out.as_ref().filter(|_| args.resume);
    !args.sweep.is_empty() || resumed.is_some_and(|out| out.join(FILE).exists())
}

pub fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let given = axes(&args.sweep)?;
    let mut config = configuration::merge(args, matches, None, &Table::new())?;
    let (folder, _lock) = folder(args, &config)?;
    let sweep = begin(args, &folder, given, &config)?;
    let mut members = Vec::new();
    for member in sweep.members(&folder)? {
        if args.resume && is_finished(&member.folder) {
            // Removes the lock and the temporary files of a killed process.
            drop(Run::at(&member.folder).lock()?);
        } else {
            members.push(member);
        }
    }
    let mut configs = Vec::new();
    for member in &members {
        let run = Run::at(&member.folder);
        let begun = args.resume && run.config_path().exists();
        let before = if begun {
            configuration::from_run(&run)?
        } else {
            sweep.config.clone()
        };
        configs.push(configuration::merge(
            args,
            matches,
            Some(before),
            &member.layer,
        )?);
    }
    if let Some(first) = configs.first_mut() {
        threads::set(first.train.threads)?;
        let (dataset, raw) = recipe::open_checked(first)?;
        config = first.clone();
        for other in &mut configs {
            other.data.image_shape = config.data.image_shape;
            let steps = &mut other.data.preprocess;
            *steps = steps.take().or_else(|| config.data.preprocess.clone());
        }
        let (dataset, reading) = reading::watch(dataset, args.quiet, "train");
        let chosen = Chosen::of(args, &config, dataset.source.rows());
        for member in &mut members {
            let run = Run::at(&member.folder);
            let resume = args.resume && run.config_path().exists();
            member.place = Some(Place::at(&member.folder, resume, args.force)?);
        }
        let board = RefCell::new(Board::new(args, &reading, chosen, members.len()));
        let mut watchers: Vec<Watcher> = members
            .iter()
            .enumerate()
            .map(|(at, member)| Watcher {
                name: &member.name,
                at,
                board: &board,
                log: None,
            })
            .collect();
        let runs = members.iter().zip(configs).zip(&mut watchers);
        let runs = runs.map(|((member, config), watcher)| {
            let training = Training {
                dataset: &dataset,
                raw: &raw,
                memory: config.data.memory.bytes(),
                config,
                place: member.place.as_ref(),
                tensorboard: args.tensorboard,
            };
            (training, watcher as &mut dyn Listener)
        });
        let finished = run_together(runs.collect());
        board.borrow().bar.finish_and_clear();
        reading.finish();
        return tell(args, (&folder, &sweep), members.iter().zip(finished));
    }
    let none: [(&Member, Result<Finished>); 0] = [];
    tell(args, (&folder, &sweep), none)
}

/// Keys and values of the flags.
fn axes(flags: &[String]) -> anyhow::Result<Vec<Axis>> {
    let mut axes: Vec<Axis> = Vec::new();
    for flag in flags {
        let refuse = |expected: &str| Error::hyper("--sweep", expected, flag);
        let (key, values) = flag
            .split_once('=')
            .ok_or_else(|| refuse("KEY=VALUE,VALUE,..."))?;
        let mut table = Table::new();
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        if values.iter().any(String::is_empty) {
            return Err(refuse("KEY=VALUE,VALUE,... without an empty value").into());
        }
        put(&mut table, key.trim(), &values[0])?;
        let key = settings::flat(&table)
            .into_keys()
            .next()
            .unwrap_or_default();
        if key.starts_with("data.") && !OF_DATA.contains(&&*key) || key == "train.threads" {
            let expected = format!(
                "a key of the model, of training or one of {}",
                OF_DATA.join(", ")
            );
            return Err(refuse(&expected).into());
        }
        let distinct: BTreeSet<&String> = values.iter().collect();
        if distinct.len() < values.len() || axes.iter().any(|axis| axis.key == key) {
            return Err(refuse("each key and each value once").into());
        }
        axes.push(Axis { key, values });
    }
    let members: usize = axes.iter().map(|axis| axis.values.len()).product();
    if members > MOST {
        return Err(Error::hyper("--sweep", &format!("at most {MOST} models"), members).into());
    }
    Ok(axes)
}

/// Sets a key to a value as it is written in a flag. Steps of preprocessing are joined by `+`.
fn put(layer: &mut Table, key: &str, value: &str) -> Result<()> {
    if ["preprocess", "data.preprocess"].contains(&key) {
        let steps = configuration::name_list(&value.replace('+', ","));
        config::insert(layer, "data.preprocess", steps);
        return Ok(());
    }
    config::set(layer, key, value)
}

/// Folder of the sweep, locked.
fn folder(args: &TrainArgs, config: &Config) -> anyhow::Result<(PathBuf, Lock)> {
    if let Some(out) = &args.out {
        return Ok((out.clone(), Run::at(out).lock()?));
    }
    let name = format!("{}-sweep", config.model.arch);
    let (run, lock) = Run::fresh(&name, &config.data.path)?;
    Ok((run.folder().to_owned(), lock))
}

/// The sweep of the folder when it is resumed, else a new one, whose file is written.
fn begin(
    args: &TrainArgs,
    folder: &Path,
    given: Vec<Axis>,
    config: &Config,
) -> anyhow::Result<Sweep> {
    let path = folder.join(FILE);
    let shown = folder.display();
    if args.resume {
        let text = fs::read_to_string(&path).map_err(|error| {
            let why = format!("{shown} holds no sweep to resume: {FILE}: {error}");
            Error::Conflict(why)
        })?;
        let before: Sweep = toml::from_str(&text)
            .map_err(|e| Error::format(&path, format!("damaged: {}", e.message())))?;
        if !given.is_empty() && given != before.sweep {
            let why = format!(
                "{shown} is a sweep of other values: leave out --sweep, or give another --out"
            );
            return Err(Error::Conflict(why).into());
        }
        return Ok(before);
    }
    if path.exists() && !args.force {
        let why = format!(
            "{shown} holds a sweep already; continue it with --resume, replace it with --force, or give another --out"
        );
        return Err(Error::Conflict(why).into());
    }
    let others = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut others = others.filter(|entry| entry.file_name() != "run.lock");
    if !path.exists() && others.next().is_some() {
        let why = format!("{shown} holds other files and no sweep; give another --out");
        return Err(Error::Conflict(why).into());
    }
    let sweep = Sweep {
        sweep: given,
        config: Table::try_from(config)?,
    };
    sweep.members(folder)?;
    if path.exists() {
        remove_members(folder, &path)?;
    }
    let text = toml::to_string(&sweep)?;
    atomic::write(&path, |out| out.write_all(text.as_bytes()))?;
    Ok(sweep)
}

/// Removes the runs of a sweep that is replaced.
fn remove_members(folder: &Path, file: &Path) -> Result<()> {
    let text = fs::read_to_string(file).map_err(Error::io(file))?;
    let Ok(before) = toml::from_str::<Sweep>(&text) else {
        return Ok(());
    };
    for member in before.members(folder)? {
        let run = Run::at(&member.folder);
        if run.config_path().exists() {
            drop(run.lock()?);
            fs::remove_dir_all(&member.folder).map_err(Error::io(&member.folder))?;
        }
    }
    Ok(())
}

/// Model of a sweep.
struct Member {
    name: String,
    folder: PathBuf,
    layer: Table,
    place: Option<Place>,
}

impl Sweep {
    /// All combinations, the last key changing fastest.
    fn members(&self, folder: &Path) -> Result<Vec<Member>> {
        let count: usize = self.sweep.iter().map(|axis| axis.values.len()).product();
        let member = |at: usize| {
            let (mut rest, mut layer, mut names) = (at, Table::new(), Vec::new());
            for Axis { key, values } in self.sweep.iter().rev() {
                let value = &values[rest % values.len()];
                rest /= values.len();
                put(&mut layer, key, value)?;
                let short = key.rsplit('.').next().unwrap_or(key);
                names.push(format!("{short}={value}"));
            }
            names.reverse();
            let name = names.join(",");
            let plain = |c: char| c.is_alphanumeric() || "-_.=,+".contains(c);
            let file: String = name
                .chars()
                .map(|c| if plain(c) { c } else { '-' })
                .collect();
            Ok(Member {
                folder: folder.join(file),
                name,
                layer,
                place: None,
            })
        };
        let members = (0..count).map(member).collect::<Result<Vec<_>>>()?;
        let names: BTreeSet<&PathBuf> = members.iter().map(|member| &member.folder).collect();
        let longest = members.iter().map(|member| member.name.len()).max();
        if names.len() < members.len() || longest > Some(LONGEST) {
            let expected = format!(
                "values that differ in letters and digits, and names of at most {LONGEST} bytes"
            );
            return Err(Error::hyper(
                "--sweep",
                &expected,
                format!("{} models", members.len()),
            ));
        }
        Ok(members)
    }
}

/// True for a run that wrote its figures, which come last.
fn is_finished(folder: &Path) -> bool {
    let run = Run::at(folder);
    run.model_path().exists() && figures::read(&run).is_ok_and(|figures| figures.is_some())
}

/// The tables, or the JSON object, of all members that are finished, and those that failed.
fn tell<'m>(
    args: &TrainArgs,
    (folder, sweep): (&Path, &Sweep),
    results: impl IntoIterator<Item = (&'m Member, Result<Finished>)>,
) -> anyhow::Result<()> {
    let mut failed: Vec<(PathBuf, String)> = Vec::new();
    let mut is_interrupted = false;
    let mut timings: Option<Timings> = None;
    for (member, result) in results {
        match result {
            Ok(finished) => {
                let command = cli::named("train");
                let advice = finished.advice.iter().filter(|_| !args.quiet);
                advice.for_each(|text| output::warn(&format!("{}: {text}", member.name), &command));
                let of_all = timings.get_or_insert_with(|| finished.timings.without_ends());
                of_all.add_ends(&finished.timings);
            }
            Err(Error::Interrupted) => is_interrupted = true,
            Err(error) => {
                output::note(&format!("{} failed: {error}", member.name));
                failed.push((member.folder.clone(), error.to_string()));
            }
        }
    }
    let shown = folder.display();
    if is_interrupted {
        output::note(&format!(
            "interrupted; continue with: rarefy train --out {shown} --resume"
        ));
        return Err(Error::Interrupted.into());
    }
    let all = sweep
        .members(folder)?
        .into_iter()
        .map(|member| member.folder);
    let done: Vec<PathBuf> = all.filter(|folder| is_finished(folder)).collect();
    let page = folder.join(PAGE);
    if !done.is_empty() {
        let (tables, mut value) = compare::sweep(&done, &page)?;
        if args.json {
            let failed = failed
                .iter()
                .map(|(run, why)| json!({"run": run.display().to_string(), "error": why}));
            value["sweep"] = shown.to_string().into();
            value["timings"] = json!(timings);
            value["page"] = page.display().to_string().into();
            value["failed"] = failed.collect();
            output::json(&value)?;
        } else if !args.quiet {
            if let Some(timings) = timings.filter(|_| args.timings) {
                output::print(&format!("{}\n", super::summary::parts_of_time(&timings)))?;
            }
            output::print(&format!(
                "{tables}\n\nruns  {shown}\npage  {}",
                page.display()
            ))?;
        }
    }
    let Some((first, why)) = failed.first() else {
        return Ok(());
    };
    let (first, count, all) = (first.display(), failed.len(), failed.len() + done.len());
    let why = format!("{count} of {all} models failed, {first} first: {why}");
    Err(anyhow::anyhow!(why))
}
