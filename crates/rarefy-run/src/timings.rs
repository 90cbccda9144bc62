//! Time that the parts of a run take.

use std::time::Instant;

use serde::Serialize;

/// Seconds that the parts of a run took. Rows are opened before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Rows were read, held out, prepared and surveyed.
    pub preparation: f64,
    /// Initial weights were made, or a checkpoint was read.
    pub start: f64,
    /// Steps, with their checkpoints and the calibration of a threshold.
    pub steps: f64,
    /// Part of `steps` in which the run waited for rows to be read.
    pub waiting: f64,
    /// Records and the model were written.
    pub saving: f64,
    /// Training and held-out rows were encoded and decoded.
    pub evaluation: f64,
    /// The report and the figures were written.
    pub report: f64,
}

impl Timings {
    /// The parts up to the last step, which runs of a sweep have in common.
    #[must_use]
    pub fn without_ends(&self) -> Self {
        Self {
            saving: 0.0,
            evaluation: 0.0,
            report: 0.0,
            ..*self
        }
    }

    /// Adds the parts behind the last step of another run.
    pub fn add_ends(&mut self, other: &Self) {
        self.saving += other.saving;
        self.evaluation += other.evaluation;
        self.report += other.report;
    }

    /// Names of the parts and their seconds, in order.
    pub fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("reading and preparing rows", self.preparation),
            ("initial weights", self.start),
            ("steps", self.steps),
            ("saving the model", self.saving),
            ("evaluation", self.evaluation),
            ("report", self.report),
        ]
    }
}

/// Watch that is read between the parts.
pub(crate) struct Watch(Instant);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(now())
    }

    /// Seconds since the start, or since this was last called.
    pub(crate) fn lap(&mut self) -> f64 {
        let before = std::mem::replace(&mut self.0, now());
        self.0.duration_since(before).as_secs_f64()
    }
}

/// The clock, for checkpoints that are due and for timings.
#[expect(clippy::disallowed_methods, reason = "time changes no result")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
