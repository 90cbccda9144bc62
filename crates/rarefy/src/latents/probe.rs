//! Prediction of the target by a few latents on rows that the fit has not seen, beside all inputs.
//!
//! Ridge regression on a number, or on one column of 0 and 1 for each class, of which the largest prediction wins. Rows are
//! split into five folds; for each fold, latents are chosen and weights are fitted on the four others.
//!
//! ```text
//! minimise over w, b:  sum (y - b - w x)^2 + lambda n sum_j var(x_j) w_j^2
//! ```
//!
//! All fits need only sums over the rows of a fold, `F^T F` and `F^T y`.

use nalgebra::DMatrix;
use rarefy_kernels::matmul::{Op, matmul_f64};
use serde::Serialize;

use super::{Target, each_piece};
use crate::Result;
use crate::codes::Codes;
use crate::data::Source;
use crate::data::spread::even_positions;
use crate::model::Model;

/// Number of parts that the rows are split into.
const FOLDS: usize = 5;
/// Largest number of rows; more are thinned evenly.
const MOST_ROWS: usize = 20_000;
/// Numbers of latents that are tried, and all of them if there are no more than [`MOST_LATENTS`].
const COUNTS: [usize; 4] = [1, 5, 20, 100];
const MOST_LATENTS: usize = 512;
/// Largest number of inputs that are fitted.
const MOST_INPUTS: usize = 2048;
/// Strengths lambda of the ridge that are tried.
const STRENGTHS: [f64; 5] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0];

/// Features that a probe reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Features {
    /// Number of latents: those of the largest share of variance explained by the target.
    Latents(usize),
    /// All inputs of the row.
    Inputs(usize),
}

/// Cross-validated prediction of a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// Features that the probe reads.
    pub features: Features,
    /// Share of variance explained (R^2) for a score, share of rows whose class is right for classes, over all folds.
    pub score: f64,
}

/// Probes of the best 1, 5, 20 and 100 latents, of all latents if there are at most 512, and of all inputs; with the score of a prediction that reads nothing: 0 for a
/// score, the share of the largest class for classes.
///
/// # Errors
/// Errors of reading the rows.
pub fn probe(model: &Model, source: &dyn Source, target: &Target) -> Result<(f64, Vec<Probe>)> {
    let sample = Sample::read(model, source, target)?;
    let mut probes = Vec::new();
    if sample.rows() < 2 * FOLDS {
        return Ok((sample.baseline(), probes));
    }
    let d_sae = model.d_sae();
    let mut counts: Vec<usize> = COUNTS.into_iter().filter(|count| *count < d_sae).collect();
    counts.extend((d_sae <= MOST_LATENTS).then_some(d_sae));
    let most = counts.last().copied().unwrap_or(0);
    let folds: Vec<Vec<usize>> = (0..FOLDS).map(|fold| sample.best(fold, most)).collect();
    let designs: Vec<Design> = folds
        .iter()
        .map(|latents| sample.latents(latents))
        .collect();
    for count in counts {
        probes.push(Probe {
            features: Features::Latents(count),
            score: sample.score(&|fold| &designs[fold], count),
        });
    }
    if sample.d_in <= MOST_INPUTS {
        let design = Design::new(
            sample.d_in,
            sample.inputs.iter().map(|v| f64::from(*v)),
            &sample,
        );
        probes.push(Probe {
            features: Features::Inputs(sample.d_in),
            score: sample.score(&|_| &design, sample.d_in),
        });
    }
    Ok((sample.baseline(), probes))
}

/// Rows that are fitted and predicted.
struct Sample {
    codes: Codes,
    d_in: usize,
    /// Rows, `[n, d_in]`.
    inputs: Vec<f32>,
    /// Number of targets in a row.
    width: usize,
    /// A number, or 0 and 1 for each class, `[n, width]`.
    targets: Vec<f64>,
}

impl Sample {
    fn read(model: &Model, source: &dyn Source, target: &Target) -> Result<Self> {
        let is_known = |row: &usize| match target {
            Target::Score(scores) => scores[*row].is_some(),
            Target::Class { of_rows, .. } => of_rows[*row].is_some(),
        };
        let known: Vec<usize> = (0..target.rows()).filter(is_known).collect();
        let chosen: Vec<usize> = even_positions(known.len(), MOST_ROWS)
            .map(|at| known[at])
            .collect();
        let mut codes = Codes::new(model.d_sae());
        let mut next = chosen.iter().copied().peekable();
        each_piece(model, source, &mut |start, piece| {
            while let Some(row) = next.next_if(|row| *row < start + piece.rows()) {
                let entries = piece.offsets[row - start]..piece.offsets[row - start + 1];
                codes.indices.extend(&piece.indices[entries.clone()]);
                codes.values.extend(&piece.values[entries]);
                codes.offsets.push(codes.indices.len());
            }
        })?;
        let d_in = source.d_in();
        let mut inputs = Vec::new();
        if d_in <= MOST_INPUTS {
            inputs.resize(chosen.len() * d_in, 0.0);
            source.gather(&chosen, &mut inputs)?;
        }
        let (width, targets) = columns(target, &chosen);
        Ok(Self {
            codes,
            d_in,
            inputs,
            width,
            targets,
        })
    }

