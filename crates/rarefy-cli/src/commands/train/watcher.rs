//! Progress bar and messages of a training run.

use std::time::Instant;

use indicatif::{HumanCount, ProgressBar};
use rarefy::train::Progress;
use rarefy::{Error, Result, Trained, Trainer};
use rarefy_run::training::{Listener, Place};

use super::chosen::Chosen;
use super::log::{Log, numbers};
use super::summary::Speed;
use crate::cli::{self, TrainArgs};
use crate::reading::{Reading, style};
use crate::{interrupt, output};

/// A progress bar on stderr, above that of the passes over the data.
pub struct Watcher<'a> {
    place: &'a Place,
    quiet: bool,
    reading: &'a Reading,
    chosen: Chosen,
    bar: ProgressBar,
    /// Seconds between lines of the log, which takes the place of the bar.
    log_every: Option<usize>,
    log: Option<Log>,
    /// Start of the steps.
    started: Instant,
    /// Seconds that the steps took.
    seconds: f64,
    /// Rows of the steps before this call.
    rows_before: u64,
}

impl<'a> Watcher<'a> {
    pub fn new(args: &TrainArgs, place: &'a Place, reading: &'a Reading, chosen: Chosen) -> Self {
        Self {
            place,
            quiet: args.quiet,
            log_every: args.log_every,
            log: None,
            reading,
            chosen,
            bar: ProgressBar::hidden(),
            started: Instant::now(),
            seconds: 0.0,
            rows_before: 0,
        }
    }

    /// Time of the steps of this call.
    pub fn speed(&self, trained: &Trained) -> Speed {
        Speed {
            seconds: self.seconds,
            samples_per_second: self.rate(trained.rows_seen, self.seconds),
        }
    }

    /// Rows in a second since the start.
    fn rate(&self, rows_seen: u64, seconds: f64) -> f64 {
        (rows_seen - self.rows_before) as f64 / seconds.max(1e-9)
    }
}

impl Listener for Watcher<'_> {
    fn note(&mut self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::note(text));
        }
    }

    fn warn(&mut self, text: &str) {
        if !self.quiet {
            let warn = || output::warn(text, &cli::named("train"));
            self.bar.suspend(warn);
        }
    }

    /// From here on, the first Ctrl-C ends the run at a safe point.
    fn begin(&mut self, trainer: &Trainer) {
        let (plan, first) = (trainer.plan(), trainer.steps_done());
        if let Some(defaults) = self.chosen.told(plan) {
            self.note(&defaults);
        }
        interrupt::watch();
        self.rows_before = trainer.rows_seen();
        self.started = Instant::now();
        if let Some(seconds) = self.log_every {
            self.log = Some(Log::begin(String::new(), seconds, (first, plan.steps())));
            return;
        }
        let bar = ProgressBar::new(plan.steps() as u64).with_position(first as u64);
        self.bar = self.reading.above(bar);
        self.bar
            .set_style(style("{bar:24} step {pos}/{len}  {msg}  {eta} left"));
        self.bar.tick();
    }

    fn step(&mut self, progress: &Progress) {
        let rate = self.rate(progress.rows_seen, self.started.elapsed().as_secs_f64());
        if let Some(log) = &mut self.log {
            log.step(progress, rate);
            return;
        }
        self.bar.set_position(progress.step as u64);
        self.bar.set_message(format!(
            "{}  {} rows/s",
            numbers(progress),
            HumanCount(rate as u64)
        ));
    }

    /// From here on, Ctrl-C ends the program at once.
    fn end(&mut self, result: &Result<Trained>) {
        self.seconds = self.started.elapsed().as_secs_f64();
        interrupt::release();
        self.bar.finish_and_clear();
        if let Some(mut log) = self.log.take() {
            log.end(|rows_seen| self.rate(rows_seen, self.seconds));
        }
        match result {
            Ok(trained) => self.note(&trained.reason),
            Err(Error::Interrupted) => output::note(&format!(
                "interrupted; continue with: rarefy train --out {} --resume",
                self.place.run().folder().display()
            )),
            Err(_) => {}
        }
    }

    fn is_stopped(&self) -> bool {
        interrupt::raised()
    }
}
