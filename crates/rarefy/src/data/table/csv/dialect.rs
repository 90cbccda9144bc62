//! Delimiter and decimal mark of a csv file, found from its first lines.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use ::csv::StringRecord;

use super::super::cells::{parse_list, parse_number};
use crate::{Error, Result};

/// Delimiters that are tried; at a tie the first is taken.
const DELIMITERS: [u8; 5] = [b',', b';', b'\t', b'|', b' '];
/// Number of lines that are looked at.
const LINES: usize = 50;

/// Way a csv file is written.
#[derive(Debug, PartialEq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// True if `1,5` is one and a half.
    pub(super) decimal_comma: bool,
    /// Bytes before the table: a byte order mark and a line `sep=;`.
    pub(super) skipped_bytes: usize,
    /// Lines before the table.
    pub(super) skipped_lines: u64,
}

impl Dialect {
    /// Finds the delimiter that splits most lines alike into most numbers.
    pub(super) fn of(path: &Path, sample: &[u8]) -> Result<Self> {
        let (text, mark) = match sample.strip_prefix(b"\xEF\xBB\xBF") {
            Some(text) => (text, 3),
            None => (sample, 0),
        };
        let text = String::from_utf8_lossy(text);
        let first = text.split_inclusive('\n').next().unwrap_or_default();
        let stated = first.trim_end_matches(['\r', '\n']).strip_prefix("sep=");
        let stated = stated.map(str::as_bytes);
        let Some(stated) = stated else {
            let mut dialect = Self::guess(&text);
            dialect.skipped_bytes = mark;
            return Ok(dialect);
        };
        let [delimiter] = stated else {
            let why = format!(
                "line 1: expected one character after `sep=`, got `{}`",
                first.trim_end()
            );
            return Err(Error::format(path, why));
        };
        let score = score(&text[first.len()..], *delimiter);
        Ok(Self {
            delimiter: *delimiter,
            decimal_comma: score.decimal_comma,
            skipped_bytes: mark + first.len(),
            skipped_lines: 1,
        })
    }

    fn guess(text: &str) -> Self {
        let mut best = (b',', Score::default());
        for delimiter in DELIMITERS {
            let score = score(text, delimiter);
            if score.share > best.1.share + 1e-9 || (best.1.width < 2 && score.width > 1) {
                best = (delimiter, score);
            }
        }
        Self {
            delimiter: best.0,
            decimal_comma: best.1.decimal_comma,
            skipped_bytes: 0,
            skipped_lines: 0,
        }
    }

    /// Text with runs of blanks as one, if blanks separate the fields.
    pub(super) fn squeezed<'a>(&self, input: impl Read + 'a) -> Box<dyn Read + 'a> {
        if self.delimiter == b' ' {
            Box::new(Squeezed {
                input: BufReader::new(input),
                after_blank: true,
                ready: Vec::new(),
                at: 0,
            })
        } else {
            Box::new(input)
        }
    }

    /// Statements about a delimiter other than comma and tab, and about decimal commas.
    pub(super) fn notes(&self) -> Vec<String> {
        let name = match self.delimiter {
            b';' => "semicolons",
            b'|' => "bars",
            b' ' => "blanks",
            b'\t' if self.decimal_comma => "tabs",
            _ => return Vec::new(),
        };
        let decimal = if self.decimal_comma {
            ", with decimal commas"
        } else {
            ""
        };
        vec![format!("fields are separated by {name}{decimal}")]
    }
}

/// Result of splitting the sample at one delimiter.
#[derive(Default)]
struct Score {
    /// Fields of a line; 1 if lines differ.
    width: usize,
    /// Share of cells that are numbers or lists of numbers.
    share: f64,
    decimal_comma: bool,
}

/// Splits the first lines at a delimiter. A score of 0 means that the lines have unequal numbers of fields.
fn score(text: &str, delimiter: u8) -> Score {
    // The last line of the sample may be cut off.
    let whole = text.rfind('\n').map_or(text, |end| &text[..end]);
    let whole = if delimiter == b' ' {
        squeeze(whole)
    } else {
        whole.to_owned()
    };
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .from_reader(whole.as_bytes());
    let records: Vec<StringRecord> = reader
        .records()
        .map_while(std::result::Result::ok)
        .take(LINES)
        .collect();
    let width = records.last().map_or(0, StringRecord::len);
    let unequal = records
        .iter()
        .filter(|record| record.len() != width)
        .count();
    // One line of another length is an error of the line, to be told by its number.
    if width < 2 || unequal > records.len() / 3 {
        return Score {
            width: 1,
            ..Score::default()
        };
    }
    let cells = || records.iter().flat_map(StringRecord::iter).map(str::trim);
    let comma =
        |cell: &str| parse_number(cell, false).is_none() && parse_number(cell, true).is_some();
    // Beside points that mark decimals, commas separate thousands, and the cell is refused.
    let point = |cell: &str| cell.contains('.') && parse_number(cell, false).is_some();
    let decimal_comma = delimiter != b',' && cells().any(comma) && !cells().any(point);
    let is_number = |cell: &&str| {
        let either = [false, true].map(|comma| parse_number(cell, comma).is_some());
        either.contains(&true) || parse_list(cell).is_some()
    };
    let share = cells().filter(is_number).count() as f64 / cells().count() as f64;
    Score {
        width,
        share,
        decimal_comma,
    }
}

fn squeeze(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Reader that turns runs of blanks into one, and drops those at both ends of a line.
struct Squeezed<R> {
    input: R,
    /// True if the last byte kept ends a field.
    after_blank: bool,
    ready: Vec<u8>,
    at: usize,
}

impl<R: BufRead> Read for Squeezed<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.ready.len() {
            self.at = 0;
            self.ready.clear();
            let mut line = Vec::new();
            let mut piece = self.input.by_ref().take(1 << 16);
            if piece.read_until(b'\n', &mut line)? == 0 {
                return Ok(0);
            }
            for byte in line {
                let is_blank = byte == b' ' || byte == b'\t';
                if byte == b'\n' || byte == b'\r' {
                    while self.ready.last() == Some(&b' ') {
                        self.ready.pop();
                    }
                }
                if !(is_blank && self.after_blank) {
                    self.ready.push(if is_blank { b' ' } else { byte });
                }
                self.after_blank = is_blank || byte == b'\n';
            }
        }
        let got = (&self.ready[self.at..]).read(out)?;
        self.at += got;
        Ok(got)
    }
}
