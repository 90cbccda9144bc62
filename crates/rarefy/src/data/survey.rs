//! Statistics of the data from one pass over all rows: range, means, variances.

use super::Source;
use super::chunks;
use super::value::Value;
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

/// Range of a column in steps of `f64` up to which it is constant: sums of such values have no more digits.
const CONSTANT: f64 = 8.0 * f64::EPSILON;

impl ColumnSurvey {
    /// Standard deviation of a column; `None` if it is constant.
    pub(crate) fn deviation(&self, column: usize) -> Option<f64> {
        let (low, high) = (self.min[column], self.max[column]);
        let varies = high - low > CONSTANT * high.abs().max(low.abs());
        let variance = self.survey.variance[column];
        (varies && variance > 0.0).then(|| variance.sqrt())
    }

    /// Smallest and largest value of all columns.
    pub(crate) fn range(&self) -> (f64, f64) {
        let low = self.min.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.max.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (low, high)
    }
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
    let (columns, _) = survey_with(source, || (), |(), _: &[f32]| ())?;
    Ok(columns.survey)
}

/// [`survey`] of all digits that are stored; the extremes are rounded to `f32`, and constant columns have the variance 0.
///
/// # Errors
/// As [`survey`].
#[doc(hidden)]
pub fn survey_f64(source: &dyn Source) -> Result<Survey> {
    let columns = column_survey(source)?;
    let variance =
        (0..source.d_in()).map(|column| columns.deviation(column).unwrap_or(0.0).powi(2));
    Ok(Survey {
        variance: variance.collect(),
        ..columns.survey
    })
}

/// The survey to fit a step to, in `f64` if values have more digits than `f32` holds.
pub(crate) fn column_survey(source: &dyn Source) -> Result<ColumnSurvey> {
    let (columns, _) = if source.has_f64() {
        survey_with(source, || (), |(), _: &[f64]| ())?
    } else {
        survey_with(source, || (), |(), _: &[f32]| ())?
    };
    Ok(columns)
}

/// A survey with the extremes of each column.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSurvey {
    pub(crate) survey: Survey,
    /// Smallest value of each column.
    pub(crate) min: Vec<f64>,
    /// Largest value of each column.
    pub(crate) max: Vec<f64>,
}

/// A survey and other sums over the rows in the same pass: one `T` a lane, in order.
pub(crate) fn survey_with<V: Value, T: Send>(
    source: &dyn Source,
    make: impl Fn() -> T + Sync,
    work: impl Fn(&mut T, &[V]) + Sync,
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
        min: 0.0,
        max: 0.0,
        mean: all.mean,
        variance,
    };
    let wide = |values: Vec<V>| values.into_iter().map(Into::into).collect();
    let mut columns = ColumnSurvey {
        survey,
        min: wide(all.min),
        max: wide(all.max),
    };
    let (low, high) = columns.range();
    (columns.survey.min, columns.survey.max) = (low as f32, high as f32);
    Ok((columns, sums))
}

/// Number of rows; extremes, mean and sum of squared deviations of each column.
struct Moments<V> {
    count: f64,
    min: Vec<V>,
    max: Vec<V>,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl<V: Value> Moments<V> {
    fn new(d_in: usize) -> Self {
        Self {
            count: 0.0,
            min: vec![V::of_f32(f32::INFINITY); d_in],
            max: vec![V::of_f32(f32::NEG_INFINITY); d_in],
            mean: vec![0.0; d_in],
            squares: vec![0.0; d_in],
        }
    }

    fn of(x: &[V], d_in: usize) -> Self {
        let mut moments = Self::new(d_in);
        moments.count = (x.len() / d_in) as f64;
        for row in x.chunks_exact(d_in) {
            row.iter()
                .zip(&mut moments.mean)
                .for_each(|(x, mean)| *mean += (*x).into());
        }
        moments
            .mean
            .iter_mut()
            .for_each(|mean| *mean /= moments.count);
        for row in x.chunks_exact(d_in) {
            for ((x, mean), square) in row.iter().zip(&moments.mean).zip(&mut moments.squares) {
                let apart: f64 = (*x).into() - mean;
                *square += apart.powi(2);
            }
            let extremes = moments.min.iter_mut().zip(&mut moments.max);
            for (x, (min, max)) in row.iter().zip(extremes) {
                *min = min.least(*x);
                *max = max.most(*x);
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
            self.min[j] = self.min[j].least(other.min[j]);
            self.max[j] = self.max[j].most(other.max[j]);
        }
        self.count = count;
    }
}
