//! Preprocessing steps: one entry of [`STEPS`] and one variant of [`FittedStep`] each.

use super::whiten::{Kind, Whiten};
use super::{Error, Pipeline, Result, RowContext, Source, side_by_side};
use crate::data::{ColumnSurvey, Value, chunks, column_survey};

/// Table of all preprocessing steps, in the order that lists show them.
pub const STEPS: &[StepInfo] = &[
    StepInfo {
        name: "scale",
        syntax: "scale or scale:LOW:HIGH",
        summary: "map all values linearly to [0, 1] or [LOW, HIGH]",
    },
    StepInfo {
        name: "standardise",
        syntax: "standardise",
        summary: "scale each column to mean 0 and variance 1 (constant columns become 0)",
    },
    StepInfo {
        name: "row-mean",
        syntax: "row-mean",
        summary: "subtract the mean of each row (the brightness of a patch)",
    },
    StepInfo {
        name: "norm-average",
        syntax: "norm-average",
        summary: "multiply all values by one factor, so that the mean length of rows is sqrt(inputs) (SAELens's expected_average_only_in)",
    },
    StepInfo {
        name: "norm-square",
        syntax: "norm-square",
        summary: "multiply all values by one factor, so that the mean squared length of rows is 1 (dictionary_learning's normalize_activations)",
    },
    StepInfo {
        name: "norm-row",
        syntax: "norm-row",
        summary: "scale each row to the length sqrt(inputs) (SAELens's constant_norm_rescale)",
    },
    StepInfo {
        name: "layer-norm",
        syntax: "layer-norm",
        summary: "subtract the mean of each row and divide by its standard deviation (over inputs - 1) plus 1e-5 (SAELens's layer_norm)",
    },
    StepInfo {
        name: "clip-sd",
        syntax: "clip-sd:K",
        summary: "clip values at K standard deviations (of all values) from their mean; decoding does not undo the clipping",
    },
    StepInfo {
        name: "pca",
        syntax: "pca, pca:K or pca:K:EPS",
        summary: "project onto the first K principal components, scaled to variance 1; EPS times the mean variance is added to each variance (SAELens's covariance_whitening: all K, EPS 0.001 over that mean)",
    },
    StepInfo {
        name: "zca",
        syntax: "zca or zca:EPS",
        summary: "decorrelate columns, scale them to variance 1 and rotate back to the axes of the input; EPS (default 0.01) times the mean variance is added to each variance",
    },
];

/// Preprocessing step: one entry of [`STEPS`].
pub struct StepInfo {
    /// Name of the step, before the first colon.
    pub name: &'static str,
    /// Syntax with arguments, such as `clip-sd:K`.
    pub syntax: &'static str,
    /// One-sentence description for lists.
    pub summary: &'static str,
}

/// Fitted preprocessing step. Means and scales are `f64` to keep the precision of the fit; rows are `f32`, or `f64` where
/// the data has more digits.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FittedStep {
    /// `x * factor + shift`.
    Scale {
        factor: f64,
        shift: f64,
    },
    /// `(x_j - mean_j) / deviation_j`, with statistics of column j.
    Standardise {
        mean: Vec<f64>,
        deviation: Vec<f64>,
    },
    /// `x - mean(x)`, with the mean of the row.
    RowMean,
    /// `x sqrt(d) / |x|`, with the length of the row.
    NormRow,
    /// `(x - mean(x)) / (deviation(x) + 1e-5)`, with statistics of the row.
    LayerNorm,
    /// `x` clamped to `low..=high`.
    Clip {
        low: f64,
        high: f64,
    },
    Whiten(Whiten),
    /// Joined pipelines, each for a range of columns.
    SideBySide(Vec<Pipeline>),
}

impl FittedStep {
    /// Fits the step named by `text` (with arguments) to the data.
    pub(super) fn fit(text: &str, data: &dyn Source) -> Result<Self> {
        Self::fit_known(text, data, None)
    }

