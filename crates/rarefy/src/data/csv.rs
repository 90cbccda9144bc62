//! Comma- and tab-separated numbers, gzipped or not, with or without a header.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Dataset, Memory, OpenOptions, check_finite};
use crate::{Error, Result};

/// A column with one of these names in the header holds labels, not numbers.
const LABEL_NAMES: [&str; 6] = ["label", "labels", "class", "target", "word", "name"];

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let name = path.to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz");
    let reader: Box<dyn Read> = if plain.is_some() {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let tabs = Path::new(plain.unwrap_or(&name)).extension() == Some("tsv".as_ref());
    let delimiter = if tabs { b'\t' } else { b',' };
    read(path, reader, delimiter, options.header)
}

/// Reads a whole table; shared with the embedded samples.
pub(super) fn read(
    path: &Path,
    reader: impl Read,
    delimiter: u8,
    header: Option<bool>,
) -> Result<Dataset> {
    let mut table = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(reader);
    let mut names: Option<Vec<String>> = None;
    let mut label_column = None;
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let (mut width, mut rows) = (0, 0);
    let mut record = ::csv::StringRecord::new();
    while table
        .read_record(&mut record)
        .map_err(|e| damaged(path, &e))?
    {
        let line = record.position().map_or(0, ::csv::Position::line);
        if width == 0 {
            width = record.len();
            let words = record
                .iter()
                .any(|field| field.trim().parse::<f32>().is_err());
            if header.unwrap_or(words) {
                let header: Vec<String> = record.iter().map(|f| f.trim().to_owned()).collect();
                label_column = header
                    .iter()
                    .position(|n| LABEL_NAMES.contains(&n.to_lowercase().as_str()));
                names = Some(header);
                continue;
            }
        }
        if record.len() != width {
            return Err(Error::format(
                path,
                format!("line {line}: expected {width} fields, got {}", record.len()),
            ));
        }
        for (column, field) in record.iter().enumerate() {
            if Some(column) == label_column {
                labels.push(field.trim().to_owned());
                continue;
            }
            let value = field.trim().parse::<f32>().map_err(|_| {
                let known = names.as_ref().map_or_else(
                    || format!("{column}"),
                    |n| format!("{column} (`{}`)", n[column]),
                );
                Error::format(
                    path,
                    format!("line {line}, column {known}: expected a number, got `{field}`"),
                )
            })?;
            values.push(value);
        }
        rows += 1;
    }
    let d_in = width - usize::from(label_column.is_some());
    if rows == 0 || d_in == 0 {
        return Err(Error::format(
            path,
            format!("expected rows of numbers, got {rows} rows of {d_in}"),
        ));
    }
    check_finite(path, 0, d_in, &values)?;
    let mut dataset = Dataset::new(Memory::new(path.display().to_string(), d_in, values));
    dataset.labels = label_column.map(|_| labels);
    Ok(dataset)
}

fn damaged(path: &Path, error: &::csv::Error) -> Error {
    Error::format(path, error.to_string())
}
