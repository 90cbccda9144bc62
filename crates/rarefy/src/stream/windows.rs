//! Batches from windows of rows in files: blocks in a seeded order, shuffled in memory, read ahead.

use std::ops::Range;
use std::thread::Scope;

use rand::seq::SliceRandom;

use super::ahead::{Ahead, Unneeded};
use super::order::{BLOCK, LANES, Order, Place, SPARE, Window, window_blocks};
use super::{BatchStream, Caller, generator};
use crate::data::{Memory, Source};
use crate::plan::Plan;
use crate::{Result, Rng};

/// Sizes that set the order of the rows.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    rows: usize,
    batch: usize,
    per_epoch: usize,
    /// Step behind the last one.
    end: usize,
    /// Blocks in the window of a lane.
    window: usize,
    seed: u64,
}

impl Sizes {
    fn order(&self, epoch: usize) -> Order {
        Order::new(self.rows, self.window, self.seed, epoch)
    }

    /// Place before a step of its epoch.
    fn place(&self, order: &Order, step: usize) -> Place {
        order.place(step % self.per_epoch * self.batch)
    }
}

/// Batches of a run.
pub(super) struct Windows {
    sizes: Sizes,
    ahead: Ahead,
    /// Next step.
    step: usize,
    place: Place,
    lanes: Vec<Lane>,
    batch: Memory,
}

/// Rows of a lane's window that are not used yet.
#[derive(Default)]
struct Lane {
    rows: Vec<f32>,
    /// Position of the next row's first value.
    next: usize,
}

impl Windows {
    /// Batches of a range of steps, counted from 0.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        plan: &Plan,
        data: &'scope dyn Source,
        steps: Range<usize>,
    ) -> Self {
        let (width, step) = (data.d_in(), steps.start);
        let sizes = Sizes {
            rows: data.rows(),
            batch: plan.batch(),
            per_epoch: plan.steps_per_epoch(),
            end: steps.end,
            window: window_blocks(plan.config().data.memory.bytes(), width),
            seed: plan.config().train.seed,
        };
        let mut reader = Reader::at(data, sizes, step);
        let fill = move |rows: &mut Vec<f32>, unneeded: &Unneeded| reader.fill(rows, unneeded);
        let order = sizes.order(step / sizes.per_epoch);
        let batch = vec![0.0; sizes.batch * width];
        Self {
            ahead: Ahead::start(scope, LANES + SPARE, fill),
            place: sizes.place(&order, step),
            step,
            sizes,
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
            batch: Memory::new("mini-batch", width, batch),
        }
    }

    /// Begins another epoch. The last rows of the windows stay unused.
    fn begin_epoch(&mut self) {
        let order = self.sizes.order(self.step / self.sizes.per_epoch);
        self.place = self.sizes.place(&order, self.step);
        for lane in &mut self.lanes {
            let Lane { rows, .. } = std::mem::take(lane);
            if rows.capacity() > 0 {
                self.ahead.give_back(rows);
            }
        }
    }
}

impl BatchStream for Windows {
    fn next(&mut self, caller: &mut dyn Caller) -> Result<&dyn Source> {
        if self.step > 0 && self.step.is_multiple_of(self.sizes.per_epoch) {
            self.begin_epoch();
        }
        let width = self.batch.d_in();
        for out in self.batch.values_mut().chunks_exact_mut(width) {
            let lane = &mut self.lanes[self.place.advance()];
            if lane.next == lane.rows.len() {
                let rows = self.ahead.next(caller)?;
                let used = std::mem::replace(lane, Lane { rows, next: 0 });
                if used.rows.capacity() > 0 {
                    self.ahead.give_back(used.rows);
                }
            }
            out.copy_from_slice(&lane.rows[lane.next..lane.next + width]);
            lane.next += width;
        }
        self.step += 1;
        Ok(&self.batch)
    }
}

/// Reader of the windows in the order in which the run needs them.
struct Reader<'a> {
    data: &'a dyn Source,
    sizes: Sizes,
    epoch: usize,
    order: Order,
    /// Windows of the epoch, the next one last.
    windows: Vec<Window>,
    block: Vec<f32>,
}

impl<'a> Reader<'a> {
    fn at(data: &'a dyn Source, sizes: Sizes, step: usize) -> Self {
        let epoch = step / sizes.per_epoch;
        let order = sizes.order(epoch);
        let mut reader = Self {
            data,
            sizes,
            epoch,
            windows: Vec::new(),
            order,
            block: Vec::new(),
        };
        reader.list(step);
        reader
    }

    /// Lists the windows of the epoch from a step on.
    fn list(&mut self, step: usize) {
        let Sizes {
            batch, per_epoch, ..
        } = self.sizes;
        let from = self.sizes.place(&self.order, step);
        let to = self.order.place(per_epoch * batch);
        self.windows = self.order.windows(&from, &to);
        self.windows.reverse();
    }

    /// Fills a buffer with the rows of the next window, shuffled; false behind the last one of the run.
    fn fill(&mut self, rows: &mut Vec<f32>, unneeded: &Unneeded) -> Result<bool> {
        let window = loop {
            if let Some(window) = self.windows.pop() {
                break window;
            }
            self.epoch += 1;
            let step = self.epoch * self.sizes.per_epoch;
            if step >= self.sizes.end {
                return Ok(false);
            }
            self.order = self.sizes.order(self.epoch);
            self.list(step);
        };
        self.read(&window, rows, unneeded)?;
        Ok(true)
    }

    /// Reads the blocks of a window, each row to its shuffled place.
    fn read(&mut self, window: &Window, rows: &mut Vec<f32>, unneeded: &Unneeded) -> Result<()> {
        let width = self.data.d_in();
        let Window {
            lane,
            ref blocks,
            used,
        } = *window;
        let ranges = blocks.clone().map(|block| self.order.rows_of(lane, block));
        let ranges: Vec<_> = ranges.collect();
        let count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let mut places: Vec<usize> = (0..count).collect();
        places.shuffle(&mut self.generator(window));
        if rows.capacity() == 0 {
            // The first windows of lanes are shorter than later ones, which come into the same buffers.
            let blocks = self.sizes.window.min(self.order.blocks_of(0));
            rows.reserve_exact(blocks * BLOCK * width);
        }
        rows.resize((count - used) * width, 0.0);
        let mut places = places.into_iter();
        for range in ranges {
            unneeded.check()?;
            self.block.resize(range.len() * width, 0.0);
            self.data.read(range.start, &mut self.block)?;
            for (row, place) in self.block.chunks_exact(width).zip(&mut places) {
                // The places before `used` were taken before the run was stopped.
                if let Some(place) = place.checked_sub(used) {
                    rows[place * width..][..width].copy_from_slice(row);
                }
            }
        }
        Ok(())
    }

    /// Generator of the shuffle of a window.
    fn generator(&self, window: &Window) -> Rng {
        let number = (window.blocks.start * LANES + window.lane) as u64;
        let seed = self.sizes.seed ^ (number + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
        generator(seed, self.epoch)
    }
}
