//! Activations of all latents on a sample of rows, latent by latent.

use std::ops::Range;

use rayon::prelude::*;
use serde::Serialize;

use super::{Neighbour, TopRow, active_above, neighbours};
use crate::Result;
use crate::codes::Codes;
use crate::data::Source;
use crate::model::Model;

/// Largest number of rows in a sample.
const MOST_ROWS: usize = 100_000;
/// Largest number of activations that are kept, of 8 bytes each.
const MOST_ENTRIES: usize = 32_000_000;
/// Number of neighbouring rows that are read at a time.
const BLOCK: usize = 64;
/// Largest number of pairs of latents that are counted for [`Responses::together`].
const MOST_PAIRS: usize = 400_000_000;
/// Shares of a latent's active rows, the strongest first, after which examples are shown.
const QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];

/// Activations of all latents on some rows of a data set.
///
/// All rows are taken if there are at most 100,000, else blocks of 64 neighbouring rows at equal distances.
pub struct Responses {
    /// Numbers of the rows in the data set, rising.
    pub rows: Vec<usize>,
    /// First entry of each latent, `[d_sae + 1]`.
    starts: Vec<usize>,
    /// Row of each entry, as an index of `rows`; rising within a latent.
    entry_rows: Vec<u32>,
    /// Activation of each entry.
    values: Vec<f32>,
    /// Absolute value above which a latent counts as active.
    above: f32,
}

/// A row on which a latent is active.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Example {
    /// Number of the row in the data set, from 0.
    pub row: usize,
    /// Activation of the latent.
    pub activation: f32,
    /// Share of the latent's active rows that are stronger, in quarters: 0 for the strongest rows.
    pub quarter: u8,
}

/// Histogram of a latent's activations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub low: f32,
    /// Upper end of the last bin.
    pub high: f32,
    /// Number of rows in each of the equal bins.
    pub counts: Vec<u32>,
}

