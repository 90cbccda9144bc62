//! The steps themselves: one table line and one arm each.

use super::whiten::{Kind, Whiten};
use super::{Error, Pipeline, Result, RowContext, Source, beside, survey};

/// Every step, in the order that lists show them.
pub const STEPS: &[StepInfo] = &[
    StepInfo {
        name: "scale",
        syntax: "scale or scale:LOW:HIGH",
        summary: "all values linearly to [0, 1] or [LOW, HIGH]",
    },
    StepInfo {
        name: "standardise",
        syntax: "standardise",
        summary: "each column to mean 0 and variance 1 (constant columns to 0)",
    },
    StepInfo {
        name: "row-mean",
        syntax: "row-mean",
        summary: "each row's mean removed (a patch's brightness)",
    },
    StepInfo {
        name: "clip-sd",
        syntax: "clip-sd:K",
        summary: "values cut at K standard deviations (of all values) from their mean; what is cut is lost",
    },
    StepInfo {
        name: "pca",
        syntax: "pca, pca:K or pca:K:EPS",
        summary: "the first K principal components at variance 1",
    },
    StepInfo {
        name: "zca",
        syntax: "zca or zca:EPS",
        summary: "columns decorrelated at variance 1, turned back to look like the input; EPS (default 0.01) times the mean variance is added",
    },
];

/// One line of the table of preprocessing steps.
pub struct StepInfo {
    /// Name before the first colon.
    pub name: &'static str,
    /// How it is typed.
    pub syntax: &'static str,
    /// What it does.
    pub summary: &'static str,
}

/// A fitted step. Means and scales are f64 so that fitting loses nothing; rows are f32.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// `x factor + shift`.
    Scale {
        factor: f64,
        shift: f64,
    },
    /// `(x_j - mean_j) / deviation_j`.
    Standardise {
        mean: Vec<f64>,
        deviation: Vec<f64>,
    },
    RowMean,
    Clip {
        low: f64,
        high: f64,
    },
    Whiten(Whiten),
    /// Columns of several sources, each with steps of its own.
    Beside(Vec<Pipeline>),
}

