//! Parquet reader: rows are the lists of one column, or the values of all numeric columns.

pub(crate) mod table;

use std::path::Path;

use ::parquet::basic::Type;

use super::{Dataset, Memory, OpenOptions, check_finite, is_label_name};
use crate::{Error, Result};

use table::{Lists, Table, is_numeric};

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let table = Table::open(path)?;
    let mut columns = Vec::new();
    for leaf in choose(path, &table, options.member.as_deref())? {
        let lists = table.floats(leaf)?;
        columns.push((width(&table, leaf, &lists)?, lists));
    }
    let rows = columns.first().map_or(0, |(_, lists)| lists.ends.len());
    let d_in: usize = columns.iter().map(|(width, _)| width).sum();
    if rows == 0 || d_in == 0 {
        return Err(Error::format(
            path,
            format!("expected at least one row of numbers, got {rows} rows of {d_in} numbers"),
        ));
    }
    let values = side_by_side(rows, columns);
    check_finite(path, 0, d_in, &values)?;
    let mut dataset = Dataset::new(Memory::new(path.display().to_string(), d_in, values));
    let leaves = 0..table.leaves().len();
    if let Some(leaf) = leaves.into_iter().find(|&leaf| is_label(&table, leaf)) {
        dataset.labels = Some(table.texts(leaf)?.values);
    }
    Ok(dataset)
}

/// True if the column holds labels: a flat column of strings or integers with a label name.
fn is_label(table: &Table, leaf: usize) -> bool {
    let column = &table.leaves()[leaf];
    column.max_rep_level() == 0
        && is_label_name(&column.path().string())
        && matches!(
            column.physical_type(),
            Type::BYTE_ARRAY | Type::INT32 | Type::INT64
        )
}

/// Leaf columns to read: the named one; without a name, the only column of lists, or all flat numeric columns.
fn choose(path: &Path, table: &Table, member: Option<&str>) -> Result<Vec<usize>> {
    let numeric = (0..table.leaves().len()).filter(|&leaf| is_numeric(&table.leaves()[leaf]));
    if let Some(member) = member {
        let known: Vec<usize> = numeric.collect();
        let found: Vec<usize> = known
            .iter()
            .copied()
            .filter(|&leaf| table.name(leaf) == member)
            .collect();
        if found.is_empty() {
            let what = format!("numeric column of {}", path.display());
            let known = known.iter().map(|&leaf| table.name(leaf));
            return Err(Error::unknown(&what, member, known));
        }
        return Ok(found);
    }
    // pandas keeps its row index as a column of this name.
    let is_index = |leaf: usize| table.name(leaf).starts_with("__index_level_");
    let data: Vec<usize> = numeric
        .filter(|&leaf| !is_label(table, leaf) && !is_index(leaf))
        .collect();
    let is_list = |leaf: &usize| table.leaves()[*leaf].max_rep_level() > 0;
    let lists: Vec<usize> = data.iter().copied().filter(is_list).collect();
    match lists.as_slice() {
        [] if data.is_empty() => Err(Error::format(
            path,
            "expected a column of numbers or of lists of numbers, got none",
        )),
        [] => Ok(data),
        [_] => Ok(lists),
        _ => {
            let names: Vec<&str> = lists.iter().map(|&leaf| table.name(leaf)).collect();
            let why = format!(
                "expected one column of lists, got {} ({}); choose one with `data.member`",
                names.len(),
                names.join(", ")
            );
            Err(Error::format(path, why))
        }
    }
}

/// Number of values of a column in each row. Rows of unequal length are an error.
fn width(table: &Table, leaf: usize, lists: &Lists<f32>) -> Result<usize> {
    let width = lists.ends.first().copied().unwrap_or(0);
    let mut start = 0;
    for (row, &end) in lists.ends.iter().enumerate() {
        let got = end - start;
        if got != width || got == 0 {
            let expected = if width == 0 {
                "values".into()
            } else {
                format!("{width} values as in row 0")
            };
            let got = if got == 0 {
                "null or an empty list".into()
            } else {
                got.to_string()
            };
            return Err(table.bad(leaf, format!(", row {row}: expected {expected}, got {got}")));
        }
        start = end;
    }
    Ok(width)
}

/// Row-major matrix of several columns, given with their widths.
fn side_by_side(rows: usize, mut columns: Vec<(usize, Lists<f32>)>) -> Vec<f32> {
    if columns.len() == 1 {
        return columns.remove(0).1.values;
    }
    let mut values = Vec::new();
    for row in 0..rows {
        for (width, lists) in &columns {
            values.extend_from_slice(&lists.values[row * width..][..*width]);
        }
    }
    values
}