impl Responses {
    /// Encodes rows of a source.
    ///
    /// # Errors
    /// Errors of reading the rows.
    ///
    /// # Example
    /// ```
    /// use rarefy::latents::Responses;
    /// let digits = rarefy::data::open("sample:digits", &Default::default())?;
    /// let model = rarefy::topk(4).latents(32).steps(100).batch(128).fit(&digits)?;
    /// let responses = Responses::of(&model, digits.source.as_ref())?;
    /// let top = responses.examples(3, 5, 2);
    /// assert_eq!(responses.rows.len(), 1797); // all rows
    /// assert!(top[0].activation >= top[1].activation && top[0].quarter == 0);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn of(model: &Model, source: &dyn Source) -> Result<Self> {
        let mut gathering = Gathering::new(model, source)?;
        for range in gathering.wanted.clone() {
            let codes = model.encode_range(source, range.clone(), 0.0)?;
            gathering.add(range, &codes);
        }
        Ok(gathering.finish())
    }

    /// Number of latents.
    pub fn d_sae(&self) -> usize {
        self.starts.len() - 1
    }

    /// Rows of a latent, as indices of `rows`, with its activations.
    pub fn entries(&self, latent: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let range = self.starts[latent]..self.starts[latent + 1];
        let rows = self.entry_rows[range.clone()].iter();
        rows.zip(&self.values[range])
            .map(|(row, value)| (*row as usize, *value))
    }

    /// The `top` strongest rows of a latent, and `each` rows after a quarter, half and three quarters of its active
    /// rows. Rows go by absolute activation, the strongest first; ties go to lower rows.
    pub fn examples(&self, latent: usize, top: usize, each: usize) -> Vec<Example> {
        let mut order: Vec<(usize, f32)> = self.entries(latent).collect();
        order.sort_unstable_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        let active = order.partition_point(|(_, value)| value.abs() > self.above);
        let example = |at: usize, quarter: u8| {
            let (row, activation) = order[at];
            Example {
                row: self.rows[row],
                activation,
                quarter,
            }
        };
        let mut next = top.min(order.len());
        let mut examples: Vec<Example> = (0..next).map(|at| example(at, 0)).collect();
        for (quarter, share) in (1..).zip(QUANTILES) {
            let start = ((active as f64 * share) as usize).max(next);
            next = active.min(start + each).max(next);
            examples.extend((start..next).map(|at| example(at, quarter)));
        }
        examples
    }

    /// [`Responses::examples`] of all latents.
    pub fn all_examples(&self, top: usize, each: usize) -> Vec<Vec<Example>> {
        let latents = (0..self.d_sae()).into_par_iter();
        latents.map(|l| self.examples(l, top, each)).collect()
    }

    /// The `top` strongest rows of all latents.
    pub fn top_rows(&self, top: usize) -> Vec<Vec<TopRow>> {
        let top_row = |e: Example| TopRow {
            row: e.row,
            activation: e.activation,
        };
        let all = self.all_examples(top, 0).into_iter();
        all.map(|of| of.into_iter().map(top_row).collect())
            .collect()
    }

    /// Histogram of a latent's activations in `bins` equal bins from the smallest activation, or 0, to the largest, or 0.
    /// Rows without the latent are left out.
    pub fn histogram(&self, latent: usize, bins: usize) -> Histogram {
        let values = || self.entries(latent).map(|(_, value)| value);
        let (low, high) = (values().fold(0.0, f32::min), values().fold(0.0, f32::max));
        let mut counts = vec![0; bins];
        for value in values().filter(|_| high > low) {
            let bin = ((value - low) / (high - low) * bins as f32) as usize;
            counts[bin.min(bins - 1)] += 1;
        }
        Histogram { low, high, counts }
    }

    /// Mean activation of each latent on the rows of each class, `[d_sae][classes]`.
    ///
    /// `of_rows` holds the class of every row of the data set, below `classes`, or `None`.
    pub fn class_means(&self, of_rows: &[Option<u32>], classes: usize) -> Vec<Vec<f32>> {
        let of = |row: usize| of_rows[self.rows[row]];
        let mut counts = vec![0.0_f64; classes];
        (0..self.rows.len())
            .filter_map(of)
            .for_each(|class| counts[class as usize] += 1.0);
        let means = |latent| {
            let mut sums = vec![0.0_f64; classes];
            for (row, value) in self.entries(latent) {
                if let Some(class) = of(row) {
                    sums[class as usize] += f64::from(value);
                }
            }
            let means = sums.iter().zip(&counts);
            means
                .map(|(sum, count)| (sum / count.max(1.0)) as f32)
                .collect()
        };
        (0..self.d_sae()).into_par_iter().map(means).collect()
    }

    /// Correlation of each latent with a score over the rows that have one; 0 for a constant latent.
    pub fn correlations(&self, scores: &[Option<f64>]) -> Vec<f32> {
        let of = |row: usize| scores[self.rows[row]];
        let known: Vec<f64> = (0..self.rows.len()).filter_map(of).collect();
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n.max(1.0);
        let spread: f64 = known.iter().map(|y| (y - mean).powi(2)).sum();
        let correlation = |latent| {
            let (mut sum, mut squares, mut product) = (0.0, 0.0, 0.0);
            for (row, value) in self.entries(latent) {
                if let Some(score) = of(row) {
                    let value = f64::from(value);
                    sum += value;
                    squares += value * value;
                    product += value * (score - mean);
                }
            }
            let variance = (squares - sum * sum / n.max(1.0)) * spread;
            if variance > 0.0 {
                (product / variance.sqrt()) as f32
            } else {
                0.0
            }
        };
        (0..self.d_sae()).into_par_iter().map(correlation).collect()
    }

    /// The `count` latents that are most often active together with each latent.
    ///
    /// ```text
    /// similarity = |rows on which both are active| / |rows on which one is active|
    /// ```
    ///
    /// Of rows with many active latents, only every second, third, ... row is counted.
    pub fn together(&self, count: usize) -> Vec<Vec<Neighbour>> {
        let d_sae = self.d_sae();
        let mut of_rows: Vec<Vec<u32>> = vec![Vec::new(); self.rows.len()];
        for latent in 0..d_sae {
            for (row, _) in self.entries(latent).filter(|(_, v)| v.abs() > self.above) {
                of_rows[row].push(latent as u32);
            }
        }
        let pairs: usize = of_rows
            .iter()
            .map(|active| active.len() * active.len())
            .sum();
        let every = pairs.div_ceil(MOST_PAIRS).max(1);
        let mut active = vec![0_u32; d_sae];
        for latents in of_rows.iter().step_by(every) {
            latents.iter().for_each(|l| active[*l as usize] += 1);
        }
        let start = || (vec![0_u32; d_sae], Vec::new());
        let near = |(both, met): &mut (Vec<u32>, Vec<u32>), latent: usize| {
            met.drain(..).for_each(|other| both[other as usize] = 0);
            let own = self
                .entries(latent)
                .filter(|(row, value)| row.is_multiple_of(every) && value.abs() > self.above);
            for (row, _) in own {
                for &other in &of_rows[row] {
                    if both[other as usize] == 0 {
                        met.push(other);
                    }
                    both[other as usize] += 1;
                }
            }
            let similarity = |&other: &u32| {
                let shared = both[other as usize];
                let either = active[latent] + active[other as usize] - shared;
                (other as usize, shared as f32 / either as f32)
            };
            let others = met.iter().filter(|other| **other as usize != latent);
            neighbours::strongest(others.map(similarity), count)
        };
        (0..d_sae).into_par_iter().map_init(start, near).collect()
    }
}

