//! Columns whose cells are lists of lists of numbers: each cell is a context, and each of its lists a row.
//!
//! SAELens caches activations so: a column named after the hook with `[context, width]` numbers in a cell, and `token_ids` beside it.

use std::ops::Range;
use std::path::Path;

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::array::{floats, integers, list_ranges};
use super::{ArrowTable, note};
use crate::data::table::roles::{self, Roles, is_of_tokens};
use crate::data::table::{Kind, Table};
use crate::data::{
    Column, Dataset, Memory, OpenOptions, Places, Role, Source, Value, check_finite, coarse,
};
use crate::{Error, Result};

/// Rows of the contexts of a table; `None` for other tables, and if each cell holds one list only.
///
/// # Errors
/// [`Error::Format`] with the first list of another length or with a null; [`Error::NotFinite`].
pub(in crate::data) fn open(
    path: &Path,
    table: &mut ArrowTable,
    options: &OpenOptions,
) -> Result<Option<Dataset<'static>>> {
    if !table.is_stack.contains(&true) {
        return Ok(None);
    }
    let Roles { columns, data } = roles::assign(path, table.fields(), options)?;
    let &[column] = &data[..] else {
        return Ok(None);
    };
    if !table.is_stack[column] {
        return Ok(None);
    }
    let name = table.fields()[column].name.clone();
    let stack: Stack<f32> = Stack::read(path, &name, &table.arrays(&name)?)?;
    if stack.counts.iter().all(|count| *count == 1) {
        return Ok(None);
    }
    if !options.skip_bad_rows {
        check_finite(path, 0, stack.width, &stack.values)?;
    }
    let exact = if table.has_f64[column] && coarse::is_coarse(&stack.values, stack.width) {
        let all: Stack<f64> = Stack::read(path, &name, &table.arrays(&name)?)?;
        coarse::needed(all.values, &stack.values, stack.width)
    } else {
        None
    };
    let source =
        Memory::new(path.display().to_string(), stack.width, stack.values).with_exact(exact);
    let cells = Cells {
        counts: stack.counts,
        width: stack.width,
        is_stack: true,
    };
    cells
        .dataset(path, table, (columns, column), options, source)
        .map(Some)
}

/// Cells of a column, each with a number of rows.
pub(super) struct Cells {
    pub(super) counts: Vec<usize>,
    /// Number of values in a row.
    pub(super) width: usize,
    /// True if cells are lists of lists, and so contexts of rows.
    pub(super) is_stack: bool,
}

impl Cells {
    /// Data set of the rows of a column, with labels, texts and tokens of the cells from other columns.
    pub(super) fn dataset(
        &self,
        path: &Path,
        table: &mut ArrowTable,
        (columns, column): (Vec<Column>, usize),
        options: &OpenOptions,
        source: impl Source + 'static,
    ) -> Result<Dataset<'static>> {
        let mut dataset = Dataset::new(source);
        dataset.labels = self.texts(table, &columns, Role::Label)?;
        dataset.texts = self.texts(table, &columns, Role::Text)?;
        let shown = path.display();
        if self.is_stack {
            dataset.places = self.places(tokens(table, options, &self.counts)?);
            let (name, rows) = (&table.fields()[column].name, dataset.source.rows());
            dataset.notes.push(format!(
                "{shown}: {} lists of lists in column `{name}` read as {rows} rows of {} values",
                self.counts.len(),
                self.width
            ));
        }
        dataset
            .notes
            .extend(note::note(&columns).map(|note| format!("{shown}: {note}")));
        dataset.columns = columns;
        Ok(dataset)
    }

    /// Labels or texts of all rows, each that of its cell.
    fn texts(
        &self,
        table: &mut ArrowTable,
        columns: &[Column],
        role: Role,
    ) -> Result<Option<Vec<String>>> {
        let Some(column) = columns.iter().position(|column| column.role == role) else {
            return Ok(None);
        };
        let texts = table
            .texts(column)?
            .into_iter()
            .map(Option::unwrap_or_default);
        let cells = texts.zip(&self.counts);
        Ok(Some(
            cells
                .flat_map(|(text, count)| std::iter::repeat_n(text, *count))
                .collect(),
        ))
    }

    /// Places of the rows: each cell is a context.
    fn places(&self, tokens: Option<Vec<i32>>) -> Option<Places> {
        let length = *self.counts.first()?;
        if self.counts.iter().all(|count| *count == length) {
            let places = Places::every(length)?;
            return Some(match tokens {
                Some(tokens) => places.with_tokens(tokens),
                None => places,
            });
        }
        let mut starts = vec![0];
        starts.extend(self.counts.iter().scan(0, |end, count| {
            *end += *count as u64;
            Some(*end)
        }));
        let rows = (0..*starts.last()?).collect();
        Places::of(starts, rows, tokens)
    }
}

