//! Rows of a known dictionary as data, each drawn when it is read; and the part of such rows that represents all.

use std::path::Path;

use super::{Source, check_finite};
use crate::Result;
use crate::synth::Truth;

/// Number of drawn rows that statistics and figures read: they represent all others, which are drawn alike.
const REPRESENTATIVE: usize = 1 << 17;

/// Rows of a known dictionary, drawn when they are read, so that they take no space: the first `rows` of its endless rows.
///
/// # Example
/// ```
/// use rarefy::data::{DrawnRows, Source};
/// use rarefy::synth::easy;
/// let rows = DrawnRows::new("easy", easy(0), 1_000_000_000);
/// let mut row = [0.0; 24];
/// rows.read(999_999_999, &mut row)?;
/// assert_eq!(easy(0).draw(999_999_999..1_000_000_000).x, row);
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug)]
pub struct DrawnRows {
    name: String,
    truth: Truth,
    rows: usize,
}

impl DrawnRows {
    /// The first `rows` rows of a dictionary; `name` stands for them in error messages.
    pub fn new(name: impl Into<String>, truth: Truth, rows: usize) -> Self {
        Self {
            name: name.into(),
            truth,
            rows,
        }
    }

    /// Rows of a dictionary file that [`Truth::save`] wrote, as many as it says.
    ///
    /// # Errors
    /// As [`Truth::load`].
    pub fn open(path: &Path) -> Result<Self> {
        let (truth, rows) = Truth::load(path)?;
        Ok(Self::new(path.display().to_string(), truth, rows))
    }
}

impl Source for DrawnRows {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn d_in(&self) -> usize {
        self.truth.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let count = out.len() / self.d_in();
        assert!(start + count <= self.rows, "rows beyond the last one");
        out.copy_from_slice(&self.truth.draw(start..start + count).x);
        check_finite(Path::new(&self.name), start, self.d_in(), out)
    }

    /// Draws each block once, whatever the number of its rows.
    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let d_in = self.d_in();
        let size = self.truth.block_rows();
        let mut places: Vec<(usize, usize)> = rows.iter().copied().zip(0..).collect();
        places.sort_unstable();
        for block in places.chunk_by(|a, b| a.0 / size == b.0 / size) {
            let (first, last) = (block[0].0, block[block.len() - 1].0);
            let drawn = self.truth.draw(first..last + 1).x;
            for (row, place) in block {
                let from = &drawn[(row - first) * d_in..][..d_in];
                out[place * d_in..(place + 1) * d_in].copy_from_slice(from);
            }
        }
        Ok(())
    }

    fn is_drawn(&self) -> bool {
        true
    }
}

/// Part of drawn rows that represents all: the first ones, and the last `held_out`. Other rows are all in the part.
pub struct Excerpt<'a> {
    source: Box<dyn Source + 'a>,
    /// Number of rows from the start.
    first: usize,
    /// Position of the first of the last rows.
    last: usize,
}

impl<'a> Excerpt<'a> {
    /// Part of a source whose last `held_out` rows are held out if they are drawn.
    pub fn new(source: Box<dyn Source + 'a>, held_out: usize) -> Self {
        let last = source.rows().saturating_sub(held_out);
        let first = if source.is_drawn() {
            last.min(REPRESENTATIVE)
        } else {
            last
        };
        Self {
            source,
            first,
            last,
        }
    }
}

impl Source for Excerpt<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.first + self.source.rows() - self.last
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let leading = self.first.saturating_sub(start) * self.d_in();
        let (leading, others) = out.split_at_mut(leading.min(out.len()));
        if !leading.is_empty() {
            self.source.read(start, leading)?;
        }
        if !others.is_empty() {
            let row = start.max(self.first) - self.first + self.last;
            self.source.read(row, others)?;
        }
        Ok(())
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let moved = self.last - self.first;
        let position = |row: &usize| if *row < self.first { *row } else { row + moved };
        let rows: Vec<usize> = rows.iter().map(position).collect();
        self.source.gather(&rows, out)
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        if self.first == self.last {
            return self.source.read_f64(start, out);
        }
        let mut values = vec![0.0; out.len()];
        self.read(start, &mut values)?;
        let pairs = out.iter_mut().zip(values);
        pairs.for_each(|(out, value)| *out = f64::from(value));
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source.as_slice().filter(|_| self.first == self.last)
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
    use crate::data::{Memory, hold_out};
    use crate::synth::easy;

    #[test]
    fn an_excerpt_of_drawn_rows_has_the_first_and_the_held_out_ones() {
        let rows = DrawnRows::new("easy", easy(3), 1_000_000);
        let excerpt = Excerpt::new(Box::new(&rows), 5);
        assert_eq!(
            (rows.rows(), excerpt.rows()),
            (1_000_000, REPRESENTATIVE + 5)
        );
        let (training, held_out) = hold_out(&excerpt, 5).unwrap();
        let (_, all_held_out) = hold_out(&rows, 5).unwrap();
        let (mut some, mut others) = ([0.0; 5 * 24], [0.0; 5 * 24]);
        held_out.unwrap().read(0, &mut some).unwrap();
        all_held_out.unwrap().read(0, &mut others).unwrap();
        assert_eq!(some, others);
        assert_eq!(easy(3).draw(999_995..1_000_000).x, some);
        assert_eq!(training.rows(), REPRESENTATIVE);
        // Across the border, and by number.
        excerpt.read(REPRESENTATIVE - 2, &mut some).unwrap();
        let border: Vec<usize> = (REPRESENTATIVE - 2..REPRESENTATIVE + 3).collect();
        excerpt.gather(&border, &mut others).unwrap();
        assert_eq!(some, others);
        assert_eq!(some[2 * 24..], easy(3).draw(999_995..999_998).x);
    }

    #[test]
    fn other_rows_are_all_in_the_excerpt() {
        let rows = Memory::new("rows", 1, (0..9).map(|at| at as f32).collect());
        assert_eq!(Excerpt::new(Box::new(&rows), 4).as_slice(), rows.as_slice());
    }
}