    fn rows(&self) -> usize {
        self.codes.rows()
    }

    /// True if a prediction is the class of the largest of several columns.
    fn is_of_classes(&self) -> bool {
        self.width > 1
    }

    fn target(&self, row: usize) -> &[f64] {
        &self.targets[row * self.width..][..self.width]
    }

    /// Score without any feature.
    fn baseline(&self) -> f64 {
        if !self.is_of_classes() || self.rows() == 0 {
            return 0.0;
        }
        let size = |class: usize| {
            self.targets
                .iter()
                .skip(class)
                .step_by(self.width)
                .sum::<f64>()
        };
        let largest = (0..self.width).map(size).fold(0.0, f64::max);
        largest / self.rows() as f64
    }

    /// The `count` latents whose variance over the rows outside a fold the target explains best.
    fn best(&self, fold: usize, count: usize) -> Vec<usize> {
        let (d_sae, width) = (self.codes.d_sae, self.width);
        let (mut sums, mut squares) = (vec![0.0; d_sae], vec![0.0; d_sae]);
        let mut products = vec![0.0; d_sae * width];
        let (mut of_target, mut of_squares, mut n) = (vec![0.0; width], vec![0.0; width], 0.0);
        for row in (0..self.rows()).filter(|row| row % FOLDS != fold) {
            n += 1.0;
            for (column, y) in self.target(row).iter().enumerate() {
                of_target[column] += y;
                of_squares[column] += y * y;
            }
            for at in self.codes.offsets[row]..self.codes.offsets[row + 1] {
                let (latent, value) = (
                    self.codes.indices[at] as usize,
                    f64::from(self.codes.values[at]),
                );
                sums[latent] += value;
                squares[latent] += value * value;
                let products = &mut products[latent * width..][..width];
                for (sum, y) in products.iter_mut().zip(self.target(row)) {
                    *sum += y * value;
                }
            }
        }
        let explained = |latent: usize| {
            let variance = squares[latent] - sums[latent] * sums[latent] / n;
            let of_column = |column: usize| {
                let covariance =
                    products[latent * width + column] - sums[latent] * of_target[column] / n;
                let scale = if self.is_of_classes() {
                    of_target[column]
                } else {
                    of_squares[column] - of_target[column] * of_target[column] / n
                };
                covariance * covariance / scale.max(f64::MIN_POSITIVE)
            };
            let explained: f64 = (0..width).map(of_column).sum();
            if variance > 0.0 {
                explained / variance
            } else {
                0.0
            }
        };
        let shares: Vec<f64> = (0..d_sae).map(explained).collect();
        let mut order: Vec<usize> = (0..d_sae).collect();
        order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
        order.truncate(count);
        order
    }

    /// Activations of some latents as features.
    fn latents(&self, latents: &[usize]) -> Design {
        let mut place = vec![None; self.codes.d_sae];
        for (at, latent) in latents.iter().enumerate() {
            place[*latent] = Some(at);
        }
        let mut values = vec![0.0; self.rows() * latents.len()];
        for row in 0..self.rows() {
            for at in self.codes.offsets[row]..self.codes.offsets[row + 1] {
                if let Some(column) = place[self.codes.indices[at] as usize] {
                    values[row * latents.len() + column] = f64::from(self.codes.values[at]);
                }
            }
        }
        Design::new(latents.len(), values.into_iter(), self)
    }

    /// Score over all folds of the first `count` features of each fold's design.
    fn score<'d>(&self, of_fold: &dyn Fn(usize) -> &'d Design, count: usize) -> f64 {
        let strength = of_fold(0).best_strength(count);
        let (mut right, mut error, mut total) = (0_usize, 0.0, 0.0);
        for fold in 0..FOLDS {
            let design = of_fold(fold);
            let others: Vec<usize> = (0..FOLDS).filter(|other| *other != fold).collect();
            let weights = design.fit(&others, count, strength);
            let means = design.fit(&others, 0, strength);
            for row in (fold..self.rows()).step_by(FOLDS) {
                let predicted = design.predict(row, &weights);
                let (y, mean) = (self.target(row), means[(0, 0)]);
                right += usize::from(largest(&predicted) == largest(y));
                error += (y[0] - predicted[0]).powi(2);
                total += (y[0] - mean).powi(2);
            }
        }
        match self.is_of_classes() {
            true => right as f64 / self.rows() as f64,
            false if total > 0.0 => 1.0 - error / total,
            false => 0.0,
        }
    }
}

