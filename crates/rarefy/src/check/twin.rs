//! The sparse objective in f64, written from its formulas with plain loops: the oracle.
//!
//! Which latents a row keeps is found once; between two such sets the objective jumps, within one it
//! is smooth, and that is where a gradient belongs to.

#![allow(
    clippy::needless_range_loop,
    reason = "the loops run over the indices of the written sums"
)]

use crate::engine::{Objective, Selection};

/// Parameters or their gradient, row j of a matrix for latent j.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights {
    pub(super) d_in: usize,
    /// `[d_sae, d_in]`.
    pub(super) w_enc: Vec<f64>,
    /// `[d_sae]`.
    pub(super) b_enc: Vec<f64>,
    /// `[d_sae, d_in]`.
    pub(super) w_dec: Vec<f64>,
    /// `[d_in]`.
    pub(super) b_dec: Vec<f64>,
}

impl Weights {
    /// All values in memory order.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let blocks = [&self.w_enc, &self.b_enc, &self.w_dec, &self.b_dec];
        blocks.into_iter().flatten().copied()
    }

    /// All values in memory order, to change.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        self.w_enc
            .iter_mut()
            .chain(&mut self.b_enc)
            .chain(&mut self.w_dec)
            .chain(&mut self.b_dec)
    }

    fn zeros_like(other: &Self) -> Self {
        let mut zeros = other.clone();
        zeros.values_mut().for_each(|v| *v = 0.0);
        zeros
    }

    fn d_sae(&self) -> usize {
        self.b_enc.len()
    }

    /// `w_enc[j] (x - b_dec) + b_enc[j]`.
    fn pre(&self, x: &[f64], j: usize) -> f64 {
        let mut pre = self.b_enc[j];
        for t in 0..self.d_in {
            pre += self.w_enc[j * self.d_in + t] * (x[t] - self.b_dec[t]);
        }
        pre
    }

    /// What the latents of a row decode to, without `b_dec`.
    fn decoded(&self, x: &[f64], latents: &[usize]) -> Vec<f64> {
        let mut sum = vec![0.0; self.d_in];
        for &j in latents {
            let value = self.pre(x, j);
            for t in 0..self.d_in {
                sum[t] += value * self.w_dec[j * self.d_in + t];
            }
        }
        sum
    }
}

/// A step with everything that it holds still: who is kept, who is dead, what is left over.
pub(super) struct Problem<'a> {
    x: &'a [f64],
    /// Latents that each row keeps.
    pub(super) kept: Vec<Vec<usize>>,
    /// Dead latents that each row uses to explain what is left.
    helping: Vec<Vec<usize>>,
    /// `x - x_hat`, a constant to the auxiliary loss.
    left: Vec<Vec<f64>>,
    /// The auxiliary loss over the sum of its squared errors; 0 if there is none.
    share: f64,
    /// Number of dead latents.
    pub(super) dead: usize,
}

/// Value by part.
pub(super) struct Value {
    pub(super) reconstruction: f64,
    pub(super) auxiliary: f64,
}

