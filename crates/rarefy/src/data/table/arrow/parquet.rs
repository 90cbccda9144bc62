//! Columns of a parquet file as Arrow arrays.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use super::super::cells::Numbers;
use super::lengths::check_unpacked;
use super::{Arrays, ArrowTable, Columns, ROWS, full_columns, guarded};
use crate::data::MOST_WIDTH;
use crate::{Error, Result};

impl ArrowTable {
    /// Opens a parquet file and reads its metadata.
    pub(crate) fn parquet(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let metadata = guarded(path, || {
            ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|e| {
                Error::format(
                    path,
                    format!("truncated or damaged parquet file: {e}; write it again"),
                )
            })
        })?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let of_file = metadata.metadata().file_metadata();
        let rows = usize::try_from(of_file.num_rows()).unwrap_or(0);
        let texts = of_file.key_value_metadata().into_iter().flatten();
        let texts = texts.map(|text| (text.key.clone(), text.value.clone().unwrap_or_default()));
        let texts = texts.collect();
        let schema = metadata.schema().clone();
        let columns = ParquetFile {
            path: path.into(),
            file,
            length,
            metadata,
        };
        let mut table = Self::new(path, &schema, rows, Box::new(columns));
        table.metadata = texts;
        Ok(table)
    }
}

/// Checks the numbers of values that the row groups of a file of `length` bytes claim for a column of the schema's root.
/// Equal values take a few bytes, however many they are.
fn check_claims(
    metadata: &ParquetMetaData,
    column: usize,
    length: u64,
) -> std::result::Result<(), String> {
    let schema = metadata.file_metadata().schema_descr();
    let leaves =
        (0..schema.num_columns()).filter(|leaf| schema.get_column_root_idx(*leaf) == column);
    let leaves: Vec<usize> = leaves.collect();
    let mut values = 0u64;
    for group in metadata.row_groups() {
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        for column in leaves.iter().filter_map(|leaf| group.columns().get(*leaf)) {
            let starts = [
                Some(column.data_page_offset()),
                column.dictionary_page_offset(),
            ];
            let numbers = starts
                .into_iter()
                .flatten()
                .chain([column.compressed_size()]);
            if numbers.min().is_some_and(|least| least < 0) {
                return Err(format!(
                    "damaged: expected positions and lengths of at least 0, got a negative one in column `{}`; write the \
                     file again",
                    column.column_path().string()
                ));
            }
            let of_column = u64::try_from(column.num_values()).unwrap_or(0);
            if of_column / rows > MOST_WIDTH as u64 {
                return Err(format!(
                    "expected at most {MOST_WIDTH} values in a row, got {of_column} in {rows} rows of column `{}`; save the rows in another shape",
                    column.column_path().string()
                ));
            }
            values = values.saturating_add(of_column);
        }
    }
    check_unpacked(values.saturating_mul(size_of::<f32>() as u64), length)
}

/// Open parquet file.
struct ParquetFile {
    path: PathBuf,
    file: File,
    length: u64,
    metadata: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Checks what the file claims of a column of the schema's root.
    fn check(&self, column: usize) -> Result<()> {
        let claims = check_claims(self.metadata.metadata(), column, self.length);
        claims.map_err(|why| Error::format(&self.path, why))
    }
}

impl Columns for ParquetFile {
    fn arrays(&self, column: usize) -> Result<Arrays> {
        self.check(column)?;
        let path = self.path.clone();
        let file = self.file.try_clone().map_err(Error::io(&path))?;
        let metadata = self.metadata.clone();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
        let builder = builder.with_projection(mask).with_batch_size(ROWS);
        let reader = guarded(&path, || builder.build().map_err(|e| damaged(&path, &e)));
        let mut reader = reader?;
        let next = move || {
            let batch = guarded(&path, || {
                reader.next().transpose().map_err(|e| damaged(&path, &e))
            });
            let column = batch.map(|batch| batch.map(|batch| batch.column(0).clone()));
            column.transpose()
        };
        Ok(Box::new(std::iter::from_fn(next)))
    }

    fn full_column(&self, column: usize) -> Result<Option<Numbers>> {
        self.check(column)?;
        let metadata = self.metadata.metadata();
        let read = || full_columns::read(&self.file, metadata, column);
        guarded(&self.path, || read().map_err(|e| damaged(&self.path, &e)))
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    let why = why.to_string();
    // A build without a feature is no fault of the file.
    if let Some((_, codec)) = why.split_once("Disabled feature at compile time: ") {
        return Error::format(
            path,
            format!(
                "compressed with {codec}, which this build of rarefy does not read; write the file with another compression, \
                 for example zstd"
            ),
        );
    }
    Error::format(path, format!("damaged parquet: {why}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use parquet::errors::ParquetError;
    use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;

    use super::*;

    #[test]
    fn negative_position_is_refused() {
        let damaged = with_pages_at(-4, &[(5, 5)]);
        let why = check_claims(&damaged, 0, 600).unwrap_err();
        assert!(why.contains("got a negative one in column"), "{why}");
        assert_eq!(check_claims(&with_pages_at(4, &[(5, 5)]), 0, 600), Ok(()));
    }

    fn groups(counts: &[(i64, i64)]) -> ParquetMetaData {
        with_pages_at(4, counts)
    }

    /// Metadata of row groups of one column, each with a number of rows and of values.
    fn with_pages_at(start: i64, counts: &[(i64, i64)]) -> ParquetMetaData {
        let schema = parse_message_type("message m { required float x; }").unwrap();
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
        let group = |(rows, values): &(i64, i64)| {
            let column = ColumnChunkMetaData::builder(schema.column(0))
                .set_num_values(*values)
                .set_data_page_offset(start);
            RowGroupMetaData::builder(schema.clone())
                .set_num_rows(*rows)
                .set_column_metadata(vec![column.build().unwrap()])
                .build()
                .unwrap()
        };
        let groups = counts.iter().map(group).collect();
        let file = FileMetaData::new(1, 0, None, None, schema.clone(), None);
        ParquetMetaData::new(file, groups)
    }

    #[test]
    fn row_of_too_many_values_is_refused_before_it_is_read() {
        let most = MOST_WIDTH as i64;
        assert_eq!(check_claims(&groups(&[(2, 2 * most)]), 0, 600), Ok(()));
        let why = check_claims(&groups(&[(5, 5), (1, most + 1)]), 0, 600).unwrap_err();
        let expected = "expected at most 16777216 values in a row, got 16777217 in 1 rows of column `x`; save the rows in another shape";
        assert_eq!(why, expected);
    }

    #[test]
    fn values_of_all_groups_are_held_against_the_length_of_the_file() {
        // 2^27 values of 4 bytes are 512 MiB, which any file may hold; a larger one may hold 1024 times its length.
        let quarter = 1 << 25;
        let groups = |count| groups(&vec![(quarter, quarter); count]);
        assert_eq!(check_claims(&groups(4), 0, 600), Ok(()));
        let why = check_claims(&groups(5), 0, 600).unwrap_err();
        assert!(why.contains("claims 671088640 bytes of values in a file of 600 bytes, expected 536870912 at most"), "{why}");
        assert_eq!(check_claims(&groups(5), 0, 1 << 20), Ok(()));
    }

    #[test]
    fn compression_that_a_build_lacks_is_no_damage() {
        let why = ParquetError::General("Disabled feature at compile time: brotli".into());
        let error = damaged(Path::new("x.parquet"), &why).to_string();
        assert!(
            error.starts_with("x.parquet: compressed with brotli, which this build"),
            "{error}"
        );
    }
}
