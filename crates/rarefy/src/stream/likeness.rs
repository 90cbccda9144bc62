//! Likeness of rows that stand near each other, such as tokens of one text, and the variance that it adds to a batch.

use super::order::{BLOCK, LANES};
use crate::Result;
use crate::data::Source;

/// Number of blocks that are looked at.
const BLOCKS: usize = 256;

/// Mean over rows of the sum of correlations with the other rows of the same block of 64:
///
/// ```text
/// likeness = E |sum over the block of (x - mean)|^2 / (64 variance) - 1        0 for independent rows, 63 for equal ones
/// ```
///
/// `mean` has the mean of each column, and `variance` is the sum of the columns' variances. Of evenly spaced blocks, 256 at most; 0 for
/// fewer rows than a block.
///
/// # Errors
/// Errors of reading the rows.
pub(crate) fn likeness(data: &dyn Source, mean: &[f64], variance: f64) -> Result<f64> {
    let all = data.rows() / BLOCK;
    let blocks = all.min(BLOCKS);
    if blocks == 0 || variance <= 0.0 {
        return Ok(0.0);
    }
    let width = data.d_in();
    let mut rows = vec![0.0; BLOCK * width];
    let mut squares = 0.0;
    for block in 0..blocks {
        data.read(block * all / blocks * BLOCK, &mut rows)?;
        let mut sums: Vec<f64> = mean.iter().map(|mean| -(BLOCK as f64) * mean).collect();
        for row in rows.chunks_exact(width) {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += f64::from(*x));
        }
        squares += sums.iter().map(|sum| sum * sum).sum::<f64>();
    }
    Ok(squares / (blocks * BLOCK) as f64 / variance - 1.0)
}

/// Factor of the variance of a batch's mean, in place of 1 for a full shuffle, where rows of this likeness are shuffled in a window.
pub(crate) fn factor(likeness: f64, batch: usize, window: usize) -> f64 {
    1.0 + likeness.max(0.0) * batch.saturating_sub(LANES) as f64 / window as f64
}
