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

/// File whose columns are read when they are asked for, a batch at a time.
pub(super) struct Lazily {
    pub(super) path: PathBuf,
}

impl Columns for Lazily {
    fn arrays(&self, column: usize) -> Result<Arrays> {
        let path = self.path.clone();
        let (_, mut batches) = guarded(&path, || batches(&path, Some(vec![column])))?;
        let next = move || {
            let batch = guarded(&path, || {
                batches.next().transpose().map_err(|e| damaged(&path, &e))
            });
            let column = batch.map(|batch| batch.map(|batch| batch.column(0).clone()));
            column.transpose()
        };
        Ok(Box::new(std::iter::from_fn(next)))
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
    let (schema, batches) = batches(path, None)?;
    let all = batches.collect::<std::result::Result<_, _>>();
    Ok((schema, all.map_err(|e| damaged(path, &e))?))
}

fn damaged(path: &Path, error: &ArrowError) -> Error {
    let why = format!(
        "truncated or damaged Arrow file: {error}; write it again, or save the rows as .npy or .parquet"
    );
    Error::format(path, why)
}

/// Batches of a file, each decoded when it is asked for.
type Batches = Box<dyn Iterator<Item = std::result::Result<RecordBatch, ArrowError>>>;

/// Schema and batches, of some columns only if they are given.
fn batches(path: &Path, columns: Option<Vec<usize>>) -> Result<(SchemaRef, Batches)> {
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
    let damaged = |e: ArrowError| damaged(path, &e);
    match magic.as_slice() {
        b"ARROW1" => {
            let reader = FileReader::try_new(file, columns).map_err(damaged)?;
            Ok((reader.schema(), Box::new(reader)))
        }
        [0xFF, 0xFF, 0xFF, 0xFF, ..] => {
            let reader = StreamReader::try_new(file, columns).map_err(damaged)?;
            Ok((reader.schema(), Box::new(reader)))
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
