//! Learning rate of a step, and convergence by the mean objective of an epoch.

use super::State;
use crate::plan::Plan;

/// Learning rate of a step, counted from 0.
pub(super) fn rate(plan: &Plan, step: usize) -> f64 {
    plan.lr() * plan.schedules().schedule.factor(step)
}

/// True if an epoch ends at this step and its mean objective fell by less than the tolerance since the epoch before.
///
/// `state.recent` holds the sum over this epoch so far and, from the second epoch on, the mean of the last one.
pub(super) fn settled(plan: &Plan, state: &mut State, objective: f64) -> bool {
    let per_epoch = plan.steps_per_epoch();
    if state.recent.is_empty() {
        state.recent.push(0.0);
    }
    state.recent[0] += objective;
    if !state.step.is_multiple_of(per_epoch) {
        return false;
    }
    let mean = state.recent[0] / per_epoch as f64;
    let before = state.recent.get(1).copied();
    state.recent = vec![0.0, mean];
    plan.tolerance() > 0.0
        && before.is_some_and(|before| before - mean <= plan.tolerance() * mean.abs())
}
