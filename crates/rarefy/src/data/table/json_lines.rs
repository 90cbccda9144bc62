//! Reader of JSON lines: one object for each row, with the names of the columns as keys, or one list of numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::cells::{MemoryColumn, MemoryTable};
use super::{dataset, roles};
use crate::data::{Dataset, OpenOptions, content};
use crate::{Error, Result};

/// Mark that some programs of Windows write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Longest line in bytes.
const LONGEST_LINE: u64 = 1 << 26;

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    dataset(path, &mut table(path, options)?, options)
}

/// Reads all lines into memory.
fn table(path: &Path, options: &OpenOptions) -> Result<MemoryTable> {
    let mut input = BufReader::new(content::unpacked(path)?.0);
    let (mut columns, mut lines, mut text) = (Vec::new(), Vec::new(), Vec::new());
    for line in 1.. {
        text.clear();
        let mut piece = (&mut input).take(LONGEST_LINE);
        let read = piece.read_until(b'\n', &mut text);
        if read.map_err(Error::io(path))? == 0 {
            break;
        }
        let bad = |why: String| Error::format(path, format!("line {line}: {why}"));
        if text.len() as u64 == LONGEST_LINE {
            return Err(bad(format!(
                "expected at most {LONGEST_LINE} bytes, got more"
            )));
        }
        if line == 1 && text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice(&text)
            .map_err(|e| bad(format!("expected one JSON object or list of numbers: {e}")))?;
        if lines.is_empty() {
            columns = columns_of(&row, options);
        }
        push_row(&mut columns, &row).map_err(bad)?;
        lines.push(line);
    }
    Ok(MemoryTable::new(columns, lines, Vec::new()))
}

/// Columns with the names of the keys of a row.
fn columns_of(Row(row): &Row, options: &OpenOptions) -> Vec<MemoryColumn> {
    let column =
        |name: &String| MemoryColumn::new(name.clone(), roles::is_named_text(name, options));
    row.iter().map(|(name, _)| column(name)).collect()
}

/// Appends the values of one line, each to the column of its key; a missing key is a missing cell.
fn push_row(columns: &mut [MemoryColumn], Row(row): &Row) -> std::result::Result<(), String> {
    let mut found = 0;
    for (at, column) in columns.iter_mut().enumerate() {
        // Lines nearly always have the same keys in the same order.
        let here = row.get(at).filter(|(name, _)| *name == column.name);
        let cell = here.or_else(|| row.iter().find(|(name, _)| *name == column.name));
        found += usize::from(cell.is_some());
        push(column, cell.map_or(&Value::Null, |(_, value)| value));
    }
    if found == row.len() {
        return Ok(());
    }
    let known = |name: &String| columns.iter().any(|column| column.name == *name);
    let other = row.iter().find(|(name, _)| !known(name));
    let other = other.map_or("", |(name, _)| name);
    Err(format!(
        "expected the keys of the first line, got another, `{other}`"
    ))
}

/// Keys and values of one line in the order of the file; a list of numbers has the key `values`.
struct Row(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Cells;
        impl<'de> Visitor<'de> for Cells {
            type Value = Row;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a JSON object or a list of numbers")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Row, A::Error> {
                let mut cells: Vec<(String, Value)> = Vec::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    // Of equal keys the last counts, as in Python.
                    match places.entry(name.clone()) {
                        Entry::Occupied(place) => cells[*place.get()].1 = value,
                        Entry::Vacant(place) => {
                            place.insert(cells.len());
                            cells.push((name, value));
                        }
                    }
                }
                Ok(Row(cells))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> std::result::Result<Row, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(Row(vec![("values".into(), Value::Array(values))]))
            }
        }
        deserializer.deserialize_any(Cells)
    }
}

/// Appends one value to its column.
fn push(column: &mut MemoryColumn, value: &Value) {
    match value {
        Value::Null => column.push_missing("null"),
        Value::Bool(value) => column.push_boolean(*value),
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            column.push_number(value, !number.is_f64(), &number.to_string());
        }
        Value::String(text) => column.push_text(text),
        Value::Array(list) => {
            // A list that holds one list is that list.
            let list = match list.as_slice() {
                [Value::Array(inner)] => inner,
                _ => list,
            };
            let numbers: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
            match numbers {
                Some(numbers) if !numbers.is_empty() => column.push_list(&numbers),
                Some(_) => column.push_missing("[]"),
                None if list.iter().any(Value::is_number) => {
                    column.push_number_like(&value.to_string());
                }
                None => column.push_other("lists of other values"),
            }
        }
        Value::Object(_) => column.push_other("objects"),
    }
}
