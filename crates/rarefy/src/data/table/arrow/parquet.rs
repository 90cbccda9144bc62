//! Columns of a parquet file as Arrow arrays.

use std::fs::File;
use std::path::Path;

use arrow_array::ArrayRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::{ArrowTable, guarded};
use crate::{Error, Result};

/// Number of rows decoded at a time.
const ROWS: usize = 1 << 14;

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
        let at = path.to_path_buf();
        let column = move |column| guarded(&at, || read(&at, &file, &metadata, column));
        let mut table = Self::new(path, &schema, rows, Box::new(column));
        table.metadata = texts;
        Ok(table)
    }
}

/// Reads all rows of one column.
fn read(
    path: &Path,
    file: &File,
    metadata: &ArrowReaderMetadata,
    column: usize,
) -> Result<Vec<ArrayRef>> {
    let damaged = |e: &dyn std::fmt::Display| Error::format(path, format!("damaged parquet: {e}"));
    let file = file.try_clone().map_err(Error::io(path))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let reader = builder.with_projection(mask).with_batch_size(ROWS).build();
    let batches = reader.map_err(|e| damaged(&e))?;
    batches
        .map(|batch| Ok(batch.map_err(|e| damaged(&e))?.column(0).clone()))
        .collect()
}
