//! Cells of a column: numbers, and those of a table that is kept in memory (csv, JSON lines).

use super::{Field, Kind, Table};
use crate::Result;
use crate::data::coarse;

/// Numbers of one column, `[rows, width]`.
#[derive(Default)]
pub(crate) struct Numbers<V = f32> {
    /// Number of rows, bad ones included.
    pub(crate) rows: usize,
    /// Values of a row: 1, or the length of its lists.
    pub(crate) width: usize,
    /// Row-major values; NaN in bad rows.
    pub(crate) values: Vec<V>,
    /// The values with all digits, if the file has more of them and `f32` cuts off too many.
    pub(crate) exact: Option<Vec<f64>>,
    /// Cells that are no numbers.
    pub(crate) bad: Vec<Bad>,
}

/// Cell that is no number.
pub(crate) struct Bad {
    pub(crate) row: usize,
    /// Expected and got, such as "expected a number, got `NA`".
    pub(crate) why: String,
}

impl Numbers {
    /// Numbers of `f64` values, which are kept only if `f32` cuts off too many digits.
    fn of_f64(rows: usize, width: usize, values: Vec<f64>, bad: Vec<Bad>) -> Self {
        let narrow: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        let exact = coarse::needed(values, &narrow, width);
        let numbers = Self {
            rows,
            width,
            values: narrow,
            exact,
            bad,
        };
        numbers.check_finite()
    }

    /// Lists NaN and infinities as bad, in addition to the cells that are bad already.
    pub(crate) fn check_finite(mut self) -> Self {
        if self.width == 0 || rarefy_kernels::vector::all_finite(&self.values) {
            return self;
        }
        let known: std::collections::HashSet<usize> = self.bad.iter().map(|bad| bad.row).collect();
        for (row, values) in self.values.chunks_exact(self.width).enumerate() {
            let at = values.iter().position(|value| !value.is_finite());
            if let Some(at) = at.filter(|_| !known.contains(&row)) {
                let why = format!("expected a finite number, got {}", values[at]);
                self.bad.push(Bad { row, why });
            }
        }
        self
    }
}

/// Cell other than a plain number.
#[derive(Debug, Clone, PartialEq)]
enum Odd {
    /// Empty, or a word for a missing value; with its text.
    Missing(String),
    Boolean(bool),
    /// Looks like a number and is none.
    NumberLike(String),
    Text(String),
    /// End of the list's values in `MemoryColumn::lists`.
    List(usize),
    /// Value of another type, such as an object.
    Other(&'static str),
}

/// Column of a table in memory.
pub(crate) struct MemoryColumn {
    pub(crate) name: String,
    /// True if numbers are kept as texts too, because the column may hold labels.
    pub(crate) keep_texts: bool,
    /// Values; NaN for cells that are no plain numbers.
    values: Vec<f64>,
    /// Cells that are no plain numbers, by row.
    odd: Vec<(usize, Odd)>,
    /// Texts of plain numbers, if kept, by row.
    texts: Vec<(usize, String)>,
    /// Values of all lists.
    lists: Vec<f64>,
    /// True if no number so far had a fraction.
    all_integers: bool,
}

/// Words for a missing value, as pandas and R write them.
const MISSING: [&str; 12] = [
    "", "na", "n/a", "nan", "null", "none", "?", "-", ".", "#n/a", "<na>", "nil",
];

impl MemoryColumn {
    pub(crate) fn new(name: String, keep_texts: bool) -> Self {
        Self {
            name,
            keep_texts,
            values: Vec::new(),
            odd: Vec::new(),
            texts: Vec::new(),
            lists: Vec::new(),
            all_integers: true,
        }
    }

    /// True if a cell so far is a word.
    pub(crate) fn has_words(&self) -> bool {
        self.odd.iter().any(|(_, odd)| matches!(odd, Odd::Text(_)))
    }

