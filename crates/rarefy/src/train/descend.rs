//! What every run over mini-batches does, whatever a step is: rows, records, checkpoints, the end.

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::{Observer, Progress, State, after_step};
use crate::data::{Memory, Source};
use crate::plan::Plan;
use crate::{Result, Rng};

/// One step on some rows.
pub(super) type Advance<'a> =
    dyn FnMut(&mut State, &dyn Source, &mut dyn Observer) -> Result<Progress> + 'a;

/// Takes steps until they are done or the objective settles; the last state, and why it is that.
pub(super) fn descend(
    plan: &Plan,
    data: &dyn Source,
    mut state: State,
    observer: &mut dyn Observer,
    advance: &mut Advance,
) -> Result<(State, String)> {
    let mut batches = Batches::new(plan, data);
    while state.step < plan.steps {
        let rows = batches.at(state.step)?;
        let progress = advance(&mut state, rows, observer)?;
        observer.step(&progress)?;
        let epoch_ends = state.step.is_multiple_of(batches.per_epoch);
        if settled(plan, &mut state, progress.parts.total(), epoch_ends) {
            let reason = format!("converged after {} steps", state.step);
            return Ok((state, reason));
        }
        after_step(plan, &state, observer)?;
    }
    let reason = format!("all {} steps done", state.step);
    Ok((state, reason))
}

/// The learning rate of a step, counted from 0.
pub(super) fn rate(plan: &Plan, step: usize) -> f64 {
    plan.lr * plan.schedules.schedule.factor(step)
}

/// Whether an epoch's mean objective has fallen by less than the tolerance since the one before.
/// `state.recent` holds the sum over this epoch so far and, from the second on, the mean of the last.
fn settled(plan: &Plan, state: &mut State, objective: f64, epoch_ends: bool) -> bool {
    if state.recent.is_empty() {
        state.recent.push(0.0);
    }
    state.recent[0] += objective;
    if !epoch_ends {
        return false;
    }
    let mean = state.recent[0] / (plan.rows / plan.batch).max(1) as f64;
    let before = state.recent.get(1).copied();
    state.recent = vec![0.0, mean];
    plan.tolerance > 0.0
        && before.is_some_and(|before| before - mean <= plan.tolerance * mean.abs())
}

/// The rows of each step. An epoch visits `rows / batch` whole batches in an order drawn from
/// (seed, epoch) alone, so a resumed run needs no generator state; what is left over by an
/// epoch's order comes up in another.
struct Batches<'a> {
    data: &'a dyn Source,
    batch: usize,
    per_epoch: usize,
    seed: u64,
    shuffle: bool,
    epoch: Option<usize>,
    order: Vec<usize>,
    /// The rows of a step, where they are not all rows.
    gathered: Memory,
}

impl<'a> Batches<'a> {
    fn new(plan: &Plan, data: &'a dyn Source) -> Self {
        let row = plan.io.row_width();
        Self {
            data,
            batch: plan.batch,
            per_epoch: (plan.rows / plan.batch).max(1),
            seed: plan.config.train.seed,
            shuffle: plan.config.train.shuffle,
            epoch: None,
            order: Vec::new(),
            gathered: Memory::new("mini-batch", row, vec![0.0; plan.batch * row]),
        }
    }

    fn at(&mut self, step: usize) -> Result<&dyn Source> {
        if self.batch == self.data.rows() {
            return Ok(self.data);
        }
        let epoch = step / self.per_epoch;
        if self.epoch != Some(epoch) {
            self.order = (0..self.data.rows()).collect();
            if self.shuffle {
                self.order.shuffle(&mut generator(self.seed, epoch));
            }
            self.epoch = Some(epoch);
        }
        let first = step % self.per_epoch * self.batch;
        let rows = &self.order[first..first + self.batch];
        self.data.gather(rows, self.gathered.values_mut())?;
        Ok(&self.gathered)
    }
}

/// A generator for one epoch; the odd constant keeps (seed, epoch) pairs apart.
fn generator(seed: u64, epoch: usize) -> Rng {
    Rng::seed_from_u64(seed ^ (epoch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
