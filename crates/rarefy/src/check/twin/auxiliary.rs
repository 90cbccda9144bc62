//! Auxiliary loss of dead latents in the f64 twin.

use super::Problem;
use super::weights::Weights;
use crate::objective::{AuxUnit, Dual, Rank, TwinBatch, TwinEntry};

/// Auxiliary loss of one level: dead latents of each row, residuals, and factor of the squared error.
pub(super) struct Helping {
    entries: Vec<Vec<usize>>,
    left: Vec<Vec<f64>>,
    share: f64,
}

impl Problem<'_> {
    /// Auxiliary loss of each level that has one.
    pub(super) fn helpers(&self, weights: &Weights, pre: &[Vec<f64>]) -> Vec<Helping> {
        let aux = self.objective.aux_k();
        let levels = self.objective.levels(self.d_sae);
        let chosen: Vec<usize> = if aux.by_level {
            (0..levels.len()).collect()
        } else {
            vec![levels.len() - 1]
        };
        let batch = self.batch(weights);
        let most = aux.most(self.io.d_in());
        let mut first = 0;
        let mut all = Vec::new();
        for level in chosen {
            let end = levels[level].end;
            let dead: Vec<usize> = (first..end).filter(|&j| self.dead[j]).collect();
            first = end;
            let left: Vec<Vec<f64>> = (0..self.n)
                .map(|i| {
                    let out = self.decoded(weights, &batch.rows[i], end, Some(i));
                    let pairs = self.target(i).iter().zip(out);
                    pairs.map(|(x, out)| x - out.value).collect()
                })
                .collect();
            let entries = (0..self.n).map(|i| {
                let mut order = dead.clone();
                let size = |j: usize| match aux.rank {
                    Rank::Magnitude => pre[i][j].abs(),
                    Rank::Positive | Rank::Signed => pre[i][j],
                };
                if aux.rank == Rank::Positive {
                    order.retain(|&j| pre[i][j] > 0.0);
                }
                order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
                order.truncate(most);
                order
            });
            let entries = entries.collect();
            let unit = match aux.unit {
                AuxUnit::Residual => spread(&left),
                AuxUnit::Absolute => self.n as f64 / (dead.len() as f64 / most as f64).min(1.0),
            };
            let share = if dead.is_empty() {
                0.0
            } else {
                aux.coefficient / unit
            };
            all.push(Helping {
                entries,
                left,
                share,
            });
        }
        all
    }

    /// Auxiliary loss of row i at one level.
    pub(super) fn auxiliary(
        &self,
        weights: &Weights,
        batch: &TwinBatch,
        helping: &Helping,
        i: usize,
    ) -> Dual {
        let entries: Vec<TwinEntry> = helping.entries[i]
            .iter()
            .map(|&latent| TwinEntry {
                latent,
                pre: batch.pre[i][latent],
                held_pre: self.held_pre[i][latent],
                value: batch.pre[i][latent],
                step: Dual::constant(1.0),
            })
            .collect();
        let out = self.decoded(weights, &entries, self.d_sae, None);
        let left = &helping.left[i];
        let square: Dual = (0..self.d_out)
            .map(|t| (Dual::from(left[t]) - out[t]).square())
            .sum();
        square * helping.share
    }
}

/// `sum_i |r_i - mean r|^2`.
fn spread(rows: &[Vec<f64>]) -> f64 {
    let n = rows.len() as f64;
    let columns = 0..rows.first().map_or(0, Vec::len);
    columns
        .map(|t| {
            let mean = rows.iter().map(|row| row[t]).sum::<f64>() / n;
            rows.iter().map(|row| (row[t] - mean).powi(2)).sum::<f64>()
        })
        .sum()
}
