//! `rarefy train`.

use clap::ArgMatches;
use rarefy::config::Config;
use rarefy::data::{Dataset, HoldoutPart, Source, hold_out, survey};
use rarefy::io_spec::IoSpec;
use rarefy::metrics::{self, Evaluation};
use rarefy::model::Model;
use rarefy::params::Params;
use rarefy::plan::Plan;
use rarefy::preprocess::{self, FittedPipelines, Prepared};
use rarefy::train::{self, Observer, Outcome, State};
use rarefy::{Error, Result};
use serde::Serialize;

use crate::cli::TrainArgs;
use crate::commands::eval::summary_rows;
use crate::observer::Watcher;
use crate::reading::Reading;
use crate::run::Run;
use crate::{configuration, dataset, output, reading, report};

/// Prepared rows are kept in memory up to this size; beyond it they are read and prepared anew.
const MEMORY_BYTES: usize = 512 << 20;

/// What the model makes of rows that it was not trained on.
#[derive(Clone, Copy, Serialize)]
struct Holdout {
    #[serde(rename = "holdout_explained_variance")]
    explained_variance: f64,
    #[serde(rename = "holdout_l0")]
    l0: f64,
}

/// How fast the part of the run was that this call did.
#[derive(Clone, Copy, Serialize)]
struct Speed {
    seconds: f64,
    samples_per_second: f64,
}

#[derive(Serialize)]
struct Summary<'a> {
    run: String,
    report: String,
    steps: usize,
    stopped: &'a str,
    #[serde(flatten)]
    speed: Speed,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    holdout: Option<Holdout>,
}

pub fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let mut config = configuration::merge(args, matches)?;
    let run = args.out.as_deref().map_or_else(
        || Run::fresh(&config.model.arch, &config.data.path),
        Run::at,
    );
    if args.resume {
        refuse_another_architecture(&run, &config)?;
    } else {
        run.check(args.force)?;
    }
    set_threads(config.train.threads)?;
    let (dataset, raw) = open_checked(&mut config)?;
    let (dataset, reading) = reading::watch(dataset, args.quiet);
    let (training, held_out) = hold_out(dataset.source.as_ref(), config.data.holdout)?;
    let fitted = dataset::fit(&config.data, &training, &raw)?;
    let pipeline = fitted.rows();

    let prepared = Prepared::new(&training, &pipeline);
    let held = held_out.as_ref().map(|rows| Prepared::new(rows, &pipeline));
    let kept = prepared.in_memory(MEMORY_BYTES)?;
    let rows: &dyn Source = kept.as_ref().map_or(&prepared, |memory| memory);
    let plan = Plan::bound(&config, &survey(rows)?, fitted.io.clone())?;
    if !args.quiet {
        plan.warnings
            .iter()
            .for_each(|warning| output::note(&format!("warning: {warning}")));
    }
    let start = start(args, &run, (&plan, &fitted), rows)?;
    let held = held.as_ref().map(|rows| rows as &dyn Source);
    let (outcome, speed) = train_watched(&plan, (rows, held), start, &run, args, &reading)?;
    let bound = (plan.io, outcome.params.clone());
    let mut model = Model::bound(plan.info, plan.hyper, bound, fitted.inputs, fitted.target)?;
    model.image_shape = dataset.image_shape;
    model.save(&run.model_path())?;
    let evaluation = metrics::evaluate(&model, dataset.source.as_ref())?;
    let holdout = held_out.map(|rows| on(&model, &rows)).transpose()?;
    report::write(&run, &model, &dataset, &evaluation)?;
    reading.finish();
    warn_of_failure(args, &evaluation);
    tell(
        args,
        &run,
        (&evaluation, &dataset.parts, holdout),
        &outcome,
        speed,
    )
}

/// Opens the data, and refuses what cannot work before a row of it is read.
fn open_checked(config: &mut Config) -> Result<(Dataset, IoSpec)> {
    Plan::check(config, None)?;
    let named = [&config.data.preprocess, &config.data.preprocess_target];
    named
        .into_iter()
        .flatten()
        .try_for_each(|steps| preprocess::check(steps))?;
    let (dataset, raw) = dataset::open(&mut config.data)?;
    hold_out(dataset.source.as_ref(), config.data.holdout)?;
    let steps = config.data.preprocess.as_deref().unwrap_or_default();
    let of_target = config.data.preprocess_target.as_deref();
    let prepared = FittedPipelines::io(steps, of_target, &raw)?;
    let rows = dataset.source.rows() - config.data.holdout;
    Plan::check(config, Some((rows, &prepared)))?;
    config.data.image_shape = dataset.image_shape;
    Ok((dataset, raw))
}

/// The held-out figures.
fn on(model: &Model, rows: &HoldoutPart) -> Result<Holdout> {
    let evaluation = metrics::evaluate(model, rows)?;
    Ok(Holdout {
        explained_variance: evaluation.explained_variance,
        l0: evaluation.l0,
    })
}

