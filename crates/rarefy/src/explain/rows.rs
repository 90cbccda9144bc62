//! Statistics of the rows that the conversion of coefficients needs.

use rarefy_kernels::vector::dot;
use serde::Serialize;

use crate::Result;
use crate::data::{Source, Survey};

/// Mean length, mean square and variance of the preprocessed rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RowStatistics {
    /// Number of rows.
    pub rows: usize,
    /// Values in a row.
    pub d_in: usize,
    /// Mean length, `E|x|`.
    pub mean_norm: f64,
    /// Mean squared length, `E|x|^2`.
    pub mean_square: f64,
    /// Variance, summed over inputs: `E|x - mean x|^2`.
    pub variance: f64,
}

impl RowStatistics {
    /// Measures all rows in one further pass after the survey.
    ///
    /// # Errors
    /// Errors of reading the rows.
    ///
    /// # Example
    /// ```
    /// use rarefy::data::{Memory, survey};
    /// use rarefy::explain::RowStatistics;
    /// let data = Memory::new("two rows", 2, vec![3.0, 4.0, 0.0, 1.0]);
    /// let rows = RowStatistics::measure(&data, &survey(&data)?)?;
    /// assert_eq!((rows.mean_norm, rows.mean_square), (3.0, 13.0)); // 5 and 1; 25 and 1
    /// assert_eq!(rows.variance, 4.5); // 1.5^2 in both columns
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn measure(source: &dyn Source, survey: &Survey) -> Result<Self> {
        let d_in = source.d_in();
        let block = (1 << 18) / d_in + 1;
        let mut x = Vec::new();
        let mut lengths = 0.0;
        for start in (0..source.rows()).step_by(block) {
            x.resize(block.min(source.rows() - start) * d_in, 0.0);
            source.read(start, &mut x)?;
            lengths += x
                .chunks_exact(d_in)
                .map(|row| dot(row, row).sqrt())
                .sum::<f64>();
        }
        let variance: f64 = survey.variance.iter().sum();
        Ok(Self {
            rows: survey.rows,
            d_in,
            mean_norm: lengths / survey.rows as f64,
            mean_square: variance + survey.mean.iter().map(|mean| mean * mean).sum::<f64>(),
            variance,
        })
    }
}
