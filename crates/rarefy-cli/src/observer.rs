//! Progress bar, records and checkpoints of a training run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar};
use rarefy::plan::Plan;
use rarefy::train::{Observer, Progress, State};
use rarefy::{Error, Result, atomic};
use rarefy_run::folder::Run;
use rarefy_run::records::{self, Record, every, to_line};

use crate::reading::{Reading, style};
use crate::{interrupt, output};

/// Time after which a checkpoint is written between two multiples of `train.checkpoint_every`.
const CHECKPOINT_TIME: Duration = Duration::from_secs(300);

/// A progress bar on stderr, records and checkpoints in the run folder.
pub struct Watcher<'a> {
    plan: &'a Plan,
    run: &'a Run,
    bar: ProgressBar,
    records: File,
    started: Instant,
    /// Time of the last checkpoint, or of the start.
    saved: Instant,
    rows_before: Option<u64>,
    /// The last step, if it has no record yet.
    unrecorded: Option<Record>,
    quiet: bool,
}

impl<'a> Watcher<'a> {
    /// Starts watching; `resumed_at` is the step of the checkpoint that training resumes from.
    /// The progress bar of the steps is above that of the passes over the data.
    pub fn new(
        plan: &'a Plan,
        run: &'a Run,
        resumed_at: usize,
        quiet: bool,
        reading: &Reading,
    ) -> Result<Self> {
        interrupt::watch();
        let path = run.metrics_path();
        let kept = match resumed_at {
            0 => Vec::new(),
            _ if path.exists() => records::read(&path)?,
            _ => {
                let path = path.display();
                output::note(&format!(
                    "warning: {path} is missing: the curves of the report begin at step {resumed_at}"
                ));
                Vec::new()
            }
        };
        // A finished run has a record of its last step, whatever the step's number. A run that is extended
        // beyond that step drops the record.
        let ended = resumed_at == plan.steps();
        let whole = |step: usize| step.is_multiple_of(every(plan)) || (ended && step == resumed_at);
        let lines: String = kept
            .iter()
            .filter(|r| r.step <= resumed_at && whole(r.step))
            .map(to_line)
            .collect();
        atomic::write(&path, |out| out.write_all(lines.as_bytes()))?;
        let records = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(Error::io(&path))?;

        let bar = ProgressBar::new(plan.steps() as u64).with_position(resumed_at as u64);
        let bar = reading.above(bar);
        bar.set_style(style("{bar:24} step {pos}/{len}  {msg}  {eta} left"));
        bar.tick();
        Ok(Self {
            plan,
            run,
            bar,
            records,
            started: Instant::now(),
            saved: Instant::now(),
            rows_before: None,
            unrecorded: None,
            quiet,
        })
    }

    /// Ends the progress bar; from then on Ctrl-C ends the program at once. A finished run gets a record of its
    /// last step.
    pub fn finish(&mut self, ended: bool) -> Result<()> {
        interrupt::release();
        self.bar.finish_and_clear();
        match self.unrecorded.take() {
            Some(record) if ended => self.record(&record),
            _ => Ok(()),
        }
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        self.records
            .write_all(to_line(record).as_bytes())
            .map_err(Error::io(self.run.metrics_path()))
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Observer for Watcher<'_> {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        let record = Record::of(progress);
        let before = *self.rows_before.get_or_insert(progress.rows_seen);
        let rate = (progress.rows_seen - before) as f64 / self.seconds().max(1e-9);
        self.bar.set_position(progress.step as u64);
        let sparse = progress.sparse.map_or_else(String::new, |s| {
            let (explained, dead) = (100.0 * s.explained_variance, 100.0 * s.dead_fraction);
            format!(
                "  {explained:.1} % explained  L0 {:.1}  {dead:.1} % dead",
                s.l0
            )
        });
        self.bar.set_message(format!(
            "loss {:.5}{sparse}  {} rows/s",
            record.loss,
            HumanCount(rate as u64)
        ));
        if progress.step.is_multiple_of(every(self.plan)) {
            self.unrecorded = None;
            self.record(&record)?;
        } else {
            self.unrecorded = Some(record);
        }
        Ok(())
    }

    fn message(&mut self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::note(text));
        }
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        self.records
            .sync_data()
            .map_err(Error::io(self.run.metrics_path()))?;
        state.save(&self.run.checkpoint_path(state.step), self.plan)?;
        self.saved = Instant::now();
        self.run.prune_checkpoints()
    }

    fn checkpoint_due(&self) -> bool {
        self.saved.elapsed() > CHECKPOINT_TIME
    }

    fn interrupted(&self) -> bool {
        interrupt::raised()
    }
}