/// The state to start from. Everything that can be refused was or is, before the folder changes.
fn start(
    args: &TrainArgs,
    run: &Run,
    (plan, fitted): (&Plan, &FittedPipelines),
    rows: &dyn Source,
) -> Result<State> {
    if args.resume {
        let state = State::load(&run.newest_checkpoint()?, plan)?;
        run.write_config(&plan.config)?;
        return Ok(state);
    }
    let state = State::new(plan, rows, initial_weights(plan, fitted, args.quiet)?)?;
    run.create(&plan.config)?;
    run.clear()?;
    Ok(state)
}

fn train_watched(
    plan: &Plan,
    (rows, held_out): (&dyn Source, Option<&dyn Source>),
    start: State,
    run: &Run,
    args: &TrainArgs,
    reading: &Reading,
) -> Result<(Outcome, Speed)> {
    let rows_before = start.rows_seen;
    let mut watcher = Watcher::new(plan, run, start.step, args.quiet, reading)?;
    let resumed = start.step > 0;
    if resumed {
        watcher.message(&format!("going on from step {}", start.step));
    }
    let result = train::train_with_holdout(plan, rows, held_out, start, &mut watcher);
    watcher.finish(result.is_ok())?;
    if let Err(Error::Interrupted) = &result {
        let folder = run.folder().display();
        output::note(&format!(
            "interrupted; go on with: rarefy train --out {folder} --resume"
        ));
    }
    let outcome = result?;
    if !args.quiet {
        output::note(&outcome.reason);
    }
    let seconds = watcher.seconds();
    let speed = Speed {
        seconds,
        samples_per_second: (outcome.rows_seen - rows_before) as f64 / seconds.max(1e-9),
    };
    Ok((outcome, speed))
}

/// A resumed run is of the architecture that it was started with.
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

/// The weights of `--init`, of a model that means the same by them.
fn initial_weights(plan: &Plan, fitted: &FittedPipelines, quiet: bool) -> Result<Option<Params>> {
    let Some(path) = &plan.config.model.init else {
        return Ok(None);
    };
    let model = Model::load(path)?;
    let is = |io: &IoSpec| format!("{} with centre {}", io.name(), io.centre);
    let (there, here) = (is(&model.io), is(&plan.io));
    if there != here {
        let path = path.display();
        let why = format!("{path} is a model of the kind {there}, and this run is of {here}");
        return Err(Error::Conflict(why));
    }
    let another = model.pipeline != fitted.inputs || model.target != fitted.target;
    if another && !quiet {
        output::note(&format!(
            "warning: {} was trained on rows that were prepared in another way, so its weights mean something else here",
            path.display()
        ));
    }
    Ok(Some(model.params().clone()))
}

/// What nobody can have meant: a model that knows less of a row than the mean of all.
fn warn_of_failure(args: &TrainArgs, evaluation: &Evaluation) {
    if !args.quiet && evaluation.explained_variance < 0.0 {
        output::note(
            "warning: rows are farther from what the model makes of them than from their own mean; more --steps (or \
             --epochs), another --lr or --preprocess standardise may help",
        );
    }
}

/// The table, or the JSON object, at the end of a run.
fn tell(
    args: &TrainArgs,
    run: &Run,
    (evaluation, parts, holdout): (&Evaluation, &[String], Option<Holdout>),
    outcome: &Outcome,
    speed: Speed,
) -> anyhow::Result<()> {
    if args.json {
        return output::json(&Summary {
            run: run.folder().display().to_string(),
            report: run.report_path().display().to_string(),
            steps: outcome.steps,
            stopped: &outcome.reason,
            speed,
            evaluation,
            holdout,
        });
    }
    if args.quiet {
        return Ok(());
    }
    let mut rows = summary_rows(evaluation, parts);
    if let Some(holdout) = holdout {
        let variance = output::number(holdout.explained_variance);
        rows.push(vec!["held out: explained variance".into(), variance]);
        let l0 = output::number(holdout.l0);
        rows.push(vec!["held out: latents active".into(), l0]);
    }
    rows.push(vec![
        "training time".into(),
        format!(
            "{:.1} s, {:.0} rows/s",
            speed.seconds, speed.samples_per_second
        ),
    ]);
    output::print(&output::table(&["", ""], &rows, true))?;
    output::print(&format!(
        "\nmodel   {}\nreport  {}",
        run.model_path().display(),
        run.report_path().display()
    ))
}

/// The number of threads of everything that follows.
pub fn set_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else {
        return Ok(());
    };
    let limit = 1024;
    if threads == 0 || threads > limit {
        return Err(Error::hyper(
            "threads",
            &format!("between 1 and {limit}"),
            threads,
        ));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::Conflict(format!("{threads} threads cannot be started: {e}")))
}
