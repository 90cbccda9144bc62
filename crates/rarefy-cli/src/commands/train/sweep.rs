//! `rarefy train --sweep`: a model for each combination of values, on the same batches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use rarefy::config::{self, Config};
use rarefy::plan::Plan;
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
    let config = configuration::merge(args, matches, None, &Table::new())?;
    let (folder, _lock) = folder(args, &config)?;
    let sweep = known(args, &folder, given, &config)?;
    let (mut members, mut failed) = (Vec::new(), Vec::new());
    for member in sweep.members(&folder)? {
        let (folder, name) = (member.folder.clone(), member.name.clone());
        match member.prepared(args, matches, &sweep) {
            Ok(prepared) => members.extend(prepared),
            // A run that cannot be resumed stops no other; settings that cannot work are refused before anything is written.
            Err(error) if args.resume => {
                output::note(&format!("{name} failed: {error:#}"));
                failed.push((folder, format!("{error:#}")));
            }
            Err(error) => return Err(error),
        }
    }
    let results = if members.is_empty() {
        Vec::new()
    } else {
        train(args, (&folder, &sweep), &mut members)?
    };
    let results = members.iter().map(|(member, _)| member).zip(results);
    tell(args, (&folder, &sweep), results, failed)
}

/// Trains the members, whose data is the same.
fn train(
    args: &TrainArgs,
    (folder, sweep): (&Path, &Sweep),
    members: &mut [(Member, Config)],
) -> anyhow::Result<Vec<Result<Finished>>> {
    let (_, first) = &mut members[0];
    threads::set(first.train.threads)?;
    let (dataset, raw) = recipe::open_checked(first)?;
    let first = first.clone();
    for (_, other) in &mut *members {
        other.data.image_shape = first.data.image_shape;
        let steps = &mut other.data.preprocess;
        *steps = steps.take().or_else(|| first.data.preprocess.clone());
    }
    let (dataset, reading) = reading::watch(dataset, args.quiet, "train");
    let chosen = Chosen::of(args, &first, dataset.source.rows());
    if !args.resume {
        sweep.write(folder)?;
    }
    for (member, config) in &mut *members {
        if member.place.is_none() {
            member.begin(config, args.force)?;
        }
    }
    let board = RefCell::new(Board::new(args, &reading, chosen, members.len()));
    let mut watchers: Vec<Watcher> = members
        .iter()
        .enumerate()
        .map(|(at, (member, _))| Watcher {
            name: &member.name,
            at,
            board: &board,
            log: None,
        })
        .collect();
    let runs = members.iter().zip(&mut watchers);
    let runs = runs.map(|((member, config), watcher)| {
        let training = Training {
            dataset: &dataset,
            raw: &raw,
            memory: config.data.memory.bytes(),
            config: config.clone(),
            place: member.place.as_ref(),
            tensorboard: args.tensorboard,
        };
        (training, watcher as &mut dyn Listener)
    });
    let finished = run_together(runs.collect());
    board.borrow().bar.finish_and_clear();
    reading.finish();
    Ok(finished)
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

/// The sweep of the folder when it is resumed, else a new one, which is not written yet.
fn known(
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
    Ok(Sweep {
        sweep: given,
        config: Table::try_from(config)?,
    })
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

impl Member {
    /// The member with its settings; of a sweep that is resumed, also with its folder. `None` if its run is finished and keeps its settings.
    fn prepared(
        mut self,
        args: &TrainArgs,
        matches: &ArgMatches,
        sweep: &Sweep,
    ) -> anyhow::Result<Option<(Self, Config)>> {
        let run = Run::at(&self.folder);
        let is_begun = args.resume && run.config_path().exists();
        let before = match (args.resume, is_begun) {
            (true, true) => Some(configuration::from_run(&run)?),
            (true, false) => Some(sweep.config.clone()),
            (false, _) => None,
        };
        let config = configuration::merge(args, matches, before, &self.layer)?;
        Plan::check(&config, None)?;
        if is_begun {
            // Removes the lock and the temporary files of a killed process too.
            let place = Place::at(&self.folder, true, false)?;
            let changes = settings::changes(&run.settings()?, &config)?;
            if is_finished(&self.folder) && changes.is_empty() {
                return Ok(None);
            }
            self.place = Some(place);
        } else if args.resume {
            self.begin(&config, false)?;
        }
        Ok(Some((self, config)))
    }

    /// Claims the folder and writes the settings, with which a run that is killed before its first step is resumed.
    fn begin(&mut self, config: &Config, replace: bool) -> Result<()> {
        let place = Place::at(&self.folder, false, replace)?;
        place.run().create(config)?;
        self.place = Some(place);
        Ok(())
    }
}

impl Sweep {
    /// Writes the file of a new sweep, after the runs of a sweep that it replaces are removed.
    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(FILE);
        if path.exists() {
            remove_members(folder, &path)?;
        }
        let text = toml::to_string(self)?;
        atomic::write(&path, |out| out.write_all(text.as_bytes()))?;
        Ok(())
    }

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
    mut failed: Vec<(PathBuf, String)>,
) -> anyhow::Result<()> {
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
    let is_failed = |folder: &PathBuf| failed.iter().any(|(other, _)| other == folder);
    let done: Vec<PathBuf> = all
        .filter(|folder| is_finished(folder) && !is_failed(folder))
        .collect();
    let page = folder.join(PAGE);
    let (tables, mut value) = match done.as_slice() {
        [] => (String::new(), json!({"runs": [], "notes": []})),
        done => compare::sweep(done, &page)?,
    };
    if args.json {
        let failed = failed
            .iter()
            .map(|(run, why)| json!({"run": run.display().to_string(), "error": why}));
        value["sweep"] = shown.to_string().into();
        value["timings"] = json!(timings);
        value["page"] = page.display().to_string().into();
        value["failed"] = failed.collect();
        output::json(&value)?;
    } else if !args.quiet && !done.is_empty() {
        if let Some(timings) = timings.filter(|_| args.timings) {
            output::print(&format!("{}\n", super::summary::parts_of_time(&timings)))?;
        }
        output::print(&format!(
            "{tables}\n\nruns  {shown}\npage  {}",
            page.display()
        ))?;
    }
    let Some((first, why)) = failed.first() else {
        return Ok(());
    };
    let (first, count, all) = (first.display(), failed.len(), failed.len() + done.len());
    let why = format!("{count} of {all} models failed, {first} first: {why}");
    Err(anyhow::anyhow!(why))
}
