//! Sources joined column by column, and a range of columns of a source.

use std::ops::Range;

use super::Source;
use super::value::Value;
use crate::{Error, Result};

/// Source that joins several sources column by column: row i is the concatenation of their rows i.
///
/// # Example
/// ```
/// use rarefy::data::{SideBySide, Memory, Source};
/// let left = Memory::new("left", 1, vec![1.0, 2.0]);
/// let right = Memory::new("right", 2, vec![10.0, 11.0, 20.0, 21.0]);
/// let both = SideBySide::new(vec![Box::new(left), Box::new(right)])?;
/// let mut rows = [0.0; 6];
/// both.read(0, &mut rows)?;
/// assert_eq!(rows, [1.0, 10.0, 11.0, 2.0, 20.0, 21.0]);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct SideBySide {
    name: String,
    sources: Vec<Box<dyn Source>>,
}

impl SideBySide {
    /// Joins sources with equal numbers of rows.
    ///
    /// # Errors
    /// [`Error::Shape`] with the name of the first source whose number of rows differs.
    ///
    /// # Panics
    /// If `sources` is empty.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Result<Self> {
        let first = &sources[0];
        for other in &sources {
            if other.rows() != first.rows() {
                return Err(Error::Shape {
                    what: format!("{}: rows", other.name()),
                    expected: format!(
                        "{}, the number of rows of {}, because rows of equal number form one sample",
                        first.rows(),
                        first.name()
                    ),
                    got: other.rows().to_string(),
                });
            }
        }
        let names: Vec<&str> = sources.iter().map(|source| source.name()).collect();
        Ok(Self {
            name: names.join(" + "),
            sources,
        })
    }

    /// Fills `out` source by source: `read` reads the rows of one source into a buffer, which is copied into
    /// the columns of that source.
    fn fill<V: Value>(
        &self,
        out: &mut [V],
        read: impl Fn(&dyn Source, &mut [V]) -> Result<()>,
    ) -> Result<()> {
        let wide = self.d_in();
        let (rows, mut start) = (out.len() / wide, 0);
        let mut values = Vec::new();
        for source in &self.sources {
            let width = source.d_in();
            values.resize(rows * width, V::default());
            read(source.as_ref(), &mut values)?;
            for (row, values) in out.chunks_exact_mut(wide).zip(values.chunks_exact(width)) {
                row[start..start + width].copy_from_slice(values);
            }
            start += width;
        }
        Ok(())
    }
}

impl Source for SideBySide {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.sources[0].rows()
    }

    fn d_in(&self) -> usize {
        self.sources.iter().map(|source| source.d_in()).sum()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.fill(out, |source, values| source.read(start, values))
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        self.fill(out, |source, values| source.gather(rows, values))
    }

    fn has_f64(&self) -> bool {
        self.sources.iter().any(|source| source.has_f64())
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.fill(out, |source, values| source.read_f64(start, values))
    }

    fn is_drawn(&self) -> bool {
        self.sources.iter().all(|source| source.is_drawn())
    }

    fn is_in_memory(&self) -> bool {
        self.sources.iter().all(|source| source.is_in_memory())
    }
}

/// Source of a range of columns of another source.
///
/// # Example
/// ```
/// use rarefy::data::{Columns, Memory, Source};
/// let all = Memory::new("rows", 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
/// let mut last = [0.0; 4];
/// Columns::new(&all, 1..3).read(0, &mut last)?;
/// assert_eq!(last, [2.0, 3.0, 5.0, 6.0]);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub struct Columns<'a> {
    source: &'a dyn Source,
    columns: Range<usize>,
}

impl<'a> Columns<'a> {
    /// Source of the columns in the range `columns` (its end excluded).
    ///
    /// # Panics
    /// If the range is empty or exceeds the columns of the source.
    pub fn new(source: &'a dyn Source, columns: Range<usize>) -> Self {
        assert!(
            columns.start < columns.end && columns.end <= source.d_in(),
            "columns {columns:?} are not a range of the {} columns",
            source.d_in()
        );
        Self { source, columns }
    }

    /// Copies the range of columns out of complete rows.
    fn cut<V: Value>(&self, rows: &[V], out: &mut [V]) {
        let whole = rows.chunks_exact(self.source.d_in());
        for (row, out) in whole.zip(out.chunks_exact_mut(self.columns.len())) {
            out.copy_from_slice(&row[self.columns.clone()]);
        }
    }

    /// Buffer for the complete rows of `out`.
    fn buffer<V: Value>(&self, out: &[V]) -> Vec<V> {
        vec![V::default(); out.len() / self.columns.len() * self.source.d_in()]
    }
}

impl Source for Columns<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn d_in(&self) -> usize {
        self.columns.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let mut rows = self.buffer(out);
        self.source.read(start, &mut rows)?;
        self.cut(&rows, out);
        Ok(())
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        let mut rows = self.buffer(out);
        self.source.read_f64(start, &mut rows)?;
        self.cut(&rows, out);
        Ok(())
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let mut whole = self.buffer(out);
        self.source.gather(rows, &mut whole)?;
        self.cut(&whole, out);
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;

    #[test]
    fn sources_with_unequal_rows_are_refused() {
        let two = Memory::new("two", 1, vec![0.0; 2]);
        let three = Memory::new("three", 1, vec![0.0; 3]);
        let error = SideBySide::new(vec![Box::new(two), Box::new(three)]).err();
        let error = error.expect("an error").to_string();
        assert!(
            error.contains("three: rows") && error.contains('2') && error.contains('3'),
            "{error}"
        );
    }

    #[test]
    fn gather_reads_rows_from_all_sources() {
        let left = Memory::new("left", 2, (0..8).map(|v| v as f32).collect());
        let right = Memory::new("right", 1, vec![10.0, 11.0, 12.0, 13.0]);
        let both = SideBySide::new(vec![Box::new(left), Box::new(right)]).unwrap();
        let mut rows = [0.0; 6];
        both.gather(&[3, 1], &mut rows).unwrap();
        assert_eq!(rows, [6.0, 7.0, 13.0, 2.0, 3.0, 11.0]);
        let mut cut = [0.0; 4];
        Columns::new(&both, 1..3).gather(&[3, 1], &mut cut).unwrap();
        assert_eq!(cut, [7.0, 13.0, 3.0, 11.0]);
    }
}
