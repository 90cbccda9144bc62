//! Rows that training never sees, evenly spread over the data, and those that it does.

use super::Source;
use crate::{Error, Result};

/// The rows of a source but `count` of them, and those `count` rows, if any are wanted.
///
/// Of n rows the held-out ones are `i n / count` for i from 0, so that data in some order gives some
/// of everything.
///
/// # Errors
/// [`Error::Hyper`] if no row is left to train on.
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
        return Err(Error::hyper("holdout", &expected, count));
    }
    let part = |held_out| HoldoutPart {
        source,
        count,
        held_out,
    };
    Ok((part(false), (count > 0).then(|| part(true))))
}

/// The training rows of a source, or the held-out ones, in the order of the source.
pub struct HoldoutPart<'a> {
    source: &'a dyn Source,
    /// Rows held out.
    count: usize,
    /// Whether these are they.
    held_out: bool,
}

impl HoldoutPart<'_> {
    /// Where a row stands in the source.
    ///
    /// Held-out row j stands at `j n / count`, with `j (n - count) / count` training rows before it.
    /// So before training row t stand the held-out rows with `j < (t + 1) count / (n - count)`.
    fn position(&self, row: usize) -> usize {
        let (n, count) = (self.source.rows(), self.count);
        if self.held_out {
            row * n / count
        } else {
            row + ((row + 1) * count).div_ceil(n - count)
        }
    }

    /// How many of `most` rows from `row` on lie side by side in the source.
    fn run(&self, row: usize, most: usize) -> usize {
        let start = self.position(row);
        let together = |length: &usize| self.position(row + length) == start + length;
        (1..most).take_while(together).count() + 1
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
        let d_in = self.d_in();
        let (mut row, mut rest) = (start, out);
        while !rest.is_empty() {
            let run = self.run(row, rest.len() / d_in);
            let (now, later) = rest.split_at_mut(run * d_in);
            self.source.read(self.position(row), now)?;
            (row, rest) = (row + run, later);
        }
        Ok(())
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let rows: Vec<usize> = rows.iter().map(|row| self.position(*row)).collect();
        self.source.gather(&rows, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source.as_slice().filter(|_| self.count == 0)
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

    /// Whatever the numbers: the held-out rows are those of the formula, the others are the rest.
    #[test]
    fn two_parts_are_the_whole() {
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
    fn rows_are_gathered_by_their_own_numbers() {
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
    fn a_row_is_left_to_train_on() {
        let data = Memory::new("rows", 1, vec![0.0; 3]);
        let error = hold_out(&data, 3).err().unwrap().to_string();
        assert_eq!(error, "holdout must be less than the 3 rows of rows, got 3");
    }
}
