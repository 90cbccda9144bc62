//! Reconstruction of a batch from codes, with the residuals of each level.

use std::borrow::Cow;

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::sparse::{decode_row, residual_row};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

use super::grouped::{Grouped, LatentEntries};
use crate::codes::Codes;
use crate::objective::{Level, ReconstructionError};
use crate::params::Params;

/// Number of rows of one partial sum.
const ROWS: usize = 64;

/// Codes of a batch and the residuals of their reconstruction.
pub(super) struct Reconstruction {
    pub(super) codes: Codes,
    /// Pre-activation of each entry.
    pub(super) pre: Vec<f32>,
    grouped: Grouped,
    levels: Vec<Level>,
    /// Residual `x_hat - x` of each level and row, `[n, levels, d_out]`. After [`Reconstruction::differentiate`]:
    /// weighted sum of the half derivatives of this level and all wider ones.
    pub(super) residual: Vec<f32>,
    /// Sums over the residuals of each level.
    pub(super) sums: Vec<ResidualSums>,
    /// Sum over rows and levels of the weighted errors.
    pub(super) error: f64,
    /// Derivative of the loss by `x_hat` over its half derivative; 0 for a reconstruction without loss.
    pub(super) scale: f64,
}

/// Sums over all rows of one level's residuals.
#[derive(Clone, Default)]
pub(super) struct ResidualSums {
    /// Sum of the squares.
    pub(super) square: f64,
    /// Sum of each column, `[d_out]`.
    pub(super) columns: Vec<f64>,
}

impl ResidualSums {
    /// `sum_i |r_i - mean r|^2` over the n rows.
    pub(super) fn spread(&self, n: usize) -> f64 {
        let of_mean: f64 = self.columns.iter().map(|sum| sum * sum).sum();
        self.square - of_mean / n as f64
    }
}

impl Reconstruction {
    pub(super) fn new(d_sae: usize, levels: Vec<Level>) -> Self {
        Self {
            codes: Codes::new(d_sae),
            pre: Vec::new(),
            grouped: Grouped::default(),
            levels,
            residual: Vec::new(),
            sums: Vec::new(),
            error: 0.0,
            scale: 0.0,
        }
    }

    /// Reconstruction with a single level of all latents.
    pub(super) fn single_level(d_sae: usize) -> Self {
        let all = Level {
            end: d_sae,
            weight: 1.0,
        };
        Self::new(d_sae, vec![all])
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        self.codes.clear();
        self.pre.clear();
        self.scale = 0.0;
        self.error = 0.0;
    }

    /// Sorts the entries by latent, once the codes are complete.
    pub(super) fn group(&mut self) {
        self.grouped.fill(&self.codes, &self.pre);
    }

