//! Sparse matrices as data: files of `scipy.sparse` and codes that this library wrote, read as dense rows.
//!
//! Only the stored entries are in memory, 8 bytes each; [`SparseMatrix`] fills the requested rows. Sizes that a file
//! states cost no memory: empty rows are not stored, and the number of values in a row is bounded.

mod codes;
mod scipy;

use std::path::Path;

use super::{Dataset, MOST_WIDTH, OpenOptions, Source};
use crate::{Error, Result};

#[cfg(feature = "parquet")]
pub(crate) use codes::entries;
pub(super) use codes::open_tensors;
#[cfg(feature = "parquet")]
pub(super) use codes::{open_arrow, open_parquet};
pub(super) use scipy::{has_sparse_arrays, open_npz};

/// Largest number of values in a row: a dense row takes at most 64 MiB.
const WIDEST: i64 = MOST_WIDTH as i64;
/// Number of empty rows that are accepted for each stored entry, beyond the first 2^20 rows.
const EMPTY_ROWS: usize = 1 << 10;

/// Matrix whose zeros are not stored.
#[derive(Debug)]
pub(super) struct SparseMatrix {
    name: String,
    rows: usize,
    d_in: usize,
    /// Number of each row that has entries, rising, and the position of its first entry.
    starts: Vec<(usize, usize)>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Entries of a matrix in the order of a file, not yet validated.
struct Entries {
    /// Numbers of rows and columns that the file states.
    shape: (i64, i64),
    rows: Vec<i64>,
    columns: Vec<i64>,
    values: Vec<f32>,
}

impl Entries {
    /// Validates every entry and puts the entries in the order of their rows.
    fn matrix(self, path: &Path) -> Result<SparseMatrix> {
        let entries = self.values.len();
        let (rows, d_in) = self.checked_shape(path)?;
        for (what, got) in [("row", self.rows.len()), ("column", self.columns.len())] {
            if got != entries {
                let why = format!(
                    "sparse matrix: expected a {what} for each of {entries} values, got {got}"
                );
                return Err(Error::format(path, why));
            }
        }
        for entry in 0..entries {
            let at = (self.rows[entry], self.columns[entry]);
            for (what, index, size) in [("row", at.0, rows), ("column", at.1, d_in)] {
                if usize::try_from(index).map_or(true, |index| index >= size) {
                    let why = format!(
                        "sparse matrix, entry {entry}: expected a {what} below {size}, got {index}"
                    );
                    return Err(Error::format(path, why));
                }
            }
            if !self.values[entry].is_finite() {
                return Err(Error::NotFinite {
                    path: path.into(),
                    row: at.0 as usize,
                    column: at.1 as usize,
                    got: self.values[entry],
                });
            }
        }
        Ok(self.sorted(path, rows, d_in))
    }

    /// Shape that the file states, if memory and time for it are in proportion to the entries.
    fn checked_shape(&self, path: &Path) -> Result<(usize, usize)> {
        let (rows, d_in) = self.shape;
        let bad = |why: String| Err(Error::format(path, format!("sparse matrix: {why}")));
        if !(1..=WIDEST).contains(&d_in) {
            return bad(format!(
                "expected 1 to {WIDEST} values in a row, got {d_in}"
            ));
        }
        let most = self
            .values
            .len()
            .saturating_mul(EMPTY_ROWS)
            .saturating_add(1 << 20);
        match usize::try_from(rows) {
            Ok(rows) if rows <= most => Ok((rows, d_in as usize)),
            _ => bad(format!(
                "expected at most {most} rows for {} entries, got {rows}",
                self.values.len()
            )),
        }
    }

    /// Matrix of valid entries. Entries of a row keep their order, so that sums of duplicates are those of `scipy`.
    fn sorted(self, path: &Path, rows: usize, d_in: usize) -> SparseMatrix {
        let Self {
            rows: of_entry,
            columns,
            values,
            ..
        } = self;
        let in_order = of_entry.is_sorted();
        let mut order: Vec<usize> = (0..of_entry.len()).collect();
        if !in_order {
            order.sort_by_key(|&entry| of_entry[entry]);
        }
        let mut starts: Vec<(usize, usize)> = Vec::new();
        for (at, &entry) in order.iter().enumerate() {
            let row = of_entry[entry] as usize;
            if starts.last().is_none_or(|last| last.0 != row) {
                starts.push((row, at));
            }
        }
        SparseMatrix {
            name: path.display().to_string(),
            rows,
            d_in,
            starts,
            columns: order.iter().map(|&entry| columns[entry] as u32).collect(),
            values: order.iter().map(|&entry| values[entry]).collect(),
        }
    }
}

impl SparseMatrix {
    /// Data set of the dense rows, with a note about the kind of matrix, such as `csr`.
    fn dataset(self, kind: &str) -> Dataset<'static> {
        let (rows, d_in) = (self.rows, self.d_in);
        let filled = 100.0 * self.values.len() as f64 / (rows.max(1) as f64 * d_in as f64);
        let note = format!(
            "{}: sparse matrix {rows} x {d_in} ({kind}, {filled:.2} % filled), read as dense rows",
            self.name
        );
        let mut dataset = Dataset::new(self);
        dataset.notes.push(note);
        dataset
    }
}

