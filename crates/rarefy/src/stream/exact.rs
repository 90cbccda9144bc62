//! Batches of rows in memory: each epoch is a shuffle of all rows.

use rand::seq::SliceRandom;

use super::{BatchStream, Caller, generator};
use crate::Result;
use crate::data::{Memory, Source};
use crate::plan::Plan;

/// The rows of each step of a run over random-access data.
///
/// An epoch visits `rows / batch` whole batches in an order drawn from (seed, epoch) alone, so a
/// resumed run needs no generator state. The order of an epoch may end in a few unused rows; another epoch uses them.
///
/// # Example
/// The same batches, pushed by the caller, give the same weights as a run over all rows:
/// ```
/// use rarefy::stream::Batches;
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

/// [`Batches`] of the steps one after the other.
pub(super) struct InMemory<'a> {
    batches: Batches,
    data: &'a dyn Source,
    step: usize,
}

impl<'a> InMemory<'a> {
    pub(super) fn new(batches: Batches, data: &'a dyn Source, step: usize) -> Self {
        Self {
            batches,
            data,
            step,
        }
    }
}

impl BatchStream for InMemory<'_> {
    fn next(&mut self, _: &mut dyn Caller) -> Result<&dyn Source> {
        self.step += 1;
        self.batches.at(self.data, self.step - 1)
    }
}
