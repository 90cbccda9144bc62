//! Reader of JSON lines: one object for each row, with the names of the columns as keys, or one list of numbers.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::cells::{MemoryColumn, Numbers};
use super::{Field, Table, dataset, roles};
use crate::data::{Dataset, OpenOptions, content};
use crate::{Error, Result};

/// Longest line in bytes.
const LONGEST_LINE: u64 = 1 << 26;

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let mut table = JsonTable::read(path, options)?;
    dataset(path, &mut table, options)
}

/// A file of JSON lines in memory.
#[derive(Default)]
struct JsonTable {
    columns: Vec<MemoryColumn>,
    fields: Vec<Field>,
    /// Number of the line of each row, from 1.
    lines: Vec<usize>,
}

impl JsonTable {
    fn read(path: &Path, options: &OpenOptions) -> Result<Self> {
        let mut input = BufReader::new(content::unpacked(path)?.0);
        let (mut table, mut text) = (Self::default(), Vec::new());
        for line in 1.. {
            text.clear();
            let mut piece = (&mut input).take(LONGEST_LINE);
            if piece
                .read_until(b'\n', &mut text)
                .map_err(Error::io(path))?
                == 0
            {
                break;
            }
            let bad = |why: String| Error::format(path, format!("line {line}: {why}"));
            if text.len() as u64 == LONGEST_LINE {
                return Err(bad(format!(
                    "expected at most {LONGEST_LINE} bytes, got more"
                )));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let value = serde_json::from_slice(&text)
                .map_err(|e| bad(format!("expected one JSON object or list of numbers: {e}")))?;
            table.push(value, options).map_err(bad)?;
            table.lines.push(line);
        }
        table.fields = table.columns.iter().map(MemoryColumn::field).collect();
        Ok(table)
    }

    fn push(&mut self, Row(row): Row, options: &OpenOptions) -> std::result::Result<(), String> {
        if self.lines.is_empty() {
            let column = |name: &String| {
                MemoryColumn::new(name.clone(), roles::is_named_text(name, options))
            };
            self.columns = row.iter().map(|(name, _)| column(name)).collect();
        }
        for column in &mut self.columns {
            let found = row.iter().find(|(name, _)| *name == column.name);
            push(column, found.map_or(&Value::Null, |(_, value)| value));
        }
        let known = |name: &String| self.columns.iter().any(|column| column.name == *name);
        match row.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(format!(
                "expected the keys of the first line, got another, `{name}`"
            )),
            None => Ok(()),
        }
    }
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
                while let Some((name, value)) = map.next_entry()? {
                    // Of equal keys the last counts, as in Python.
                    cells.retain(|(known, _)| *known != name);
                    cells.push((name, value));
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
            let value = number.as_f64().unwrap_or(f64::NAN) as f32;
            column.push_number(value, !number.is_f64(), &number.to_string());
        }
        Value::String(text) => column.push_text(text),
        Value::Array(list) => {
            // A list that holds one list is that list.
            let list = match list.as_slice() {
                [Value::Array(inner)] => inner,
                _ => list,
            };
            let numbers: Option<Vec<f32>> =
                list.iter().map(|v| v.as_f64().map(|v| v as f32)).collect();
            match numbers {
                Some(numbers) if !numbers.is_empty() => column.push_list(&numbers),
                Some(_) => column.push_missing("[]"),
                None if list.iter().any(Value::is_number) => column.push_text(&value.to_string()),
                None => column.push_other("lists of other values"),
            }
        }
        Value::Object(_) => column.push_other("objects"),
    }
}

impl Table for JsonTable {
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
}
