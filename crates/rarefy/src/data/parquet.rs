//! Parquet: one list column of numbers, or all numeric columns side by side.

use std::fs::File;
use std::path::Path;

use ::parquet::basic::{LogicalType, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescPtr;
use half::f16;

use super::{Dataset, Memory, OpenOptions, check_finite};
use crate::{Error, Result};

/// A string column with one of these names labels the rows.
const LABEL_NAMES: [&str; 6] = ["label", "labels", "class", "target", "word", "name"];

/// Values and levels of one leaf column of the whole file.
#[derive(Default)]
struct Column {
    values: Vec<f32>,
    texts: Vec<String>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = SerializedFileReader::new(file)
        .map_err(|e| Error::format(path, format!("not a parquet file: {e}")))?;
    let leaves = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .to_vec();
    let rows = usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
    let chosen = choose(path, &leaves, options.member.as_deref())?;
    let columns: Vec<Vec<f32>> = chosen
        .iter()
        .map(|&leaf| {
            rows_of_column(
                path,
                &leaves[leaf],
                &read_column(path, &reader, leaf)?,
                rows,
            )
        })
        .collect::<Result<_>>()?;
    let d_in: usize = columns.iter().map(|c| c.len() / rows.max(1)).sum();
    if rows == 0 || d_in == 0 {
        return Err(Error::format(
            path,
            format!("expected rows of numbers, got {rows} rows of {d_in}"),
        ));
    }
    let mut values = Vec::with_capacity(rows * d_in);
    for row in 0..rows {
        for column in &columns {
            let width = column.len() / rows;
            values.extend_from_slice(&column[row * width..][..width]);
        }
    }
    check_finite(path, 0, d_in, &values)?;
    let mut dataset = Dataset::new(Memory::new(path.display().to_string(), d_in, values));
    let is_label = |c: &ColumnDescPtr| {
        c.physical_type() == Type::BYTE_ARRAY
            && LABEL_NAMES.contains(&c.path().string().to_lowercase().as_str())
    };
    if let Some(leaf) = leaves.iter().position(is_label) {
        let texts = read_column(path, &reader, leaf)?.texts;
        dataset.labels = (texts.len() == rows).then_some(texts);
    }
    Ok(dataset)
}

fn numeric(column: &ColumnDescPtr) -> bool {
    match column.physical_type() {
        Type::FLOAT | Type::DOUBLE | Type::INT32 | Type::INT64 => true,
        Type::FIXED_LEN_BYTE_ARRAY => column.logical_type_ref() == Some(&LogicalType::Float16),
        _ => false,
    }
}

/// The leaf columns to read: the named one, else the only list of numbers, else all flat numbers.
fn choose(path: &Path, leaves: &[ColumnDescPtr], member: Option<&str>) -> Result<Vec<usize>> {
    let top = |leaf: usize| leaves[leaf].path().parts()[0].clone();
    let numbers: Vec<usize> = (0..leaves.len())
        .filter(|&leaf| numeric(&leaves[leaf]))
        .collect();
    if let Some(member) = member {
        let found: Vec<usize> = numbers
            .iter()
            .copied()
            .filter(|&leaf| top(leaf) == member)
            .collect();
        let known = numbers.iter().map(|&leaf| top(leaf));
        return if found.is_empty() {
            Err(Error::unknown(
                &format!("numeric column of {}", path.display()),
                member,
                known,
            ))
        } else {
            Ok(found)
        };
    }
    let lists: Vec<usize> = numbers
        .iter()
        .copied()
        .filter(|&leaf| leaves[leaf].max_rep_level() > 0)
        .collect();
    match lists.as_slice() {
        [] if numbers.is_empty() => Err(Error::format(
            path,
            "expected a column of numbers or of lists of numbers, got none",
        )),
        [] => Ok(numbers),
        [only] => Ok(vec![*only]),
        _ => {
            let names: Vec<String> = lists.iter().map(|&leaf| top(leaf)).collect();
            let why = format!(
                "expected one column of lists, got {} ({}); name one with member",
                names.len(),
                names.join(", ")
            );
            Err(Error::format(path, why))
        }
    }
}

fn read_column(path: &Path, reader: &SerializedFileReader<File>, leaf: usize) -> Result<Column> {
    let damaged =
        |e: ::parquet::errors::ParquetError| Error::format(path, format!("damaged parquet: {e}"));
    let mut column = Column::default();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        match group.get_column_reader(leaf).map_err(damaged)? {
            ColumnReader::FloatColumnReader(r) => {
                drain(r, &mut column, |c, v: f32| c.values.push(v))
            }
            ColumnReader::DoubleColumnReader(r) => {
                drain(r, &mut column, |c, v: f64| c.values.push(v as f32))
            }
            ColumnReader::Int32ColumnReader(r) => {
                drain(r, &mut column, |c, v: i32| c.values.push(v as f32))
            }
            ColumnReader::Int64ColumnReader(r) => {
                drain(r, &mut column, |c, v: i64| c.values.push(v as f32))
            }
            ColumnReader::FixedLenByteArrayColumnReader(r) => drain(
                r,
                &mut column,
                |c, v: ::parquet::data_type::FixedLenByteArray| {
                    let bytes = v.data().first_chunk().copied().unwrap_or_default();
                    c.values.push(f16::from_le_bytes(bytes).to_f32());
                },
            ),
            ColumnReader::ByteArrayColumnReader(r) => {
                drain(r, &mut column, |c, v: ::parquet::data_type::ByteArray| {
                    c.texts.push(String::from_utf8_lossy(v.data()).into_owned());
                })
            }
            _ => Ok(()),
        }
        .map_err(damaged)?;
    }
    Ok(column)
}