/// Rows of all cells of a column.
struct Stack<V> {
    /// Number of rows in each cell.
    counts: Vec<usize>,
    width: usize,
    values: Vec<V>,
}

impl<V: Value> Stack<V> {
    fn read(path: &Path, name: &str, arrays: &[ArrayRef]) -> Result<Self> {
        let mut stack = Self {
            counts: Vec::new(),
            width: 0,
            values: Vec::new(),
        };
        for array in arrays {
            stack.append(array).map_err(|(cell, why)| {
                Error::format(path, format!("row {cell}, column `{name}`: {why}"))
            })?;
        }
        Ok(stack)
    }

    /// Appends the cells of a batch; fails with the number of the cell.
    fn append(&mut self, array: &ArrayRef) -> std::result::Result<(), (usize, String)> {
        let first = self.counts.len();
        let bad = |at: usize, why: &str| (first + at, why.to_owned());
        let no_lists = || bad(0, "expected lists of lists of numbers");
        let (cells, inner) = list_ranges(array).ok_or_else(no_lists)?;
        let (rows, values) = list_ranges(&inner).ok_or_else(no_lists)?;
        let all = floats::<V>(&values).ok_or_else(no_lists)?;
        let has_null = |range: &Range<usize>| range.clone().any(|at| values.is_null(at));
        for (at, cell) in cells.iter().enumerate() {
            if array.is_null(at) {
                return Err(bad(at, "expected lists of numbers, got null"));
            }
            for row in cell.clone() {
                let range = &rows[row];
                if inner.is_null(row) || (values.null_count() > 0 && has_null(range)) {
                    return Err(bad(
                        at,
                        "expected lists of numbers, got a null in the lists",
                    ));
                }
                if self.values.is_empty() {
                    self.width = range.len();
                }
                if range.len() != self.width || self.width == 0 {
                    let why = format!(
                        "expected lists of {} numbers as in the first, got {}",
                        self.width.max(1),
                        range.len()
                    );
                    return Err((first + at, why));
                }
                self.values.extend_from_slice(&all[range.clone()]);
            }
            self.counts.push(cell.len());
        }
        Ok(())
    }
}

/// Tokens of all rows, if they are asked for and a column of lists of whole numbers has one for each row of a cell.
fn tokens(
    table: &ArrowTable,
    options: &OpenOptions,
    rows_of_cells: &[usize],
) -> Result<Option<Vec<i32>>> {
    let mut of_tokens = table
        .fields()
        .iter()
        .filter(|field| field.kind == Kind::List && is_of_tokens(&field.name));
    let Some(field) = of_tokens.next().filter(|_| options.places) else {
        return Ok(None);
    };
    let (mut all, mut counts) = (Vec::new(), Vec::new());
    for array in table.each_array(&field.name)? {
        let array = array?;
        let Some((ranges, values)) = list_ranges(&array) else {
            return Ok(None);
        };
        let Some(ids) = integers(&values).filter(|_| array.null_count() + values.null_count() == 0)
        else {
            return Ok(None);
        };
        for range in ranges {
            counts.push(range.len());
            all.extend(ids[range].iter().map(|id| i32::try_from(*id)));
        }
    }
    let all: Option<Vec<i32>> = all.into_iter().collect::<std::result::Result<_, _>>().ok();
    Ok(all.filter(|_| counts == rows_of_cells))
}

