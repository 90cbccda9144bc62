//! CSV reader: comma- or tab-separated numbers, plain or gzip, with or without a header.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ::csv::StringRecord;
use flate2::read::MultiGzDecoder;

use super::{Dataset, Memory, OpenOptions, check_finite, is_label_name};
use crate::{Error, Result};

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

/// Reads a whole table of numbers. The embedded samples use this function too.
pub(super) fn read(
    path: &Path,
    reader: impl Read,
    delimiter: u8,
    header: Option<bool>,
) -> Result<Dataset> {
    let mut reader = BufReader::new(reader);
    // The parser counts a line that ends by CR LF when it reads the LF, which is with the next record.
    let late = u64::from(ends_by_two(&mut reader).map_err(Error::io(path))?);
    let mut table = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(&mut reader);
    let mut names = Vec::new();
    let mut label_column = None;
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let (mut width, mut rows, mut seen) = (0, 0, false);
    let mut record = StringRecord::new();
    while table
        .read_record(&mut record)
        .map_err(|e| Error::format(path, e.to_string()))?
    {
        let line = record.position().map_or(0, ::csv::Position::line);
        let line = if seen { line + late } else { line };
        seen = true;
        if width == 0 {
            width = record.len();
            if header.unwrap_or_else(|| looks_like_header(&record)) {
                names = header_names(path, &record)?;
                label_column = names.iter().position(|name| is_label_name(name));
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
            } else {
                values.push(number(path, line, (column, names.get(column)), field)?);
            }
        }
        rows += 1;
    }
    let d_in = width - usize::from(label_column.is_some());
    if rows == 0 || d_in == 0 {
        return Err(Error::format(
            path,
            format!("expected at least one row of numbers, got {rows} rows of {d_in} numbers"),
        ));
    }
    check_finite(path, 0, d_in, &values)?;
    let mut dataset = Dataset::new(Memory::new(path.display().to_string(), d_in, values));
    dataset.labels = label_column.map(|_| labels);
    Ok(dataset)
}

/// True if the first line ends by carriage return and line feed, as Python's csv module and Windows write.
fn ends_by_two(reader: &mut impl BufRead) -> std::io::Result<bool> {
    let start = reader.fill_buf()?;
    let end = start.iter().position(|byte| *byte == b'\n');
    Ok(end.is_some_and(|at| at > 0 && start[at - 1] == b'\r'))
}

/// True if the first line is a header: a field is not a number, or the fields count four or more columns from
/// 0 (the names that pandas gives to unnamed columns). Three or fewer such fields may be data.
fn looks_like_header(record: &StringRecord) -> bool {
    let word = |field: &str| field.trim().parse::<f32>().is_err();
    let counts = || {
        let mut fields = record.iter().enumerate();
        record.len() > 3 && fields.all(|(column, field)| field.trim() == column.to_string())
    };
    record.iter().any(word) || counts()
}

/// Column names of a header line. An empty name is an error: the column is either the row index that pandas
/// and R write, or the line is a row of data with a missing number.
fn header_names(path: &Path, record: &StringRecord) -> Result<Vec<String>> {
    let names: Vec<String> = record.iter().map(|f| f.trim().to_owned()).collect();
    match names.iter().position(String::is_empty) {
        None => Ok(names),
        Some(column) => {
            let why = format!(
                "line 1, column {column}: expected a number or the name of a column, got an empty field; \
                 if the column is a row index, save without it (pandas: index=False, R: row.names=FALSE)"
            );
            Err(Error::format(path, why))
        }
    }
}

/// Parses a field as a number.
fn number(path: &Path, line: u64, column: (usize, Option<&String>), field: &str) -> Result<f32> {
    field.trim().parse().map_err(|_| {
        let known = match column {
            (index, Some(name)) => format!("{index} (`{name}`)"),
            (index, None) => index.to_string(),
        };
        let why = format!("line {line}, column {known}: expected a number, got `{field}`");
        Error::format(path, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_the_same_with_both_kinds_of_line_ends() {
        let text = "a,b,c\n1,2,3\n1,2,3\n4,x,6\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let error = read(Path::new("t.csv"), text.as_bytes(), b',', None);
            let error = error.err().unwrap().to_string();
            assert!(error.contains("line 4, column 1 (`b`)"), "{error}");
            let short = text.replace("4,x,6", "4,5");
            let error = read(Path::new("t.csv"), short.as_bytes(), b',', None);
            let error = error.err().unwrap().to_string();
            assert!(
                error.contains("line 4: expected 3 fields, got 2"),
                "{error}"
            );
        }
    }
}
