//! Split of the rows into a training part and an evenly spaced held-out part.

use super::Source;
use super::value::Value;
use crate::{Error, Result};

/// Splits a source into training rows and `count` held-out rows; `None` in place of the held-out part if `count`
/// is 0.
///
/// ```text
/// held-out rows: floor(i n / count) for i in 0..count, of n rows
/// ```
///
/// The held-out rows are evenly spaced, so that they represent sorted data too. Of rows that are drawn
/// ([`Source::is_drawn`]) the last ones are held out.
///
/// # Errors
/// [`Error::Hyper`] if no row is left for training.
///
/// # Example
/// ```
/// use rarefy::data::{Memory, Source, hold_out};
/// let data = Memory::new("five rows", 1, vec![0.0, 1.0, 2.0, 3.0, 4.0]);
/// let (training, held_out) = hold_out(&data, 2)?;
/// let (mut some, mut others) = ([0.0; 3], [0.0; 2]);
/// training.read(0, &mut some)?;
/// held_out.unwrap().read(0, &mut others)?;
/// assert_eq!((some, others), ([1.0, 3.0, 4.0], [0.0, 2.0]));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn hold_out(
    source: &dyn Source,
    count: usize,
) -> Result<(HoldoutPart<'_>, Option<HoldoutPart<'_>>)> {
    if count >= source.rows() {
        let expected = format!("less than the {} rows of {}", source.rows(), source.name());
        return Err(Error::hyper("data.holdout", &expected, count));
    }
    let part = |held_out| HoldoutPart {
        source,
        count,
        held_out,
    };
    Ok((part(false), (count > 0).then(|| part(true))))
}

/// Source of either the training rows or the held-out rows, in the order of the original source.
pub struct HoldoutPart<'a> {
    source: &'a dyn Source,
    /// Number of held-out rows.
    count: usize,
    /// True for the held-out part, false for the training part.
    held_out: bool,
}

impl HoldoutPart<'_> {
    /// Position in the source of row `row` of this part.
    ///
    /// Held-out row j has the position `j n / count`, and `j (n - count) / count` training rows precede it.
    /// So the held-out rows with `j < (t + 1) count / (n - count)` precede training row t.
    pub(crate) fn position(&self, row: usize) -> usize {
        let (n, count) = (self.source.rows(), self.count);
        if self.source.is_drawn() {
            row + if self.held_out { n - count } else { 0 }
        } else if self.held_out {
            row * n / count
        } else {
            row + ((row + 1) * count).div_ceil(n - count)
        }
    }

    /// Number of rows from `row` on, at most `most`, that are consecutive in the source.
    fn consecutive(&self, row: usize, most: usize) -> usize {
        let start = self.position(row);
        let together = |length: &usize| self.position(row + length) == start + length;
        (1..most).take_while(together).count() + 1
    }

    fn rows_at<V: Value>(&self, start: usize, out: &mut [V]) -> Result<()> {
        let d_in = self.d_in();
        let (mut row, mut rest) = (start, out);
        while !rest.is_empty() {
            let run = self.consecutive(row, rest.len() / d_in);
            let (now, later) = rest.split_at_mut(run * d_in);
            V::read(self.source, self.position(row), now)?;
            (row, rest) = (row + run, later);
        }
        Ok(())
    }
}

impl Source for HoldoutPart<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        if self.held_out {
            self.count
        } else {
            self.source.rows() - self.count
        }
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.rows_at(start, out)
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.rows_at(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let rows: Vec<usize> = rows.iter().map(|row| self.position(*row)).collect();
        self.source.gather(&rows, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source.as_slice().filter(|_| self.count == 0)
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    fn all_of(part: &HoldoutPart) -> Vec<f32> {
        let mut rows = vec![0.0; part.rows() * part.d_in()];
        part.read(0, &mut rows).unwrap();
        rows
    }

    /// For all sizes: the held-out rows are the ones of the formula, the training rows are all others.
    #[test]
    fn parts_partition_the_rows() {
        for n in 1..40 {
            let values: Vec<f32> = (0..2 * n).map(|v| v as f32).collect();
            let data = Memory::new("rows", 2, values.clone());
            for count in 0..n {
                let (training, held_out) = hold_out(&data, count).unwrap();
                let held: Vec<usize> = (0..count).map(|i| i * n / count).collect();
                let rows = |which: &dyn Fn(usize) -> bool| -> Vec<f32> {
                    let chosen = (0..n).filter(|row| which(*row));
                    chosen
                        .flat_map(|row| [values[2 * row], values[2 * row + 1]])
                        .collect()
                };
                assert_eq!(all_of(&training), rows(&|row| !held.contains(&row)));
                assert_eq!(training.as_slice().is_some(), count == 0);
                let others = held_out.as_ref().map_or(Vec::new(), all_of);
                assert_eq!(others, rows(&|row| held.contains(&row)), "{count} of {n}");
            }
        }
    }

    #[test]
    fn gather_uses_row_numbers_of_the_part() {
        let data = Memory::new("rows", 1, (0..100).map(|v| v as f32).collect());
        let (training, held_out) = hold_out(&data, 10).unwrap();
        let mut out = [0.0; 4];
        training.gather(&[89, 0, 9, 8], &mut out).unwrap();
        assert_eq!(out, [99.0, 1.0, 11.0, 9.0]);
        held_out.unwrap().gather(&[9, 0, 9, 3], &mut out).unwrap();
        assert_eq!(out, [90.0, 0.0, 90.0, 30.0]);
        training.read(7, &mut out).unwrap();
        assert_eq!(out, [8.0, 9.0, 11.0, 12.0]);
    }

    #[test]
    fn holding_out_all_rows_is_refused() {
        let data = Memory::new("rows", 1, vec![0.0; 3]);
        let error = hold_out(&data, 3).err().unwrap().to_string();
        assert_eq!(
            error,
            "`data.holdout` must be less than the 3 rows of rows, got 3"
        );
    }
}
