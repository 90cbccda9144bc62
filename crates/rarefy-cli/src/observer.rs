//! Progress bar, records and checkpoints of a training run.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar};
use rarefy::Result;
use rarefy::plan::Plan;
use rarefy::train::{Observer, Progress, State};
use rarefy_run::folder::Run;
use rarefy_run::records::Recorder;

use crate::reading::{Reading, style};
use crate::{interrupt, output};

/// Time after which a checkpoint is written between two multiples of `train.checkpoint_every`.
const CHECKPOINT_TIME: Duration = Duration::from_secs(300);

/// A progress bar on stderr, records and checkpoints in the run folder.
pub struct Watcher<'a> {
    plan: &'a Plan,
    run: &'a Run,
    bar: ProgressBar,
    recorder: Recorder,
    started: Instant,
    /// Time of the last checkpoint, or of the start.
    saved: Instant,
    rows_before: Option<u64>,
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
        if resumed_at > 0 && !path.exists() {
            let path = path.display();
            output::note(&format!(
                "warning: {path} is missing: the curves of the report begin at step {resumed_at}"
            ));
        }
        let recorder = Recorder::in_file(&path, plan, resumed_at)?;
        let bar = ProgressBar::new(plan.steps() as u64).with_position(resumed_at as u64);
        let bar = reading.above(bar);
        bar.set_style(style("{bar:24} step {pos}/{len}  {msg}  {eta} left"));
        bar.tick();
        Ok(Self {
            plan,
            run,
            bar,
            recorder,
            started: Instant::now(),
            saved: Instant::now(),
            rows_before: None,
            quiet,
        })
    }

    /// Ends the progress bar; from then on Ctrl-C ends the program at once. A finished run gets a record of its
    /// last step.
    pub fn finish(&mut self, ended: bool) -> Result<()> {
        interrupt::release();
        self.bar.finish_and_clear();
        if ended {
            self.recorder.finish()
        } else {
            Ok(())
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Observer for Watcher<'_> {
    fn step(&mut self, progress: &Progress) -> Result<()> {
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
            progress.parts.total(),
            HumanCount(rate as u64)
        ));
        self.recorder.step(progress)
    }

    fn message(&mut self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::note(text));
        }
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        self.recorder.sync()?;
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