    /// Appends a cell of a text file. With a decimal comma, `1,5` is the number 1.5.
    pub(crate) fn push_cell(&mut self, cell: &str, decimal_comma: bool) {
        let cell = cell.trim();
        if let Some(value) = parse_number(cell, decimal_comma) {
            let integer = cell
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'-' || b == b'+');
            return self.push_number(value, integer, cell);
        }
        let odd = match cell {
            _ if is_missing(cell) => Odd::Missing(cell.to_owned()),
            "True" | "true" | "TRUE" => Odd::Boolean(true),
            "False" | "false" | "FALSE" => Odd::Boolean(false),
            _ => match parse_list(cell) {
                Some(list) => return self.push_list(&list),
                None if is_number_like(cell) || is_list_like(cell) => {
                    Odd::NumberLike(cell.to_owned())
                }
                None => Odd::Text(cell.to_owned()),
            },
        };
        self.push_odd(odd);
    }

    pub(crate) fn push_number(&mut self, value: f64, integer: bool, text: &str) {
        if self.keep_texts {
            self.texts.push((self.values.len(), text.to_owned()));
        }
        self.all_integers &= integer;
        self.values.push(value);
    }

    pub(crate) fn push_list(&mut self, list: &[f64]) {
        self.lists.extend_from_slice(list);
        self.push_odd(Odd::List(self.lists.len()));
    }

    pub(crate) fn push_missing(&mut self, text: &str) {
        self.push_odd(Odd::Missing(text.into()));
    }

    pub(crate) fn push_boolean(&mut self, value: bool) {
        self.push_odd(Odd::Boolean(value));
    }

    pub(crate) fn push_text(&mut self, text: &str) {
        self.push_odd(Odd::Text(text.into()));
    }

    /// Appends a cell that looks like numbers and is none.
    pub(crate) fn push_number_like(&mut self, text: &str) {
        self.push_odd(Odd::NumberLike(text.into()));
    }

    pub(crate) fn push_other(&mut self, type_name: &'static str) {
        self.push_odd(Odd::Other(type_name));
    }

    fn push_odd(&mut self, odd: Odd) {
        self.odd.push((self.values.len(), odd));
        self.values.push(f64::NAN);
    }

    /// Name and type. The type is that of most cells with a value, so that a few bad cells of a column of numbers are
    /// errors and not a reason to leave the column out.
    pub(crate) fn field(&self) -> Field {
        let (mut missing, mut like, mut boolean, mut text, mut list) = (0, 0, 0, 0, 0);
        let (mut others, mut other) = (0, None);
        for (_, odd) in &self.odd {
            match odd {
                Odd::Missing(_) => missing += 1,
                Odd::NumberLike(_) => like += 1,
                Odd::Boolean(_) => boolean += 1,
                Odd::Text(_) => text += 1,
                Odd::List(_) => list += 1,
                Odd::Other(name) => {
                    others += 1;
                    other = Some(*name);
                }
            }
        }
        let numbers = self.values.len() - self.odd.len();
        let most = numbers.max(like).max(boolean).max(text).max(list);
        let most = most.max(others);
        let kind = match () {
            () if missing == self.values.len() => Kind::Empty,
            () if others == most => Kind::Other,
            () if numbers == most && self.all_integers => Kind::Integer,
            () if numbers == most => Kind::Number,
            () if list == most => Kind::List,
            () if boolean == most => Kind::Boolean,
            () if like == most => Kind::NumberLike,
            () => Kind::Text,
        };
        let type_name = match kind {
            Kind::Integer => "integers",
            Kind::Number => "numbers",
            Kind::Boolean => "booleans",
            Kind::List => "lists of numbers",
            Kind::Empty => "no values",
            Kind::Text => "text",
            Kind::NumberLike => "almost numbers",
            Kind::Other => other.unwrap_or("other values"),
        };
        Field {
            name: self.name.clone(),
            kind,
            type_name: type_name.into(),
            declared_role: None,
        }
    }

