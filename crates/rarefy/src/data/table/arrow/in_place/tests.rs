//! Rows read in place are those that decoding gives; everything else is left to decoding.

use std::sync::Arc;

use arrow_array::builder::{
    FixedSizeListBuilder, Float32Builder, Int32Builder, LargeListBuilder, ListBuilder,
    StringDictionaryBuilder,
};
use arrow_array::types::{Float16Type, Float64Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, NullArray, RecordBatch, StringArray, StructArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use half::f16;

use super::*;
use crate::data::table::arrow::open_stacks;
use crate::data::table::dataset;

/// Rows of a test file: three batches, of 5, 0 and 8 rows.
const ROWS: usize = 13;

/// Columns of all types before the lists, whose places must be counted.
fn others() -> Vec<(&'static str, ArrayRef)> {
    let rows = 0..ROWS;
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.clone().map(|row| format!("text {row}")),
    ));
    let flags: BooleanArray = rows.clone().map(|row| Some(row % 2 == 0)).collect();
    let mut names = StringDictionaryBuilder::<Int32Type>::new();
    rows.clone()
        .for_each(|row| names.append_value(format!("{}", row % 3)));
    let names: ArrayRef = Arc::new(names.finish());
    let mut lists = ListBuilder::new(Int32Builder::new());
    rows.clone()
        .for_each(|row| lists.append_value((0..row as i32 % 4).map(Some)));
    let inner = Arc::new(arrow_schema::Field::new(
        "inner",
        texts.data_type().clone(),
        false,
    ));
    let parts: ArrayRef = Arc::new(StructArray::from(vec![(inner, texts.clone())]));
    let nothing: ArrayRef = Arc::new(NullArray::new(rows.len()));
    vec![
        ("text", texts),
        ("flag", Arc::new(flags)),
        ("label", names),
        ("tokens", Arc::new(lists.finish())),
        ("parts", parts),
        ("nothing", nothing),
    ]
}

fn value(row: usize, at: usize) -> f32 {
    row as f32 + at as f32 / 4.0
}

/// File with this column behind columns of other types, in three batches.
fn file(
    column: &dyn Fn(std::ops::Range<usize>) -> ArrayRef,
    is_stream: bool,
    compression: Option<CompressionType>,
) -> tempfile::NamedTempFile {
    // One batch is cut into three, because an Arrow file has one dictionary for all batches.
    let mut columns = others();
    columns.push(("hook", column(0..ROWS)));
    let whole = RecordBatch::try_from_iter(columns).unwrap();
    let batches = [(0, 5), (5, 0), (5, ROWS - 5)].map(|(first, length)| whole.slice(first, length));
    let options = IpcWriteOptions::default()
        .try_with_compression(compression)
        .unwrap();
    let file = tempfile::Builder::new()
        .suffix(".arrow")
        .tempfile()
        .unwrap();
    let (out, schema) = (file.reopen().unwrap(), batches[0].schema());
    if is_stream {
        let mut writer = StreamWriter::try_new_with_options(out, &schema, options).unwrap();
        batches
            .iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(out, &schema, options).unwrap();
        batches
            .iter()
            .for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
    file
}

fn options() -> OpenOptions {
    OpenOptions {
        columns: vec!["hook".into()],
        places: true,
        ..OpenOptions::default()
    }
}

fn in_place(file: &tempfile::NamedTempFile) -> Option<Dataset<'static>> {
    open(file.path(), &options()).unwrap()
}

fn rows(data: &Dataset) -> Vec<f32> {
    let mut rows = vec![0.0; data.source.rows() * data.source.d_in()];
    data.source.read(0, &mut rows).unwrap();
    rows
}

/// Lists of three values.
fn plain(rows: std::ops::Range<usize>) -> ArrayRef {
    let mut lists = ListBuilder::new(Float32Builder::new());
    for row in rows {
        lists.append_value((0..3).map(|at| Some(value(row, at))));
    }
    Arc::new(lists.finish())
}

/// Cells of `count(row)` lists of two values.
fn stacked(rows: std::ops::Range<usize>, count: fn(usize) -> usize) -> ArrayRef {
    let mut cells = LargeListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for row in rows {
        for at in 0..count(row) {
            cells
                .values()
                .append_value([Some(value(row, at)), Some(-value(row, at))]);
        }
        cells.append(true);
    }
    Arc::new(cells.finish())
}