/// Targets of chosen rows: their number in a row, and the values.
fn columns(target: &Target, chosen: &[usize]) -> (usize, Vec<f64>) {
    match target {
        Target::Score(scores) => (1, chosen.iter().filter_map(|row| scores[*row]).collect()),
        Target::Class { names, of_rows } => {
            let width = names.len();
            let mut targets = vec![0.0; chosen.len() * width];
            for (at, row) in chosen.iter().enumerate() {
                if let Some(class) = of_rows[*row] {
                    targets[at * width + class as usize] = 1.0;
                }
            }
            (width, targets)
        }
    }
}

/// Place of the largest value, the first of equal ones.
fn largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// Features of all rows with a leading 1, and the sums over each fold.
struct Design {
    /// Number of features and 1.
    width: usize,
    /// `[n, width]`.
    features: Vec<f64>,
    /// For each fold: number of rows, `F^T F` and `F^T y`.
    sums: Vec<(f64, DMatrix<f64>, DMatrix<f64>, f64)>,
}

impl Design {
    /// Features are given row by row, `count` a row.
    fn new(count: usize, values: impl Iterator<Item = f64>, sample: &Sample) -> Self {
        let width = count + 1;
        let mut features = Vec::with_capacity(sample.rows() * width);
        for (at, value) in values.enumerate() {
            if at % count == 0 {
                features.push(1.0);
            }
            features.push(value);
        }
        let of_fold = |fold: usize| {
            let rows: Vec<usize> = (fold..sample.rows()).step_by(FOLDS).collect();
            let f: Vec<f64> = rows
                .iter()
                .flat_map(|row| &features[row * width..][..width])
                .copied()
                .collect();
            let y: Vec<f64> = rows
                .iter()
                .flat_map(|row| sample.target(*row))
                .copied()
                .collect();
            let mut gram = vec![0.0; width * width];
            matmul_f64(
                &mut gram,
                false,
                (&f, Op::T),
                (&f, Op::N),
                [width, width, rows.len()],
            );
            let mut products = vec![0.0; width * sample.width];
            matmul_f64(
                &mut products,
                false,
                (&f, Op::T),
                (&y, Op::N),
                [width, sample.width, rows.len()],
            );
            (
                rows.len() as f64,
                DMatrix::from_row_slice(width, width, &gram),
                DMatrix::from_row_slice(width, sample.width, &products),
                y.iter().map(|y| y * y).sum(),
            )
        };
        Self {
            width,
            sums: (0..FOLDS).map(of_fold).collect(),
            features,
        }
    }

    /// Weights `[1 + count, targets]` fitted on some folds.
    fn fit(&self, folds: &[usize], count: usize, strength: f64) -> DMatrix<f64> {
        let size = count + 1;
        let targets = self.sums[0].2.ncols();
        let (mut n, mut gram, mut products) = (
            0.0,
            DMatrix::zeros(size, size),
            DMatrix::zeros(size, targets),
        );
        for fold in folds {
            let (rows, of_fold, of_targets, _) = &self.sums[*fold];
            n += rows;
            gram += of_fold.view((0, 0), (size, size));
            products += of_targets.view((0, 0), (size, targets));
        }
        let means: Vec<f64> = (0..size).map(|j| gram[(0, j)] / n).collect();
        for j in 1..size {
            let spread = gram[(j, j)] - n * means[j] * means[j];
            // A constant feature has no weight.
            gram[(j, j)] += if spread > 1e-12 * gram[(j, j)] {
                strength * spread
            } else {
                n
            };
        }
        match gram.cholesky() {
            Some(factor) => factor.solve(&products),
            None => DMatrix::zeros(size, targets),
        }
    }

    /// Strength of the smallest squared error on fold 1, fitted on folds 2 to 4; fold 0 stays unseen.
    fn best_strength(&self, count: usize) -> f64 {
        let (_, gram, products, squares) = &self.sums[1];
        let size = count + 1;
        let error = |strength: f64| {
            let weights = self.fit(&[2, 3, 4], count, strength);
            let gram = gram.view((0, 0), (size, size));
            let products = products.view((0, 0), (size, weights.ncols()));
            let fitted = weights.dot(&(gram * &weights));
            squares - 2.0 * weights.dot(&products) + fitted
        };
        let errors = STRENGTHS.map(error);
        let best = (0..errors.len()).min_by(|a, b| errors[*a].total_cmp(&errors[*b]));
        STRENGTHS[best.unwrap_or(0)]
    }

    /// Predictions for a row.
    fn predict(&self, row: usize, weights: &DMatrix<f64>) -> Vec<f64> {
        let features = &self.features[row * self.width..][..weights.nrows()];
        let column = |column: usize| {
            let weights = weights.column(column);
            features
                .iter()
                .zip(weights.iter())
                .map(|(x, w)| x * w)
                .sum()
        };
        (0..weights.ncols()).map(column).collect()
    }
}