    /// Cells as numbers of a type; cells of other types are bad.
    pub(crate) fn numbers(&mut self, kind: Kind) -> Numbers {
        match kind {
            Kind::List => self.list_numbers(),
            Kind::Boolean => {
                for (row, odd) in &self.odd {
                    if let Odd::Boolean(value) = odd {
                        self.values[*row] = f64::from(u8::from(*value));
                    }
                }
                let expected = "True or False";
                let mut bad = self.bad(|odd| matches!(odd, Odd::Boolean(_)), expected);
                let numbers = self.values.iter().enumerate();
                let others = numbers.filter(|(_, v)| !v.is_nan() && ![0.0, 1.0].contains(*v));
                bad.extend(others.map(|(row, value)| Bad {
                    row,
                    why: format!("expected {expected}, got {value}"),
                }));
                self.flat(bad)
            }
            _ => {
                let bad = self.bad(|_| false, "a number");
                self.flat(bad)
            }
        }
    }

    fn flat(&mut self, bad: Vec<Bad>) -> Numbers {
        let values = std::mem::take(&mut self.values);
        Numbers::of_f64(values.len(), 1, values, bad)
    }

    fn list_numbers(&mut self) -> Numbers {
        let mut ends = self.odd.iter().filter_map(|(_, odd)| match odd {
            Odd::List(end) => Some(*end),
            _ => None,
        });
        let width = ends.next().unwrap_or(0);
        let rows = self.values.len();
        let mut bad = self.bad(|odd| matches!(odd, Odd::List(_)), "a list of numbers");
        let is_odd: std::collections::HashSet<usize> =
            self.odd.iter().map(|(row, _)| *row).collect();
        let plain = (0..rows).filter(|row| !is_odd.contains(row));
        bad.extend(plain.map(|row| Bad {
            row,
            why: format!("expected a list of numbers, got {}", self.values[row]),
        }));
        let mut values = vec![f64::NAN; rows * width];
        let mut start = 0;
        for (row, odd) in &self.odd {
            let Odd::List(end) = odd else { continue };
            let list = &self.lists[start..*end];
            start = *end;
            if list.len() == width {
                values[row * width..][..width].copy_from_slice(list);
            } else {
                let why = format!(
                    "expected a list of {width} numbers as in the first, got {}",
                    list.len()
                );
                bad.push(Bad { row: *row, why });
            }
        }
        Numbers::of_f64(rows, width, values, bad)
    }

    /// Odd cells that are not good.
    fn bad(&self, is_good: impl Fn(&Odd) -> bool, expected: &str) -> Vec<Bad> {
        let bad = self.odd.iter().filter(|(_, odd)| !is_good(odd));
        bad.map(|(row, odd)| {
            let got = match odd {
                Odd::Missing(text) if text.is_empty() => "an empty cell".into(),
                Odd::NumberLike(text) if is_list_like(text) => format!(
                    "`{}`; write every number of the list, as in [0.1, 0.2], or leave the column out with `data.exclude`",
                    shortened(text)
                ),
                Odd::NumberLike(text) => format!(
                    "`{}`; write it without thousands separators and units, or leave the column out with `data.exclude`",
                    shortened(text)
                ),
                Odd::Missing(text) | Odd::Text(text) => format!("`{}`", shortened(text)),
                Odd::Boolean(value) => format!("`{value}`"),
                Odd::List(_) => "a list".into(),
                Odd::Other(name) => (*name).into(),
            };
            Bad {
                row: *row,
                why: format!("expected {expected}, got {got}"),
            }
        })
        .collect()
    }