/// Codes of some rows of a data set, which become [`Responses`].
pub(crate) struct Gathering {
    /// Ranges of rows that are gathered, rising; all others are left out.
    wanted: Vec<Range<usize>>,
    above: f32,
    d_sae: usize,
    /// Number of each row, and the end of its entries.
    rows: Vec<(usize, usize)>,
    latents: Vec<u32>,
    values: Vec<f32>,
}

impl Gathering {
    /// Chooses the rows, fewer if many latents are active on the first ones.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub(crate) fn new(model: &Model, source: &dyn Source) -> Result<Self> {
        let all = source.rows();
        let first = model.encode_range(source, 0..all.min(BLOCK), 0.0)?;
        let per_row = first.values.len().div_ceil(first.rows().max(1)).max(1);
        Ok(Self {
            wanted: ranges(all, MOST_ROWS.min(MOST_ENTRIES / per_row).max(BLOCK)),
            above: active_above(model),
            d_sae: model.d_sae(),
            rows: Vec::new(),
            latents: Vec::new(),
            values: Vec::new(),
        })
    }

    /// Takes the codes of rows with these numbers, if they are wanted. Each row is given at most once, in any order.
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = usize>, codes: &Codes) {
        for (row, ends) in rows.into_iter().zip(codes.offsets.windows(2)) {
            let range = self.wanted.partition_point(|range| range.end <= row);
            if self.wanted.get(range).is_none_or(|range| row < range.start) {
                continue;
            }
            for at in (ends[0]..ends[1]).filter(|at| codes.values[*at] != 0.0) {
                self.latents.push(codes.indices[at]);
                self.values.push(codes.values[at]);
            }
            self.rows.push((row, self.values.len()));
        }
    }

    /// The activations, latent by latent.
    pub(crate) fn finish(self) -> Responses {
        let mut starts = vec![0; self.d_sae + 1];
        let counted = self.latents.iter();
        counted.for_each(|latent| starts[*latent as usize + 1] += 1);
        (0..self.d_sae).for_each(|latent| starts[latent + 1] += starts[latent]);
        let firsts = std::iter::once(0).chain(self.rows.iter().map(|(_, end)| *end));
        let mut pieces: Vec<(usize, Range<usize>)> = firsts
            .zip(&self.rows)
            .map(|(first, &(row, end))| (row, first..end))
            .collect();
        pieces.sort_unstable_by_key(|(row, _)| *row);
        let mut next = starts.clone();
        let (mut entry_rows, mut values) =
            (vec![0; self.values.len()], vec![0.0; self.values.len()]);
        for (row, (_, entries)) in (0..).zip(&pieces) {
            for at in entries.clone() {
                let place = &mut next[self.latents[at] as usize];
                entry_rows[*place] = row;
                values[*place] = self.values[at];
                *place += 1;
            }
        }
        Responses {
            rows: pieces.into_iter().map(|(row, _)| row).collect(),
            starts,
            entry_rows,
            values,
            above: self.above,
        }
    }
}

