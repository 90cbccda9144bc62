//! The end of a pushed run: calibration of a threshold, and the model.

use std::sync::Arc;

use super::{FINISHED, Trained, Trainer, check_width, nothing_pushed};
use crate::Result;
use crate::data::{Memory, Rows, Source, evenly_spaced_rows};
use crate::model::Model;
use crate::preprocess::{Pipeline, Prepared};
use crate::train::{self, Observer, Silent, conclude};
use crate::variants::Architecture;

impl Trainer {
    /// Ends training, at any step, and returns the model. The model of `batch-topk` and `matryoshka` keeps all
    /// pre-activations above one threshold. By default the threshold is calibrated here on a sample of the pushed rows,
    /// to a mean of `k` active latents in a row.
    ///
    /// # Errors
    /// [`Error::Conflict`](crate::Error::Conflict) before the first step, after a step that failed, and after an earlier `finish`; also if a
    /// threshold needs rows, and none were pushed or stored in the checkpoint of [`Trainer::resume`].
    pub fn finish(&mut self) -> Result<Model> {
        Ok(self.conclude(None, &mut Silent)?.model)
    }

    /// Ends training like [`Trainer::finish`], but calibrates the threshold of `batch-topk` and `matryoshka` on
    /// `held_out` instead of pushed rows. The threshold is the cut-off at inference: the model keeps pre-activations
    /// above. `held_out` has rows that were never trained on: raw for a trainer of
    /// [`Builder::stream`](crate::Builder::stream), preprocessed by the caller for one of [`Trainer::new`]. Other
    /// architectures have no such threshold and only check the rows.
    ///
    /// # Errors
    /// As [`Trainer::finish`]; [`Error::Shape`](crate::Error::Shape) for rows of another width; [`Error::Conflict`](crate::Error::Conflict) for fewer than 1 / k
    /// rows; errors of reading them. After an error of `held_out` the trainer is unchanged.
    pub fn finish_with<'a>(&mut self, held_out: impl Into<Rows<'a>>) -> Result<Model> {
        let held_out = held_out.into().check()?;
        let model = self.conclude(Some(held_out.source()), &mut Silent)?.model;
        Ok(model)
    }

    /// Model of the steps so far, as [`Trainer::finish`] or [`Trainer::finish_with`] would return it; training can go on.
    ///
    /// # Errors
    /// As [`Trainer::finish_with`].
    #[doc(hidden)]
    pub fn snapshot(&self, held_out: Option<&dyn Source>) -> Result<Model> {
        self.check_open()?;
        let mut copy = Self {
            plan: Arc::clone(&self.plan),
            prepare: self.prepare.clone(),
            image_shape: self.image_shape,
            state: self.state.clone(),
            stepper: None,
            ended: None,
        };
        Ok(copy.conclude(held_out, &mut Silent)?.model)
    }

    /// Ends training after a model was made by [`Trainer::snapshot`].
    #[doc(hidden)]
    pub fn close(&mut self) {
        self.state = None;
        self.stepper = None;
        self.ended = Some(FINISHED);
    }

    /// Ends a pushed run; `held_out` are rows as the caller pushes them. All that can be refused is refused before the
    /// state is taken.
    fn conclude(
        &mut self,
        held_out: Option<&dyn Source>,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        self.check_open()?;
        let held_out = held_out.map(|rows| self.sample(rows)).transpose()?;
        let plan = Arc::clone(&self.plan);
        let calibrates = match plan.architecture() {
            Architecture::Sparse(sparse) => sparse.threshold().is_some(),
            Architecture::Dense(_) => false,
        };
        let state = self.state.as_ref().filter(|state| state.step > 0);
        let state = state.ok_or_else(|| nothing_pushed("train"))?;
        if calibrates && held_out.is_none() && state.reservoir.is_none() {
            return Err(train::nothing_to_calibrate_on());
        }
        let (done, steps) = (self.steps_done(), plan.steps());
        let reason = if done == steps {
            format!("all {steps} steps done")
        } else {
            format!("ended by the caller after {done} of {steps} steps")
        };
        let mut state = self.state.take().expect("the state was looked at above");
        self.ended = Some(FINISHED);
        let recent = state.reservoir.take();
        let rows: (Option<&dyn Source>, _) = match (&held_out, &recent) {
            (Some(held_out), _) => (Some(held_out), "held-out"),
            (None, Some(recent)) => (Some(recent), "recent"),
            (None, None) => (None, "recent"),
        };
        let outcome = conclude(&plan, state, reason, rows, observer)?;
        self.model(outcome)
    }

    /// Held-out rows in memory, prepared, as many as a threshold is calibrated on.
    fn sample(&self, held_out: &dyn Source) -> Result<Memory> {
        let width = self.pushed_width();
        check_width("held-out rows", width, held_out.d_in())?;
        self.plan.check_holdout(held_out.rows())?;
        let identity = Pipeline::identity(width);
        let pipeline = self.prepare.as_ref().map_or(&identity, |p| &p.rows);
        let prepared = Prepared::new(held_out, pipeline);
        let rows = evenly_spaced_rows(&prepared, train::CALIBRATION_ROWS)?;
        Ok(Memory::new("held-out rows", prepared.d_in(), rows))
    }
}
