//! Parquet columns of floats, or of lists of floats of one length, in which no value is missing.
//!
//! Such columns hold most embeddings. Their values are copied from the pages straight to the rows; as Arrow arrays they
//! would be copied three times more, with fresh memory each time, which takes longer than decompressing them.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::{ConvertedType, Type};
use parquet::column::reader::{get_column_reader, get_typed_column_reader};
use parquet::data_type::{DataType, DoubleType, FloatType};
use parquet::errors::Result;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::super::cells::Numbers;
use super::ROWS;

/// Numbers of a column of the schema's root; `None` if it has another type, or if a value is missing or a list has
/// another length, so that its arrays must say where.
pub(super) fn read(
    file: &File,
    metadata: &ParquetMetaData,
    column: usize,
) -> Result<Option<Numbers>> {
    let schema = metadata.file_metadata().schema_descr();
    let mut leaves =
        (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == column);
    let (Some(leaf), None) = (leaves.next(), leaves.next()) else {
        return Ok(None);
    };
    let of_leaf = schema.column(leaf);
    if of_leaf.max_rep_level() > 1 || of_leaf.converted_type() != ConvertedType::NONE {
        return Ok(None);
    }
    match of_leaf.physical_type() {
        Type::FLOAT => read_leaf::<FloatType>(file, metadata, leaf, |rows, values| {
            rows.extend_from_slice(values);
        }),
        Type::DOUBLE => read_leaf::<DoubleType>(file, metadata, leaf, |rows, values| {
            rows.extend(values.iter().map(|value| *value as f32));
        }),
        _ => Ok(None),
    }
}

