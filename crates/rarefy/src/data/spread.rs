//! Evenly spaced subset of the rows of a source.

use super::Source;
use crate::Result;

/// Reads at most `most` rows of a source, evenly spaced; all rows if there are no more than `most`.
///
/// ```text
/// rows floor(i n / most) for i in 0..most
/// ```
///
/// Data is often sorted (by shard, class or text), so its first rows are no representative sample. Of rows that are drawn
/// ([`Source::is_drawn`]) the first ones are read.
///
/// # Shapes
/// The result: `[min(n, most), d_in]`.
/// # Errors
/// Same as [`Source::gather`].
/// # Example
/// ```
/// use rarefy::data::{Memory, evenly_spaced_rows};
/// let data = Memory::new("five rows", 1, vec![0.0, 1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(evenly_spaced_rows(&data, 3)?, [0.0, 1.0, 3.0]);
/// assert_eq!(evenly_spaced_rows(&data, 9)?, [0.0, 1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn evenly_spaced_rows(source: &dyn Source, most: usize) -> Result<Vec<f32>> {
    let all = source.rows();
    let mut values = vec![0.0; all.min(most) * source.d_in()];
    if all <= most || source.is_drawn() {
        source.read(0, &mut values)?;
    } else {
        let chosen: Vec<usize> = even_positions(all, most).collect();
        source.gather(&chosen, &mut values)?;
    }
    Ok(values)
}

/// Positions of `most` evenly spaced items out of `all`; all positions if `all` is no larger than `most`.
pub(crate) fn even_positions(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = all.min(most);
    (0..count).map(move |i| i * all / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    /// For all sizes: the first position is 0, gaps differ by at most one, and no position repeats.
    #[test]
    fn positions_are_evenly_spaced() {
        for all in 1..40 {
            for most in 0..45 {
                let positions: Vec<usize> = even_positions(all, most).collect();
                assert_eq!(positions.len(), most.min(all), "{most} of {all}");
                let ends = positions.iter().copied().skip(1).chain([all]);
                let gaps: Vec<usize> = positions.iter().zip(ends).map(|(a, b)| b - a).collect();
                let (least, widest) = (gaps.iter().min(), gaps.iter().max());
                if let (Some(least), Some(widest)) = (least, widest) {
                    assert_eq!(positions[0], 0, "{most} of {all}");
                    assert!(*least > 0 && widest - least <= 1, "{gaps:?}");
                }
            }
        }
    }

    #[test]
    fn complete_rows_are_read() {
        let data = Memory::new("rows", 2, (0..14).map(|v| v as f32).collect());
        // Rows 0, 2 and 4 of seven.
        let some = evenly_spaced_rows(&data, 3).unwrap();
        assert_eq!(some, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
        assert_eq!(evenly_spaced_rows(&data, 7).unwrap().len(), 14);
        assert_eq!(evenly_spaced_rows(&data, 0).unwrap(), [0.0f32; 0]);
    }
}