impl Step {
    /// Reads the step's name and arguments and fits it to the data.
    pub(super) fn fit(text: &str, data: &dyn Source) -> Result<Self> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let info = STEPS.iter().find(|s| s.name == name).ok_or_else(|| {
            Error::unknown("preprocessing step", name, STEPS.iter().map(|s| s.name))
        })?;
        let bad = || Error::hyper("preprocess", info.syntax, text);
        let numbers: Vec<f64> = parts
            .map(|p| p.parse().ok().filter(|v: &f64| v.is_finite()))
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        match (name, numbers.as_slice()) {
            ("scale", []) => scale(data, 0.0, 1.0),
            ("scale", &[low, high]) if low < high => scale(data, low, high),
            ("standardise", []) => {
                let s = survey(data)?;
                let deviation = s
                    .variance
                    .iter()
                    .map(|v| if *v > 0.0 { v.sqrt() } else { 1.0 })
                    .collect();
                Ok(Self::Standardise {
                    mean: s.mean,
                    deviation,
                })
            }
            ("row-mean", []) => Ok(Self::RowMean),
            ("clip-sd", &[k]) if k > 0.0 => {
                let s = survey(data)?;
                let (mean, reach) = (s.grand_mean(), k * s.grand_variance().sqrt());
                Ok(Self::Clip {
                    low: mean - reach,
                    high: mean + reach,
                })
            }
            ("pca", []) => Ok(Self::Whiten(Whiten::fit(
                data,
                Kind::Pca(data.d_in()),
                0.0,
            )?)),
            ("pca", &[k, ref rest @ ..])
                if k >= 1.0 && k.fract() == 0.0 && k as usize <= data.d_in() && rest.len() < 2 =>
            {
                Ok(Self::Whiten(Whiten::fit(
                    data,
                    Kind::Pca(k as usize),
                    rest.first().copied().unwrap_or(0.0).max(0.0),
                )?))
            }
            ("zca", []) => Ok(Self::Whiten(Whiten::fit(data, Kind::Zca, 0.01)?)),
            ("zca", &[eps]) if eps >= 0.0 => Ok(Self::Whiten(Whiten::fit(data, Kind::Zca, eps)?)),
            _ => Err(bad()),
        }
    }

    /// Width of the rows after this step, if it is one that may change it.
    pub(super) fn d_out(&self) -> Option<usize> {
        match self {
            Self::Whiten(whiten) => Some(whiten.d_out()),
            Self::Beside(parts) => Some(parts.iter().map(Pipeline::d_out).sum()),
            _ => None,
        }
    }

    /// Whether it keeps something of each row that its inverse needs.
    pub(super) fn keeps_context(&self) -> bool {
        match self {
            Self::RowMean => true,
            Self::Beside(parts) => parts.iter().any(|part| part.keeps_context().is_some()),
            _ => false,
        }
    }

    pub(super) fn apply(&self, rows: &mut Vec<f32>, width: &mut usize, context: &mut RowContext) {
        match self {
            Self::Scale { factor, shift } => each(rows, |x| x * factor + shift),
            Self::Standardise { mean, deviation } => {
                for row in rows.chunks_exact_mut(*width) {
                    for ((x, mean), deviation) in row.iter_mut().zip(mean).zip(deviation) {
                        *x = ((f64::from(*x) - mean) / deviation) as f32;
                    }
                }
            }
            Self::RowMean => {
                context.means.clear();
                for row in rows.chunks_exact_mut(*width) {
                    let mean =
                        (row.iter().map(|x| f64::from(*x)).sum::<f64>() / *width as f64) as f32;
                    row.iter_mut().for_each(|x| *x -= mean);
                    context.means.push(mean);
                }
            }
            Self::Clip { low, high } => each(rows, |x| x.clamp(*low, *high)),
            Self::Whiten(whiten) => {
                *rows = whiten.apply(rows);
                *width = whiten.d_out();
            }
            Self::Beside(parts) => {
                *rows = beside::apply(parts, rows);
                *width = parts.iter().map(Pipeline::d_out).sum();
            }
        }
    }

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
            Self::Clip { .. } => {}
            Self::Whiten(whiten) => {
                *rows = whiten.invert(rows);
                *width = whiten.d_in();
            }
            Self::Beside(parts) => {
                *rows = beside::invert(parts, rows);
                *width = parts.iter().map(Pipeline::d_in).sum();
            }
        }
    }

    pub(super) fn pull_back(&self, weights: &mut Vec<f32>) {
        match self {
            Self::Scale { factor, .. } => each(weights, |w| w * factor),
            Self::Standardise { deviation, .. } => {
                weights
                    .iter_mut()
                    .zip(deviation)
                    .for_each(|(w, d)| *w = (f64::from(*w) / d) as f32);
            }
            // The derivative of x - mean(x) is symmetric: it removes the mean of the weights.
            Self::RowMean => {
                let mean = weights.iter().sum::<f32>() / weights.len() as f32;
                weights.iter_mut().for_each(|w| *w -= mean);
            }
            Self::Clip { .. } => {}
            Self::Whiten(whiten) => *weights = whiten.pull_back(weights),
            Self::Beside(parts) => *weights = beside::pull_back(parts, weights),
        }
    }
}

fn scale(data: &dyn Source, low: f64, high: f64) -> Result<Step> {
    let s = survey(data)?;
    let (min, max) = (f64::from(s.min), f64::from(s.max));
    // Constant data has no range: it goes to `low`.
    let factor = if max > min {
        (high - low) / (max - min)
    } else {
        1.0
    };
    Ok(Step::Scale {
        factor,
        shift: low - min * factor,
    })
}

fn each(values: &mut [f32], f: impl Fn(f64) -> f64) {
    values.iter_mut().for_each(|v| *v = f(f64::from(*v)) as f32);
}