impl Source for SparseMatrix {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn d_in(&self) -> usize {
        self.d_in
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let end = start + out.len() / self.d_in;
        assert!(
            end <= self.rows,
            "rows {start}..{end} exceed the {} rows",
            self.rows
        );
        out.fill(0.0);
        let first = self.starts.partition_point(|(row, _)| *row < start);
        for (at, &(row, from)) in self.starts.iter().enumerate().skip(first) {
            if row >= end {
                break;
            }
            let to = self
                .starts
                .get(at + 1)
                .map_or(self.values.len(), |next| next.1);
            let out = &mut out[(row - start) * self.d_in..][..self.d_in];
            for (column, value) in self.columns[from..to].iter().zip(&self.values[from..to]) {
                // Entries of the same position are summed.
                out[*column as usize] += value;
            }
        }
        Ok(())
    }

    fn is_in_memory(&self) -> bool {
        true
    }
}

/// True if columns of these names are lists of indices and lists of values: sparse rows, such as codes.
#[cfg(any(feature = "parquet", test))]
pub(super) fn is_codes<'a>(columns: impl IntoIterator<Item = &'a str>) -> bool {
    let names: Vec<String> = columns.into_iter().map(str::to_lowercase).collect();
    let any = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    any(&["indices", "index", "idx"]) && any(&["values", "value", "weights", "activations"])
}

/// Refuses to read one array of a sparse matrix: its values alone say nothing about their columns.
fn refuse_parts(path: &Path, options: &OpenOptions) -> Result<()> {
    let named = [
        ("data.member", options.member.as_ref()),
        ("data.columns", options.columns.first()),
        ("data.exclude", options.exclude.first()),
        ("data.label", options.label.as_ref()),
        ("data.text", options.text.as_ref()),
    ];
    let Some((field, got)) = named
        .into_iter()
        .find_map(|(field, name)| Some((field, name?)))
    else {
        return Ok(());
    };
    let why = format!(
        "sparse matrix, whose arrays are read together: leave out `{field}`, which names one of them ({got})"
    );
    Err(Error::format(path, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(rows: &[i64], columns: &[i64], values: &[f32]) -> Entries {
        Entries {
            shape: (4, 3),
            rows: rows.into(),
            columns: columns.into(),
            values: values.into(),
        }
    }

    #[test]
    fn entries_in_any_order_become_dense_rows_and_duplicates_are_summed() {
        let matrix = entries(&[3, 0, 3, 3], &[2, 1, 0, 2], &[1.0, 2.0, 4.0, 8.0])
            .matrix(Path::new("x"))
            .unwrap();
        let mut rows = [7.0; 12];
        matrix.read(0, &mut rows).unwrap();
        assert_eq!(
            rows,
            [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 9.0]
        );
        let mut rows = [7.0; 6];
        matrix.read(1, &mut rows).unwrap();
        assert_eq!(rows, [0.0; 6]);
        matrix.gather(&[3, 0], &mut rows).unwrap();
        assert_eq!(rows, [4.0, 0.0, 9.0, 0.0, 2.0, 0.0]);
        let dataset = matrix.dataset("coo");
        assert_eq!(
            dataset.notes,
            ["x: sparse matrix 4 x 3 (coo, 33.33 % filled), read as dense rows"]
        );
    }

    #[test]
    fn invalid_entries_are_refused_with_their_position() {
        let refusal = |entries: Entries| entries.matrix(Path::new("x")).unwrap_err().to_string();
        let error = refusal(entries(&[0, 4], &[0, 0], &[1.0, 1.0]));
        assert_eq!(
            error,
            "x: sparse matrix, entry 1: expected a row below 4, got 4"
        );
        let error = refusal(entries(&[0, 1], &[-1, 0], &[1.0, 1.0]));
        assert_eq!(
            error,
            "x: sparse matrix, entry 0: expected a column below 3, got -1"
        );
        let error = refusal(entries(&[0], &[0, 1], &[1.0]));
        assert!(
            error.contains("a column for each of 1 values, got 2"),
            "{error}"
        );
        let error = refusal(entries(&[2], &[1], &[f32::NAN]));
        assert!(error.contains("row 2, column 1"), "{error}");
        for shape in [(1 << 40, 3), (4, 1 << 40), (4, 0), (-1, 3)] {
            let claimed = Entries {
                shape,
                ..entries(&[0], &[0], &[1.0])
            };
            let error = refusal(claimed);
            assert!(
                error.contains("sparse matrix: expected"),
                "{shape:?}: {error}"
            );
        }
    }

    #[test]
    fn codes_are_known_by_the_names_of_their_columns() {
        assert!(is_codes(["indices", "values", "row_mean"]));
        assert!(is_codes(["Index", "Value"]));
        assert!(!is_codes(["values", "label"]));
    }
}
