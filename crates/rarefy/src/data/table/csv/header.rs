//! Header of a csv file: a first line that holds names. A line that could be either is an error, never a guess.

use std::path::Path;

use ::csv::{ByteRecord, StringRecord};

use super::super::cells::{is_missing, is_number_like, parse_list, parse_number};
use super::dialect::Dialect;
use crate::{Error, Result};

/// Number of lines below the first that are looked at.
const LINES: usize = 50;

/// Names of the columns of a csv file.
pub(super) enum Header {
    /// There are none.
    None,
    /// The first line that is no comment.
    FirstLine,
    /// The comment above the first row, as `numpy.savetxt` writes names.
    Comment(Vec<String>),
}

/// Kinds of cells of a first line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Number,
    /// Missing value, boolean, or almost a number.
    Odd,
    List,
    Word,
}

/// Finds the header.
///
/// # Errors
/// [`Error::Format`] for a line that could be a header or a row.
pub(super) fn of(
    path: &Path,
    dialect: &Dialect,
    sample: &[u8],
    given: Option<bool>,
) -> Result<Header> {
    match given {
        Some(true) => return Ok(Header::FirstLine),
        Some(false) => return Ok(Header::None),
        None => {}
    }
    let is_first_line = is_first_line(path, dialect, sample);
    // Below names, numbers are a row, also those that could be names.
    match of_comment(dialect, sample) {
        Some(names) if !matches!(is_first_line, Ok(true)) => Ok(Header::Comment(names)),
        _ => Ok(if is_first_line? {
            Header::FirstLine
        } else {
            Header::None
        }),
    }
}

/// Fewest columns that a comment of words between blanks can name: two words are prose as often as names.
const FEWEST_BETWEEN_BLANKS: usize = 3;

/// Names in the last comment above the first row: as many different words as the row has cells, two or more.
fn of_comment(dialect: &Dialect, sample: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(sample);
    let mut lines = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let mut comment = None;
    let row = loop {
        let line = lines.next()?;
        match line.strip_prefix('#') {
            Some(words) => comment = Some(words.trim_start_matches('#').trim()),
            None => break line,
        }
    };
    let width = split(row, dialect)?.len();
    let named = |names: Vec<String>, fewest: usize| {
        let mut different = names.clone();
        different.sort_unstable();
        different.dedup();
        let fits = names.len() == width && width >= fewest && different.len() == width;
        let are_words = names.iter().all(|name| kind(name, dialect) == Cell::Word);
        (fits && are_words).then_some(names)
    };
    let fewest = if dialect.delimiter == b' ' {
        FEWEST_BETWEEN_BLANKS
    } else {
        2
    };
    // `numpy.savetxt` writes the header as it is given, often with blanks above commas.
    let between_blanks = comment?
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    named(split(comment?, dialect)?, fewest)
        .or_else(|| named(between_blanks, FEWEST_BETWEEN_BLANKS))
}

/// Cells of a line.
fn split(line: &str, dialect: &Dialect) -> Option<Vec<String>> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(dialect.delimiter)
        .from_reader(dialect.squeezed(line.as_bytes()));
    let record = reader.records().next()?.ok()?;
    Some(record.iter().map(|cell| cell.trim().to_owned()).collect())
}

/// True if the first line that is no comment is a header.
///
/// # Errors
/// [`Error::Format`] for a line that could be a header or a row.
fn is_first_line(path: &Path, dialect: &Dialect, sample: &[u8]) -> Result<bool> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .comment(Some(b'#'))
        .from_reader(dialect.squeezed(sample));
    let mut record = ByteRecord::new();
    // An invalid line is reported with its number when the table is read.
    if !reader.read_byte_record(&mut record).unwrap_or(false) {
        return Ok(false);
    }
    let line = record.position().map_or(1, ::csv::Position::line) + dialect.skipped_lines;
    let rest = reader
        .into_byte_records()
        .map_while(std::result::Result::ok);
    let rest: Vec<_> = rest
        .take(LINES)
        .map(StringRecord::from_byte_record_lossy)
        .collect();
    let first = StringRecord::from_byte_record_lossy(record);
    let cells: Vec<Cell> = first
        .iter()
        .map(|cell| kind(cell.trim(), dialect))
        .collect();
    let has = |kind: Cell| cells.contains(&kind);
    if !has(Cell::Word) {
        return if are_names(&first) {
            Err(ask(path, line, "numbers that look like names", &first))
        } else if is_whole(&first)
            && !rest.is_empty()
            && rest.iter().all(|row| is_of_fractions(row, dialect))
        {
            Err(ask(
                path,
                line,
                "whole numbers above rows of fractions",
                &first,
            ))
        } else {
            Ok(false)
        };
    }
    if has(Cell::Number) {
        return Err(ask(path, line, "words and numbers", &first));
    }
    if has(Cell::List) {
        return Ok(false);
    }
    let mut names: Vec<&str> = first.iter().map(str::trim).collect();
    names.sort_unstable();
    match names
        .windows(2)
        .find(|pair| pair[0] == pair[1] && !pair[0].is_empty())
    {
        Some(_) => Err(ask(path, line, "words of which two are equal", &first)),
        None => Ok(true),
    }
}

