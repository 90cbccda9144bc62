//! `rarefy train`.

mod board;
mod chosen;
mod log;
mod summary;
mod sweep;
mod watcher;

use clap::ArgMatches;
use rarefy::recipe;
use rarefy_run::training::{Place, Training};

use crate::cli::{self, TrainArgs};
use crate::{configuration, output, reading, threads};
use chosen::Chosen;
use watcher::Watcher;

pub fn run(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    if sweep::is_asked(args) {
        return sweep::run(args, matches);
    }
    let mut config = configuration::of_command(args, matches)?;
    // The folder is locked until the end of the command.
    let place = match &args.out {
        Some(folder) => Place::at(folder, args.resume, args.force)?,
        None => Place::fresh(&config.model.arch, &config.data.path)?,
    };
    place.refuse_another(&config)?;
    threads::set(config.train.threads)?;
    let (dataset, raw) = recipe::open_checked(&mut config)?;
    let (dataset, reading) = reading::watch(dataset, args.quiet, "train");
    let chosen = Chosen::of(args, &config, dataset.source.rows());
    let mut watcher = Watcher::new(args, &place, &reading, chosen);
    let training = Training {
        dataset: &dataset,
        raw: &raw,
        memory: config.data.memory.bytes(),
        config,
        place: Some(&place),
        tensorboard: args.tensorboard,
    };
    let finished = training.run(&mut watcher)?;
    reading.finish();
    if !args.quiet {
        let command = cli::named("train");
        let advice = finished.advice.iter();
        advice.for_each(|text| output::warn(text, &command));
    }
    let speed = watcher.speed(&finished.trained);
    summary::tell(args, place.run(), &finished, &dataset.parts, speed)
}
