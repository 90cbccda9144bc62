//! Drawing of synthetic rows: firing features, their magnitudes, and the sums of their directions.

use std::ops::Range;

use rand::RngExt;
use rayon::prelude::*;

use super::Truth;
use super::random::{self, add_noise, magnitude, successes};
use crate::Rng;
use crate::codes::Codes;

/// Number of rows drawn from one random generator. Changing it would change the rows of every seed.
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
    /// Draws a range of rows; the number of rows is unlimited.
    ///
    /// Rows are drawn in whole blocks of [`BLOCK`] rows, on all threads. Ranges that start and end at multiples of
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
        let blocks = rows.start / BLOCK..rows.end.div_ceil(BLOCK);
        let drawn: Vec<Sample> = blocks
            .into_par_iter()
            .map(|number| {
                let block = self.block(number);
                let first = number * BLOCK;
                let wanted = rows.start.max(first)..rows.end.min(first + BLOCK);
                block.part(wanted.start - first..wanted.end - first)
            })
            .collect();
        let mut all = Sample {
            x: Vec::with_capacity(rows.len() * self.spec.d_in),
            codes: Codes::new(self.spec.features),
        };
        for sample in drawn {
            all.x.extend(sample.x);
            all.codes.append(sample.codes);
        }
        all
    }

    /// Draws a whole block. Changing the order of its random numbers would change the rows of every seed.
    fn block(&self, number: usize) -> Sample {
        let mut rng = random::block(self.spec.seed, number);
        let fired = self.fired(&mut rng);
        let codes = self.codes(&fired, &mut rng);
        let mut x = self.bias.repeat(BLOCK);
        let d_in = self.spec.d_in;
        for (row, ends) in x.chunks_exact_mut(d_in).zip(codes.offsets.windows(2)) {
            for at in ends[0]..ends[1] {
                let direction = self.direction(codes.indices[at] as usize);
                let value = codes.values[at];
                row.iter_mut()
                    .zip(direction)
                    .for_each(|(x, d)| *x += value * d);
            }
        }
        if self.spec.noise > 0.0 {
            add_noise(&mut x, self.spec.noise, &mut rng);
        }
        Sample { x, codes }
    }

    /// Draws the rows of a block in which each feature fires, `[features][rows]`.
    fn fired(&self, rng: &mut Rng) -> Vec<Vec<u32>> {
        let mut fired = vec![Vec::new(); self.spec.features];
        for group in self.structure.groups() {
            match group.as_slice() {
                &[f] => fired[f] = successes(self.probabilities()[f], BLOCK, rng),
                many => self.cluster(many, &mut fired, rng),
            }
        }
        let Some(hierarchy) = self.spec.hierarchy else {
            return fired;
        };
        let share = hierarchy.children / hierarchy.branch as f64;
        for parent in 0..self.spec.features {
            let children = self.structure.children(parent);
            let rows = std::mem::take(&mut fired[parent]);
            if hierarchy.exclusive && !children.is_empty() {
                for &row in &rows {
                    // Child j fires if the number is in the j-th interval of length `share` of [0, 1).
                    let child = (rng.random::<f64>() / share) as usize;
                    if child < children.len() {
                        fired[children.start + child].push(row);
                    }
                }
            } else {
                for child in children {
                    let some = successes(share, rows.len(), rng);
                    fired[child] = some.iter().map(|at| rows[*at as usize]).collect();
                }
            }
            fired[parent] = rows;
        }
        fired
    }

    /// Draws the firing of a cluster of correlated features.
    ///
    /// In each row the cluster has a shared number u, uniform on [0, 1). A feature fires if u < p. It uses the
    /// shared u with probability `sqrt(correlation)`, otherwise an independent one. Rows without firing cost
    /// nothing: the shared u is drawn only if it is below the largest p, an independent one only if it is below p.
    fn cluster(&self, members: &[usize], fired: &mut [Vec<u32>], rng: &mut Rng) {
        let asks = self.spec.correlation.sqrt();
        let p = |f: usize| self.probabilities()[f];
        let most = members.iter().fold(0.0, |most: f64, f| most.max(p(*f)));
        let shared: Vec<(u32, f64)> = successes(most, BLOCK, rng)
            .into_iter()
            .map(|row| (row, most * rng.random::<f64>()))
            .collect();
        for &f in members {
            let alone = (1.0 - asks) * p(f);
            let mut rows = successes(alone, BLOCK, rng);
            // Probability of using the shared number, given that the feature has not fired by an independent one.
            let asks = asks / (1.0 - alone);
            let asked = shared
                .iter()
                .filter(|(_, u)| rng.random::<f64>() < asks && *u < p(f));
            rows.extend(asked.map(|(row, _)| *row));
            rows.sort_unstable();
            rows.dedup();
            fired[f] = rows;
        }
    }

    /// Builds codes from the firing rows of each feature; magnitudes are drawn feature by feature.
    fn codes(&self, fired: &[Vec<u32>], rng: &mut Rng) -> Codes {
        let mut offsets = vec![0usize; BLOCK + 1];
        for row in fired.iter().flatten() {
            offsets[*row as usize + 1] += 1;
        }
        for row in 0..BLOCK {
            offsets[row + 1] += offsets[row];
        }
        let entries = offsets[BLOCK];
        let (mut indices, mut values) = (vec![0; entries], vec![0.0; entries]);
        let mut next = offsets.clone();
        for (f, rows) in fired.iter().enumerate() {
            for &row in rows {
                let at = &mut next[row as usize];
                indices[*at] = f as u32;
                values[*at] = magnitude(self.spec.magnitudes, rng);
                *at += 1;
            }
        }
        Codes {
            offsets,
            indices,
            values,
            ..Codes::new(self.spec.features)
        }
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
