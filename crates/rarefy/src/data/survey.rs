//! Statistics of the data from one pass over all rows: range, means, variances.

use super::Source;
use super::chunks;
use crate::Result;

/// Statistics of a data set: range of the values, mean and variance of each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Number of rows.
    pub rows: usize,
    /// Number of values in a row.
    pub d_in: usize,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Variance of each column (divided by the number of rows).
    pub variance: Vec<f64>,
}

impl Survey {
    /// Statistics of a range of columns. `min` and `max` stay the ones of all columns.
    #[must_use]
    pub fn of(&self, columns: std::ops::Range<usize>) -> Self {
        Self {
            d_in: columns.len(),
            mean: self.mean[columns.clone()].to_vec(),
            variance: self.variance[columns].to_vec(),
            ..*self
        }
    }

    /// Mean over all values.
    pub fn grand_mean(&self) -> f64 {
        self.mean.iter().sum::<f64>() / self.d_in as f64
    }

    /// Variance over all values of all columns.
    pub fn grand_variance(&self) -> f64 {
        let mean = self.grand_mean();
        let columns = self.mean.iter().zip(&self.variance);
        columns.map(|(m, v)| v + (m - mean).powi(2)).sum::<f64>() / self.d_in as f64
    }
}

/// Computes the statistics of a source in one streamed pass, with `f64` sums merged in a fixed order.
///
/// # Errors
/// Same as [`Source::read`]; [`crate::Error::NotFinite`] for a NaN or an infinity.
///
/// # Example
/// ```
/// use rarefy::data::{Memory, survey};
/// let survey = survey(&Memory::new("two rows", 2, vec![0.0, 1.0, 4.0, 1.0]))?;
/// assert_eq!((survey.min, survey.max), (0.0, 4.0));
/// assert_eq!((survey.mean, survey.variance), (vec![2.0, 1.0], vec![4.0, 0.0]));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn survey(source: &dyn Source) -> Result<Survey> {
    let (columns, _) = survey_with(source, || (), |(), _| ())?;
    Ok(columns.survey)
}

/// A survey with the extremes of each column.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSurvey {
    pub(crate) survey: Survey,
    /// Smallest value of each column.
    pub(crate) min: Vec<f32>,
    /// Largest value of each column.
    pub(crate) max: Vec<f32>,
}

/// A survey and other sums over the rows in the same pass: one `T` a lane, in order.
pub(crate) fn survey_with<T: Send>(
    source: &dyn Source,
    make: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, &[f32]) + Sync,
) -> Result<(ColumnSurvey, Vec<T>)> {
    let d_in = source.d_in();
    let lanes = chunks::fold(
        source,
        0,
        // Lanes without rows stay empty: a row may have millions of values.
        || (Moments::new(0), make()),
        |(moments, sums), _, x| {
            moments.merge(Moments::of(x, d_in));
            work(sums, x);
        },
    )?;
    let mut all = Moments::new(d_in);
    let mut sums = Vec::new();
    for (lane, lane_sums) in lanes {
        all.merge(lane);
        sums.push(lane_sums);
    }
    let variance = all.squares.iter().map(|s| s / all.count.max(1.0)).collect();
    let survey = Survey {
        rows: source.rows(),
        d_in,
        min: all.min.iter().copied().fold(f32::INFINITY, f32::min),
        max: all.max.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        mean: all.mean,
        variance,
    };
    let (min, max) = (all.min, all.max);
    Ok((ColumnSurvey { survey, min, max }, sums))
}

/// Number of rows; extremes, mean and sum of squared deviations of each column.
struct Moments {
    count: f64,
    min: Vec<f32>,
    max: Vec<f32>,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn new(d_in: usize) -> Self {
        Self {
            count: 0.0,
            min: vec![f32::INFINITY; d_in],
            max: vec![f32::NEG_INFINITY; d_in],
            mean: vec![0.0; d_in],
            squares: vec![0.0; d_in],
        }
    }

    fn of(x: &[f32], d_in: usize) -> Self {
        let mut moments = Self::new(d_in);
        moments.count = (x.len() / d_in) as f64;
        for row in x.chunks_exact(d_in) {
            row.iter()
                .zip(&mut moments.mean)
                .for_each(|(x, mean)| *mean += f64::from(*x));
        }
        moments
            .mean
            .iter_mut()
            .for_each(|mean| *mean /= moments.count);
        for row in x.chunks_exact(d_in) {
            for ((x, mean), square) in row.iter().zip(&moments.mean).zip(&mut moments.squares) {
                *square += (f64::from(*x) - mean).powi(2);
            }
            let extremes = moments.min.iter_mut().zip(&mut moments.max);
            for (x, (min, max)) in row.iter().zip(extremes) {
                *min = min.min(*x);
                *max = max.max(*x);
            }
        }
        moments
    }

    /// Merges the moments of two sets of rows, without cancellation (Chan, Golub and `LeVeque` 1983).
    fn merge(&mut self, other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        for j in 0..self.mean.len() {
            let apart = other.mean[j] - self.mean[j];
            self.squares[j] +=
                other.squares[j] + apart * apart * (self.count * other.count / count);
            self.mean[j] += apart * (other.count / count);
            self.min[j] = self.min[j].min(other.min[j]);
            self.max[j] = self.max[j].max(other.max[j]);
        }
        self.count = count;
    }
}