impl<'a> Problem<'a> {
    /// Selects at these weights; `since_fired` as before the step.
    pub(super) fn new(
        objective: &Objective,
        weights: &Weights,
        x: &'a [f64],
        since_fired: &[u64],
    ) -> Self {
        let (n, d_in, d_sae) = (x.len() / weights.d_in, weights.d_in, weights.d_sae());
        let row = |i: usize| &x[i * d_in..(i + 1) * d_in];
        let all: Vec<usize> = (0..d_sae).collect();
        let kept = match objective.selection {
            Selection::Row(k) => (0..n).map(|i| largest(weights, row(i), &all, k)).collect(),
            Selection::Batch(k) => largest_of_all(weights, x, (n as f64 * k).floor() as usize),
            other => panic!("{other:?} is not what an architecture trains with"),
        };
        let dead: Vec<usize> = (0..d_sae)
            .filter(|j| !kept.iter().any(|row: &Vec<usize>| row.contains(j)))
            .filter(|&j| since_fired[j] + n as u64 >= objective.aux.dead_after)
            .collect();
        let most = objective.aux.k.unwrap_or(d_in / 2).min(dead.len());
        let left: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let decoded = weights.decoded(row(i), &kept[i]);
                (0..d_in)
                    .map(|t| row(i)[t] - weights.b_dec[t] - decoded[t])
                    .collect()
            })
            .collect();
        let mut spread = 0.0;
        for t in 0..d_in {
            let mean = (0..n).map(|i| left[i][t]).sum::<f64>() / n as f64;
            spread += (0..n).map(|i| (left[i][t] - mean).powi(2)).sum::<f64>();
        }
        let share = if dead.is_empty() {
            0.0
        } else {
            objective.aux.coefficient / spread
        };
        let helping = (0..n).map(|i| largest(weights, row(i), &dead, most));
        Self {
            x,
            helping: helping.collect(),
            kept,
            left,
            share,
            dead: dead.len(),
        }
    }

    fn row(&self, i: usize, d_in: usize) -> &[f64] {
        &self.x[i * d_in..(i + 1) * d_in]
    }

    /// The objective at weights near those that the sets were found at.
    ///
    /// ```text
    /// 1/n sum_i |x_i - x_hat_i|^2  +  c sum_i |left_i - sum_j a_ij w_dec_j|^2 / sum_i |left_i - mean|^2
    /// ```
    pub(super) fn value(&self, weights: &Weights) -> Value {
        let (n, d_in) = (self.kept.len(), weights.d_in);
        let (mut reconstruction, mut auxiliary) = (0.0, 0.0);
        for i in 0..n {
            let x = self.row(i, d_in);
            let decoded = weights.decoded(x, &self.kept[i]);
            let helped = weights.decoded(x, &self.helping[i]);
            for t in 0..d_in {
                reconstruction += (x[t] - weights.b_dec[t] - decoded[t]).powi(2);
                auxiliary += (self.left[i][t] - helped[t]).powi(2);
            }
        }
        Value {
            reconstruction: reconstruction / n as f64,
            auxiliary: self.share * auxiliary,
        }
    }

    /// Its gradient by every parameter.
    pub(super) fn gradient(&self, weights: &Weights) -> Weights {
        let (n, d_in) = (self.kept.len(), weights.d_in);
        let mut gradient = Weights::zeros_like(weights);
        for i in 0..n {
            let x = self.row(i, d_in);
            let decoded = weights.decoded(x, &self.kept[i]);
            let by_output: Vec<f64> = (0..d_in)
                .map(|t| -2.0 / n as f64 * (x[t] - weights.b_dec[t] - decoded[t]))
                .collect();
            for t in 0..d_in {
                gradient.b_dec[t] += by_output[t];
            }
            backward(weights, x, &self.kept[i], &by_output, &mut gradient);
            let helped = weights.decoded(x, &self.helping[i]);
            let by_output: Vec<f64> = (0..d_in)
                .map(|t| -2.0 * self.share * (self.left[i][t] - helped[t]))
                .collect();
            backward(weights, x, &self.helping[i], &by_output, &mut gradient);
        }
        gradient
    }
}

/// A row's part of the gradient through some of its latents.
fn backward(w: &Weights, x: &[f64], latents: &[usize], by_output: &[f64], gradient: &mut Weights) {
    let d_in = w.d_in;
    for &j in latents {
        let value = w.pre(x, j);
        let mut by_pre = 0.0;
        for t in 0..d_in {
            gradient.w_dec[j * d_in + t] += value * by_output[t];
            by_pre += by_output[t] * w.w_dec[j * d_in + t];
        }
        gradient.b_enc[j] += by_pre;
        for t in 0..d_in {
            gradient.w_enc[j * d_in + t] += by_pre * (x[t] - w.b_dec[t]);
            gradient.b_dec[t] -= by_pre * w.w_enc[j * d_in + t];
        }
    }
}

/// Takes out of each decoder row's gradient what points along the row: to first order such a step
/// changes its length alone, which is put back to 1 after it.
pub(super) fn project(gradient: &mut Weights, weights: &Weights) {
    let d_in = weights.d_in;
    for j in 0..weights.d_sae() {
        let row = j * d_in..(j + 1) * d_in;
        let (w, g) = (&weights.w_dec[row.clone()], &mut gradient.w_dec[row]);
        let along: f64 = w.iter().zip(g.iter()).map(|(w, g)| w * g).sum();
        let length: f64 = w.iter().map(|w| w * w).sum();
        for t in 0..d_in {
            g[t] -= along / length * w[t];
        }
    }
}

/// The largest positive pre-activations of a row among some latents.
fn largest(weights: &Weights, x: &[f64], among: &[usize], most: usize) -> Vec<usize> {
    let mut found: Vec<usize> = among
        .iter()
        .copied()
        .filter(|&j| weights.pre(x, j) > 0.0)
        .collect();
    found.sort_by(|&a, &b| weights.pre(x, b).total_cmp(&weights.pre(x, a)));
    found.truncate(most);
    found
}

/// The largest positive pre-activations of all rows together.
fn largest_of_all(weights: &Weights, x: &[f64], most: usize) -> Vec<Vec<usize>> {
    let rows: Vec<&[f64]> = x.chunks_exact(weights.d_in).collect();
    let mut found: Vec<(usize, usize, f64)> = Vec::new();
    for (i, x) in rows.iter().enumerate() {
        for j in 0..weights.d_sae() {
            found.push((i, j, weights.pre(x, j)));
        }
    }
    found.retain(|entry| entry.2 > 0.0);
    found.sort_by(|a, b| b.2.total_cmp(&a.2));
    found.truncate(most);
    let mut kept = vec![Vec::new(); rows.len()];
    for (i, j, _) in found {
        kept[i].push(j);
    }
    kept
}
