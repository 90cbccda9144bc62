//! Rows cut into chunks, chunks dealt to lanes: the unit of sharing that results do not depend on.
//!
//! A lane works through its chunks in order and lanes are put together in order. Chunk size and
//! number of lanes are functions of the shapes alone, so the number of threads changes nothing.

use rayon::prelude::*;

use super::Source;
use crate::Result;

/// A chunk's rows, latents, slopes and their derivatives should stay in a core's own cache.
/// Measured on Zen 4 (1 MiB of L2) at 784 -> 196, share of the f32 peak: 79 % with 2 MiB (243 rows),
/// 76 % with 1 MiB, 70 % with half of that; 72 % with 3 MiB. At 64 -> 25 it hardly matters.
const CHUNK_BYTES: usize = 2 << 20;

/// How rows are cut into chunks and dealt to lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunking {
    rows: usize,
    d_in: usize,
    chunk: usize,
    pub(crate) chunks: usize,
    pub(crate) lanes: usize,
}

impl Chunking {
    pub(crate) fn new(rows: usize, d_in: usize, d_sae: usize) -> Self {
        let row_bytes = size_of::<f32>() * (2 * d_in + 3 * d_sae);
        let most = (CHUNK_BYTES / row_bytes).clamp(64, 2048);
        // Each lane has a gradient of its own: more lanes serve more cores, where rows abound.
        let lanes = match rows.div_ceil(most) {
            0..=1 if rows < 256 => 1,
            0..64 => 8,
            _ => 16,
        };
        // Equal shares: as many chunks in every lane, as many rows in every chunk.
        let chunk = rows
            .div_ceil(rows.div_ceil(most).next_multiple_of(lanes))
            .max(1);
        Self::of(rows, d_in, chunk, lanes)
    }

    /// Chunks of so many rows, dealt to so many lanes.
    pub(crate) fn of(rows: usize, d_in: usize, chunk: usize, lanes: usize) -> Self {
        Self {
            rows,
            d_in,
            chunk,
            chunks: rows.div_ceil(chunk),
            lanes,
        }
    }

    /// First row of a chunk.
    pub(crate) fn start(&self, chunk: usize) -> usize {
        chunk * self.chunk
    }

    /// The rows of a chunk: borrowed where they lie in memory, else read into `buffer`.
    pub(crate) fn rows_of<'b>(
        &self,
        chunk: usize,
        rows: &'b dyn Source,
        buffer: &'b mut Vec<f32>,
    ) -> Result<&'b [f32]> {
        let start = self.start(chunk);
        let count = self.chunk.min(self.rows - start);
        if let Some(all) = rows.as_slice() {
            return Ok(&all[start * self.d_in..][..count * self.d_in]);
        }
        buffer.resize(count * self.d_in, 0.0);
        rows.read(start, buffer)?;
        Ok(buffer)
    }

    /// Calls `f` with every chunk's rows, in order, on this thread.
    pub(crate) fn visit(&self, rows: &dyn Source, f: &mut dyn FnMut(&[f32])) -> Result<()> {
        let mut buffer = Vec::new();
        for chunk in 0..self.chunks {
            f(self.rows_of(chunk, rows, &mut buffer)?);
        }
        Ok(())
    }
}

/// Runs `work(state, first row, rows)` on every chunk, one state a lane; returns the states in order.
///
/// # Errors
/// The first lane's error, if any.
pub(crate) fn fold<T: Send>(
    rows: &dyn Source,
    d_sae: usize,
    make: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, usize, &[f32]) + Sync,
) -> Result<Vec<T>> {
    let cut = Chunking::new(rows.rows(), rows.d_in(), d_sae);
    let lanes: Vec<Result<T>> = (0..cut.lanes)
        .into_par_iter()
        .map(|lane| {
            let (mut state, mut buffer) = (make(), Vec::new());
            for chunk in (lane..cut.chunks).step_by(cut.lanes) {
                work(
                    &mut state,
                    cut.start(chunk),
                    cut.rows_of(chunk, rows, &mut buffer)?,
                );
            }
            Ok(state)
        })
        .collect();
    lanes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    #[test]
    fn every_row_is_in_one_chunk_of_one_lane() {
        for n in [1, 2, 63, 255, 256, 1000, 4097, 300_000] {
            let source = Memory::new("n", 1, (0..n).map(|i| i as f32).collect());
            let lanes = fold(
                &source,
                3,
                Vec::new,
                |seen: &mut Vec<usize>, start, rows| {
                    assert_eq!(rows[0], start as f32);
                    seen.extend(rows.iter().map(|&v| v as usize));
                },
            );
            let mut all: Vec<usize> = lanes.unwrap().concat();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lanes_have_equal_shares() {
        let cut = Chunking::new(10_000, 784, 196);
        assert_eq!(cut.chunks % cut.lanes, 0, "{cut:?}");
    }
}