fn drain<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    column: &mut Column,
    mut push: impl FnMut(&mut Column, T::T),
) -> ::parquet::errors::Result<()> {
    const RECORDS: usize = 1 << 16;
    let mut values = Vec::new();
    loop {
        values.clear();
        let (records, _, levels) = reader.read_records(
            RECORDS,
            Some(&mut column.definition),
            Some(&mut column.repetition),
            &mut values,
        )?;
        values.drain(..).for_each(|value| push(column, value));
        if records == 0 && levels == 0 {
            return Ok(());
        }
    }
}

/// Checks that nothing is missing and every row is as long as the first.
fn rows_of_column(
    path: &Path,
    leaf: &ColumnDescPtr,
    column: &Column,
    rows: usize,
) -> Result<Vec<f32>> {
    let name = leaf.path().parts()[0].clone();
    let complete = leaf.max_def_level();
    let starts: Vec<usize> = if leaf.max_rep_level() == 0 {
        (0..rows).collect()
    } else {
        (0..column.repetition.len())
            .filter(|&i| column.repetition[i] == 0)
            .collect()
    };
    if let Some(at) = column.definition.iter().position(|&level| level < complete) {
        let row = starts
            .partition_point(|&start| start <= at)
            .saturating_sub(1);
        return Err(Error::format(
            path,
            format!("column `{name}`, row {row}: expected a number, got null or an empty list"),
        ));
    }
    let width = column.values.len() / rows.max(1);
    let end = |row: usize| starts.get(row + 1).copied().unwrap_or(column.values.len());
    if let Some(row) = (0..starts.len()).find(|&row| end(row) - starts[row] != width) {
        let got = end(row) - starts[row];
        return Err(Error::format(
            path,
            format!("column `{name}`, row {row}: expected {width} values, got {got}"),
        ));
    }
    if starts.len() != rows || width * rows != column.values.len() {
        return Err(Error::format(
            path,
            format!(
                "column `{name}`: expected {rows} rows, got {}",
                starts.len()
            ),
        ));
    }
    Ok(column.values.clone())
}
