//! Progress and messages of the members of a sweep.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

use indicatif::{HumanCount, ProgressBar};
use rarefy::train::Progress;
use rarefy::{Result, Trained, Trainer};
use rarefy_run::training::Listener;

use super::chosen::Chosen;
use super::log::Log;
use crate::cli::{self, TrainArgs};
use crate::reading::{Reading, style};
use crate::{interrupt, output};

/// Progress of all members, on one bar.
pub struct Board<'a> {
    quiet: bool,
    /// Seconds between lines of the log, which takes the place of the bar.
    log_every: Option<usize>,
    reading: &'a Reading,
    chosen: Option<Chosen>,
    pub bar: ProgressBar,
    /// Number of members that take steps.
    open: usize,
    /// Steps done by each member, and planned.
    steps: Vec<(usize, usize)>,
    /// Rows of all members in this call.
    rows: u64,
    rows_before: Vec<u64>,
    started: Instant,
    /// Texts that were told: all members say much the same.
    told: BTreeSet<String>,
}

impl<'a> Board<'a> {
    pub fn new(args: &TrainArgs, reading: &'a Reading, chosen: Chosen, members: usize) -> Self {
        Self {
            quiet: args.quiet,
            log_every: args.log_every,
            reading,
            chosen: Some(chosen),
            bar: ProgressBar::hidden(),
            open: 0,
            steps: vec![(0, 0); members],
            rows: 0,
            rows_before: vec![0; members],
            started: Instant::now(),
            told: BTreeSet::new(),
        }
    }

    fn say(&mut self, text: &str, say: impl FnOnce()) {
        if !self.quiet && self.told.insert(text.to_owned()) {
            self.bar.suspend(say);
        }
    }
}

/// Caller of a member.
pub struct Watcher<'a> {
    pub name: &'a str,
    pub at: usize,
    pub board: &'a RefCell<Board<'a>>,
    /// Lines in place of the bar.
    pub log: Option<Log>,
}

impl Listener for Watcher<'_> {
    fn note(&mut self, text: &str) {
        let line = format!("{}: {text}", self.name);
        self.board.borrow_mut().say(text, || output::note(&line));
    }

    fn warn(&mut self, text: &str) {
        let line = format!("{}: {text}", self.name);
        let warn = || output::warn(&line, &cli::named("train"));
        self.board.borrow_mut().say(text, warn);
    }

    fn begin(&mut self, trainer: &Trainer) {
        let board = &mut *self.board.borrow_mut();
        let plan = trainer.plan();
        if let Some(told) = board.chosen.take().and_then(|chosen| chosen.told(plan)) {
            board.say(&told, || output::note(&told));
        }
        board.steps[self.at] = (trainer.steps_done(), plan.steps());
        board.rows_before[self.at] = trainer.rows_seen();
        interrupt::watch();
        board.open += 1;
        (board.started, board.rows) = (Instant::now(), 0);
        if let Some(seconds) = board.log_every {
            let name = format!("{}: ", self.name);
            self.log = Some(Log::begin(name, seconds, board.steps[self.at]));
            return;
        }
        let all = board.steps.iter().map(|(_, planned)| *planned as u64).sum();
        if board.bar.is_hidden() && !board.quiet {
            board.bar = board.reading.above(ProgressBar::new(all));
            let looks = "{bar:24} {prefix}  step {pos}/{len}  {msg}  {eta} left";
            board.bar.set_style(style(looks));
        }
        board
            .bar
            .set_prefix(format!("{} models", board.steps.len()));
        board.bar.set_length(all);
    }

    fn step(&mut self, progress: &Progress) {
        let board = &mut *self.board.borrow_mut();
        let before = std::mem::replace(&mut board.rows_before[self.at], progress.rows_seen);
        board.rows += progress.rows_seen - before;
        board.steps[self.at].0 = progress.step;
        let done = board.steps.iter().map(|(done, _)| *done as u64).sum();
        let rate = board.rows as f64 / board.started.elapsed().as_secs_f64().max(1e-9);
        if let Some(log) = &mut self.log {
            log.step(progress, rate);
            return;
        }
        board.bar.set_position(done);
        board
            .bar
            .set_message(format!("{} rows/s", HumanCount(rate as u64)));
    }

    /// When the last run of a group ends, Ctrl-C ends the program at once again.
    fn end(&mut self, _: &Result<Trained>) {
        let mut board = self.board.borrow_mut();
        if let Some(mut log) = self.log.take() {
            log.end(|_| board.rows as f64 / board.started.elapsed().as_secs_f64().max(1e-9));
        }
        board.open -= 1;
        if board.open == 0 {
            interrupt::release();
        }
    }

    fn is_stopped(&self) -> bool {
        interrupt::raised()
    }
}
