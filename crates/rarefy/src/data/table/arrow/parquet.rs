//! Columns of a parquet file as Arrow arrays.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::super::cells::Numbers;
use super::{Arrays, ArrowTable, Columns, ROWS, full_columns, guarded};
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
        let of_file = metadata.metadata().file_metadata();
        let rows = usize::try_from(of_file.num_rows()).unwrap_or(0);
        let texts = of_file.key_value_metadata().into_iter().flatten();
        let texts = texts.map(|text| (text.key.clone(), text.value.clone().unwrap_or_default()));
        let texts = texts.collect();
        let schema = metadata.schema().clone();
        let columns = ParquetFile {
            path: path.into(),
            file,
            metadata,
        };
        let mut table = Self::new(path, &schema, rows, Box::new(columns));
        table.metadata = texts;
        Ok(table)
    }
}

/// Open parquet file.
struct ParquetFile {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
}

impl Columns for ParquetFile {
    fn arrays(&self, column: usize) -> Result<Arrays> {
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
        let metadata = self.metadata.metadata();
        let read = || full_columns::read(&self.file, metadata, column);
        guarded(&self.path, || read().map_err(|e| damaged(&self.path, &e)))
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::format(path, format!("damaged parquet: {why}"))
}