    pub(super) fn of(&self, latent: usize) -> LatentEntries<'_> {
        self.grouped.of(latent)
    }

    /// Level that a latent belongs to.
    pub(super) fn level_of(&self, latent: usize) -> usize {
        self.levels.partition_point(|level| level.end <= latent)
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Rows of [`Reconstruction::residual`] that hold the residuals of a latent's rows at a level.
    pub(super) fn places<'r>(&self, rows: &'r [u32], level: usize) -> Cow<'r, [u32]> {
        match self.levels.len() as u32 {
            1 => rows.into(),
            levels => rows.iter().map(|row| row * levels + level as u32).collect(),
        }
    }

    /// Fills in the residuals of each row's `(x, base)`: of x, decoded on top of base.
    ///
    /// Reduction point: the sums over rows are partial sums over 64 rows each, added in order.
    pub(super) fn fill_residuals<'b>(
        &mut self,
        params: &Params,
        row: impl Fn(usize) -> (&'b [f32], &'b [f32]) + Sync,
    ) {
        let (codes, levels, w_dec) = (&self.codes, &self.levels, params.get("w_dec"));
        let d_out = w_dec.len() / codes.d_sae;
        let wide = levels.len() * d_out;
        self.residual.resize(codes.rows() * wide, 0.0);
        let partial: Vec<Vec<ResidualSums>> = self
            .residual
            .par_chunks_mut(ROWS * wide)
            .enumerate()
            .map(|(chunk, residual)| {
                let mut sums = vec![ResidualSums::zero(d_out); levels.len()];
                for (i, r) in residual.chunks_exact_mut(wide).enumerate() {
                    let at = chunk * ROWS + i;
                    reconstruct_row(r, row(at), w_dec, (codes, at), levels, &mut sums);
                }
                if let [only] = sums.as_mut_slice() {
                    column_sums(residual, &mut only.columns);
                } else {
                    for r in residual.chunks_exact(wide) {
                        for (sums, r) in sums.iter_mut().zip(r.chunks_exact(d_out)) {
                            column_sums(r, &mut sums.columns);
                        }
                    }
                }
                sums
            })
            .collect();
        self.sums = vec![ResidualSums::zero(d_out); levels.len()];
        for part in &partial {
            self.sums
                .iter_mut()
                .zip(part)
                .for_each(|(sum, part)| sum.add(part));
        }
        self.error = self.weighted_square();
    }

    /// Squared error `sum_l c_l sum_i |r_il|^2`.
    fn weighted_square(&self) -> f64 {
        let parts = self.levels.iter().zip(&self.sums);
        // A sum of nothing is -0.
        0.0 + parts
            .map(|(level, sums)| level.weight * sums.square)
            .sum::<f64>()
    }

    /// Column sums of the half derivatives, weighted and added up over the levels, `[d_out]`.
    pub(super) fn weighted_columns(&self) -> Vec<f64> {
        let d_out = self.sums.first().map_or(0, |sums| sums.columns.len());
        let mut sums = vec![0.0; d_out];
        for (level, of_level) in self.levels.iter().zip(&self.sums) {
            let columns = sums.iter_mut().zip(&of_level.columns);
            columns.for_each(|(sum, column)| *sum += level.weight * column);
        }
        sums
    }

    /// Turns residuals into half derivatives of the error by `x_hat`, and adds to each level those of all wider
    /// levels, because all of these levels read the latents of that level.
    pub(super) fn differentiate<'x>(
        &mut self,
        error: &dyn ReconstructionError,
        target: impl Fn(usize) -> &'x [f32] + Sync,
    ) {
        if !error.is_squared() {
            self.replace_residuals(error, target);
        }
        self.accumulate_levels();
    }

    /// Replaces residuals by half derivatives of an error that is not the squared one.
    ///
    /// Reduction point: error and column sums are partial sums over 64 rows each, added in order.
    fn replace_residuals<'x>(
        &mut self,
        error: &dyn ReconstructionError,
        target: impl Fn(usize) -> &'x [f32] + Sync,
    ) {
        let levels = &self.levels;
        let Some(d_out) = self.sums.first().map(|sums| sums.columns.len()) else {
            return;
        };
        let wide = levels.len() * d_out;
        let partial: Vec<(f64, Vec<Vec<f64>>)> = self
            .residual
            .par_chunks_mut(ROWS * wide)
            .enumerate()
            .map(|(chunk, residual)| {
                let (mut sum, mut columns) = (0.0, vec![vec![0.0; d_out]; levels.len()]);
                for (i, row) in residual.chunks_exact_mut(wide).enumerate() {
                    let x = target(chunk * ROWS + i);
                    let levels = row.chunks_exact_mut(d_out).zip(levels).zip(&mut columns);
                    for ((r, level), columns) in levels {
                        sum += level.weight * error.replace_residual(r, x);
                        column_sums(r, columns);
                    }
                }
                (sum, columns)
            })
            .collect();
        self.error = 0.0;
        self.sums.iter_mut().for_each(|sums| sums.columns.fill(0.0));
        for (sum, columns) in &partial {
            self.error += sum;
            for (sums, columns) in self.sums.iter_mut().zip(columns) {
                let pairs = sums.columns.iter_mut().zip(columns);
                pairs.for_each(|(sum, column)| *sum += column);
            }
        }
    }

    /// Squared error of each row with all latents.
    pub(super) fn row_errors(&self, d_out: usize) -> Vec<f64> {
        let rows = self.residual.chunks_exact(d_out * self.levels.len());
        rows.map(|levels| {
            let last = &levels[levels.len() - d_out..];
            dot(last, last)
        })
        .collect()
    }

    fn accumulate_levels(&mut self) {
        if let [Level { weight: 1.0, .. }] = self.levels.as_slice() {
            return;
        }
        let levels = &self.levels;
        let Some(d_out) = self.sums.first().map(|sums| sums.columns.len()) else {
            return;
        };
        self.residual
            .par_chunks_exact_mut(levels.len() * d_out)
            .for_each(|r| {
                let (mut rest, mut wider) = (r, None::<&mut [f32]>);
                for level in levels.iter().rev() {
                    let (before, here) = rest.split_at_mut(rest.len() - d_out);
                    let weight = level.weight as f32;
                    match &wider {
                        Some(wider) => {
                            let both = here.iter_mut().zip(wider.iter());
                            both.for_each(|(r, w)| *r = weight * *r + w);
                        }
                        None => here.iter_mut().for_each(|r| *r *= weight),
                    }
                    (rest, wider) = (before, Some(here));
                }
            });
    }
}

impl ResidualSums {
    fn zero(d_out: usize) -> Self {
        Self {
            square: 0.0,
            columns: vec![0.0; d_out],
        }
    }

    fn add(&mut self, other: &Self) {
        self.square += other.square;
        let columns = self.columns.iter_mut().zip(&other.columns);
        columns.for_each(|(sum, column)| *sum += column);
    }
}

/// Decodes one row level by level, each on top of the one before, and writes the residuals.
fn reconstruct_row(
    r: &mut [f32],
    (x, base): (&[f32], &[f32]),
    w_dec: &[f32],
    (codes, row): (&Codes, usize),
    levels: &[Level],
    sums: &mut [ResidualSums],
) {
    let entries = codes.offsets[row]..codes.offsets[row + 1];
    let (mut indices, mut values) = (&codes.indices[entries.clone()], &codes.values[entries]);
    let mut before: Option<&[f32]> = None;
    for ((r, level), sums) in r.chunks_exact_mut(x.len()).zip(levels).zip(sums) {
        let count = indices.partition_point(|&j| (j as usize) < level.end);
        let (here, further) = indices.split_at(count);
        let (taken, more) = values.split_at(count);
        sums.square += match before {
            None => residual_row(r, x, base, w_dec, here, taken),
            Some(before) => {
                decode_row(r, before, w_dec, here, taken);
                dot(r, r)
            }
        };
        (indices, values, before) = (further, more, Some(&*r));
    }
}