fn read_leaf<T: DataType>(
    file: &File,
    metadata: &ParquetMetaData,
    leaf: usize,
    append: impl Fn(&mut Vec<f32>, &[T::T]),
) -> Result<Option<Numbers>> {
    let of_leaf = metadata.file_metadata().schema_descr().column(leaf);
    let file = Arc::new(file.try_clone()?);
    let mut numbers = Numbers::default();
    let (mut present, mut nested, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for group in metadata.row_groups() {
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let pages = SerializedPageReader::new(file.clone(), group.column(leaf), rows, None)?;
        let reader = get_column_reader(of_leaf.clone(), Box::new(pages));
        let mut reader = get_typed_column_reader::<T>(reader);
        loop {
            present.clear();
            nested.clear();
            values.clear();
            let (rows, _, levels) =
                reader.read_records(ROWS, Some(&mut present), Some(&mut nested), &mut values)?;
            if rows == 0 {
                break;
            }
            if numbers.width == 0 {
                numbers.width = values.len() / rows;
            }
            // A missing value and an empty or missing list have a level and no value.
            if levels != values.len()
                || levels != rows * numbers.width
                || !are_lists_of(numbers.width, &nested)
            {
                return Ok(None);
            }
            numbers.rows += rows;
            append(&mut numbers.values, &values);
        }
    }
    Ok(Some(numbers))
}

/// True if each list has `width` values. `levels` is empty for a column without lists; else it holds 0 for the first value
/// of a list and 1 for each further value.
fn are_lists_of(width: usize, levels: &[i16]) -> bool {
    let mut lists = levels.chunks_exact(width.max(1));
    // The sum has no early end, so it is taken in many lanes at once.
    lists.all(|list| {
        list[0] == 0 && list.iter().map(|level| *level as usize).sum::<usize>() == width - 1
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::builder::{Float32Builder, ListBuilder};
    use arrow_array::types::{Float32Type, Float64Type};
    use arrow_array::{ArrayRef, Float32Array, ListArray, RecordBatch, StructArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::super::ArrowTable;
    use super::*;
    use crate::data::table::Table;

    /// Rows of the test files: several decoded batches, and row groups that end between them.
    const LENGTH: usize = 3000;

    fn open(column: ArrayRef) -> (tempfile::NamedTempFile, ArrowTable) {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let file = tempfile::Builder::new()
            .suffix(".parquet")
            .tempfile()
            .unwrap();
        let groups = WriterProperties::builder().set_max_row_group_row_count(Some(1100));
        let mut writer =
            ArrowWriter::try_new(file.reopen().unwrap(), batch.schema(), Some(groups.build()))
                .unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let table = ArrowTable::parquet(file.path()).unwrap();
        (file, table)
    }

    /// Lists of three values, with one row in another way.
    fn lists(row: usize, other: Option<Vec<Option<f64>>>) -> ArrayRef {
        let counted = |at: usize| Some((0..3).map(|i| Some((3 * at + i) as f64)).collect());
        let mut lists: Vec<Option<Vec<_>>> = (0..LENGTH).map(counted).collect();
        if let Some(place) = lists.get_mut(row) {
            *place = other;
        }
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))
    }

    #[test]
    fn full_lists_equal_those_of_the_arrays() {
        let (_file, table) = open(lists(LENGTH, None));
        let full = table.columns.full_column(0).unwrap().unwrap();
        assert_eq!((full.rows, full.width, full.bad.len()), (LENGTH, 3, 0));
        let counted: Vec<f32> = (0..3 * LENGTH).map(|value| value as f32).collect();
        assert_eq!(full.values, counted);
        let arrays = table.columns.arrays(0).unwrap();
        let numbers = super::super::array::numbers(arrays).unwrap().unwrap();
        assert_eq!((numbers.rows, numbers.values), (LENGTH, counted));
    }

    #[test]
    fn flat_floats_are_full_columns_of_width_one() {
        let values = (0..LENGTH).map(|value| value as f32 - 0.5);
        let (_file, table) = open(Arc::new(Float32Array::from_iter_values(values.clone())));
        let full = table.columns.full_column(0).unwrap().unwrap();
        assert_eq!((full.rows, full.width), (LENGTH, 1));
        assert_eq!(full.values, values.collect::<Vec<_>>());
    }

    #[test]
    fn row_with_a_gap_or_of_another_length_is_named() {
        let three = |last| Some(vec![Some(1.0), Some(2.0), last]);
        for (row, other, why) in [
            (2500, None, "got null"),
            (2500, three(None), "a null in the list"),
            (1099, three(None), "a null in the list"),
            (1100, Some(vec![Some(1.0)]), "got 1"),
            (1024, Some(vec![Some(1.0); 6]), "got 6"),
            (2999, Some(Vec::new()), "got 0"),
            (7, three(Some(f64::INFINITY)), "got inf"),
        ] {
            let (_file, mut table) = open(lists(row, other));
            let numbers = table.numbers(0).unwrap();
            let bad: Vec<_> = numbers.bad.iter().map(|bad| bad.row).collect();
            assert_eq!((numbers.rows, bad), (LENGTH, vec![row]));
            assert!(numbers.bad[0].why.contains(why), "{}", numbers.bad[0].why);
            let (next, values) = (row + 1, numbers.values);
            if next < LENGTH {
                assert_eq!(
                    values[3 * next..][..2],
                    [3.0 * next as f32, 3.0 * next as f32 + 1.0]
                );
            }
        }
    }

    /// Two lists of other lengths may have as many values together as two full ones.
    #[test]
    fn lists_whose_lengths_cancel_are_named() {
        let of = |length: usize| Some(vec![Some(1.0); length]);
        let lists = [of(3), of(3), of(2), of(4), of(3)];
        let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
        let (_file, mut table) = open(Arc::new(lists));
        let bad = table.numbers(0).unwrap().bad;
        let rows: Vec<_> = bad.iter().map(|bad| bad.row).collect();
        assert_eq!(rows, [2, 3]);
    }

    /// Behind the last list of three, values are left that make no further list.
    #[test]
    fn last_list_with_a_null_or_a_value_too_many_or_too_few_is_named() {
        let [one, two, three, four] = [1.0, 2.0, 3.0, 4.0].map(Some);
        for last in [
            vec![one, two, three, None],
            vec![one, two, three, four],
            vec![one, two],
        ] {
            let (_file, mut table) = open(lists(LENGTH - 1, Some(last)));
            let bad = table.numbers(0).unwrap().bad;
            assert_eq!((bad.len(), bad[0].row), (1, LENGTH - 1));
        }
    }

    #[test]
    fn lists_of_several_lists_and_empty_lists_are_named() {
        let mut of_lists = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
        for inner in [2, 1, 2] {
            for _ in 0..inner {
                of_lists.values().values().append_slice(&[1.0, 2.0]);
                of_lists.values().append(true);
            }
            of_lists.append(true);
        }
        let mut empty = ListBuilder::new(Float32Builder::new());
        empty.append(true);
        let cases: [(ArrayRef, &[usize], &str); 2] = [
            (
                Arc::new(of_lists.finish()),
                &[0, 2],
                "several lists; write each row as one",
            ),
            (Arc::new(empty.finish()), &[0], "got an empty list"),
        ];
        for (column, expected, why) in cases {
            let (_file, mut table) = open(column);
            let bad = table.numbers(0).unwrap().bad;
            let rows: Vec<_> = bad.iter().map(|bad| bad.row).collect();
            assert_eq!(rows, expected);
            assert!(bad[0].why.contains(why), "{}", bad[0].why);
        }
    }

    #[test]
    fn struct_of_one_float_is_no_number() {
        let values: ArrayRef = Arc::new(Float32Array::from_iter_values([1.0, 2.0]));
        let field = arrow_schema::Field::new("inner", values.data_type().clone(), true);
        let column = StructArray::from(vec![(Arc::new(field), values)]);
        let (_file, mut table) = open(Arc::new(column));
        let why = table.numbers(0).err().expect("an error").to_string();
        assert!(why.contains("expected numbers, got structs"), "{why}");
    }

    #[test]
    fn lists_of_single_precision_are_read_as_they_are() {
        let list = |at: usize| Some([Some(at as f32 + 0.25), Some(f32::MIN_POSITIVE)]);
        let lists = (0..LENGTH).map(list);
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>(lists);
        let (_file, table) = open(Arc::new(lists));
        let full = table.columns.full_column(0).unwrap().unwrap();
        assert_eq!(full.values[2 * 2999..], [2999.25, f32::MIN_POSITIVE]);
    }
}
