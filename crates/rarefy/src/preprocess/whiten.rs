//! PCA and ZCA whitening.

use rarefy_kernels::matmul::{Op, matmul_f64};

use super::{Source, times};
use crate::Result;
use crate::data::{Value, chunks, column_survey};

/// Share of the largest variance below which a direction is rounding noise.
const NEGLIGIBLE: f64 = 1e-10;

/// Kind of whitening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// PCA: the first k principal components.
    Pca(usize),
    /// ZCA: all components, rotated back to the axes of the input.
    Zca,
}

/// Fitted whitening `(x - mean) forward^T` and its (pseudo-)inverse.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Whiten {
    /// Mean of each column, `[d_in]`; rounded to `f32` if the rows are.
    pub(super) mean: Vec<f64>,
    /// Whitening matrix, `[d_out, d_in]`.
    pub(super) forward: Vec<f32>,
    /// Inverse of the whitening matrix, `[d_in, d_out]`.
    pub(super) backward: Vec<f32>,
}

impl Whiten {
    /// Fits a whitening to the data.
    ///
    /// ```text
    /// C = 1/m sum (x - mean)(x - mean)^T = U diag(v) U^T
    /// PCA  forward = diag(1 / sqrt(v + e)) U^T        ZCA  forward = U diag(1 / sqrt(v + e)) U^T
    /// ```
    ///
    /// Here `e = epsilon * mean(v)`. Components are in order of descending variance. The entry of largest
    /// absolute value of each is positive, so that the sign does not depend on the solver.
    pub(super) fn fit(data: &dyn Source, kind: Kind, epsilon: f64) -> Result<Self> {
        let d = data.d_in();
        let (mean, covariance) = covariance(data)?;
        let eigen = nalgebra::DMatrix::from_row_slice(d, d, &covariance).symmetric_eigen();
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        let floor = eigen.eigenvalues[order[0]].max(0.0) * NEGLIGIBLE;
        let added = epsilon * eigen.eigenvalues.iter().sum::<f64>().max(0.0) / d as f64;
        let kept = if let Kind::Pca(k) = kind { k } else { d };
        let (mut forward, mut backward) = (vec![0.0; kept * d], vec![0.0; d * kept]);
        for (at, &component) in order.iter().enumerate().take(kept) {
            let vector = eigen.eigenvectors.column(component);
            let largest = vector
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()))
                .unwrap_or(1.0);
            let variance = eigen.eigenvalues[component];
            if variance <= floor {
                continue;
            }
            let scale = (variance + added).sqrt();
            for i in 0..d {
                let u = vector[i] * largest.signum();
                match kind {
                    Kind::Pca(_) => {
                        forward[at * d + i] = u / scale;
                        backward[i * kept + at] = u * scale;
                    }
                    Kind::Zca => {
                        for j in 0..d {
                            let u_j = vector[j] * largest.signum();
                            forward[i * d + j] += u * u_j / scale;
                            backward[i * d + j] += u * u_j * scale;
                        }
                    }
                }
            }
        }
        let narrow = |values: Vec<f64>| values.iter().map(|&v| v as f32).collect();
        let rounded = |mean: f64| f64::from(mean as f32);
        Ok(Self {
            mean: if data.has_f64() {
                mean
            } else {
                mean.into_iter().map(rounded).collect()
            },
            forward: narrow(forward),
            backward: narrow(backward),
        })
    }

    pub(super) fn d_in(&self) -> usize {
        self.mean.len()
    }

    pub(super) fn d_out(&self) -> usize {
        self.forward.len() / self.mean.len()
    }

    pub(super) fn apply<V: Value>(&self, rows: &[V]) -> Vec<V> {
        let means = rows.iter().zip(self.mean.iter().cycle());
        let centred: Vec<f32> = means.map(|(x, mean)| ((*x).into() - mean) as f32).collect();
        let whitened = times(&centred, &self.forward, self.d_in());
        whitened.into_iter().map(V::of_f32).collect()
    }

    pub(super) fn invert(&self, rows: &[f32]) -> Vec<f32> {
        let mut raw = self.invert_directions(rows);
        raw.iter_mut()
            .zip(self.mean.iter().cycle())
            .for_each(|(x, mean)| *x = (f64::from(*x) + mean) as f32);
        raw
    }

    pub(super) fn invert_directions(&self, rows: &[f32]) -> Vec<f32> {
        times(rows, &self.backward, self.d_out())
    }

    pub(super) fn pull_back(&self, weights: &[f32]) -> Vec<f32> {
        let d = self.d_in();
        let mut pulled = vec![0.0f64; d];
        for (w, row) in weights.iter().zip(self.forward.chunks_exact(d)) {
            pulled
                .iter_mut()
                .zip(row)
                .for_each(|(sum, forward)| *sum += f64::from(*w) * f64::from(*forward));
        }
        pulled.iter().map(|&v| v as f32).collect()
    }
}

/// Mean `[d]` and covariance `[d, d]` of the rows (divided by the number of rows), in `f64`.
fn covariance(data: &dyn Source) -> Result<(Vec<f64>, Vec<f64>)> {
    let mean = column_survey(data)?.survey.mean;
    let covariance = if data.has_f64() {
        covariance_around::<f64>(data, &mean)
    } else {
        covariance_around::<f32>(data, &mean)
    };
    Ok((mean, covariance?))
}

/// Covariance of rows of this mean, read in a type.
fn covariance_around<V: Value>(data: &dyn Source, mean: &[f64]) -> Result<Vec<f64>> {
    let d = data.d_in();
    let lanes = chunks::fold(
        data,
        0,
        || vec![0.0; d * d],
        |sum, _, x: &[V]| {
            let centred: Vec<f64> = x
                .iter()
                .zip(mean.iter().cycle())
                .map(|(x, mean)| (*x).into() - mean)
                .collect();
            matmul_f64(
                sum,
                true,
                (&centred, Op::T),
                (&centred, Op::N),
                [d, d, x.len() / d],
            );
        },
    )?;
    let mut covariance = vec![0.0; d * d];
    for lane in &lanes {
        covariance
            .iter_mut()
            .zip(lane)
            .for_each(|(sum, lane)| *sum += lane);
    }
    covariance
        .iter_mut()
        .for_each(|sum| *sum /= data.rows() as f64);
    Ok(covariance)
}
