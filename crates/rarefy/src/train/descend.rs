//! The loop over mini-batches, for one run or for several that share them: rows, records, checkpoints, the end.

use rayon::prelude::*;

use super::stepper::{Pool, Stepper};
use super::{Observer, Progress, State, after_step};
use crate::data::Source;
use crate::plan::Plan;
use crate::stream::{Caller, with_batches};
use crate::{Error, Result};

/// A run in progress.
pub(super) struct Descent<'a> {
    plan: &'a Plan,
    state: State,
    stepper: Stepper,
    /// Result of a step of which the observer was not told yet, and the messages of the step.
    news: Option<(Result<Progress>, Vec<String>)>,
    /// Reason for the end, or the error that ended the run.
    end: Option<Result<String>>,
}

impl<'a> Descent<'a> {
    /// A run that goes on from a state.
    pub(super) fn new(plan: &'a Plan, state: State) -> Result<Self> {
        let stepper = Stepper::new(plan, &state.params)?;
        let mut run = Self {
            plan,
            state,
            stepper,
            news: None,
            end: None,
        };
        run.end_if_done();
        Ok(run)
    }

    /// The state at the end, and the reason for the end.
    pub(super) fn ended(self) -> Result<(State, String)> {
        let end = self.end.expect("all runs have ended");
        Ok((self.state, end?))
    }

    /// Settings of the run.
    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    fn is_open(&self) -> bool {
        self.end.is_none()
    }

    fn end_if_done(&mut self) {
        if self.state.step >= self.plan.steps() {
            self.end = Some(Ok(format!("all {} steps done", self.state.step)));
        }
    }

    /// Takes one step.
    fn advance(&mut self, rows: &dyn Source, data: &dyn Source) {
        let mut said = Messages::default();
        let pool = Pool::All(data);
        let progress = self
            .stepper
            .step(self.plan, &mut self.state, rows, pool, &mut said);
        self.news = Some((progress, said.0));
    }

    /// Tells the observer of a step.
    fn tell(&mut self, observer: &mut dyn Observer) {
        let Some((progress, messages)) = self.news.take() else {
            return;
        };
        messages.iter().for_each(|text| observer.message(text));
        let told = progress.and_then(|progress| observer.step(&progress));
        if let Err(error) = told {
            self.end = Some(Err(error));
        } else if self.stepper.converged() {
            self.end = Some(Ok(format!("converged after {} steps", self.state.step)));
        } else if let Err(error) = after_step(self.plan, &self.state, observer) {
            self.end = Some(Err(error));
        } else {
            self.end_if_done();
        }
    }

    /// Ends the run because its rows cannot be read, or because the caller stops it while it waits for them.
    fn end_without_rows(&mut self, error: Error, observer: &mut dyn Observer) {
        let kept = match error {
            Error::Interrupted => observer.checkpoint(&self.state),
            _ => Ok(()),
        };
        self.end = Some(kept.and(Err(error)));
    }
}

/// Takes steps until all planned steps of each run are done or its objective settles. All runs have the same batches; a run that is ahead of the
/// others waits for them. An error ends its own run alone.
pub(super) fn descend(
    runs: &mut [Descent],
    data: &dyn Source,
    observers: &mut [&mut dyn Observer],
) {
    let open = || runs.iter().filter(|run| run.is_open());
    let Some(first) = open().map(|run| run.state.step).min() else {
        return;
    };
    let last = open().map(|run| run.plan.steps()).max().unwrap_or(first);
    let plan = runs[0].plan;
    let read = with_batches(plan, data, first..last, |batches| {
        for step in first..last {
            let mut due: Vec<&mut Descent> = runs
                .iter_mut()
                .filter(|run| run.is_open() && run.state.step == step)
                .collect();
            let mut waiting = Waiting(observers);
            // Runs that are ahead are not asked in their steps.
            if due.is_empty() && waiting.is_stopped() {
                return Err(Error::Interrupted);
            }
            let rows = batches.next(&mut waiting)?;
            match due.as_mut_slice() {
                [only] => only.advance(rows, data),
                several => several
                    .par_iter_mut()
                    .for_each(|run| run.advance(rows, data)),
            }
            for (run, observer) in runs.iter_mut().zip(observers.iter_mut()) {
                run.tell(*observer);
            }
            if !runs.iter().any(Descent::is_open) {
                break;
            }
        }
        Ok(())
    });
    let Err(error) = read else {
        return;
    };
    let again = error.repeated();
    let mut first = Some(error);
    for (run, observer) in runs.iter_mut().zip(observers) {
        if run.is_open() {
            let error = first.take().unwrap_or_else(|| again.repeated());
            run.end_without_rows(error, *observer);
        }
    }
}

/// Observer of a step, which keeps its messages.
#[derive(Default)]
struct Messages(Vec<String>);

impl Observer for Messages {
    fn message(&mut self, text: &str) {
        self.0.push(text.into());
    }
}

/// The callers of the runs, while these wait for rows.
struct Waiting<'a, 'o>(&'a mut [&'o mut dyn Observer]);

impl Caller for Waiting<'_, '_> {
    fn waiting(&mut self, waits: bool) {
        for observer in &mut *self.0 {
            observer.waiting(waits);
        }
    }

    fn is_stopped(&self) -> bool {
        self.0.iter().any(|observer| observer.interrupted())
    }
}
