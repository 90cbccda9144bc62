//! Tables: files whose columns have names and types. One set of rules ([`roles`]) decides for every format which
//! columns are the data.

#[cfg(feature = "parquet")]
pub(crate) mod arrow;
pub(crate) mod cells;
pub(crate) mod csv;
pub(crate) mod json_lines;
mod named;
mod note;
mod roles;

use std::path::Path;

use rayon::prelude::*;

use super::{Column, Dataset, Memory, OpenOptions, Role, Value};
use crate::{Error, Result};

#[cfg(not(feature = "parquet"))]
pub(super) fn open_parquet(path: &Path, _: &OpenOptions) -> Result<Dataset<'static>> {
    Err(super::missing_feature(path, "parquet"))
}

#[cfg(not(feature = "parquet"))]
pub(super) use open_parquet as open_arrow;

pub(crate) use cells::{Bad, Numbers};
use roles::Roles;
pub use roles::frame_roles;

/// Type of a column, as far as its role depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Number,
    Boolean,
    Text,
    /// Lists of numbers of equal length.
    List,
    /// No cell has a value.
    Empty,
    /// Cells that look like numbers and are none, such as `1,234.5` or `50%`.
    NumberLike,
    /// Dates, durations, structs and everything else.
    Other,
}

/// Column as a file declares it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Type in words, such as `i32` or `list of f32`.
    pub(crate) type_name: String,
    /// Role that the file itself states: id for an index of the rows, label for numbers of classes, left out for lists of
    /// classes.
    pub(crate) declared_role: Option<Role>,
}

/// Open table of any format.
pub(crate) trait Table {
    /// Columns in the order of the file.
    fn fields(&self) -> &[Field];

    /// Number of rows.
    fn rows(&self) -> usize;

    /// Cells of a column as numbers; cells that are none are listed as bad.
    fn numbers(&mut self, column: usize) -> Result<Numbers>;

    /// Cells of a column as texts; `None` for a missing cell.
    fn texts(&mut self, column: usize) -> Result<Vec<Option<String>>>;

    /// Position of a row for messages, such as `line 3` or `row 2`.
    fn place(&self, row: usize) -> String;

