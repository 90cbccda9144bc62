//! The loop over mini-batches: rows, records, checkpoints, the end.

use super::stepper::{Pool, Stepper};
use super::{Observer, State, after_step};
use crate::data::Source;
use crate::plan::Plan;
use crate::stream::{Caller, with_batches};
use crate::{Error, Result};

/// Takes steps until all planned steps are done or the objective settles; returns the reason for
/// the end.
pub(super) fn descend(
    plan: &Plan,
    data: &dyn Source,
    state: &mut State,
    stepper: &mut Stepper,
    observer: &mut dyn Observer,
) -> Result<String> {
    with_batches(plan, data, state.step, |batches| {
        while state.step < plan.steps() {
            let rows = batches.next(&mut Waiting(observer));
            if let Err(Error::Interrupted) = rows {
                observer.checkpoint(state)?;
            }
            let progress = stepper.step(plan, state, rows?, Pool::All(data), observer)?;
            observer.step(&progress)?;
            if stepper.converged() {
                return Ok(format!("converged after {} steps", state.step));
            }
            after_step(plan, state, observer)?;
        }
        Ok(format!("all {} steps done", state.step))
    })
}

/// The caller of a run, while the run waits for rows.
struct Waiting<'a>(&'a mut dyn Observer);

impl Caller for Waiting<'_> {
    fn waiting(&mut self, waits: bool) {
        self.0.waiting(waits);
    }

    fn is_stopped(&self) -> bool {
        self.0.interrupted()
    }
}
