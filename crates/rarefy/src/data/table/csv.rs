//! Reader of csv files as they come: any delimiter, with or without a header, quotes, comment lines, plain or gzip.

mod dialect;
mod header;
mod input;

use std::io::Read;
use std::path::Path;

use ::csv::ByteRecord;

use self::dialect::Dialect;
use self::header::Header;
use self::input::Input;
use super::cells::{MemoryColumn, MemoryTable, parse_number};
use super::note::listed;
use super::{dataset, roles, shown_column};
use crate::data::{Dataset, OpenOptions, content};
use crate::{Error, Result};

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    read(path, content::unpacked(path)?.0, options)
}

/// Reads a whole table. The embedded samples use this function too.
pub(crate) fn read(
    path: &Path,
    input: impl Read,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    dataset(path, &mut table(path, input, options)?, options)
}

/// Reads all lines into memory.
fn table(path: &Path, input: impl Read, options: &OpenOptions) -> Result<MemoryTable> {
    let mut input = Input::new(path, input)?;
    let dialect = Dialect::of(path, input.sample())?;
    input.skip(dialect.skipped_bytes);
    let header = header::of(path, &dialect, input.sample(), options.header)?;
    let late = u64::from(input.ends_by_two());
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(dialect.delimiter)
        .from_reader(dialect.squeezed(input));
    let mut rows = Rows::new(path, &dialect, header, options);
    let (mut record, mut seen) = (ByteRecord::new(), false);
    while reader
        .read_byte_record(&mut record)
        .map_err(|e| Error::format(path, e.to_string()))?
    {
        // The parser counts a line that ends by CR LF when it reads the LF, which is with the next record.
        let line = record.position().map_or(0, ::csv::Position::line);
        let line = line + dialect.skipped_lines + if seen { late } else { 0 };
        seen = true;
        rows.push(&record, line)?;
    }
    Ok(rows.finish())
}

/// Rows read so far.
struct Rows<'a> {
    path: &'a Path,
    dialect: &'a Dialect,
    options: &'a OpenOptions,
    header: Header,
    columns: Vec<MemoryColumn>,
    lines: Vec<u64>,
    comments: usize,
}

impl<'a> Rows<'a> {
    fn new(path: &'a Path, dialect: &'a Dialect, header: Header, options: &'a OpenOptions) -> Self {
        Self {
            path,
            dialect,
            options,
            header,
            columns: Vec::new(),
            lines: Vec::new(),
            comments: 0,
        }
    }

    fn push(&mut self, record: &ByteRecord, line: u64) -> Result<()> {
        if self.is_comment(record) {
            self.comments += 1;
            return Ok(());
        }
        if self.columns.is_empty() {
            let names = self.names(record, line)?;
            let keep = |name: &str| roles::is_named_text(name, self.options);
            let columns = names
                .into_iter()
                .map(|name| MemoryColumn::new(name.clone(), keep(&name)));
            self.columns = columns.collect();
            if matches!(self.header, Header::FirstLine) {
                return Ok(());
            }
        }
        if record.len() != self.columns.len() {
            let why = format!(
                "line {line}: expected {} fields, got {}",
                self.columns.len(),
                record.len()
            );
            return Err(Error::format(self.path, why));
        }
        for (at, (cell, column)) in record.iter().zip(&mut self.columns).enumerate() {
            let cell = std::str::from_utf8(cell).map_err(|_| {
                let column = shown_column(&column.name, at);
                let why = format!("line {line}, {column}: expected text in UTF-8, got other bytes; save the file as UTF-8");
                Error::format(self.path, why)
            })?;
            column.push_cell(cell, self.dialect.decimal_comma);
        }
        self.lines.push(line);
        Ok(())
    }

    /// Names of the columns: those of the header, else their numbers from 0.
    fn names(&self, record: &ByteRecord, line: u64) -> Result<Vec<String>> {
        match &self.header {
            Header::None => Ok((0..record.len()).map(|at| at.to_string()).collect()),
            Header::FirstLine => {
                header::names(self.path, record, line, self.options.header == Some(true))
            }
            Header::Comment(names) => Ok(names.clone()),
        }
    }

    /// True for a line that starts with `#`, except a row whose first word starts so: the column holds words, or the other
    /// cells are numbers as in a row, and the first is not a row that was made a comment.
    fn is_comment(&self, record: &ByteRecord) -> bool {
        if !record
            .get(0)
            .is_some_and(|cell| cell.trim_ascii_start().starts_with(b"#"))
        {
            return false;
        }
        let cell = |at: usize| String::from_utf8_lossy(&record[at]);
        let is_number =
            |cell: &str| parse_number(cell.trim(), self.dialect.decimal_comma).is_some();
        let first = cell(0);
        let first = first.trim().trim_start_matches('#').trim();
        if let Header::Comment(names) = &self.header
            && names.iter().enumerate().all(|(at, name)| match at {
                0 => name == first,
                _ => record.get(at).is_some_and(|_| name == cell(at).trim()),
            })
        {
            return true;
        }
        let is_numbered = is_number(first);
        let has_words = self
            .columns
            .first()
            .is_some_and(|column| column.has_words() || (column.keep_texts && !is_numbered));
        let is_row =
            record.len() > 1 && (1..record.len()).all(|at| is_number(&cell(at))) && !is_numbered;
        !((has_words || is_row) && record.len() == self.columns.len())
    }

    fn finish(self) -> MemoryTable {
        let mut notes = self.dialect.notes();
        if self.comments > 0 {
            let lines = if self.comments == 1 { "line" } else { "lines" };
            let named = match self.header {
                Header::Comment(names) => format!("; one names the columns: {}", listed(&names)),
                Header::None | Header::FirstLine => String::new(),
            };
            notes.push(format!(
                "{} comment {lines} (#) skipped{named}",
                self.comments
            ));
        }
        MemoryTable::new(self.columns, self.lines, notes)
    }
}