fn kind(cell: &str, dialect: &Dialect) -> Cell {
    let booleans = ["true", "false"];
    if parse_number(cell, dialect.decimal_comma).is_some() {
        Cell::Number
    } else if parse_list(cell).is_some() {
        Cell::List
    } else if is_missing(cell) || is_number_like(cell) || booleans.contains(&&*cell.to_lowercase())
    {
        Cell::Odd
    } else {
        Cell::Word
    }
}

/// True if the line has two or more cells, each a whole number written without a point.
fn is_whole(record: &StringRecord) -> bool {
    record.len() > 1 && record.iter().all(|cell| cell.trim().parse::<i64>().is_ok())
}

/// True if each cell is a number written with a decimal mark or an exponent, as programs write floats, or is missing.
fn is_of_fractions(record: &StringRecord, dialect: &Dialect) -> bool {
    let is_fraction = |cell: &str| {
        is_missing(cell)
            || (cell.contains(['.', ',', 'e', 'E'])
                && parse_number(cell, dialect.decimal_comma).is_some())
    };
    record.iter().map(str::trim).all(is_fraction)
        && !record.iter().all(|cell| is_missing(cell.trim()))
}

/// True if four or more numbers count from 0 or 1 (names that pandas gives), or three or more are successive years. An
/// empty first cell stands above the index that pandas and R write.
fn are_names(record: &StringRecord) -> bool {
    let above_index = record.len() > 1 && record[0].trim().is_empty();
    let names = record.iter().skip(usize::from(above_index));
    let numbers: Option<Vec<i64>> = names.map(|cell| cell.trim().parse().ok()).collect();
    let Some(numbers) = numbers else {
        return false;
    };
    let successive = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let first = numbers.first().copied().unwrap_or_default();
    successive
        && (above_index
            || (numbers.len() >= 4 && (0..=1).contains(&first))
            || (numbers.len() >= 3 && (1900..2100).contains(&first)))
}

fn ask(path: &Path, line: u64, what: &str, record: &StringRecord) -> Error {
    let mut shown: String = record
        .iter()
        .collect::<Vec<_>>()
        .join(",")
        .chars()
        .take(60)
        .collect();
    if shown.chars().count() == 60 {
        shown.push_str("...");
    }
    let why = format!(
        "line {line} holds {what} (`{shown}`), so it may be a header or a row; set `data.header` to true or false"
    );
    Error::format(path, why)
}

/// Names of a header line.
///
/// An empty name is an error unless a header was asked for: the column is either the row index that pandas and R write,
/// or the line is a row with a missing number.
pub(super) fn names(
    path: &Path,
    record: &ByteRecord,
    line: u64,
    is_given: bool,
) -> Result<Vec<String>> {
    let name = |name: &[u8]| std::str::from_utf8(name).map(|name| name.trim().to_owned());
    let names: std::result::Result<Vec<String>, _> = record.iter().map(name).collect();
    let names = names.map_err(|_| {
        let why = format!(
            "line {line}: expected names in UTF-8, got other bytes; save the file as UTF-8"
        );
        Error::format(path, why)
    })?;
    match names.iter().position(String::is_empty) {
        Some(column) if !is_given => {
            let why = format!(
                "line {line}, field {}: expected a number or the name of a column, got an empty field; if the \
                 column is a row index, save without it (pandas: index=False, R: row.names=FALSE), or set \
                 `data.header` to true to leave it out",
                column + 1
            );
            Err(Error::format(path, why))
        }
        _ => Ok(names),
    }
}
