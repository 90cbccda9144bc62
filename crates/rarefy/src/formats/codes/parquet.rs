//! Codes as parquet: columns of lists `indices` and `values`, and optional columns `row_mean` and `row_scale`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::arrow_array::Array;
use ::parquet::data_type::{DataType, FloatType, Int32Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::{Arrays, Codes, Error, Result, Sink};
use crate::atomic::Pending;
use crate::data::sparse::entries;
use crate::data::table::arrow::{ArrowTable, floats, integers};

const INDICES: &str =
    "REQUIRED GROUP indices (LIST) { REPEATED GROUP list { REQUIRED INT32 element; } }";
const VALUES: &str =
    "REQUIRED GROUP values (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }";
/// Name of the column of row means, present if preprocessing subtracts them.
const ROW_MEAN: &str = "row_mean";
/// Name of the column of row divisors, present if preprocessing divides rows.
const ROW_SCALE: &str = "row_scale";
/// Key of the number of latents in the metadata of the file.
const D_SAE: &str = "d_sae";

/// Rows of a row group at least, or entries: a row of `kl` has an entry for each latent.
const GROUP: usize = 1 << 16;
const ENTRIES: usize = 1 << 22;

/// Columns of the file.
struct Columns {
    path: PathBuf,
    /// Rows that wait for their row group to be full.
    waiting: Codes,
    /// The file before its first row group, when its columns are not known yet.
    empty: Option<Pending>,
    file: Option<SerializedFileWriter<Pending>>,
}

pub(super) fn create(path: &Path, d_sae: usize) -> Result<Box<dyn Sink>> {
    Ok(Box::new(Columns {
        path: path.into(),
        waiting: Codes::new(d_sae),
        empty: Some(Pending::create(path)?),
        file: None,
    }))
}

impl Sink for Columns {
    fn push(&mut self, codes: &Codes) -> Result<()> {
        self.waiting.append(codes.clone());
        if self.waiting.rows() < GROUP && self.waiting.values.len() < ENTRIES {
            return Ok(());
        }
        self.write_group()
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if self.file.is_none() || self.waiting.rows() > 0 {
            self.write_group()?;
        }
        let file = self.file.expect("a row group was written");
        let file = file.into_inner();
        file.map_err(failed(&self.path))?.commit()
    }
}

impl Columns {
    /// Writes the waiting rows as a row group.
    fn write_group(&mut self) -> Result<()> {
        if let Some(file) = self.empty.take() {
            let file = start(file, &self.waiting).map_err(failed(&self.path))?;
            self.file = Some(file);
        }
        let file = self.file.as_mut().expect("the file was started");
        write_group(file, &self.waiting).map_err(failed(&self.path))?;
        self.waiting.clear();
        Ok(())
    }
}

/// Error of the parquet writer, or of the disk below it.
fn failed(path: &Path) -> impl Fn(ParquetError) -> Error {
    move |error| match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => Error::io(path)(*error),
            Err(cause) => Error::format(path, cause.to_string()),
        },
        error => Error::format(path, error.to_string()),
    }
}

/// Starts a file with the columns that these codes have.
fn start(
    file: Pending,
    codes: &Codes,
) -> std::result::Result<SerializedFileWriter<Pending>, ParquetError> {
    let d_sae = KeyValue::new(D_SAE.to_owned(), codes.d_sae.to_string());
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![d_sae]));
    let columns = of_rows(codes).map(|(name, _)| format!("REQUIRED FLOAT {name};"));
    let schema = format!(
        "message codes {{ {INDICES} {VALUES} {} }}",
        columns.collect::<String>()
    );
    let schema = Arc::new(parse_message_type(&schema)?);
    SerializedFileWriter::new(file, schema, Arc::new(properties.build()))
}

/// Columns of row means and divisors that codes have.
fn of_rows(codes: &Codes) -> impl Iterator<Item = (&'static str, &[f32])> {
    let named = [
        (ROW_MEAN, &*codes.row_means),
        (ROW_SCALE, &*codes.row_scales),
    ];
    named.into_iter().filter(|(_, values)| !values.is_empty())
}

/// Writes codes as one row group.
fn write_group(
    file: &mut SerializedFileWriter<Pending>,
    codes: &Codes,
) -> std::result::Result<(), ParquetError> {
    // An empty row has one level with definition 0. Each entry has definition 1; the first of a row has
    // repetition 0, the others 1.
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for ends in codes.offsets.windows(2) {
        let entries = ends[1] - ends[0];
        definition.extend((0..entries.max(1)).map(|_| i16::from(entries > 0)));
        repetition.extend((0..entries.max(1)).map(|at| i16::from(at > 0)));
    }
    let mut group = file.next_row_group()?;
    let indices: Vec<i32> = codes.indices.iter().map(|&i| i as i32).collect();
    column::<Int32Type>(&mut group, &indices, &definition, &repetition)?;
    column::<FloatType>(&mut group, &codes.values, &definition, &repetition)?;
    for (_, values) in of_rows(codes) {
        column::<FloatType>(&mut group, values, &[], &[])?;
    }
    group.close()?;
    Ok(())
}

/// Writes one column.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<Pending>,
    values: &[T::T],
    definition: &[i16],
    repetition: &[i16],
) -> std::result::Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than in the schema".into()))?;
    column
        .typed::<T>()
        .write_batch(values, levels(definition), levels(repetition))?;
    column.close()
}

/// Levels of a column; `None` for a flat column, which has none.
fn levels(levels: &[i16]) -> Option<&[i16]> {
    (!levels.is_empty()).then_some(levels)
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let mut table = ArrowTable::parquet(path)?;
    let d_sae = table.metadata.iter().find(|(key, _)| key == D_SAE);
    let d_sae = d_sae.and_then(|(_, text)| text.parse().ok()).ok_or_else(|| {
        let why = format!(
            "expected the number of latents as `{D_SAE}` in the metadata of the file, got no number"
        );
        Error::format(path, why)
    })?;
    let indices = entries(path, &mut table, "indices", integers)?;
    let values = entries(path, &mut table, "values", |array| {
        Some(floats(array)?.into_owned())
    })?;
    if let Some(row) = (0..indices.0.len()).find(|&row| indices.0[row] != values.0[row]) {
        let why = format!(
            "row {}: expected as many values as indices, got {} values and {} indices up to this row",
            row.saturating_sub(1),
            values.0[row],
            indices.0[row]
        );
        return Err(Error::format(path, why));
    }
    let mut of_rows = |name: &str| {
        if table.has(name) {
            flat(path, &mut table, name)
        } else {
            Ok(Vec::new())
        }
    };
    let arrays = Arrays {
        d_sae,
        row_means: of_rows(ROW_MEAN)?,
        row_scales: of_rows(ROW_SCALE)?,
        offsets: indices.0,
        indices: indices.1,
        values: values.1,
    };
    arrays.assemble(path)
}

/// Numbers of a flat column.
fn flat(path: &Path, table: &mut ArrowTable, name: &str) -> Result<Vec<f32>> {
    let arrays = table.arrays(name)?;
    let numbers: Option<Vec<_>> = arrays
        .iter()
        .map(|array| floats(array).filter(|_| array.null_count() == 0))
        .collect();
    let expected = || {
        Error::format(
            path,
            format!("column `{name}`: expected a number in each row"),
        )
    };
    Ok(numbers.ok_or_else(expected)?.concat())
}
