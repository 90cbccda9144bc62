//! The loop over mini-batches: rows, records, checkpoints, the end.

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::stepper::{Pool, Stepper};
use super::{Observer, State, after_step};
use crate::data::{Memory, Source};
use crate::plan::Plan;
use crate::{Result, Rng};

/// Takes steps until all planned steps are done or the objective settles; returns the reason for
/// the end.
pub(super) fn descend(
    plan: &Plan,
    data: &dyn Source,
    state: &mut State,
    stepper: &mut Stepper,
    observer: &mut dyn Observer,
) -> Result<String> {
    let mut batches = Batches::new(plan);
    while state.step < plan.steps() {
        let rows = batches.at(data, state.step)?;
        let progress = stepper.step(plan, state, rows, Pool::All(data), observer)?;
        observer.step(&progress)?;
        if stepper.converged() {
            return Ok(format!("converged after {} steps", state.step));
        }
        after_step(plan, state, observer)?;
    }
    Ok(format!("all {} steps done", state.step))
}

/// The rows of each step of a run over random-access data.
///
/// An epoch visits `rows / batch` whole batches in an order drawn from (seed, epoch) alone, so a
/// resumed run needs no generator state. Rows that are drawn come in their own order. The order of an epoch may end in a few unused rows; another epoch uses them.
///
/// # Example
/// The same batches, pushed by the caller, give the same weights as a run over all rows:
/// ```
/// use rarefy::train::Batches;
/// use rarefy::{config, data, plan::Plan};
/// let rows = data::Memory::new("three rows", 1, vec![0.0, 1.0, 2.0]);
/// let text = "[model]\nlatents = 2\n[train]\nsteps = 3\nbatch = 2\nshuffle = false";
/// let plan = Plan::new(&config::merge(&[text.parse().unwrap()])?, &data::survey(&rows)?)?;
/// let mut batches = Batches::new(&plan);
/// assert_eq!(batches.at(&rows, 0)?.as_slice(), Some(&[0.0, 1.0][..]));
/// assert_eq!(batches.at(&rows, 1)?.as_slice(), Some(&[0.0, 1.0][..])); // the next epoch
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct Batches {
    batch: usize,
    per_epoch: usize,
    seed: u64,
    shuffle: bool,
    epoch: Option<usize>,
    order: Vec<usize>,
    /// The rows of a step, where they are not all rows.
    gathered: Memory,
}

impl Batches {
    /// The batches of a plan, in its seeded order.
    pub fn new(plan: &Plan) -> Self {
        let row = plan.io().row_width();
        Self {
            batch: plan.batch(),
            per_epoch: plan.steps_per_epoch(),
            seed: plan.config().train.seed,
            shuffle: plan.config().train.shuffle,
            epoch: None,
            order: Vec::new(),
            gathered: Memory::new("mini-batch", row, vec![0.0; plan.batch() * row]),
        }
    }

    /// The rows of a step, counted from 0, of the plan's data.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub fn at<'b>(&'b mut self, data: &'b dyn Source, step: usize) -> Result<&'b dyn Source> {
        if self.batch == data.rows() {
            return Ok(data);
        }
        let first = step % self.per_epoch * self.batch;
        if data.is_drawn() {
            data.read(first, self.gathered.values_mut())?;
            return Ok(&self.gathered);
        }
        let epoch = step / self.per_epoch;
        if self.epoch != Some(epoch) {
            self.order = (0..data.rows()).collect();
            if self.shuffle {
                self.order.shuffle(&mut generator(self.seed, epoch));
            }
            self.epoch = Some(epoch);
        }
        let rows = &self.order[first..first + self.batch];
        data.gather(rows, self.gathered.values_mut())?;
        Ok(&self.gathered)
    }
}

/// A generator for one epoch; the odd constant keeps (seed, epoch) pairs apart.
fn generator(seed: u64, epoch: usize) -> Rng {
    Rng::seed_from_u64(seed ^ (epoch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
