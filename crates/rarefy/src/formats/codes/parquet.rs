//! Codes as parquet: columns `indices` and `values`, a list of each in every row.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::column::reader::ColumnReader;
use ::parquet::data_type::{DataType, FloatType, Int32Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use super::{Codes, Error, Result, assemble};
use crate::atomic;

const SCHEMA: &str = "message codes {
    REQUIRED GROUP indices (LIST) { REPEATED GROUP list { REQUIRED INT32 element; } }
    REQUIRED GROUP values (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
}";
/// Key of the file's metadata that holds the number of latents.
const D_SAE: &str = "d_sae";

pub(super) fn write(path: &Path, codes: &Codes) -> Result<()> {
    let bytes = encode(codes).map_err(|e| Error::format(path, e.to_string()))?;
    atomic::write(path, |out| out.write_all(&bytes))
}

fn encode(codes: &Codes) -> std::result::Result<Vec<u8>, ParquetError> {
    let d_sae = KeyValue::new(D_SAE.to_owned(), codes.d_sae.to_string());
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![d_sae]))
        .build();
    let mut writer = SerializedFileWriter::new(
        Vec::new(),
        Arc::new(parse_message_type(SCHEMA)?),
        Arc::new(properties),
    )?;
    // An empty row is one level of definition 0; an entry is definition 1, its row's first repetition 0.
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
    group.close()?;
    writer.into_inner()
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<Vec<u8>>,
    values: &[T::T],
    definition: &[i16],
    repetition: &[i16],
) -> std::result::Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has two columns".into()))?;
    column
        .typed::<T>()
        .write_batch(values, Some(definition), Some(repetition))?;
    column.close()
}

pub(super) fn read(path: &Path) -> Result<Codes> {
    let file = File::open(path).map_err(Error::io(path))?;
    let damaged = |e: ParquetError| Error::format(path, format!("damaged parquet: {e}"));
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let metadata = reader.metadata().file_metadata();
    let found = metadata
        .key_value_metadata()
        .and_then(|all| all.iter().find(|kv| kv.key == D_SAE));
    let d_sae = found
        .and_then(|kv| kv.value.as_ref()?.parse().ok())
        .ok_or_else(|| {
            Error::format(
                path,
                format!("expected `{D_SAE}` in the file's metadata, got none"),
            )
        })?;
    let rows = usize::try_from(metadata.num_rows()).unwrap_or(0);
    let (mut indices, mut values, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let (mut definition, mut repetition) = (Vec::new(), Vec::new());
        match group.get_column_reader(0).map_err(damaged)? {
            ColumnReader::Int32ColumnReader(mut column) => {
                let mut more = Vec::new();
                column
                    .read_records(
                        rows,
                        Some(&mut definition),
                        Some(&mut repetition),
                        &mut more,
                    )
                    .map_err(damaged)?;
                indices.extend(more.into_iter().map(i64::from));
            }
            _ => {
                return Err(Error::format(
                    path,
                    "expected a first column of 32-bit indices",
                ));
            }
        }
        let mut total = offsets[offsets.len() - 1];
        for (defined, repeated) in definition.iter().zip(&repetition) {
            total += i64::from(*defined > 0);
            if *repeated == 0 {
                offsets.push(total);
            } else if let Some(last) = offsets.last_mut() {
                *last = total;
            }
        }
        match group.get_column_reader(1).map_err(damaged)? {
            ColumnReader::FloatColumnReader(mut column) => {
                column
                    .read_records(
                        rows,
                        Some(&mut Vec::new()),
                        Some(&mut Vec::new()),
                        &mut values,
                    )
                    .map_err(damaged)?;
            }
            _ => {
                return Err(Error::format(
                    path,
                    "expected a second column of 32-bit floats",
                ));
            }
        }
    }
    assemble(path, d_sae, offsets, indices, values)
}