    /// Cells as texts; missing cells are `None`.
    pub(crate) fn texts(&self) -> Vec<Option<String>> {
        let mut texts: Vec<Option<String>> =
            self.values.iter().map(|v| Some(v.to_string())).collect();
        for (row, text) in &self.texts {
            texts[*row] = Some(text.clone());
        }
        for (row, odd) in &self.odd {
            texts[*row] = match odd {
                Odd::NumberLike(text) | Odd::Text(text) => Some(text.clone()),
                Odd::Boolean(value) => Some(value.to_string()),
                Odd::Missing(_) | Odd::List(_) | Odd::Other(_) => None,
            };
        }
        texts
    }
}

/// Table of lines of text in memory.
pub(crate) struct MemoryTable {
    columns: Vec<MemoryColumn>,
    fields: Vec<Field>,
    /// Number of the line of each row, from 1.
    lines: Vec<u64>,
    notes: Vec<String>,
}

impl MemoryTable {
    pub(crate) fn new(columns: Vec<MemoryColumn>, lines: Vec<u64>, notes: Vec<String>) -> Self {
        Self {
            fields: columns.iter().map(MemoryColumn::field).collect(),
            columns,
            lines,
            notes,
        }
    }
}

impl Table for MemoryTable {
    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn rows(&self) -> usize {
        self.lines.len()
    }

    fn numbers(&mut self, column: usize) -> Result<Numbers> {
        Ok(self.columns[column].numbers(self.fields[column].kind))
    }

    fn texts(&mut self, column: usize) -> Result<Vec<Option<String>>> {
        Ok(self.columns[column].texts())
    }

    fn place(&self, row: usize) -> String {
        format!("line {}", self.lines[row])
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// First characters of a long cell.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// True if the cell is empty or a word for a missing value.
pub(crate) fn is_missing(cell: &str) -> bool {
    cell.len() <= 4 && MISSING.iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// Number of a cell: finite, as Python and C write it; `None` for words such as `nan` and `inf`.
pub(crate) fn parse_number(cell: &str, decimal_comma: bool) -> Option<f64> {
    let last = *cell.as_bytes().last()?;
    if !(last.is_ascii_digit() || last == b'.') {
        return None;
    }
    match decimal_comma {
        // Beside decimal commas, a point separates thousands.
        true if cell.contains('.') => None,
        true => cell.replacen(',', ".", 1).parse().ok(),
        false => cell.parse().ok(),
    }
}

/// Numbers of a text such as `[0.1, -0.2]`, as Python writes a list and `NumPy` an array; `None` for other texts.
pub(crate) fn parse_list(cell: &str) -> Option<Vec<f64>> {
    let inner = cell.strip_prefix('[')?.strip_suffix(']')?;
    let numbers = inner.split(|c: char| c == ',' || c.is_whitespace());
    let numbers = numbers.filter(|text| !text.is_empty());
    let list: Option<Vec<f64>> = numbers.map(|text| parse_number(text, false)).collect();
    list.filter(|list| !list.is_empty())
}

/// True if the cell looks like a list of numbers and is none: cut off as `[1. ... 3.]`, nested, or with other words.
fn is_list_like(cell: &str) -> bool {
    let starts = ["[", "array(", "tensor("]
        .iter()
        .any(|start| cell.starts_with(start));
    starts && cell.ends_with([']', ')']) && cell.contains(|c: char| c.is_ascii_digit())
}

/// True if the cell looks like a number and is none: `1,234.5`, `50%`, `$5`, `0x1F`, `−1.5` with the sign of printed
/// texts.
pub(crate) fn is_number_like(cell: &str) -> bool {
    let cell = cell.trim_start_matches(['+', '-', '\u{2212}', '$', '€', '£', '¥', ' ']);
    let cell = cell.trim_end_matches(['%', '$', '€', '£', '¥', ' ']);
    let hexadecimal = cell.strip_prefix("0x").or(cell.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let separators = [',', '.', '\'', ' ', '_', '\u{a0}', '\u{202f}'];
    cell.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && cell.chars().any(|c| c.is_ascii_digit())
        && cell
            .chars()
            .all(|c| c.is_ascii_digit() || separators.contains(&c))
}
