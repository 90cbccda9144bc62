//! Some rows, evenly over the data, where all of them would be too many.

use super::Source;
use crate::Result;

/// The rows of a source, or `most` of them evenly spread, one after the other.
///
/// ```text
/// rows i n / most, rounded down, for i in 0..most
/// ```
///
/// Data often lies in an order (shards, classes, texts), so its beginning would not stand for it.
///
/// # Shapes
/// The result: `[min(n, most), d_in]`.
/// # Errors
/// What reading the rows returns.
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
    if all <= most {
        source.read(0, &mut values)?;
    } else {
        let chosen: Vec<usize> = even_positions(all, most).collect();
        source.gather(&chosen, &mut values)?;
    }
    Ok(values)
}

/// Places of `most` of `all` things, or of all.
pub(crate) fn even_positions(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let count = all.min(most);
    (0..count).map(move |i| i * all / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    /// Whatever the numbers: the first row is among them, no gap is larger than another by more than
    /// one, and they are all different.
    #[test]
    fn places_are_evenly_spread() {
        for all in 1..40 {
            for most in 0..45 {
                let places: Vec<usize> = even_positions(all, most).collect();
                assert_eq!(places.len(), most.min(all), "{most} of {all}");
                let ends = places.iter().copied().skip(1).chain([all]);
                let gaps: Vec<usize> = places.iter().zip(ends).map(|(a, b)| b - a).collect();
                let (least, widest) = (gaps.iter().min(), gaps.iter().max());
                if let (Some(least), Some(widest)) = (least, widest) {
                    assert_eq!(places[0], 0, "{most} of {all}");
                    assert!(*least > 0 && widest - least <= 1, "{gaps:?}");
                }
            }
        }
    }

    #[test]
    fn whole_rows_are_taken() {
        let data = Memory::new("rows", 2, (0..14).map(|v| v as f32).collect());
        // Rows 0, 2 and 4 of seven.
        let some = evenly_spaced_rows(&data, 3).unwrap();
        assert_eq!(some, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
        assert_eq!(evenly_spaced_rows(&data, 7).unwrap().len(), 14);
        assert_eq!(evenly_spaced_rows(&data, 0).unwrap(), [0.0f32; 0]);
    }
}
