//! Order of rows that are shuffled in windows: which block, which lane, which row.
//!
//! ```text
//! rows      0 ... n-1, in blocks of 64 that follow each other
//! epoch     the blocks in an order drawn from (seed, epoch), dealt to 64 lanes in turn
//! window    consecutive blocks of a lane, whose rows are shuffled together
//! run       one row from each lane in turn; a lane without rows is passed over
//! ```
//!
//! All lanes together hold about `M` rows, as many as fit in the memory given. The first windows of the lanes have different lengths, so that the lanes
//! end their windows one after the other and few are read at a time. Each block is read once an epoch.
//!
//! # How near a full shuffle this is
//! Of the `b = 64` rows of a block, `b - 1` stand beside a row. In a batch of `n` rows, a row meets `(b - 1) (n - 64) / M` of them, where a full
//! shuffle of many rows has almost none. If rows of a block are alike, with a mean correlation of `rho`, the variance of a batch's mean is larger
//! by the factor `1 + rho (b - 1) (n - 64) / M`. The module `likeness` measures `rho (b - 1)`.

use std::ops::Range;

use rand::seq::SliceRandom;

use super::generator;

/// Rows of a block, which are read together. Larger blocks are read faster from a disk that seeks, and put more rows of one place into a batch.
pub(crate) const BLOCK: usize = 64;

/// Number of lanes.
pub(super) const LANES: usize = 64;

/// Buffers beside those of the lanes: one that is filled, and one that is full.
pub(super) const SPARE: usize = 2;

/// Blocks in the window of a lane, for rows of `width` values and this size in bytes of all windows.
pub(super) fn window_blocks(bytes: usize, width: usize) -> usize {
    let row = size_of::<f32>() * width;
    (bytes / row / BLOCK / (LANES + SPARE)).max(1)
}

/// Number of rows in all windows together.
pub(crate) fn window_rows(bytes: usize, width: usize) -> usize {
    LANES * BLOCK * window_blocks(bytes, width)
}

/// Order of an epoch.
pub(super) struct Order {
    rows: usize,
    /// Blocks in the window of a lane.
    window: usize,
    /// Block numbers in the order of the epoch. Lane `l` has those at `l`, `l + LANES` and so on.
    blocks: Vec<u32>,
}

/// Consecutive blocks of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) lane: usize,
    /// Positions among the blocks of the lane.
    pub(super) blocks: Range<usize>,
    /// Rows that were used before.
    pub(super) used: usize,
}

impl Order {
    /// Order of an epoch of `rows` rows.
    pub(super) fn new(rows: usize, window: usize, seed: u64, epoch: usize) -> Self {
        let count = rows.div_ceil(BLOCK);
        let count =
            u32::try_from(count).expect("fewer blocks than 2^32, as rows are fewer than 2^38");
        let mut blocks: Vec<u32> = (0..count).collect();
        blocks.shuffle(&mut generator(seed, epoch));
        Self {
            rows,
            window,
            blocks,
        }
    }

    /// Rows of a lane's block, as a range of all rows.
    pub(super) fn rows_of(&self, lane: usize, block: usize) -> Range<usize> {
        let first = self.blocks[lane + LANES * block] as usize * BLOCK;
        first..(first + BLOCK).min(self.rows)
    }

    /// Number of blocks of a lane.
    pub(super) fn blocks_of(&self, lane: usize) -> usize {
        self.blocks.len().saturating_sub(lane).div_ceil(LANES)
    }

    /// Number of rows of each lane.
    fn lengths(&self) -> [usize; LANES] {
        std::array::from_fn(|lane| {
            let blocks = 0..self.blocks_of(lane);
            blocks.map(|block| self.rows_of(lane, block).len()).sum()
        })
    }

    /// Place behind the first `rows` rows of the epoch.
    pub(super) fn place(&self, rows: usize) -> Place {
        let lengths = self.lengths();
        let all = lengths.iter().copied().min().unwrap_or(0);
        let rounds = all.min(rows / LANES);
        let mut place = Place {
            lengths,
            used: [rounds; LANES],
            lane: 0,
        };
        for _ in rounds * LANES..rows {
            place.advance();
        }
        place
    }

    /// Windows in the order in which a run needs them, from one place of the epoch to another.
    pub(super) fn windows(&self, from: &Place, to: &Place) -> Vec<Window> {
        let mut needed = Vec::new();
        for lane in 0..LANES {
            let (mut start, mut block) = (0, 0);
            // Lanes end their first windows one after the other.
            let mut length = (self.window * (lane + 1)).div_ceil(LANES);
            while block < self.blocks_of(lane) {
                let blocks = block..(block + length).min(self.blocks_of(lane));
                let rows: usize = blocks.clone().map(|b| self.rows_of(lane, b).len()).sum();
                let (begin, end) = (start, start + rows);
                if end > from.used[lane] && begin < to.used[lane] {
                    let used = from.used[lane].saturating_sub(begin);
                    let window = Window {
                        lane,
                        blocks: blocks.clone(),
                        used,
                    };
                    needed.push((begin + used, window));
                }
                (start, block, length) = (end, blocks.end, self.window);
            }
        }
        needed.sort_by_key(|(round, window)| (*round, window.lane));
        needed.into_iter().map(|(_, window)| window).collect()
    }
}

/// Number of rows that an epoch has used of each lane, and the lane of the next row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    lengths: [usize; LANES],
    pub(super) used: [usize; LANES],
    lane: usize,
}

impl Place {
    /// Lane of the next row, which counts as used from here on. A place behind the last row has no next row: the rows of an epoch
    /// are at least those of its batches.
    pub(super) fn advance(&mut self) -> usize {
        while self.used[self.lane] == self.lengths[self.lane] {
            self.lane = (self.lane + 1) % LANES;
        }
        let lane = self.lane;
        self.used[lane] += 1;
        self.lane = (lane + 1) % LANES;
        lane
    }
}