    /// Fits the step that a text names to the data, whose survey may be known already.
    pub(super) fn fit_known(
        text: &str,
        data: &dyn Source,
        known: Option<&ColumnSurvey>,
    ) -> Result<Self> {
        let columns = |data| known.map_or_else(|| column_survey(data), |known| Ok(known.clone()));
        let survey = |data| Ok(columns(data)?.survey);
        let (name, numbers) = parse(text)?;
        let d = data.d_in();
        match (name, numbers.as_slice()) {
            ("scale", &[low, high]) => Ok(scale(&columns(data)?, low, high)),
            ("scale", _) => Ok(scale(&columns(data)?, 0.0, 1.0)),
            ("standardise", _) => {
                let columns = columns(data)?;
                let deviation = (0..d).map(|column| columns.deviation(column).unwrap_or(1.0));
                Ok(Self::Standardise {
                    deviation: deviation.collect(),
                    mean: columns.survey.mean,
                })
            }
            ("row-mean", _) => Ok(Self::RowMean),
            ("norm-row", _) => Ok(Self::NormRow),
            ("layer-norm", _) => Ok(Self::LayerNorm),
            ("norm-average" | "norm-square", _) => norm(name, data),
            ("clip-sd", numbers) => {
                let s = survey(data)?;
                let (mean, reach) = (s.grand_mean(), numbers[0] * s.grand_variance().sqrt());
                Ok(Self::Clip {
                    low: mean - reach,
                    high: mean + reach,
                })
            }
            ("pca", numbers) => {
                let k = numbers.first().map_or(d, |k| *k as usize);
                if k > d {
                    let expected = format!("at most {d} components for rows of {d} values");
                    return Err(Error::hyper("data.preprocess", &expected, text));
                }
                let epsilon = numbers.get(1).copied().unwrap_or(0.0);
                Ok(Self::Whiten(Whiten::fit(data, Kind::Pca(k), epsilon)?))
            }
            (_, numbers) => {
                let epsilon = numbers.first().copied().unwrap_or(0.01);
                Ok(Self::Whiten(Whiten::fit(data, Kind::Zca, epsilon)?))
            }
        }
    }

    /// Number of values in a row after this step; `None` if the step cannot change the number.
    pub(super) fn d_out(&self) -> Option<usize> {
        match self {
            Self::Whiten(whiten) => Some(whiten.d_out()),
            Self::SideBySide(parts) => Some(parts.iter().map(Pipeline::d_out).sum()),
            _ => None,
        }
    }

    /// True if the inverse of the step needs a [`RowContext`].
    pub(super) fn keeps_context(&self) -> bool {
        match self {
            Self::RowMean | Self::NormRow | Self::LayerNorm => true,
            Self::SideBySide(parts) => parts.iter().any(|part| part.keeps_context().is_some()),
            _ => false,
        }
    }

    /// True if the step is the same affine map for all rows.
    pub(super) fn is_affine(&self) -> bool {
        match self {
            Self::Scale { .. } | Self::Standardise { .. } | Self::Whiten(_) => true,
            Self::SideBySide(parts) => parts.iter().all(|part| part.not_affine().is_none()),
            Self::RowMean | Self::NormRow | Self::LayerNorm | Self::Clip { .. } => false,
        }
    }

