//! Full batches: L-BFGS on the exact objective.

use rarefy_kernels::vector::dot;

use super::pass::{Form, Pass};
use super::{Observer, Optimizer, Outcome, Progress, State, after_step, finish, refuse_diverged};
use crate::data::Source;
use crate::optim::LbfgsStep;
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::{Parts, Variant};
use crate::{Error, Result};

/// Iterations over which the decrease is compared with the tolerance.
const WINDOW: usize = 5;

pub(super) fn train(
    plan: &Plan,
    variant: &dyn Variant,
    data: &dyn Source,
    mut state: State,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let mut objective = Objective::new(plan, variant, data, &state.params);
    let mut x = state.params.values().to_vec();
    let mut gradient = vec![0.0; x.len()];
    let mut value = objective.at(&x, &mut gradient)?;
    refuse_diverged(state.step, value, dot(&gradient, &gradient).sqrt())?;
    if state.recent.is_empty() {
        state.recent.push(value);
    }
    while state.step < plan.steps() {
        if converged(&state.recent, plan.tolerance()) {
            let reason = format!("converged after {} iterations", state.step);
            return finish(state, reason, observer);
        }
        let step = iterate(
            &mut state,
            &mut x,
            &mut value,
            &mut gradient,
            &mut objective,
            observer,
        )?;
        let LbfgsStep::Moved {
            evaluations,
            message,
        } = step
        else {
            let reason = format!(
                "no further decrease within f32 precision after {} iterations",
                state.step
            );
            return finish(state, reason, observer);
        };
        record(&mut state, evaluations * data.rows(), &x, value);
        if let Some(message) = message {
            observer.message(&format!("iteration {}: {message}", state.step));
        }
        let (parts, rho_hat_mean) = objective.accepted(value);
        observer.step(&Progress {
            step: state.step,
            steps: plan.steps(),
            rows_seen: state.rows_seen,
            parts,
            gradient_norm: dot(&gradient, &gradient).sqrt(),
            rho_hat_mean,
            sparse: None,
        })?;
        after_step(plan, &state, observer)?;
    }
    let reason = format!("all {} iterations done", state.step);
    finish(state, reason, observer)
}

/// Records an iteration that read `rows` rows and ended at `x`.
fn record(state: &mut State, rows: usize, x: &[f32], value: f64) {
    state.step += 1;
    state.rows_seen += rows as u64;
    state.params.values_mut().copy_from_slice(x);
    state.recent.push(value);
    if state.recent.len() > WINDOW + 1 {
        state.recent.remove(0);
    }
}

/// One iteration of L-BFGS. If the user stops between two evaluations (each may read data for minutes), the
/// checkpoint has the state before the iteration.
fn iterate(
    state: &mut State,
    x: &mut [f32],
    value: &mut f64,
    gradient: &mut [f32],
    objective: &mut Objective,
    observer: &mut dyn Observer,
) -> Result<LbfgsStep> {
    let Optimizer::Lbfgs(lbfgs) = &mut state.optimizer else {
        unreachable!("a state for L-BFGS was made or loaded by the plan")
    };
    objective.evaluated.clear();
    let step = lbfgs.step(x, value, gradient, &mut |x, gradient| {
        if observer.interrupted() {
            return Err(Error::Interrupted);
        }
        objective.at(x, gradient)
    });
    if let Err(Error::Interrupted) = &step {
        observer.checkpoint(state)?;
    }
    step
}

/// The objective over all rows as a function of the flat parameters.
struct Objective<'a> {
    variant: &'a dyn Variant,
    data: &'a dyn Source,
    pass: Pass<&'a dyn Variant>,
    form: Form,
    params: Params,
    /// Parts and mean activation at every point of one iteration's line search.
    evaluated: Vec<(Parts, Option<f64>)>,
}

impl<'a> Objective<'a> {
    fn new(plan: &Plan, variant: &'a dyn Variant, data: &'a dyn Source, params: &Params) -> Self {
        let pass = Pass::new(variant, plan.io().d_in(), plan.d_sae());
        let form = pass.form(data);
        Self {
            variant,
            data,
            pass,
            form,
            params: params.clone(),
            evaluated: Vec::new(),
        }
    }

    fn at(&mut self, x: &[f32], gradient: &mut [f32]) -> Result<f64> {
        self.params.values_mut().copy_from_slice(x);
        let mut mean = None;
        let variant = self.variant;
        let parts = self
            .pass
            .evaluate(&self.params, self.data, self.form, &mut |batch| {
                mean = variant.mean_activation(&batch);
                batch
            })?;
        gradient.copy_from_slice(self.pass.gradient().values());
        let total = parts.total();
        self.evaluated.push((parts, mean));
        Ok(total)
    }

    /// Loss parts and mean activation at the accepted point.
    fn accepted(&self, value: f64) -> (Parts, Option<f64>) {
        let found = self
            .evaluated
            .iter()
            .rev()
            .find(|(parts, _)| parts.total() == value);
        found
            .cloned()
            .expect("the accepted point was evaluated in this iteration")
    }
}

/// True if the objective fell by less than the tolerance over the window. The window is part of the state: a
/// resumed run must stop at the same iteration as an uninterrupted one.
fn converged(recent: &[f64], tolerance: f64) -> bool {
    let (Some(before), Some(value)) = (recent.first(), recent.last()) else {
        return false;
    };
    recent.len() > WINDOW && before - value <= tolerance * value.abs().max(f64::MIN_POSITIVE)
}
