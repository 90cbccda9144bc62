//! Drawing of synthetic rows: firing features, their magnitudes, and the sums of their directions.

use std::ops::Range;

use rarefy_kernels::sparse::decode_row;
use rayon::prelude::*;

use super::random::{self, add_noise};
use super::{Process, Truth, factors};
use crate::codes::Codes;

/// Number of rows of clusters drawn from one random generator. Changing it would change the rows of every seed. Blocks of
/// [`FactorSpec`](super::FactorSpec) are shorter, and a whole number of them fits one of these.
pub const BLOCK: usize = 2048;

/// Synthetic rows with their true codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Rows, `[n, d_in]`.
    pub x: Vec<f32>,
    /// Firing features of each row and their magnitudes, `[n, features]`.
    pub codes: Codes,
}

impl Truth {
    /// Number of rows that are drawn together.
    pub(crate) fn block_rows(&self) -> usize {
        match self.process {
            Process::Clusters(_) => BLOCK,
            Process::Factors(_) => factors::BLOCK,
        }
    }

    /// Draws a range of rows; the number of rows is unlimited.
    ///
    /// Rows are drawn in whole blocks of [`BLOCK`] rows or fewer, on all threads. Ranges that start and end at multiples of
    /// [`BLOCK`] draw no superfluous rows.
    ///
    /// # Example
    /// ```
    /// let truth = rarefy::synth::easy(7);
    /// let (all, some) = (truth.draw(0..3000), truth.draw(2000..3000));
    /// assert_eq!(all.x[2000 * 24..], some.x);
    /// assert_eq!(some.codes.rows(), 1000);
    /// ```
    pub fn draw(&self, rows: Range<usize>) -> Sample {
        let size = self.block_rows();
        let blocks = rows.start / size..rows.end.div_ceil(size);
        let drawn: Vec<Sample> = blocks
            .into_par_iter()
            .map(|number| {
                let block = self.block(number);
                let first = number * size;
                let wanted = rows.start.max(first)..rows.end.min(first + size);
                block.part(wanted.start - first..wanted.end - first)
            })
            .collect();
        let mut all = Sample {
            x: Vec::with_capacity(rows.len() * self.d_in()),
            codes: Codes::new(self.features()),
        };
        for sample in drawn {
            all.x.extend(sample.x);
            all.codes.append(sample.codes);
        }
        all
    }

    /// Draws a whole block.
    fn block(&self, number: usize) -> Sample {
        let mut rng = random::block(self.seed(), number);
        let codes = match &self.process {
            Process::Clusters(clusters) => clusters.codes(&mut rng),
            Process::Factors(factors) => factors.codes(number),
        };
        let d_in = self.d_in();
        let mut x = vec![0.0; codes.rows() * d_in];
        for (row, ends) in x.chunks_exact_mut(d_in).zip(codes.offsets.windows(2)) {
            let (indices, values) = (
                &codes.indices[ends[0]..ends[1]],
                &codes.values[ends[0]..ends[1]],
            );
            decode_row(row, &self.bias, &self.directions, indices, values);
        }
        if let Process::Clusters(clusters) = &self.process
            && clusters.spec.noise > 0.0
        {
            add_noise(&mut x, clusters.spec.noise, &mut rng);
        }
        Sample { x, codes }
    }
}

impl Sample {
    /// Sample of a range of the rows.
    fn part(self, rows: Range<usize>) -> Self {
        if rows.len() == self.codes.rows() {
            return self;
        }
        let d_in = self.x.len() / self.codes.rows();
        let offsets = &self.codes.offsets[rows.start..=rows.end];
        let entries = offsets[0]..offsets[rows.len()];
        Self {
            x: self.x[rows.start * d_in..rows.end * d_in].to_vec(),
            codes: Codes {
                offsets: offsets.iter().map(|o| o - entries.start).collect(),
                indices: self.codes.indices[entries.clone()].to_vec(),
                values: self.codes.values[entries].to_vec(),
                ..Codes::new(self.codes.d_sae)
            },
        }
    }
}