/// True for lists of lists of numbers.
pub(super) fn is_stack(data_type: &DataType) -> bool {
    let item = |data_type: &DataType| match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type().clone())
        }
        _ => None,
    };
    item(data_type)
        .and_then(|inner| item(&inner))
        .is_some_and(|values| item(&values).is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{Float32Builder, Int32Builder, ListBuilder};
    use arrow_array::{RecordBatch, StringArray};
    use arrow_ipc::writer::FileWriter;

    use super::*;

    /// Column of cells of this many lists of two numbers, counted from 0.
    fn stacks(counts: &[usize]) -> ArrayRef {
        let mut cells = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
        let mut value = 0.0;
        for count in counts {
            for _ in 0..*count {
                cells.values().values().append_slice(&[value, value + 0.5]);
                cells.values().append(true);
                value += 1.0;
            }
            cells.append(true);
        }
        Arc::new(cells.finish())
    }

    /// Tokens 10, 11 and on, this many in each cell.
    fn token_lists(counts: &[usize]) -> ArrayRef {
        let mut cells = ListBuilder::new(Int32Builder::new());
        let mut token = 10;
        for count in counts {
            for _ in 0..*count {
                cells.values().append_value(token);
                token += 1;
            }
            cells.append(true);
        }
        Arc::new(cells.finish())
    }

    fn opened(columns: Vec<(&str, ArrayRef)>) -> Result<Dataset<'static>> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = tempfile::Builder::new()
            .suffix(".arrow")
            .tempfile()
            .unwrap();
        let mut writer = FileWriter::try_new(file.reopen().unwrap(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let options = OpenOptions {
            places: true,
            ..OpenOptions::default()
        };
        crate::data::open(&file.path().to_string_lossy(), &options)
    }

    #[test]
    fn each_list_of_a_cell_is_a_row_with_the_text_of_the_cell() {
        for counts in [[3, 3], [3, 2]] {
            let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
            let columns = vec![
                ("hook", stacks(&counts)),
                ("token_ids", token_lists(&counts)),
                ("text", texts),
            ];
            let data = opened(columns).unwrap();
            let rows: usize = counts.iter().sum();
            let mut values = vec![0.0; 2 * rows];
            data.source.read(0, &mut values).unwrap();
            let expected: Vec<f32> = (0..2 * rows).map(|at| at as f32 / 2.0).collect();
            assert_eq!(values, expected);
            assert_eq!(
                data.texts.unwrap(),
                [vec!["a"; 3], vec!["b"; counts[1]]].concat()
            );
            let places = data.places.unwrap();
            assert_eq!(
                (places.context(4), places.position(4), places.token(4)),
                (1, 1, Some(14))
            );
        }
    }

    #[test]
    fn tokens_of_other_lengths_are_no_tokens_of_the_rows() {
        let columns = vec![
            ("hook", stacks(&[3, 3])),
            ("token_ids", token_lists(&[3, 2])),
        ];
        let places = opened(columns).unwrap().places.unwrap();
        assert_eq!((places.position(5), places.token(5)), (2, None));
    }

    #[test]
    fn lists_of_other_lengths_and_nulls_are_named() {
        let mut ragged = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
        for cell in [&[2, 2][..], &[3, 2]] {
            for length in cell {
                ragged.values().values().append_slice(&vec![1.0; *length]);
                ragged.values().append(true);
            }
            ragged.append(true);
        }
        let mut null = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
        null.values().values().append_value(1.0);
        null.values().append(true);
        null.values().append(false);
        null.append(true);
        for (column, words) in [
            (
                Arc::new(ragged.finish()) as ArrayRef,
                "row 1, column `hook`: expected lists of 2 numbers as in the first, got 3",
            ),
            (
                Arc::new(null.finish()) as ArrayRef,
                "row 0, column `hook`: expected lists of numbers, got a null in the lists",
            ),
        ] {
            let why = opened(vec![("hook", column)]).err().unwrap().to_string();
            assert!(why.contains(words), "{why}");
        }
    }
}
