//! Columns of a parquet file as lists of values, one list per row.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::parquet::basic::{ConvertedType, LogicalType, Type};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::FileMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescPtr;
use half::f16;

use crate::{Error, Result};

/// Number of records read at a time.
const RECORDS: usize = 1 << 16;

/// Open parquet file.
pub(crate) struct Table {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    leaves: Vec<ColumnDescPtr>,
}

/// Values of one column. Row i has the values `ends[i - 1]..ends[i]` (from 0 for the first row).
pub(crate) struct Lists<V> {
    /// End of each row in `values`.
    pub(crate) ends: Vec<usize>,
    /// Values of all rows.
    pub(crate) values: Vec<V>,
}

impl Table {
    /// Opens a file and reads its metadata.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let reader = guarded(path, || {
            SerializedFileReader::new(file)
                .map_err(|e| Error::format(path, format!("not a parquet file: {e}")))
        })?;
        let leaves = reader.metadata().file_metadata().schema_descr().columns();
        Ok(Self {
            path: path.into(),
            leaves: leaves.to_vec(),
            reader,
        })
    }

    /// Metadata of the file.
    pub(crate) fn metadata(&self) -> &FileMetaData {
        self.reader.metadata().file_metadata()
    }

    /// Leaf columns, which hold the values; a column of lists has one leaf.
    pub(crate) fn leaves(&self) -> &[ColumnDescPtr] {
        &self.leaves
    }

    /// Name of the top-level column of a leaf.
    pub(crate) fn name(&self, leaf: usize) -> &str {
        &self.leaves[leaf].path().parts()[0]
    }

    /// Leaf of the column of this name.
    pub(crate) fn find(&self, name: &str) -> Result<usize> {
        (0..self.leaves.len())
            .find(|&leaf| self.name(leaf) == name)
            .ok_or_else(|| {
                let known = (0..self.leaves.len()).map(|leaf| self.name(leaf));
                Error::unknown(&format!("column of {}", self.path.display()), name, known)
            })
    }

    /// Reads a column of numbers of any type, converted to `f32`.
    pub(crate) fn floats(&self, leaf: usize) -> Result<Lists<f32>> {
        let unsigned = is_unsigned(&self.leaves[leaf]);
        self.read(leaf, |column, lists| match column {
            ColumnReader::FloatColumnReader(r) => self.drain(leaf, r, lists, |v| v),
            ColumnReader::DoubleColumnReader(r) => self.drain(leaf, r, lists, |v| v as f32),
            ColumnReader::Int32ColumnReader(r) if unsigned => {
                self.drain(leaf, r, lists, |v| v as u32 as f32)
            }
            ColumnReader::Int32ColumnReader(r) => self.drain(leaf, r, lists, |v| v as f32),
            ColumnReader::Int64ColumnReader(r) if unsigned => {
                self.drain(leaf, r, lists, |v| v as u64 as f32)
            }
            ColumnReader::Int64ColumnReader(r) => self.drain(leaf, r, lists, |v| v as f32),
            ColumnReader::FixedLenByteArrayColumnReader(r) => {
                self.drain(leaf, r, lists, |v: FixedLenByteArray| {
                    let bytes = v.data().first_chunk().copied().unwrap_or_default();
                    f16::from_le_bytes(bytes).to_f32()
                })
            }
            _ => Err(self.bad(leaf, ": expected numbers")),
        })
    }

    /// Reads a column of 32- or 64-bit integers.
    pub(crate) fn integers(&self, leaf: usize) -> Result<Lists<i64>> {
        self.read(leaf, |column, lists| match column {
            ColumnReader::Int32ColumnReader(r) => self.drain(leaf, r, lists, i64::from),
            ColumnReader::Int64ColumnReader(r) => self.drain(leaf, r, lists, |v| v),
            _ => Err(self.bad(leaf, ": expected integers of 32 or 64 bits")),
        })
    }

    /// Reads a column of strings, or of integers as text.
    pub(crate) fn texts(&self, leaf: usize) -> Result<Lists<String>> {
        self.read(leaf, |column, lists| match column {
            ColumnReader::ByteArrayColumnReader(r) => self.drain(leaf, r, lists, |v: ByteArray| {
                String::from_utf8_lossy(v.data()).into_owned()
            }),
            ColumnReader::Int32ColumnReader(r) => self.drain(leaf, r, lists, |v| v.to_string()),
            ColumnReader::Int64ColumnReader(r) => self.drain(leaf, r, lists, |v| v.to_string()),
            _ => Err(self.bad(leaf, ": expected strings or integers")),
        })
    }

    /// [`Error::Format`] with the name of a column. `why` follows the name and starts with `,` or `:`.
    pub(crate) fn bad(&self, leaf: usize, why: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format!("column `{}`{why}", self.name(leaf)))
    }

    /// [`Error::Format`] for an error of the parquet package.
    fn damaged(&self, error: &ParquetError) -> Error {
        Error::format(&self.path, format!("damaged parquet: {error}"))
    }

    /// Reads a column: calls `group` for each row group and checks the number of rows.
    fn read<V>(
        &self,
        leaf: usize,
        mut group: impl FnMut(ColumnReader, &mut Lists<V>) -> Result<()>,
    ) -> Result<Lists<V>> {
        let (ends, values) = (Vec::new(), Vec::new());
        let mut lists = Lists { ends, values };
        guarded(&self.path, || {
            for index in 0..self.reader.num_row_groups() {
                let column = self
                    .reader
                    .get_row_group(index)
                    .and_then(|group| group.get_column_reader(leaf))
                    .map_err(|e| self.damaged(&e))?;
                group(column, &mut lists)?;
            }
            Ok(())
        })?;
        let rows = self.metadata().num_rows();
        if i64::try_from(lists.ends.len()) == Ok(rows)
            && lists.ends.last().copied().unwrap_or(0) == lists.values.len()
        {
            return Ok(lists);
        }
        let got = lists.ends.len();
        Err(self.bad(leaf, format!(": expected {rows} rows, got {got}")))
    }

    /// Appends the values of one row group. A null is an error that names its row.
    fn drain<T: DataType, V>(
        &self,
        leaf: usize,
        mut reader: ColumnReaderImpl<T>,
        lists: &mut Lists<V>,
        convert: impl Fn(T::T) -> V,
    ) -> Result<()> {
        let column = &self.leaves[leaf];
        let complete = column.max_def_level();
        // A lower definition level means that the list is empty or null, so it has no value here.
        let place = complete - i16::from(column.self_type().is_optional());
        let (mut values, mut definition, mut repetition) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            values.clear();
            definition.clear();
            repetition.clear();
            let (records, _, levels) = reader
                .read_records(
                    RECORDS,
                    Some(&mut definition),
                    Some(&mut repetition),
                    &mut values,
                )
                .map_err(|e| self.damaged(&e))?;
            if records == 0 && levels == 0 {
                return Ok(());
            }
            for at in 0..levels {
                // Columns without nulls have no definition levels, flat ones no repetition levels.
                let defined = definition.get(at).copied().unwrap_or(complete);
                if repetition.get(at).copied().unwrap_or(0) == 0 {
                    lists.ends.push(lists.ends.last().copied().unwrap_or(0));
                }
                let row = lists.ends.len().saturating_sub(1);
                match lists.ends.last_mut() {
                    Some(end) if defined == complete => *end += 1,
                    Some(_) if defined < place => {}
                    _ => {
                        return Err(
                            self.bad(leaf, format!(", row {row}: expected a value, got null"))
                        );
                    }
                }
            }
            lists.values.extend(values.drain(..).map(&convert));
        }
    }
}

