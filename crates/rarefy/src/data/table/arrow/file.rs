//! Columns of an Arrow file or stream.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, SchemaRef};

use super::{Arrays, ArrowTable, Columns, guarded};
use crate::{Error, Result};

impl ArrowTable {
    /// Reads an Arrow file (Feather 2) or an Arrow stream; the first bytes say which.
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let (schema, batches) = guarded(path, || read(path))?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let mut table = Self::new(path, &schema, rows, Box::new(batches));
        let texts = schema.metadata().iter();
        table.metadata = texts
            .map(|(key, text)| (key.clone(), text.clone()))
            .collect();
        Ok(table)
    }
}

/// File whose columns are read when they are asked for.
pub(super) struct Lazily {
    pub(super) path: PathBuf,
}

impl Columns for Lazily {
    fn arrays(&self, column: usize) -> Result<Arrays> {
        let (_, batches) = guarded(&self.path, || read_columns(&self.path, Some(vec![column])))?;
        let arrays = batches.into_iter().map(|batch| Ok(batch.column(0).clone()));
        Ok(Box::new(arrays.collect::<Vec<_>>().into_iter()))
    }
}

impl Columns for Vec<RecordBatch> {
    fn arrays(&self, column: usize) -> Result<Arrays> {
        let arrays: Vec<_> = self
            .iter()
            .map(|batch| Ok(batch.column(column).clone()))
            .collect();
        Ok(Box::new(arrays.into_iter()))
    }
}

/// Schema and all batches.
fn read(path: &Path) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    read_columns(path, None)
}

/// Schema and all batches, of some columns only if they are given.
fn read_columns(path: &Path, columns: Option<Vec<usize>>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let mut magic = Vec::new();
    file.by_ref()
        .take(6)
        .read_to_end(&mut magic)
        .map_err(Error::io(path))?;
    if magic.starts_with(b"ARROW1") || magic.starts_with(&[0xFF; 4]) {
        let is_stream = magic[0] == 0xFF;
        super::lengths::check(&mut file, is_stream)
            .map_err(|why| Error::format(path, format!("damaged Arrow file: {why}")))?;
    }
    file.rewind().map_err(Error::io(path))?;
    let damaged = |e: ArrowError| {
        Error::format(
            path,
            format!(
                "truncated or damaged Arrow file: {e}; write it again, or save the rows as .npy or .parquet"
            ),
        )
    };
    match magic.as_slice() {
        b"ARROW1" => {
            let reader = FileReader::try_new(file, columns).map_err(damaged)?;
            batches(reader.schema(), reader).map_err(damaged)
        }
        [0xFF, 0xFF, 0xFF, 0xFF, ..] => {
            let reader = StreamReader::try_new(file, columns).map_err(damaged)?;
            batches(reader.schema(), reader).map_err(damaged)
        }
        _ if magic.starts_with(b"FEA1") => Err(Error::format(
            path,
            "expected an Arrow file, got Feather version 1; write it again with version 2 (pyarrow's default)",
        )),
        _ => Err(Error::format(
            path,
            "expected an Arrow file or stream (.npy, .csv and .parquet are read too), got other bytes",
        )),
    }
}

/// Schema and all batches of a reader.
fn batches(
    schema: SchemaRef,
    reader: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>>,
) -> std::result::Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    Ok((schema, reader.collect::<std::result::Result<_, _>>()?))
}