    /// Statements about the reading, such as a delimiter other than the comma.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Rows of a table: the values of its data columns side by side, with labels and texts.
pub(crate) fn dataset(
    path: &Path,
    table: &mut dyn Table,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    if table.rows() == 0 {
        return Ok(Dataset::empty(path.display().to_string(), 0));
    }
    let Roles { mut columns, data } = roles::assign(path, table.fields(), options)?;
    let mut parts = Vec::new();
    for column in data {
        let numbers = table.numbers(column)?;
        if numbers.rows != table.rows() {
            let why = format!(
                "damaged: expected {} rows of column `{}`, got {}; write the file again",
                table.rows(),
                table.fields()[column].name,
                numbers.rows
            );
            return Err(Error::format(path, why));
        }
        parts.push((column, numbers));
    }
    if options.columns.is_empty() && options.member.is_none() {
        leave_out_row_numbers(table, &mut columns, &mut parts);
    }
    let bad = first_bad(&parts);
    if let Some((column, bad)) = bad
        && !options.skip_bad_rows
    {
        let why = cell_error(table, column, bad);
        let advice = "; set `data.skip_bad_rows` to leave such rows out";
        return Err(Error::format(path, why + advice));
    }
    let mut notes = table.notes();
    notes.extend(note::note(&columns));
    let keep = kept_rows(table, &parts);
    if let (Some((column, bad)), Some(keep)) = (bad, &keep) {
        let left = keep.iter().filter(|kept| !**kept).count();
        notes.push(format!(
            "{left} of {} rows left out, because a number is missing or unreadable; the first: {}",
            keep.len(),
            cell_error(table, column, bad)
        ));
    }
    let mut cells = |role: Role| -> Result<Option<Vec<String>>> {
        let Some(column) = columns.iter().position(|column| column.role == role) else {
            return Ok(None);
        };
        let texts = table.texts(column)?.into_iter().enumerate();
        let kept = texts.filter(|(row, _)| keep.as_ref().is_none_or(|keep| keep[*row]));
        Ok(Some(
            kept.map(|(_, text)| text.unwrap_or_default()).collect(),
        ))
    };
    let (labels, texts) = (cells(Role::Label)?, cells(Role::Text)?);
    let width: usize = parts.iter().map(|(_, numbers)| numbers.width).sum();
    let rows = table.rows();
    let (values, exact) = side_by_side(rows, parts, keep.as_deref());
    if (rows > 0 && values.is_empty()) || width == 0 {
        let why =
            format!("expected at least one row of numbers, got {rows} rows, none of them usable");
        return Err(Error::format(path, why));
    }
    let name = path.display().to_string();
    let mut dataset = Dataset::new(Memory::new(name.clone(), width, values).with_exact(exact));
    (dataset.labels, dataset.texts, dataset.columns) = (labels, texts, columns);
    dataset.notes = notes
        .into_iter()
        .map(|note| format!("{name}: {note}"))
        .collect();
    Ok(dataset)
}

/// Fewest rows of a column of row numbers: short columns count by chance.
const FEWEST_NUMBERED: usize = 10;

/// Gives integer columns that count the rows, from any number, the role of an id, if other data remains.
fn leave_out_row_numbers(
    table: &dyn Table,
    columns: &mut [Column],
    parts: &mut Vec<(usize, Numbers)>,
) {
    let rows = table.rows();
    let counts = |(column, numbers): &(usize, Numbers)| {
        let successive = match &numbers.exact {
            Some(exact) => count_up(exact),
            None => count_up(&numbers.values),
        };
        table.fields()[*column].kind == Kind::Integer
            && rows >= FEWEST_NUMBERED
            && numbers.bad.is_empty()
            && successive
    };
    if parts.iter().all(counts) {
        return;
    }
    parts.retain(|part| {
        let is_data = !counts(part);
        if !is_data {
            columns[part.0].role = Role::Id;
            columns[part.0].reason = "row number".into();
        }
        is_data
    });
}

/// True if each value is one more than the value before.
fn count_up<V: Value>(values: &[V]) -> bool {
    /// Whole numbers up to this are exact in `f64`.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let first: f64 = values.first().copied().unwrap_or_default().into();
    let mut counted = values.iter().enumerate();
    first.abs() + (values.len() as f64) < MOST
        && counted.all(|(row, value)| (*value).into() == first + row as f64)
}

/// The bad cell in the first row that has one, with its column.
fn first_bad(parts: &[(usize, Numbers)]) -> Option<(usize, &Bad)> {
    let firsts = parts.iter().filter_map(|(column, numbers)| {
        let first = numbers.bad.iter().min_by_key(|bad| bad.row)?;
        Some((*column, first))
    });
    firsts.min_by_key(|(_, bad)| bad.row)
}

fn cell_error(table: &dyn Table, column: usize, bad: &Bad) -> String {
    let column = shown_column(&table.fields()[column].name, column);
    format!("{}, {column}: {}", table.place(bad.row), bad.why)
}

/// Column in a message that gives a line too: lines count from 1, the columns of a table without a header from 0.
fn shown_column(name: &str, at: usize) -> String {
    if name == at.to_string() {
        format!("column `{name}` (the first is `0`)")
    } else {
        format!("column `{name}`")
    }
}

/// For each row, true if all its numbers are good; `None` if all rows are.
fn kept_rows(table: &dyn Table, parts: &[(usize, Numbers)]) -> Option<Vec<bool>> {
    let mut keep = vec![true; table.rows()];
    let bad = parts.iter().flat_map(|(_, numbers)| &numbers.bad);
    bad.for_each(|bad| keep[bad.row] = false);
    keep.contains(&false).then_some(keep)
}

/// Number of rows that `side_by_side` fills at a time: the values that a column gives to them share cache lines.
const BLOCK: usize = 64;

/// Row-major matrix of the kept rows, and the same with all digits if a column needs them.
fn side_by_side(
    rows: usize,
    mut parts: Vec<(usize, Numbers)>,
    keep: Option<&[bool]>,
) -> (Vec<f32>, Option<Vec<f64>>) {
    if let ([_], None) = (&*parts, keep) {
        let numbers = parts.remove(0).1;
        return (numbers.values, numbers.exact);
    }
    let needs_f64 = parts.iter().any(|(_, numbers)| numbers.exact.is_some());
    let exact = needs_f64.then(|| {
        let wide = |n: &Numbers| n.values.iter().map(|v| f64::from(*v)).collect();
        let columns = parts.iter_mut().map(|(_, numbers)| {
            let values = numbers.exact.take().unwrap_or_else(|| wide(numbers));
            (numbers.width, values)
        });
        matrix(rows, &columns.collect::<Vec<_>>(), keep)
    });
    let columns = parts.into_iter().map(|(_, n)| (n.width, n.values));
    (matrix(rows, &columns.collect::<Vec<_>>(), keep), exact)
}

/// Row-major matrix of the kept rows of columns, each of a number of values a row.
fn matrix<V: Value>(rows: usize, parts: &[(usize, Vec<V>)], keep: Option<&[bool]>) -> Vec<V> {
    let width: usize = parts.iter().map(|(width, _)| width).sum();
    if width == 0 {
        return Vec::new();
    }
    let kept: Vec<usize> = (0..rows)
        .filter(|row| keep.is_none_or(|keep| keep[*row]))
        .collect();
    let mut values = vec![V::default(); kept.len() * width];
    let blocks = values.par_chunks_mut(BLOCK * width);
    blocks.zip(kept.par_chunks(BLOCK)).for_each(|(out, rows)| {
        let mut start = 0;
        for (wide, values) in parts {
            let of_rows = out.chunks_exact_mut(width).zip(rows);
            for (out, row) in of_rows {
                let from = &values[row * wide..][..*wide];
                // A loop, because most columns have one value in a row, and a call of `memcpy` takes longer.
                let out = out[start..].iter_mut();
                out.zip(from).for_each(|(out, value)| *out = *value);
            }
            start += wide;
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns of numbers, of which the second may be shorter than the table says.
    struct Columns {
        fields: Vec<Field>,
        second: usize,
    }

    impl Table for Columns {
        fn fields(&self) -> &[Field] {
            &self.fields
        }

        fn rows(&self) -> usize {
            3
        }

        fn numbers(&mut self, column: usize) -> Result<Numbers> {
            let rows = if column == 0 { 3 } else { self.second };
            let first = 10 * column;
            Ok(Numbers {
                rows,
                width: 1,
                values: (first..first + rows).map(|value| value as f32).collect(),
                exact: None,
                bad: Vec::new(),
            })
        }

        fn texts(&mut self, _: usize) -> Result<Vec<Option<String>>> {
            Ok(Vec::new())
        }

        fn place(&self, row: usize) -> String {
            format!("row {row}")
        }
    }

    fn read(second: usize) -> Result<Dataset<'static>> {
        let field = |name: &str| Field {
            name: name.into(),
            kind: Kind::Number,
            type_name: "f32".into(),
            declared_role: None,
        };
        let fields = vec![field("a"), field("b")];
        let options = OpenOptions {
            columns: vec!["a".into(), "b".into()],
            ..OpenOptions::default()
        };
        dataset(Path::new("x"), &mut Columns { fields, second }, &options)
    }

    #[test]
    fn values_of_columns_stand_side_by_side() {
        let source = read(3).unwrap().source;
        let mut rows = vec![0.0; 6];
        source.read(0, &mut rows).unwrap();
        assert_eq!(rows, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
    }

    #[test]
    fn column_of_another_length_is_damage() {
        let why = read(2).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            why.contains("expected 3 rows of column `b`, got 2"),
            "{why}"
        );
    }
}
