//! Observer of a run: writes records and checkpoints, and tells the caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rarefy::plan::Plan;
use rarefy::train::{Observer, State};
use rarefy::{Progress, Result, Trained, Trainer};

use super::Listener;
use super::spikes::Spikes;
use crate::folder::Run;
use crate::records::Recorder;
use crate::timings::now;

/// Observer of the steps: records, checkpoints, and the caller.
pub(super) struct Observed<'a, 'l> {
    plan: Arc<Plan>,
    run: Option<&'a Run>,
    recorder: Recorder,
    spikes: Spikes,
    /// Time of the last checkpoint, or of the start.
    saved: Instant,
    /// Start of a wait for rows.
    waits_since: Option<Instant>,
    /// Time of all waits so far.
    pub(super) waited: Duration,
    listener: &'l mut dyn Listener,
}

impl<'a, 'l> Observed<'a, 'l> {
    pub(super) fn new(
        plan: &Arc<Plan>,
        run: Option<&'a Run>,
        recorder: Recorder,
        listener: &'l mut dyn Listener,
    ) -> Self {
        Self {
            plan: Arc::clone(plan),
            run,
            recorder,
            spikes: Spikes::default(),
            saved: now(),
            waits_since: None,
            waited: Duration::ZERO,
            listener,
        }
    }

    pub(super) fn begin(&mut self, trainer: &Trainer) {
        self.listener.begin(trainer);
        let first = trainer.steps_done();
        if first > 0 {
            self.message(&format!("continuing from step {first}"));
        }
    }

    /// Tells the caller that the steps ended; gives back the records.
    pub(super) fn end(self, result: Result<Trained>) -> Result<(Trained, Recorder)> {
        self.listener.end(&result);
        Ok((result?, self.recorder))
    }
}

impl Observer for Observed<'_, '_> {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self.listener.step(progress);
        if let Some(spike) = self.spikes.look(progress.step, progress.parts.total()) {
            self.listener.note(&spike);
        }
        self.recorder.step(progress)
    }

    fn message(&mut self, text: &str) {
        self.listener.note(text);
    }

    fn waiting(&mut self, waits: bool) {
        let since = std::mem::replace(&mut self.waits_since, waits.then(now));
        self.waited += since.map_or(Duration::ZERO, |since| since.elapsed());
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        let Some(run) = self.run else {
            return Ok(());
        };
        self.recorder.sync()?;
        state.save(&run.checkpoint_path(state.step), &self.plan)?;
        self.saved = now();
        let train = &self.plan.config().train;
        run.prune_checkpoints(train.keep_checkpoints, train.keep_every)
    }

    fn checkpoint_due(&self) -> bool {
        let minutes = self.plan.config().train.checkpoint_minutes;
        let passed = self.saved.elapsed().as_secs_f64() / 60.0;
        self.run.is_some() && minutes > 0.0 && passed > minutes
    }

    fn interrupted(&self) -> bool {
        self.listener.is_stopped()
    }
}
