//! Codes as parquet: columns of lists `indices` and `values`, and optional columns `row_mean` and `row_scale`.

use std::path::Path;
use std::sync::Arc;

use ::arrow_array::Array;
use ::parquet::data_type::{DataType, FloatType, Int32Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::{Arrays, Codes, Error, Result};
use crate::atomic;
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

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let bytes = encode(codes).map_err(|e| Error::format(path, e.to_string()))?;
    atomic::write(path, |out| out.write_all(&bytes))
}

/// Content of a parquet file with these codes.
fn encode(codes: &Codes) -> std::result::Result<Vec<u8>, ParquetError> {
    let d_sae = KeyValue::new(D_SAE.to_owned(), codes.d_sae.to_string());
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![d_sae]))
        .build();
    let of_rows = [(ROW_MEAN, &codes.row_means), (ROW_SCALE, &codes.row_scales)];
    let of_rows: Vec<_> = of_rows
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .collect();
    let columns: Vec<String> = of_rows
        .iter()
        .map(|(name, _)| format!("REQUIRED FLOAT {name};"))
        .collect();
    let schema = format!(
        "message codes {{ {INDICES} {VALUES} {} }}",
        columns.concat()
    );
    let mut writer = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(parse_message_type(&schema)?),
        Arc::new(properties),
    )?;
    // An empty row has one level with definition 0. Each entry has definition 1; the first of a row has
    // repetition 0, the others 1.
    let (mut definition, mut repetition) = (Vec::new(), Vec::new());
    for ends in codes.offsets.windows(2) {
        let entries = ends[1] - ends[0];
        definition.extend((0..entries.max(1)).map(|_| i16::from(entries > 0)));
        repetition.extend((0..entries.max(1)).map(|at| i16::from(at > 0)));
    }
    let mut group = writer.next_row_group()?;
    let indices: Vec<i32> = codes.indices.iter().map(|&i| i as i32).collect();
    column::<Int32Type>(&mut group, &indices, &definition, &repetition)?;
    column::<FloatType>(&mut group, &codes.values, &definition, &repetition)?;
    for (_, values) in of_rows {
        column::<FloatType>(&mut group, values, &[], &[])?;
    }
    group.close()?;
    writer.into_inner()
}

/// Writes one column.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<Vec<u8>>,
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
