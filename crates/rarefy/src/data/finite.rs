//! Rows without NaN and infinities: with `data.skip_bad_rows`, rows that have one are left out and counted.

use super::{Dataset, Source};
use crate::{Error, Result};

/// Rows that are looked at together.
const BLOCK: usize = 1 << 12;

/// Leaves out rows with a NaN or an infinity, with their labels, texts and places, and says how many. All rows are read once.
///
/// # Errors
/// [`Error::Format`] if no row is left; errors of reading.
pub(super) fn finite_rows(mut dataset: Dataset<'static>) -> Result<Dataset<'static>> {
    let source = dataset.source.as_ref();
    if source.is_drawn() {
        return Ok(dataset);
    }
    let (rows, (bad, first)) = (source.rows(), bad_rows(source)?);
    let Some(first) = first else {
        return Ok(dataset);
    };
    let name = source.name().to_owned();
    if bad.len() == rows {
        let why = format!(
            "expected a row without NaN and infinities, got {rows} rows with one; the first: {first}"
        );
        return Err(Error::format(name, why));
    }
    dataset.notes.push(format!(
        "{name}: {} of {rows} rows left out, because a value is NaN or infinite; the first: {first}",
        bad.len()
    ));
    for cells in [&mut dataset.labels, &mut dataset.texts]
        .into_iter()
        .flatten()
    {
        let mut row = 0..;
        cells.retain(|_| bad.binary_search(&row.next().unwrap_or_default()).is_err());
    }
    dataset.places = dataset.places.map(|places| places.without(rows, &bad));
    dataset.source = Box::new(Without {
        source: dataset.source,
        bad,
    });
    Ok(dataset)
}

/// Rows with a NaN or an infinity, and the place and value of the first in words.
fn bad_rows(source: &dyn Source) -> Result<(Vec<usize>, Option<String>)> {
    let width = source.d_in();
    let (mut bad, mut first_bad) = (Vec::new(), None);
    for first in (0..source.rows()).step_by(BLOCK) {
        let mut values = vec![0.0; BLOCK.min(source.rows() - first) * width];
        match source.read(first, &mut values) {
            Ok(()) if rarefy_kernels::vector::all_finite(&values) => continue,
            Ok(()) | Err(Error::NotFinite { .. }) => {}
            Err(error) => return Err(error),
        }
        for row in first..first + values.len() / width {
            let values = &mut values[..width];
            let (column, got) = match source.read(row, values) {
                Err(Error::NotFinite { column, got, .. }) => (column, got),
                Err(error) => return Err(error),
                Ok(()) => match values.iter().position(|value| !value.is_finite()) {
                    Some(column) => (column, values[column]),
                    None => continue,
                },
            };
            first_bad.get_or_insert_with(|| format!("row {row}, column {column}: {got}"));
            bad.push(row);
        }
    }
    Ok((bad, first_bad))
}

/// Rows of a source but some.
struct Without {
    source: Box<dyn Source>,
    /// Rows that are left out, in rising order.
    bad: Vec<usize>,
}

impl Without {
    /// Row of the source.
    fn original(&self, row: usize) -> usize {
        // Before bad row `i` stand `bad[i] - i` rows that are kept.
        let mut before = 0..self.bad.len();
        while !before.is_empty() {
            let middle = before.start.midpoint(before.end);
            if self.bad[middle] - middle <= row {
                before.start = middle + 1;
            } else {
                before.end = middle;
            }
        }
        row + before.start
    }

    /// Calls `read` for each run of rows that follow each other in the source: with the first row there, and their values.
    fn runs<V>(
        &self,
        start: usize,
        mut out: &mut [V],
        mut read: impl FnMut(usize, &mut [V]) -> Result<()>,
    ) -> Result<()> {
        let (mut row, width) = (start, self.d_in());
        while !out.is_empty() {
            let first = self.original(row);
            let next_bad = self.bad.partition_point(|bad| *bad < first);
            let until = self
                .bad
                .get(next_bad)
                .copied()
                .unwrap_or(self.source.rows());
            let count = (until - first).min(out.len() / width);
            let (now, later) = out.split_at_mut(count * width);
            read(first, now)?;
            row += count;
            out = later;
        }
        Ok(())
    }
}

impl Source for Without {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.source.rows() - self.bad.len()
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.runs(start, out, |first, out| self.source.read(first, out))
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let rows: Vec<usize> = rows.iter().map(|row| self.original(*row)).collect();
        self.source.gather(&rows, out)
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        self.runs(start, out, |first, out| self.source.read_f64(first, out))
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Memory, Places};

    /// Rows of two values that count from 0; NaN or infinity in some.
    fn rows(count: usize, bad: &[usize]) -> Dataset<'static> {
        let mut values: Vec<f32> = (0..2 * count).map(|value| value as f32).collect();
        for (at, row) in bad.iter().enumerate() {
            values[2 * row + at % 2] = if at % 2 == 0 {
                f32::NAN
            } else {
                f32::NEG_INFINITY
            };
        }
        let mut dataset = Dataset::new(Memory::new("rows", 2, values));
        dataset.labels = Some((0..count).map(|row| row.to_string()).collect());
        dataset.places = Places::every(5);
        dataset
    }

    #[test]
    fn rows_with_nan_or_infinity_are_left_out_with_what_belongs_to_them() {
        for bad in [
            &[][..],
            &[0],
            &[9999],
            &[3, 4, 5],
            &[0, 1, 4095, 4096, 4097, 8000, 9999],
        ] {
            let kept: Vec<usize> = (0..10_000).filter(|row| !bad.contains(row)).collect();
            let data = finite_rows(rows(10_000, bad)).unwrap();
            assert_eq!(data.source.rows(), kept.len());
            let mut values = vec![0.0; 2 * kept.len()];
            data.source.read(0, &mut values).unwrap();
            let expected: Vec<f32> = kept
                .iter()
                .flat_map(|row| [2.0 * *row as f32, 2.0 * *row as f32 + 1.0])
                .collect();
            assert_eq!(values, expected);
            let some = [kept.len() - 1, 0, 4090];
            let mut picked = [0.0; 6];
            data.source.gather(&some, &mut picked).unwrap();
            let expected = some.map(|row| 2.0 * kept[row] as f32);
            assert_eq!([picked[0], picked[2], picked[4]], expected);
            let (labels, places) = (data.labels.unwrap(), data.places.unwrap());
            for row in some {
                assert_eq!(labels[row], kept[row].to_string());
                assert_eq!(
                    (places.context(row), places.position(row)),
                    (kept[row] as u64 / 5, kept[row] as u64 % 5)
                );
            }
            assert_eq!(data.notes.len(), usize::from(!bad.is_empty()));
        }
    }

    #[test]
    fn first_row_is_named_and_one_must_be_left() {
        let data = finite_rows(rows(30, &[7, 8])).unwrap();
        assert_eq!(
            data.notes,
            [
                "rows: 2 of 30 rows left out, because a value is NaN or infinite; the first: row 7, column 0: NaN"
            ]
        );
        let why = finite_rows(rows(2, &[0, 1])).err().unwrap().to_string();
        assert!(
            why.contains("got 2 rows with one; the first: row 0, column 0: NaN"),
            "{why}"
        );
    }
}
