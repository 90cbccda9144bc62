//! Parallel passes over rows whose results do not depend on the number of threads.
//!
//! The rows are split into chunks, and the chunks are dealt to lanes in turn. A lane is one sequential task: it
//! processes its chunks in order. The results of the lanes are combined in order. Chunk size and number of
//! lanes depend on the shapes only.

use rayon::prelude::*;

use super::Source;
use super::value::Value;
use crate::Result;

/// Size in bytes of the arrays of one chunk (rows, latents, slopes and derivatives), which should fit in a
/// core's own cache. Measured on Zen 4 (1 MiB of L2) at 784 -> 196, as share of the f32 peak: 79 % with 2 MiB
/// (243 rows), 76 % with 1 MiB, 70 % with 0.5 MiB, 72 % with 3 MiB. At 64 -> 25 the size hardly matters.
const CHUNK_BYTES: usize = 2 << 20;

/// Split of rows into chunks and lanes. Chunk c belongs to lane `c % lanes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunking {
    rows: usize,
    d_in: usize,
    /// Rows in a chunk; the last chunk may have fewer.
    chunk: usize,
    /// Number of chunks.
    pub(crate) chunks: usize,
    /// Number of lanes.
    pub(crate) lanes: usize,
}

impl Chunking {
    /// Split for rows of `d_in` values with `d_sae` latents each.
    pub(crate) fn new(rows: usize, d_in: usize, d_sae: usize) -> Self {
        let row_bytes = size_of::<f32>() * (2 * d_in + 3 * d_sae);
        let most = (CHUNK_BYTES / row_bytes).clamp(64, 2048);
        // Each lane holds a whole gradient, so 16 lanes are used only for many rows.
        let lanes = match rows.div_ceil(most) {
            0..=1 if rows < 256 => 1,
            0..64 => 8,
            _ => 16,
        };
        // Equal shares: every lane has the same number of chunks, every chunk the same number of rows.
        let chunk = rows
            .div_ceil(rows.div_ceil(most).next_multiple_of(lanes))
            .max(1);
        Self::of(rows, d_in, chunk, lanes)
    }

    /// Split into chunks of `chunk` rows and `lanes` lanes.
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

    /// Rows of a chunk: borrowed if the source is in memory, otherwise read into `buffer`.
    pub(crate) fn rows_of<'b, V: Value>(
        &self,
        chunk: usize,
        rows: &'b dyn Source,
        buffer: &'b mut Vec<V>,
    ) -> Result<&'b [V]> {
        let start = self.start(chunk);
        let count = self.chunk.min(self.rows - start);
        if let Some(all) = V::slice(rows) {
            return Ok(&all[start * self.d_in..][..count * self.d_in]);
        }
        buffer.resize(count * self.d_in, V::default());
        V::read(rows, start, buffer)?;
        Ok(buffer)
    }

    /// Calls `f` with the rows of each chunk, in order, on the current thread.
    pub(crate) fn visit(&self, rows: &dyn Source, f: &mut dyn FnMut(&[f32])) -> Result<()> {
        let mut buffer = Vec::new();
        for chunk in 0..self.chunks {
            f(self.rows_of(chunk, rows, &mut buffer)?);
        }
        Ok(())
    }
}

/// Runs `work(state, first_row, rows)` on every chunk, with one state per lane. Returns the states in the order
/// of the lanes.
///
/// # Errors
/// Error of the first lane that failed to read its rows.
pub(crate) fn fold<V: Value, T: Send>(
    rows: &dyn Source,
    d_sae: usize,
    make: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, usize, &[V]) + Sync,
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
    fn fold_visits_every_row_once() {
        for n in [1, 2, 63, 255, 256, 1000, 4097, 300_000] {
            let source = Memory::new("n", 1, (0..n).map(|i| i as f32).collect());
            let lanes = fold(
                &source,
                3,
                Vec::new,
                |seen: &mut Vec<usize>, start, rows: &[f32]| {
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
    fn lanes_have_equal_numbers_of_chunks() {
        let cut = Chunking::new(10_000, 784, 196);
        assert_eq!(cut.chunks % cut.lanes, 0, "{cut:?}");
    }
}
