//! Batches of a run over rows at hand, in a seeded order.
//!
//! | rows | order of an epoch |
//! |---|---|
//! | all of them in one batch | as they stand |
//! | in memory | a shuffle of all rows ([`Batches`]) |
//! | drawn when they are read, or with `train.shuffle = false` | as they stand, read ahead |
//! | in files, and more than fit in `data.memory` | blocks of 64 rows in a shuffled order, and the rows of many blocks shuffled in memory, read ahead (`windows`) |
//!
//! The order follows from the seed and the step alone, so that a resumed run needs no more than the number of its step. Rows are read ahead
//! on a thread of their own, which also prepares them; a run waits for its first rows, at the start of
//! an epoch, and if reading is slower than training.

mod ahead;
mod exact;
pub(crate) mod likeness;
mod order;
mod windows;

use std::ops::Range;
use std::thread;

use crate::Result;
use crate::data::Source;
use crate::plan::Plan;

pub use exact::Batches;
pub(crate) use order::{BLOCK, window_rows};

/// Batches that come one after the other.
pub(crate) trait BatchStream {
    /// Rows of the next step.
    ///
    /// # Errors
    /// Errors of reading them; [`Interrupted`](crate::Error::Interrupted) if the caller stops the run while it waits for them.
    fn next(&mut self, caller: &mut dyn Caller) -> Result<&dyn Source>;
}

/// Caller of a run, as far as waiting for rows goes.
pub(crate) trait Caller {
    /// The run waits for rows from here on (true), or goes on (false).
    fn waiting(&mut self, waits: bool);

    /// True if the run should stop.
    fn is_stopped(&self) -> bool;
}

/// True if the rows are shuffled in windows, because they lie in files and do not fit in memory.
pub(crate) fn is_windowed(plan: &Plan, data: &dyn Source) -> bool {
    let is_whole = plan.batch() == data.rows();
    let is_shuffled = plan.config().train.shuffle && !data.is_drawn();
    !is_whole && !data.is_in_memory() && is_shuffled
}

/// Calls `work` with the batches of a range of steps, counted from 0, in the order of a plan.
pub(crate) fn with_batches<T>(
    plan: &Plan,
    data: &dyn Source,
    steps: Range<usize>,
    work: impl FnOnce(&mut dyn BatchStream) -> Result<T>,
) -> Result<T> {
    if plan.batch() == data.rows() || data.is_in_memory() {
        let batches = Batches::new(plan);
        return work(&mut exact::InMemory::new(batches, data, steps.start));
    }
    thread::scope(|scope| {
        if is_windowed(plan, data) {
            work(&mut windows::Windows::start(scope, plan, data, steps))
        } else {
            work(&mut ahead::InOrder::start(scope, plan, data, steps))
        }
    })
}

/// A generator for one epoch; the odd constant keeps (seed, epoch) pairs apart.
fn generator(seed: u64, epoch: usize) -> crate::Rng {
    use rand::SeedableRng;
    crate::Rng::seed_from_u64(seed ^ (epoch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

#[cfg(test)]
mod tests;
