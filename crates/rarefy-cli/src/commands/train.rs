//! `rarefy train`.

mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use clap::ArgMatches;
use rarefy::config::Config;
use rarefy::plan::Plan;
use rarefy::recipe::{self, TrainingData};
use rarefy::train::Observer;
use rarefy::{Error, Result, Trained, Trainer};

use crate::cli::{self, TrainArgs};
use crate::observer::Watcher;
use crate::reading::Reading;
use crate::run::Run;
use crate::{configuration, output, reading, report, threads};
use summary::{Holdout, Speed};

pub fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let mut config = configuration::merge(args, matches)?;
    // The folder is locked until the end of the command.
    let (run, _lock) = match &args.out {
        Some(folder) => {
            let run = Run::at(folder);
            let lock = run.lock()?;
            (run, lock)
        }
        None => Run::fresh(&config.model.arch, &config.data.path)?,
    };
    if args.resume {
        refuse_another_architecture(&run, &config)?;
    } else {
        run.check(args.force)?;
    }
    threads::set(config.train.threads)?;
    let (dataset, raw) = recipe::open_checked(&mut config)?;
    let (dataset, reading) = reading::watch(dataset, args.quiet);
    let data = TrainingData::new(&config.data, dataset.source.as_ref(), &raw)?;
    let plan = Arc::new(data.plan(&config)?);
    if !args.quiet {
        let command = cli::named("train");
        data.warnings(&plan)?
            .iter()
            .for_each(|text| output::warn(text, &command));
    }
    let trainer = start(args, &run, &plan, &data)?;
    let (trained, speed) = train_watched(trainer, &data, &run, args, &reading)?;
    let model = &trained.model;
    model.save(&run.model_path())?;
    let evaluation = model.evaluate(&dataset)?;
    let held_out = data.held_out();
    let holdout = held_out.map(|rows| Holdout::of(model, rows)).transpose()?;
    report::write(&run, model, &dataset, &evaluation)?;
    reading.finish();
    let advice = rarefy::metrics::advice(&plan, data.survey(), &evaluation);
    if let Some(advice) = advice.filter(|_| !args.quiet) {
        output::warn(&advice, &cli::named("train"));
    }
    let found = (&evaluation, &*dataset.parts, holdout);
    summary::tell(args, &run, found, &trained, speed)
}

/// Trainer at its first step, or at the newest checkpoint with `--resume`. Invalid settings are refused before the
/// folder changes.
fn start(
    args: &TrainArgs,
    run: &Run,
    plan: &Arc<Plan>,
    data: &TrainingData,
) -> anyhow::Result<Trainer> {
    if args.resume && !run.can_begin() {
        let trainer = resume(args, run, plan, data)?;
        if !args.quiet {
            let changed = configuration::changes(run, plan.config())?;
            changed.iter().for_each(|text| output::note(text));
        }
        run.write_config(plan.config())?;
        return Ok(trainer);
    }
    if args.resume && !args.quiet {
        output::note("no checkpoint was written yet: starting from step 0");
    }
    let trainer = data.trainer(Arc::clone(plan))?;
    run.create(plan.config())?;
    run.clear()?;
    Ok(trainer)
}

/// Trainer at the newest checkpoint that can be read. Damaged newer ones are set aside.
fn resume(
    args: &TrainArgs,
    run: &Run,
    plan: &Arc<Plan>,
    data: &TrainingData,
) -> anyhow::Result<Trainer> {
    let mut damaged: Vec<(PathBuf, Error)> = Vec::new();
    for checkpoint in run.checkpoints_to_resume()? {
        match data.resume(Arc::clone(plan), &checkpoint) {
            Ok(trainer) => {
                for (path, error) in damaged {
                    output::note(&format!("warning: {error}; an older checkpoint is used"));
                    Run::set_aside(&path)?;
                }
                return Ok(trainer);
            }
            Err(error @ (Error::Format { .. } | Error::Io { .. })) => {
                damaged.push((checkpoint, error));
            }
            Err(error) => return Err(with_paths(args, run, plan, error)),
        }
    }
    let (_, newest) = damaged.swap_remove(0);
    Err(newest.into())
}

/// Error of a refused resume; other data is named.
fn with_paths(args: &TrainArgs, run: &Run, plan: &Plan, error: Error) -> anyhow::Error {
    let before =
        configuration::from_run(run).and_then(|table| Ok(rarefy::config::merge(&[table])?));
    let now = &plan.config().data.path;
    match before {
        Ok(before) if !args.data.is_empty() && before.data.path != *now => {
            let other = format!(
                "{} was trained on {}, not on {now}",
                run.folder().display(),
                before.data.path
            );
            anyhow::Error::from(error).context(other)
        }
        _ => error.into(),
    }
}

fn train_watched(
    trainer: Trainer,
    data: &TrainingData,
    run: &Run,
    args: &TrainArgs,
    reading: &Reading,
) -> Result<(Trained, Speed)> {
    let (plan, rows_before) = (Arc::clone(trainer.plan()), trainer.rows_seen());
    let first = trainer.steps_done();
    let mut watcher = Watcher::new(&plan, run, first, args.quiet, reading)?;
    if first > 0 {
        watcher.message(&format!("continuing from step {first}"));
    }
    let result = data.train(trainer, &mut watcher);
    watcher.finish(result.is_ok())?;
    if let Err(Error::Interrupted) = &result {
        let folder = run.folder().display();
        output::note(&format!(
            "interrupted; continue with: rarefy train --out {folder} --resume"
        ));
    }
    let trained = result?;
    if !args.quiet {
        output::note(&trained.reason);
    }
    let seconds = watcher.seconds();
    let speed = Speed {
        seconds,
        samples_per_second: (trained.rows_seen - rows_before) as f64 / seconds.max(1e-9),
    };
    Ok((trained, speed))
}

/// Refuses to resume a run with another architecture or number of latents.
fn refuse_another_architecture(run: &Run, merged: &Config) -> anyhow::Result<()> {
    let before = rarefy::config::merge(&[configuration::from_run(run)?])?;
    if before.model.arch != merged.model.arch || before.model.latents != merged.model.latents {
        let of = |c: &Config| {
            let latents = c.model.latents.map_or("its own".into(), |n| n.to_string());
            format!("{} with {latents} latents", c.model.arch)
        };
        let why = format!(
            "{} is a run of {}; it cannot be resumed as {}",
            run.folder().display(),
            of(&before),
            of(merged)
        );
        return Err(Error::Conflict(why).into());
    }
    Ok(())
}