    /// Applies the step to rows of `width` values in place, and appends to the context.
    pub(super) fn apply<V: Value>(
        &self,
        rows: &mut Vec<V>,
        width: &mut usize,
        context: &mut RowContext,
    ) {
        match self {
            Self::Scale { factor, shift } => each(rows, |x| x * factor + shift),
            Self::Standardise { mean, deviation } => {
                for row in rows.chunks_exact_mut(*width) {
                    for ((x, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                        *x = V::of(((*x).into() - mean) / deviation);
                    }
                }
            }
            Self::RowMean => {
                for row in rows.chunks_exact_mut(*width) {
                    let mean = V::of(moments(row).0).into();
                    row.iter_mut().for_each(|x| *x = V::of((*x).into() - mean));
                    context.means.push(mean as f32);
                }
            }
            Self::NormRow => {
                let wanted = (*width as f64).sqrt();
                for row in rows.chunks_exact_mut(*width) {
                    let norm = square(row).sqrt();
                    // A row of zeros has no direction and stays unchanged.
                    let scale = if norm > 0.0 { norm / wanted } else { 1.0 };
                    let scale = V::of(scale).into();
                    row.iter_mut().for_each(|x| *x = V::of((*x).into() / scale));
                    context.scales.push(scale as f32);
                }
            }
            Self::LayerNorm => {
                for row in rows.chunks_exact_mut(*width) {
                    let (mean, deviation) = moments(row);
                    let mean = V::of(mean).into();
                    let divisor = V::of(deviation + LAYER_NORM_EPSILON).into();
                    row.iter_mut().for_each(|x| {
                        let centred = V::of((*x).into() - mean);
                        *x = V::of(centred.into() / divisor);
                    });
                    context.means.push(mean as f32);
                    context.scales.push(divisor as f32);
                }
            }
            Self::Clip { low, high } => each(rows, |x| x.clamp(*low, *high)),
            Self::Whiten(whiten) => {
                *rows = whiten.apply(rows);
                *width = whiten.d_out();
            }
            Self::SideBySide(parts) => {
                *rows = side_by_side::apply(parts, rows);
                *width = parts.iter().map(Pipeline::d_out).sum();
            }
        }
    }

    /// Inverts the step on rows of `width` values, in place.
    pub(super) fn invert(&self, rows: &mut Vec<f32>, width: &mut usize, context: &RowContext) {
        match self {
            Self::Scale { factor, shift } => each(rows, |x| (x - shift) / factor),
            Self::Standardise { mean, deviation } => {
                for row in rows.chunks_exact_mut(*width) {
                    for ((x, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                        *x = (f64::from(*x) * deviation + mean) as f32;
                    }
                }
            }
            Self::RowMean => {
                for (row, mean) in rows.chunks_exact_mut(*width).zip(&context.means) {
                    row.iter_mut().for_each(|x| *x += mean);
                }
            }
            Self::NormRow => {
                for (row, scale) in rows.chunks_exact_mut(*width).zip(&context.scales) {
                    row.iter_mut().for_each(|x| *x *= scale);
                }
            }
            Self::LayerNorm => {
                let of_rows = context.means.iter().zip(&context.scales);
                for (row, (mean, scale)) in rows.chunks_exact_mut(*width).zip(of_rows) {
                    row.iter_mut().for_each(|x| *x = *x * scale + mean);
                }
            }
            Self::Clip { .. } => {}
            Self::Whiten(whiten) => {
                *rows = whiten.invert(rows);
                *width = whiten.d_in();
            }
            Self::SideBySide(parts) => {
                *rows = side_by_side::invert(parts, rows);
                *width = parts.iter().map(Pipeline::d_in).sum();
            }
        }
    }

    /// Applies the linear part of the inverse of an affine step; other steps leave directions unchanged.
    pub(super) fn invert_directions(&self, directions: &mut Vec<f32>, width: &mut usize) {
        match self {
            Self::Scale { factor, .. } => each(directions, |x| x / factor),
            Self::Standardise { deviation, .. } => {
                for row in directions.chunks_exact_mut(*width) {
                    let columns = row.iter_mut().zip(deviation);
                    columns.for_each(|(x, d)| *x = (f64::from(*x) * d) as f32);
                }
            }
            Self::Whiten(whiten) => {
                *directions = whiten.invert_directions(directions);
                *width = whiten.d_in();
            }
            Self::SideBySide(parts) => {
                *directions = side_by_side::invert_directions(parts, directions);
                *width = parts.iter().map(Pipeline::d_in).sum();
            }
            Self::RowMean | Self::NormRow | Self::LayerNorm | Self::Clip { .. } => {}
        }
    }

    /// Pulls the weights of a linear function back through the linear part of the step.
    pub(super) fn pull_back(&self, weights: &mut Vec<f32>) {
        match self {
            Self::Scale { factor, .. } => each(weights, |w| w * factor),
            Self::Standardise { deviation, .. } => {
                weights
                    .iter_mut()
                    .zip(deviation)
                    .for_each(|(w, d)| *w = (f64::from(*w) / d) as f32);
            }
            // The derivative of x - mean(x) is symmetric: it removes the mean of the weights. The divisor of a
            // row scales the direction and is left out.
            Self::RowMean | Self::LayerNorm => {
                let mean = weights.iter().sum::<f32>() / weights.len() as f32;
                weights.iter_mut().for_each(|w| *w -= mean);
            }
            Self::NormRow | Self::Clip { .. } => {}
            Self::Whiten(whiten) => *weights = whiten.pull_back(weights),
            Self::SideBySide(parts) => *weights = side_by_side::pull_back(parts, weights),
        }
    }
}

/// Parses a step into its name and arguments, and checks the arguments as far as possible without data.
pub(super) fn parse(text: &str) -> Result<(&'static str, Vec<f64>)> {
    let mut parts = text.split(':');
    let name = parts.next().unwrap_or_default();
    let info = STEPS
        .iter()
        .find(|s| s.name == name)
        .ok_or_else(|| Error::unknown("preprocessing step", name, STEPS.iter().map(|s| s.name)))?;
    let bad = || Error::hyper("data.preprocess", info.syntax, text);
    let numbers: Vec<f64> = parts
        .map(|p| p.parse().ok().filter(|v: &f64| v.is_finite()))
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    let fits = match (name, numbers.as_slice()) {
        ("scale", &[low, high]) => low < high,
        ("clip-sd", &[k]) => k > 0.0,
        ("pca", &[k, ref rest @ ..]) => {
            let epsilon = rest.iter().all(|epsilon| *epsilon >= 0.0);
            k >= 1.0 && k.fract() == 0.0 && rest.len() < 2 && epsilon
        }
        ("zca", &[epsilon]) => epsilon >= 0.0,
        (name, numbers) => numbers.is_empty() && name != "clip-sd",
    };
    if fits {
        Ok((info.name, numbers))
    } else {
        Err(bad())
    }
}

/// Number that `SAELens` adds to the standard deviation of a row.
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// Mean and standard deviation (divided by n - 1) of a row.
fn moments<V: Value>(row: &[V]) -> (f64, f64) {
    let n = row.len() as f64;
    let values = || row.iter().map(|x| (*x).into());
    let mean = values().sum::<f64>() / n;
    let squares: f64 = values().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// Squared length of a row.
fn square<V: Value>(row: &[V]) -> f64 {
    row.iter().map(|x| (*x).into().powi(2)).sum()
}

/// Fits one factor for all values that normalises the mean length (or mean squared length) of rows.
fn norm(name: &str, data: &dyn Source) -> Result<FittedStep> {
    let lanes = if data.has_f64() {
        lengths::<f64>(data)
    } else {
        lengths::<f32>(data)
    };
    Ok(norm_of(name, &lanes?, data.rows(), data.d_in()))
}

/// Sums of lengths and squared lengths of all rows, read in a type; one of each lane.
fn lengths<V: Value>(data: &dyn Source) -> Result<Vec<[f64; 2]>> {
    let d = data.d_in();
    chunks::fold(data, 0, <[f64; 2]>::default, |sums, _, x: &[V]| {
        add_lengths(sums, x, d);
    })
}

/// Adds the lengths of rows and their squares.
pub(super) fn add_lengths<V: Value>(sums: &mut [f64; 2], x: &[V], d: usize) {
    for row in x.chunks_exact(d) {
        let square = square(row);
        sums[0] += square.sqrt();
        sums[1] += square;
    }
}

/// The step `norm-average` or `norm-square` from the sums of [`add_lengths`], one a lane.
pub(super) fn norm_of(name: &str, lanes: &[[f64; 2]], rows: usize, d: usize) -> FittedStep {
    let m = rows as f64;
    let length = lanes.iter().map(|sums| sums[0]).sum::<f64>() / m;
    let square = lanes.iter().map(|sums| sums[1]).sum::<f64>() / m;
    let factor = match name {
        "norm-average" => (d as f64).sqrt() / length,
        _ => 1.0 / square.sqrt(),
    };
    FittedStep::Scale {
        // If all rows are zero, the factor would be infinite.
        factor: if factor.is_finite() { factor } else { 1.0 },
        shift: 0.0,
    }
}

/// Linear map of all values to `low..=high`, from the survey of the rows.
fn scale(columns: &ColumnSurvey, low: f64, high: f64) -> FittedStep {
    let (min, max) = columns.range();
    // Constant data has no range and is mapped to `low`.
    let factor = if max > min {
        (high - low) / (max - min)
    } else {
        1.0
    };
    FittedStep::Scale {
        factor,
        shift: low - min * factor,
    }
}

/// Applies `f` to each value, in `f64`.
fn each<V: Value>(values: &mut [V], f: impl Fn(f64) -> f64) {
    values.iter_mut().for_each(|v| *v = V::of(f((*v).into())));
}
