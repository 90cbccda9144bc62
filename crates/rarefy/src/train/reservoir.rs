//! A sample of the rows that a caller pushed, in place of random access to all rows.

use rand::{RngExt, SeedableRng};

use crate::config::Recipe;
use crate::data::Source;
use crate::plan::Plan;
use crate::variants::Architecture;
use crate::{Result, Rng};

/// Seeded sample of recent rows, for resampling and threshold calibration in pushed mode.
///
/// The reservoir holds up to [`Reservoir::ROWS`] rows and up to [`Reservoir::BYTES`] bytes. Once it is
/// full, each further row replaces a row at a random place. A row that was pushed `t` rows ago is still
/// there with probability `(1 - 1/capacity)^t`, so the sample follows a stream whose rows change slowly.
/// The places depend on the seed and on the number of rows pushed before, so a resumed run draws the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservoir {
    width: usize,
    capacity: usize,
    seed: u64,
    /// Rows pushed so far.
    pushed: u64,
    rows: Vec<f32>,
}

impl Reservoir {
    /// Largest number of rows.
    pub const ROWS: usize = 1 << 15;
    /// Largest size in bytes.
    pub const BYTES: usize = 256 << 20;

    /// An empty reservoir of rows of `width` values.
    pub fn new(width: usize, seed: u64) -> Self {
        let capacity = (Self::BYTES / (size_of::<f32>() * width)).clamp(1, Self::ROWS);
        Self {
            width,
            capacity,
            seed,
            pushed: 0,
            rows: Vec::new(),
        }
    }

    /// A reservoir if the plan resamples from all rows or calibrates a threshold; else `None`.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let Architecture::Sparse(sparse) = plan.architecture() else {
            return None;
        };
        let train = &plan.config().train;
        let resamples = train.resample_every > 0 && train.resample == Recipe::Anthropic;
        let wanted = resamples || sparse.threshold().is_some();
        wanted.then(|| Self::new(plan.io().row_width(), train.seed))
    }

    /// The reservoir of a checkpoint; `None` if the values are not whole rows or too many.
    pub(crate) fn restored(&self, rows: Vec<f32>, pushed: u64) -> Option<Self> {
        let count = rows.len() / self.width;
        let fits = rows.len().is_multiple_of(self.width)
            && count <= self.capacity
            && count as u64 <= pushed;
        fits.then(|| Self {
            pushed,
            rows,
            ..self.clone()
        })
    }

    /// The rows, `[n, width]`.
    pub fn values(&self) -> &[f32] {
        &self.rows
    }

    /// Rows pushed so far.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Adds whole rows.
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Source;
    /// use rarefy::train::Reservoir;
    /// let mut reservoir = Reservoir::new(2, 0);
    /// reservoir.push(&[1.0, 2.0, 3.0, 4.0]);
    /// assert_eq!((reservoir.rows(), reservoir.pushed()), (2, 2));
    /// ```
    pub fn push(&mut self, rows: &[f32]) {
        let seed = self.seed ^ (self.pushed + 1).wrapping_mul(0xA076_1D64_78BD_642F);
        let mut rng = Rng::seed_from_u64(seed);
        for row in rows.chunks_exact(self.width) {
            if self.rows.len() < self.capacity * self.width {
                self.rows.extend_from_slice(row);
            } else {
                let at = rng.random_range(0..self.capacity) * self.width;
                self.rows[at..at + self.width].copy_from_slice(row);
            }
            self.pushed += 1;
        }
    }
}

impl Source for Reservoir {
    fn name(&self) -> &'static str {
        "recent rows"
    }

    fn rows(&self) -> usize {
        self.rows.len() / self.width
    }

    fn d_in(&self) -> usize {
        self.width
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.rows[start * self.width..][..out.len()]);
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        Some(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_reservoir_replaces_rows_and_keeps_its_size() {
        let mut reservoir = Reservoir::new(2, 7);
        reservoir.capacity = 8;
        (0..40).for_each(|value| reservoir.push(&[value as f32, 0.5]));
        assert_eq!((reservoir.rows(), reservoir.pushed()), (8, 40));
        let rows = reservoir.values().chunks_exact(2);
        let mut kept: Vec<u32> = rows.map(|row| row[0] as u32).collect();
        kept.sort_unstable();
        kept.dedup();
        // Each row is there at most once, and rows behind the first eight have come in.
        assert_eq!(kept.len(), 8);
        assert!(
            kept.iter().filter(|value| **value >= 8).count() >= 5,
            "{kept:?}"
        );
    }

    #[test]
    fn saved_reservoir_continues_equal() {
        let batch = |from: usize| -> Vec<f32> { (from..from + 3000).map(|v| v as f32).collect() };
        let mut whole = Reservoir::new(1, 3);
        (0..20).for_each(|i| whole.push(&batch(3000 * i)));
        let mut first = Reservoir::new(1, 3);
        (0..13).for_each(|i| first.push(&batch(3000 * i)));
        let mut second = Reservoir::new(1, 3)
            .restored(first.values().to_vec(), first.pushed())
            .unwrap();
        (13..20).for_each(|i| second.push(&batch(3000 * i)));
        assert_eq!(second, whole);
        assert_eq!(whole.rows(), Reservoir::ROWS);
    }

    #[test]
    fn reservoir_is_a_source_of_its_rows() {
        let mut reservoir = Reservoir::new(2, 0);
        reservoir.push(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(reservoir.as_slice(), Some(&[1.0, 2.0, 3.0, 4.0][..]));
        assert_eq!((reservoir.name(), reservoir.d_in()), ("recent rows", 2));
        let mut second = [0.0; 2];
        reservoir.read(1, &mut second).unwrap();
        assert_eq!(second, [3.0, 4.0]);
    }

    #[test]
    fn reservoir_of_a_damaged_checkpoint_is_refused() {
        let mut empty = Reservoir::new(3, 0);
        empty.capacity = 4;
        let restored = |values: usize, pushed| empty.restored(vec![0.0; values], pushed);
        assert_eq!(restored(12, 4).unwrap().rows(), 4);
        assert!(restored(11, 9).is_none(), "part of a row");
        assert!(restored(15, 9).is_none(), "more rows than fit");
        assert!(restored(9, 2).is_none(), "more rows than were pushed");
    }

    #[test]
    fn places_depend_on_the_rows_pushed_before() {
        let places = |before: usize| {
            let mut reservoir = Reservoir::new(1, 5);
            reservoir.capacity = 64;
            reservoir.push(&vec![0.0; 64 + before]);
            reservoir.push(&[1.0; 16]);
            let new = reservoir.values().iter().map(|value| *value == 1.0);
            new.collect::<Vec<bool>>()
        };
        assert_eq!(places(3), places(3));
        // Recorded: a stream of these rows keeps the same ones in every version.
        let kept: Vec<usize> = (0..64).filter(|at| places(3)[*at]).collect();
        assert_eq!(
            kept,
            [1, 3, 6, 7, 10, 16, 22, 32, 33, 35, 40, 42, 46, 51, 56]
        );
        let different: Vec<_> = (0..6).map(places).collect();
        assert!(different.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