/// Ranges of about `wanted` rows of `all`: one range, or blocks at equal distances.
fn ranges(all: usize, wanted: usize) -> Vec<Range<usize>> {
    let (blocks, every) = if all <= wanted {
        (all.div_ceil(super::ROWS), super::ROWS)
    } else {
        (wanted / BLOCK, BLOCK)
    };
    let block = |b: usize| {
        let start = if all <= wanted {
            b * every
        } else {
            b * (all - every) / (blocks - 1).max(1)
        };
        start..all.min(start + every)
    };
    (0..blocks).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latent 0 is active on rows 0 to 7 with activations 8 to 1, latent 1 on the even rows with -1, latent 2 on none.
    fn responses() -> Responses {
        let values = (1..=8).rev().map(|v| v as f32);
        Responses {
            rows: (0..8).map(|row| 10 * row).collect(),
            starts: vec![0, 8, 12, 12],
            entry_rows: (0..8).chain([0, 2, 4, 6]).collect(),
            values: values.chain([-1.0; 4]).collect(),
            above: 0.0,
        }
    }

    #[test]
    fn examples_are_the_strongest_rows_and_rows_of_each_quarter() {
        let examples = responses().examples(0, 2, 1);
        let found: Vec<(usize, f32, u8)> = examples
            .iter()
            .map(|e| (e.row, e.activation, e.quarter))
            .collect();
        assert_eq!(
            found,
            [
                (0, 8.0, 0),
                (10, 7.0, 0),
                (20, 6.0, 1),
                (40, 4.0, 2),
                (60, 2.0, 3)
            ]
        );
        // Few active rows are shown once, and a silent latent has none.
        assert_eq!(responses().examples(1, 3, 5).len(), 4);
        assert!(responses().examples(2, 3, 5).is_empty());
    }

    #[test]
    fn histogram_goes_from_zero_to_the_largest_activation() {
        assert_eq!(
            responses().histogram(0, 4),
            Histogram {
                low: 0.0,
                high: 8.0,
                counts: vec![1, 2, 2, 3]
            }
        );
        assert_eq!(
            responses().histogram(1, 2),
            Histogram {
                low: -1.0,
                high: 0.0,
                counts: vec![4, 0]
            }
        );
        assert_eq!(responses().histogram(2, 2).counts, [0, 0]);
    }

    #[test]
    fn means_of_classes_and_correlations_count_silent_rows_as_zeros() {
        let class = |row: usize| row.is_multiple_of(10).then_some(u32::from(row >= 40));
        let classes: Vec<Option<u32>> = (0..80).map(class).collect();
        let means = responses().class_means(&classes, 2);
        assert_eq!(means, [[6.5, 2.5], [-0.5, -0.5], [0.0, 0.0]]);
        // The score falls by 1 a row, as latent 0 does.
        let scores: Vec<Option<f64>> = (0..80).map(|row| Some(-f64::from(row))).collect();
        let correlations = responses().correlations(&scores);
        assert_eq!((correlations[0], correlations[2]), (1.0, 0.0));
        // Latent 1: values -1, 0, -1, 0, ... against 7, 5, 3, 1, -1, ...: -4 / sqrt(2 x 168).
        assert!((f64::from(correlations[1]) + 4.0 / (2.0_f64 * 168.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn latents_that_are_active_together_share_rows() {
        let together = responses().together(2);
        let found: Vec<(usize, f64)> = together[0]
            .iter()
            .map(|n| (n.latent, n.similarity))
            .collect();
        assert_eq!(found, [(1, 0.5)]);
        assert!(together[2].is_empty());
    }

    #[test]
    fn a_sample_has_blocks_at_equal_distances_and_its_ends() {
        assert_eq!(ranges(5000, 100_000), [0..4096, 4096..5000]);
        assert_eq!(ranges(1000, 192), [0..64, 468..532, 936..1000]);
        assert!(ranges(0, 10).is_empty());
    }
}
