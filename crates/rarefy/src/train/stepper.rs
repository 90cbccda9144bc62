//! One step of a run on rows given by the caller, for any architecture.

use std::sync::Arc;

use super::epoch::settled;
use super::mini::{self, DensePass};
use super::pass::Pass;
use super::sparse::mask::Mask;
use super::sparse::step::Step;
use super::sparse::{self, resample};
use super::{Observer, Progress, State};
use crate::config::OptimizerKind;
use crate::data::Source;
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::Architecture;
use crate::{Error, Result};

/// Rows beside the batch that a step may read: for resampling and for the exact mean activation.
#[derive(Clone, Copy)]
pub(crate) enum Pool<'a> {
    /// All rows of the run.
    All(&'a dyn Source),
    /// A sample of the rows pushed so far, where one is kept.
    Recent(Option<&'a dyn Source>),
}

impl<'a> Pool<'a> {
    fn rows(self) -> Option<&'a dyn Source> {
        match self {
            Self::All(rows) => Some(rows),
            Self::Recent(rows) => rows,
        }
    }
}

/// Buffers of the engine that trains an architecture.
enum Engine {
    Dense(Box<DensePass>),
    Sparse(Box<Step>, Mask),
}

/// Steps of a run with their buffers, and the convergence test.
pub(crate) struct Stepper {
    engine: Engine,
    /// Rows of a batch that does not lie in memory.
    buffer: Vec<f32>,
    converged: bool,
}

impl Stepper {
    /// Buffers for the plan's architecture, starting from these parameters.
    ///
    /// # Errors
    /// [`Error::Conflict`] for L-BFGS, which has no step on a part of the rows.
    pub(crate) fn new(plan: &Plan, params: &Params) -> Result<Self> {
        if plan.optimizer() == OptimizerKind::Lbfgs {
            return Err(lbfgs_needs_all_rows());
        }
        let engine = match plan.architecture() {
            Architecture::Dense(variant) => {
                let pass = Pass::new(Arc::clone(variant), plan.io().d_in(), plan.d_sae());
                Engine::Dense(Box::new(pass))
            }
            Architecture::Sparse(sparse) => {
                let step = Step::new(sparse, plan.io(), plan.decoder_norm(), params);
                Engine::Sparse(Box::new(step), Mask::new(plan))
            }
        };
        Ok(Self {
            engine,
            buffer: Vec::new(),
            converged: false,
        })
    }

    /// One step on `rows`, then resampling, the audit at the end of an epoch and the convergence test.
    pub(crate) fn step(
        &mut self,
        plan: &Plan,
        state: &mut State,
        rows: &dyn Source,
        pool: Pool,
        observer: &mut dyn Observer,
    ) -> Result<Progress> {
        let progress = match (&mut self.engine, plan.architecture()) {
            (Engine::Dense(pass), Architecture::Dense(variant)) => {
                let progress = mini::step(plan, variant.as_ref(), rows, state, pass)?;
                if let Pool::All(data) = pool {
                    let at = (&*state, &progress);
                    mini::audit(plan, variant.as_ref(), data, at, pass, observer)?;
                }
                progress
            }
            (Engine::Sparse(step, mask), _) => {
                let x = in_memory(rows, &mut self.buffer)?;
                let progress = sparse::advance(plan, x, state, (&mut *step, mask))?;
                let revived = resample::resample(plan, pool.rows(), x, state, step)?;
                if revived > 0 {
                    let at = state.step;
                    observer.message(&format!("step {at}: {revived} silent latents resampled"));
                }
                progress
            }
            (Engine::Dense(_), Architecture::Sparse(_)) => {
                unreachable!("the engine was made for the plan's architecture")
            }
        };
        self.converged = settled(plan, state, progress.parts.total());
        Ok(progress)
    }

    /// True if the last step ended an epoch whose mean objective fell by less than the tolerance.
    pub(crate) fn converged(&self) -> bool {
        self.converged
    }
}

/// Error for a step of L-BFGS on a part of the rows.
pub(crate) fn lbfgs_needs_all_rows() -> Error {
    Error::Conflict(
        "`train.optimizer` lbfgs needs all rows in every step: train with `fit`, or set `train.optimizer` to adam and \
         `train.batch`"
            .into(),
    )
}

/// The rows as one slice, read into `buffer` where they do not lie in memory.
fn in_memory<'a>(rows: &'a dyn Source, buffer: &'a mut Vec<f32>) -> Result<&'a [f32]> {
    if let Some(x) = rows.as_slice() {
        return Ok(x);
    }
    buffer.resize(rows.rows() * rows.d_in(), 0.0);
    rows.read(0, buffer)?;
    Ok(buffer)
}
