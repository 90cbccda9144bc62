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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::data::{Memory, survey};

    /// True if a run with this tolerance settles at the end of its second epoch of four steps, with the same objective in
    /// all steps of an epoch. No other step may end it.
    fn settles(tolerance: f64, objectives: [f64; 2]) -> bool {
        let rows = Memory::new("rows", 2, (0..16).map(|i| (i as f32).sin()).collect());
        let text = format!(
            "[model]\narch = 'topk'\nlatents = 4\noptions = {{ k = 1 }}\n\
             [train]\nbatch = 2\nepochs = 9\ntolerance = {tolerance:?}"
        );
        let config = config::merge(&[text.parse().unwrap()]).unwrap();
        let plan = Plan::new(&config, &survey(&rows).unwrap()).unwrap();
        let mut state = State::new(&plan, &rows, None).unwrap();
        let mut last = false;
        for step in 1..=8 {
            assert!(!last, "settled before step {step}");
            state.step = step;
            last = settled(&plan, &mut state, objectives[(step - 1) / 4]);
        }
        last
    }

    #[test]
    fn run_settles_if_the_mean_objective_falls_by_at_most_the_tolerance() {
        // A fall of 1 is a tenth of 10.
        assert!(settles(0.125, [11.0, 10.0]));
        assert!(settles(0.1, [11.0, 10.0]));
        assert!(!settles(0.09, [11.0, 10.0]));
        assert!(settles(0.1, [9.0, 10.0]));
        assert!(settles(0.1, [-11.0, -11.5]));
        assert!(!settles(0.1, [-10.0, -11.5]));
        // Without a tolerance no run ends early, not even one that no longer falls.
        assert!(!settles(0.0, [10.0, 10.0]));
        assert!(!settles(0.0, [9.0, 10.0]));
    }
}
