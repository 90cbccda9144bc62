//! A running mean of a mini-batch's statistics, corrected for its start at zero.

use crate::variants::Batch;

/// Exponential moving average of per-row statistics.
///
/// ```text
/// a_t = decay a_{t-1} + (1 - decay) batch_t        estimate_t = a_t / (1 - decay^t)
/// ```
///
/// The first estimate is the first batch itself, whatever the decay. The estimate enters the
/// gradient as a constant (nothing is differentiated through the recursion), so the penalty's
/// weight does not depend on the decay either.
///
/// # Example
/// ```
/// use rarefy::train::Moving;
/// use rarefy::variants::Batch;
/// let mut moving = Moving::new(0.9, 1);
/// let first = moving.update(Batch { rows: 10, statistics: vec![4.0] });
/// assert!((first.statistics[0] - 4.0).abs() < 1e-12);
/// let second = moving.update(Batch { rows: 10, statistics: vec![8.0] });
/// assert!((second.statistics[0] - (0.09 * 4.0 + 0.1 * 8.0) / 0.19).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Moving {
    decay: f64,
    /// `1 - decay^t`, computed by the same recursion, so that a resumed run stays bit-equal.
    weight: f64,
    /// Averages per row.
    average: Vec<f64>,
}

impl Moving {
    /// Average of `statistics` numbers, without any batch yet.
    pub fn new(decay: f64, statistics: usize) -> Self {
        Self {
            decay,
            weight: 0.0,
            average: vec![0.0; statistics],
        }
    }

    /// The state as one vector, for a checkpoint.
    pub fn to_values(&self) -> Vec<f64> {
        [&[self.decay, self.weight], self.average.as_slice()].concat()
    }

    /// Average from the numbers of [`Moving::to_values`]; `None` if there are too few.
    pub fn from_values(values: &[f64]) -> Option<Self> {
        let (&[decay, weight], average) = values.split_first_chunk::<2>()?;
        Some(Self {
            decay,
            weight,
            average: average.to_vec(),
        })
    }

    /// Adds a mini-batch and returns the estimate, scaled to the batch's rows.
    pub fn update(&mut self, mut batch: Batch) -> Batch {
        let rows = batch.rows as f64;
        self.weight = self.decay * self.weight + (1.0 - self.decay);
        for (average, sum) in self.average.iter_mut().zip(&batch.statistics) {
            *average = self.decay * *average + (1.0 - self.decay) * (sum / rows);
        }
        for (sum, average) in batch.statistics.iter_mut().zip(&self.average) {
            *sum = average / self.weight * rows;
        }
        batch
    }

    /// Estimate per row; `None` before the first batch.
    pub fn estimate(&self) -> Option<Batch> {
        let per_row = |average: &f64| average / self.weight;
        (self.weight > 0.0).then(|| Batch {
            rows: 1,
            statistics: self.average.iter().map(per_row).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: usize, sum: f64) -> Batch {
        Batch {
            rows,
            statistics: vec![sum],
        }
    }

    /// With a decay of 1/2 and means per row of 2 and 5: averages 1 and 3, weights 1/2 and 3/4, estimates 2 and 4.
    #[test]
    fn estimate_is_the_weighted_mean_of_the_batches() {
        let numbers = |batch: Batch| (batch.rows, batch.statistics);
        let mut moving = Moving::new(0.5, 1);
        assert!(moving.estimate().is_none());
        assert_eq!(numbers(moving.update(batch(4, 8.0))), (4, vec![8.0]));
        assert_eq!(numbers(moving.update(batch(2, 10.0))), (2, vec![8.0]));
        assert_eq!(moving.estimate().map(numbers), Some((1, vec![4.0])));
        assert_eq!(moving.to_values(), [0.5, 0.75, 3.0]);
        assert_eq!(Moving::from_values(&moving.to_values()), Some(moving));
        assert_eq!(Moving::from_values(&[0.5]), None);
    }

    /// With a decay of 3/4: averages 1, then 3/4 + 1/4 8 = 2.75; weights 1/4, then 7/16.
    #[test]
    fn later_batches_weigh_less_with_a_larger_decay() {
        let mut moving = Moving::new(0.75, 1);
        moving.update(batch(1, 4.0));
        moving.update(batch(1, 8.0));
        assert_eq!(moving.to_values(), [0.75, 0.4375, 2.75]);
    }
}