/// Runs `decode` and turns a panic into an error. The parquet package panics on some damaged files, such as a
/// page that names a missing dictionary.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    // State that a panic leaves incomplete is dropped together with the error.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(Error::format(
            path,
            "damaged parquet: a page does not match its header; write the file again",
        ))
    })
}

/// True if a column holds plain numbers: no dates, decimals or booleans.
pub(crate) fn is_numeric(column: &ColumnDescPtr) -> bool {
    let plain = match column.logical_type_ref() {
        None => !matches!(
            column.converted_type(),
            ConvertedType::DECIMAL
                | ConvertedType::DATE
                | ConvertedType::TIME_MILLIS
                | ConvertedType::TIME_MICROS
                | ConvertedType::TIMESTAMP_MILLIS
                | ConvertedType::TIMESTAMP_MICROS
        ),
        Some(logical) => matches!(logical, LogicalType::Integer { .. } | LogicalType::Float16),
    };
    match column.physical_type() {
        Type::FLOAT | Type::DOUBLE | Type::INT32 | Type::INT64 => plain,
        Type::FIXED_LEN_BYTE_ARRAY => column.logical_type_ref() == Some(&LogicalType::Float16),
        _ => false,
    }
}

fn is_unsigned(column: &ColumnDescPtr) -> bool {
    use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
    match column.logical_type_ref() {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(
            column.converted_type(),
            UINT_8 | UINT_16 | UINT_32 | UINT_64
        ),
    }
}
