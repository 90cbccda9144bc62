//! Codes, and what the decoder leaves over when it reads them.

use std::borrow::Cow;

use rarefy_kernels::encoder::column_sums;
use rarefy_kernels::sparse::{decode_row, residual_row};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

use super::grouped::{Grouped, OfLatent};
use crate::codes::Codes;
use crate::params::Params;
use crate::variants::Level;

/// Rows whose sums are added up together.
const ROWS: usize = 64;

/// Codes and what they leave over.
pub(super) struct Reading {
    pub(super) codes: Codes,
    /// Pre-activation of each entry.
    pub(super) pre: Vec<f32>,
    grouped: Grouped,
    levels: Vec<Level>,
    /// What each level leaves over of each row, `[n, levels, d_out]`; once [`Reading::weigh`] was called,
    /// what a latent of that level answers for: its own level's and all wider ones', weighted.
    pub(super) residual: Vec<f32>,
    /// By level: sum of the squares, and sums of the columns, of what is left.
    pub(super) left: Vec<Left>,
    /// Derivative of the loss by the residual, over the residual; 0 where the reading has no loss.
    pub(super) scale: f64,
}

/// Sums over what one level leaves over of all rows.
#[derive(Clone, Default)]
pub(super) struct Left {
    pub(super) square: f64,
    pub(super) columns: Vec<f64>,
}

impl Left {
    /// `sum_i |r_i - mean r|^2` over the n rows.
    pub(super) fn spread(&self, n: usize) -> f64 {
        let of_mean: f64 = self.columns.iter().map(|sum| sum * sum).sum();
        self.square - of_mean / n as f64
    }
}

impl Reading {
    pub(super) fn new(d_sae: usize, levels: Vec<Level>) -> Self {
        Self {
            codes: Codes::new(d_sae),
            pre: Vec::new(),
            grouped: Grouped::default(),
            levels,
            residual: Vec::new(),
            left: Vec::new(),
            scale: 0.0,
        }
    }

    /// One level of all latents.
    pub(super) fn plain(d_sae: usize) -> Self {
        let all = Level {
            end: d_sae,
            weight: 1.0,
        };
        Self::new(d_sae, vec![all])
    }

    /// Lets go of all entries.
    pub(super) fn clear(&mut self) {
        self.codes.clear();
        self.pre.clear();
        self.scale = 0.0;
    }

    /// To be called when the codes are complete.
    pub(super) fn group(&mut self) {
        self.grouped.fill(&self.codes, &self.pre);
    }

    pub(super) fn of(&self, latent: usize) -> OfLatent<'_> {
        self.grouped.of(latent)
    }

    /// The level that a latent belongs to.
    pub(super) fn level_of(&self, latent: usize) -> usize {
        self.levels.partition_point(|level| level.end <= latent)
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Which rows of [`Reading::residual`] hold what a latent's rows leave over, for a level.
    pub(super) fn places<'r>(&self, rows: &'r [u32], level: usize) -> Cow<'r, [u32]> {
        match self.levels.len() as u32 {
            1 => rows.into(),
            levels => rows.iter().map(|row| row * levels + level as u32).collect(),
        }
    }

    /// What the codes leave over of each row's `(x, base)`: of x, decoded on top of base.
    pub(super) fn leave<'b>(
        &mut self,
        params: &Params,
        row: impl Fn(usize) -> (&'b [f32], &'b [f32]) + Sync,
    ) {
        let (codes, levels, w_dec) = (&self.codes, &self.levels, params.get("w_dec"));
        let d_out = w_dec.len() / codes.d_sae;
        let wide = levels.len() * d_out;
        self.residual.resize(codes.rows() * wide, 0.0);
        let partial: Vec<Vec<Left>> = self
            .residual
            .par_chunks_mut(ROWS * wide)
            .enumerate()
            .map(|(chunk, residual)| {
                let mut left = vec![Left::zero(d_out); levels.len()];
                for (i, r) in residual.chunks_exact_mut(wide).enumerate() {
                    let at = chunk * ROWS + i;
                    read_row(r, row(at), w_dec, (codes, at), levels, &mut left);
                }
                if let [only] = left.as_mut_slice() {
                    column_sums(residual, &mut only.columns);
                } else {
                    for r in residual.chunks_exact(wide) {
                        for (left, r) in left.iter_mut().zip(r.chunks_exact(d_out)) {
                            column_sums(r, &mut left.columns);
                        }
                    }
                }
                left
            })
            .collect();
        self.left = vec![Left::zero(d_out); levels.len()];
        for part in &partial {
            self.left
                .iter_mut()
                .zip(part)
                .for_each(|(sum, part)| sum.add(part));
        }
    }

    /// The loss over its scale: `sum_l c_l sum_i |r_il|^2`.
    pub(super) fn weighted_square(&self) -> f64 {
        let parts = self.levels.iter().zip(&self.left);
        // A sum of nothing is -0.
        0.0 + parts
            .map(|(level, left)| level.weight * left.square)
            .sum::<f64>()
    }

    /// The columns of what all levels leave over, weighted and added up.
    pub(super) fn weighted_columns(&self) -> Vec<f64> {
        let d_out = self.left.first().map_or(0, |left| left.columns.len());
        let mut sums = vec![0.0; d_out];
        for (level, left) in self.levels.iter().zip(&self.left) {
            let columns = sums.iter_mut().zip(&left.columns);
            columns.for_each(|(sum, column)| *sum += level.weight * column);
        }
        sums
    }

    /// Makes of each level's residual what its latents answer for.
    pub(super) fn weigh(&mut self) {
        if let [Level { weight: 1.0, .. }] = self.levels.as_slice() {
            return;
        }
        let levels = &self.levels;
        let Some(d_out) = self.left.first().map(|left| left.columns.len()) else {
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

impl Left {
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

/// Decodes one row level by level, each on top of the one before.
fn read_row(
    r: &mut [f32],
    (x, base): (&[f32], &[f32]),
    w_dec: &[f32],
    (codes, row): (&Codes, usize),
    levels: &[Level],
    left: &mut [Left],
) {
    let entries = codes.offsets[row]..codes.offsets[row + 1];
    let (mut indices, mut values) = (&codes.indices[entries.clone()], &codes.values[entries]);
    let mut before: Option<&[f32]> = None;
    for ((r, level), left) in r.chunks_exact_mut(x.len()).zip(levels).zip(left) {
        let count = indices.partition_point(|&j| (j as usize) < level.end);
        let (here, further) = indices.split_at(count);
        let (worth, more) = values.split_at(count);
        left.square += match before {
            None => residual_row(r, x, base, w_dec, here, worth),
            Some(before) => {
                decode_row(r, before, w_dec, here, worth);
                dot(r, r)
            }
        };
        (indices, values, before) = (further, more, Some(&*r));
    }
}