#[test]
fn rows_in_place_are_those_of_decoding() {
    type Column<'a> = &'a dyn Fn(std::ops::Range<usize>) -> ArrayRef;
    let fixed: Column = &|rows| {
        let mut lists = FixedSizeListBuilder::new(Float32Builder::new(), 3);
        for row in rows {
            (0..3).for_each(|at| lists.values().append_value(value(row, at)));
            lists.append(true);
        }
        Arc::new(lists.finish())
    };
    // A part of a longer array, whose lists do not begin at its first value.
    let sliced: Column = &|rows| plain(0..ROWS).slice(rows.start, rows.len());
    let halves: Column = &|rows| {
        let lists = rows.map(|row| Some((0..3).map(move |at| Some(f16::from_f32(value(row, at))))));
        Arc::new(ListArray::from_iter_primitive::<Float16Type, _, _>(lists))
    };
    let doubles: Column = &|rows| {
        let lists =
            rows.map(|row| Some((0..3).map(move |at| Some(f64::from(value(row, at)) + 1e9))));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))
    };
    let even: Column = &|rows| stacked(rows, |_| 3);
    let uneven: Column = &|rows| stacked(rows, |row| row % 3);
    for (at, column) in [&plain, fixed, sliced, halves, doubles, even, uneven]
        .into_iter()
        .enumerate()
    {
        for is_stream in [false, true] {
            let file = file(column, is_stream, None);
            let got = in_place(&file).unwrap_or_else(|| panic!("column {at} is read in place"));
            let mut table = ArrowTable::file(file.path()).unwrap();
            let expected = open_stacks(file.path(), &mut table, &options()).unwrap();
            let expected =
                expected.unwrap_or_else(|| dataset(file.path(), &mut table, &options()).unwrap());
            assert!(!got.source.is_in_memory());
            assert_eq!(rows(&got), rows(&expected), "column {at}");
            assert_eq!(
                (&got.labels, &got.texts),
                (&expected.labels, &expected.texts)
            );
            assert_eq!(
                (&got.columns, &got.places),
                (&expected.columns, &expected.places)
            );
            assert_eq!(got.notes, expected.notes);
            // Rows over the end of a batch.
            let width = got.source.d_in();
            let mut some = vec![0.0; 2 * width];
            got.source.read(4, &mut some).unwrap();
            assert_eq!(some, rows(&expected)[4 * width..6 * width]);
            if got.source.has_f64() {
                let mut wide = vec![0.0; width];
                got.source.read_f64(12, &mut wide).unwrap();
                assert_eq!(wide[1], f64::from(value(12, 1)) + 1e9);
            }
        }
    }
}

#[test]
fn other_columns_are_left_to_decoding() {
    let gap = |rows: std::ops::Range<usize>| -> ArrayRef {
        let mut lists = ListBuilder::new(Float32Builder::new());
        for row in rows {
            lists.append_value([Some(1.0), (row != 9).then_some(2.0)]);
        }
        Arc::new(lists.finish())
    };
    let ragged = |rows: std::ops::Range<usize>| -> ArrayRef {
        let mut lists = ListBuilder::new(Float32Builder::new());
        for row in rows {
            lists.append_value(vec![Some(1.0); if row == 9 { 3 } else { 2 }]);
        }
        Arc::new(lists.finish())
    };
    let whole = |rows: std::ops::Range<usize>| -> ArrayRef {
        let mut lists = ListBuilder::new(Int32Builder::new());
        rows.for_each(|row| lists.append_value([Some(row as i32), Some(1)]));
        Arc::new(lists.finish())
    };
    for file in [
        file(&gap, false, None),
        file(&ragged, true, None),
        file(&whole, false, None),
        file(&plain, true, Some(CompressionType::LZ4_FRAME)),
    ] {
        assert!(in_place(&file).is_none());
    }
    let skips = OpenOptions {
        skip_bad_rows: true,
        ..options()
    };
    assert!(
        open(file(&plain, false, None).path(), &skips)
            .unwrap()
            .is_none()
    );
}

/// A file that is cut off, or in which a bit has changed, must never read as a shorter one.
#[test]
fn cut_files_are_refused() {
    for is_stream in [false, true] {
        let file = file(&plain, is_stream, None);
        let whole = std::fs::read(file.path()).unwrap();
        let opened = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            crate::data::open(&file.path().display().to_string(), &options())
        };
        assert_eq!(opened(&whole).unwrap().source.rows(), ROWS);
        // Only the end mark of a stream may be missing.
        let end = whole.len() - if is_stream { 8 } else { 0 };
        for length in (1..end).step_by(7) {
            if let Ok(data) = opened(&whole[..length]) {
                panic!("{length} of {end} bytes give {} rows", data.source.rows());
            }
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            if let Ok(data) = opened(&changed) {
                assert_eq!(data.source.rows(), ROWS, "byte {at}");
            }
        }
    }
}

#[test]
fn damage_is_an_error_or_left_to_decoding() {
    for is_stream in [false, true] {
        let file = file(&plain, is_stream, None);
        let whole = std::fs::read(file.path()).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x81;
            std::fs::write(file.path(), &changed).unwrap();
            // Rows are read to their end, or an error is given: nothing panics.
            if let Ok(Some(data)) = open(file.path(), &options()) {
                let mut rows = vec![0.0; data.source.rows() * data.source.d_in()];
                let _ = data.source.read(0, &mut rows);
            }
        }
        for length in [0, 5, 100, whole.len() / 2, whole.len() - 1] {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            if let Ok(Some(data)) = open(file.path(), &options()) {
                assert!(data.source.rows() <= ROWS);
            }
        }
    }
}

#[test]
fn infinite_value_is_named_by_its_row_in_the_file() {
    let column = |rows: std::ops::Range<usize>| -> ArrayRef {
        let mut lists = ListBuilder::new(Float32Builder::new());
        for row in rows {
            lists.append_value([Some(1.0), Some(if row == 9 { f32::INFINITY } else { 0.0 })]);
        }
        Arc::new(lists.finish())
    };
    let data = in_place(&file(&column, true, None)).unwrap();
    let why = data.source.read(8, &mut [0.0; 4]).unwrap_err().to_string();
    assert!(why.contains("row 9, column 1"), "{why}");
}
