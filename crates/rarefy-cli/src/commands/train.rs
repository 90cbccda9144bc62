//! `rarefy train`.

mod start;
mod summary;

use std::sync::Arc;

use clap::ArgMatches;
use rarefy::recipe::{self, TrainingData};
use rarefy::train::Observer;
use rarefy::{Error, Result, Trained, Trainer};
use rarefy_run::folder::Run;
use rarefy_run::{figures, report};

use crate::cli::{self, TrainArgs};
use crate::observer::Watcher;
use crate::reading::Reading;
use crate::{configuration, output, reading, threads};
use start::{Chosen, refuse_another_architecture, start};
use summary::Speed;

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
    let rows = dataset.source.rows();
    let chosen = Chosen::of(args, &config);
    let by_default = || recipe::default_holdout(rows, config.train.batch);
    config.data.holdout = config.data.holdout.or_else(|| Some(by_default()));
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
    if let Some(defaults) = chosen.told(&plan, rows).filter(|_| !args.quiet) {
        output::note(&defaults);
    }
    let (trained, speed) = train_watched(trainer, &data, &run, args, &reading)?;
    let model = &trained.model;
    model.save(&run.model_path())?;
    let evaluation = model.evaluate(data.training())?;
    let held_out = data.held_out();
    let held_out = held_out.map(|rows| model.evaluate(rows)).transpose()?;
    report::write(
        &run,
        model,
        &dataset,
        (&evaluation, held_out.as_ref()),
        None,
    )?;
    figures::write(&run, &evaluation, held_out.as_ref(), trained.steps)?;
    reading.finish();
    let advice = rarefy::metrics::advice(&plan, data.survey(), &evaluation);
    if let Some(advice) = advice.filter(|_| !args.quiet) {
        output::warn(&advice, &cli::named("train"));
    }
    let gap = held_out
        .as_ref()
        .and_then(|held_out| rarefy::metrics::gap(&plan, &evaluation, held_out));
    if let Some(gap) = gap.filter(|_| !args.quiet) {
        output::warn(&gap, &cli::named("train"));
    }
    let found = (&evaluation, held_out.as_ref(), &*dataset.parts);
    summary::tell(args, &run, found, &trained, speed)
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
