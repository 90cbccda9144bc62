//! Tables of Arrow arrays: parquet files and Arrow files.

mod array;
mod classes;
mod file;
mod full_columns;
mod in_place;
mod lengths;
mod parquet;
mod stacks;

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Schema};

use super::cells::Numbers;
use super::{Field, Kind, Table, note};
use crate::data::Role;
use crate::data::coarse;
use crate::{Error, Result};

pub(crate) use array::{floats, holds_lists, integers, lists};
pub(in crate::data) use in_place::open as open_in_place;
pub(in crate::data) use stacks::open as open_stacks;

/// Number of rows of a parquet column that are decoded at a time: few enough that a batch of wide lists stays in the cache.
const ROWS: usize = 1 << 10;

/// Arrays of a column, one for each batch of rows.
type Arrays = Box<dyn Iterator<Item = Result<ArrayRef>>>;

/// Columns of an open file.
trait Columns {
    /// Reads a column as arrays.
    fn arrays(&self, column: usize) -> Result<Arrays>;

    /// Numbers of a column without gaps, if the format reads them faster than as arrays; else `None`.
    fn full_column(&self, _column: usize) -> Result<Option<Numbers>> {
        Ok(None)
    }
}

/// Table whose columns are read on request.
pub(crate) struct ArrowTable {
    path: PathBuf,
    fields: Vec<Field>,
    /// Names of classes, by the name of the column that holds their numbers.
    classes: HashMap<String, Vec<String>>,
    /// For each column, true if its type may have more digits than `f32` holds.
    has_f64: Vec<bool>,
    /// For each column, true if its cells are lists of lists.
    is_stack: Vec<bool>,
    rows: usize,
    columns: Box<dyn Columns>,
    /// Texts that the file stores beside its columns.
    pub(crate) metadata: Vec<(String, String)>,
}

impl ArrowTable {
    fn new(path: &Path, schema: &Schema, rows: usize, columns: Box<dyn Columns>) -> Self {
        let pandas = schema.metadata().get("pandas");
        let indexes = pandas.map(|text| index_columns(text)).unwrap_or_default();
        let (classes, of_lists) = (classes::of(schema), classes::lists(schema));
        let declared_role = |name: &String| match () {
            () if indexes.contains(name) => Some(Role::Id),
            () if classes.contains_key(name) => Some(Role::Label),
            () if of_lists.contains(name) => Some(Role::LeftOut),
            () => None,
        };
        let fields = schema.fields().iter().map(|field| Field {
            name: field.name().clone(),
            kind: kind(field.data_type()),
            type_name: type_name(field.data_type()),
            declared_role: declared_role(field.name()),
        });
        let of_values = |t| array::has_f64(innermost(t).unwrap_or(t));
        let types = schema.fields().iter().map(|field| field.data_type());
        Self {
            path: path.into(),
            fields: fields.collect(),
            has_f64: types.clone().map(of_values).collect(),
            is_stack: types.map(stacks::is_stack).collect(),
            classes,
            rows,
            columns,
            metadata: Vec::new(),
        }
    }

    /// Numbers of a column as `f32`, finite or not.
    fn narrow_numbers(&self, column: usize) -> Result<Numbers> {
        // A struct of one float is no number, although its pages look the same.
        if matches!(self.fields[column].kind, Kind::Number | Kind::List)
            && let Some(numbers) = self.columns.full_column(column)?
        {
            return Ok(numbers);
        }
        let numbers = array::numbers(self.columns.arrays(column)?)?;
        numbers.ok_or_else(|| {
            let field = &self.fields[column];
            let why = format!(
                "column `{}`: expected numbers, got {}",
                field.name, field.type_name
            );
            Error::format(&self.path, why)
        })
    }

    /// Arrays of the column of this name.
    pub(crate) fn arrays(&self, name: &str) -> Result<Vec<ArrayRef>> {
        self.each_array(name)?.collect()
    }

    /// Arrays of the column of this name, one after the other.
    fn each_array(&self, name: &str) -> Result<Arrays> {
        let found = self.fields.iter().position(|field| field.name == name);
        let column = found.ok_or_else(|| {
            let known = self.fields.iter().map(|field| field.name.as_str());
            Error::unknown(&format!("column of {}", self.path.display()), name, known)
        })?;
        self.columns.arrays(column)
    }

    /// True if the table has a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name == name)
    }
}

impl Table for ArrowTable {
    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn numbers(&mut self, column: usize) -> Result<Numbers> {
        let numbers = self.narrow_numbers(column)?.check_finite();
        if !self.has_f64[column] || !coarse::is_coarse(&numbers.values, numbers.width) {
            return Ok(numbers);
        }
        let exact: Option<Numbers<f64>> = array::numbers(self.columns.arrays(column)?)?;
        Ok(Numbers {
            exact: exact
                .and_then(|exact| coarse::needed(exact.values, &numbers.values, numbers.width)),
            ..numbers
        })
    }

    fn texts(&mut self, column: usize) -> Result<Vec<Option<String>>> {
        let arrays = self.columns.arrays(column)?;
        let texts = arrays.map(|array| Ok(array::texts(&array?)));
        let texts: Option<Vec<_>> = texts.collect::<Result<_>>()?;
        let texts = texts.ok_or_else(|| {
            let field = &self.fields[column];
            let why = format!(
                "column `{}`: expected texts, numbers, booleans or dates, got {}; name another column with `data.label` \
                 or `data.text`, or leave it out with `data.exclude`",
                field.name, field.type_name
            );
            Error::format(&self.path, why)
        })?;
        let texts = texts.concat();
        Ok(match self.classes.get(&self.fields[column].name) {
            Some(names) => classes::named(texts, names).map_err(|(row, why)| {
                let name = &self.fields[column].name;
                Error::format(&self.path, format!("row {row}, column `{name}`: {why}"))
            })?,
            None => texts,
        })
    }

    fn place(&self, row: usize) -> String {
        format!("row {row}")
    }
}

/// Columns that pandas stored as the index of a frame; an index that only counts has no column.
fn index_columns(pandas: &str) -> Vec<String> {
    let value: serde_json::Value = serde_json::from_str(pandas).unwrap_or_default();
    let names = value["index_columns"].as_array();
    let names = names.into_iter().flatten().filter_map(|name| name.as_str());
    names.map(str::to_owned).collect()
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        t if t.is_integer() => Kind::Integer,
        t if t.is_floating() || t.is_decimal() => Kind::Number,
        DataType::Boolean => Kind::Boolean,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Null => Kind::Empty,
        DataType::Dictionary(_, values) => kind(values),
        t => match innermost(t).map(kind) {
            Some(Kind::Integer | Kind::Number | Kind::Boolean) => Kind::List,
            _ => Kind::Other,
        },
    }
}

/// Type of the values of a list, or of a list of lists; `None` for other types.
fn innermost(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(innermost(item.data_type()).unwrap_or(item.data_type()))
        }
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "booleans".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Null => "nulls".into(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Timestamp(..) => "timestamps".into(),
        DataType::Date32 | DataType::Date64 => "dates".into(),
        DataType::Time32(_) | DataType::Time64(_) => "times".into(),
        DataType::Duration(_) => "durations".into(),
        DataType::Interval(_) => "intervals".into(),
        DataType::Struct(_) => "structs".into(),
        DataType::Map(..) => "maps".into(),
        t if t.is_decimal() => "decimals".into(),
        t if t.is_integer() || t.is_floating() => short_name(&t.to_string()),
        t => match innermost(t) {
            Some(values) => format!("lists of {}", type_name(values)),
            None => t.to_string().to_lowercase(),
        },
    }
}

/// `i32` for `Int32`, `u8` for `UInt8`, `f64` for `Float64`.
fn short_name(name: &str) -> String {
    let size = name.trim_start_matches(|c: char| c.is_alphabetic());
    let letter = name.chars().next().unwrap_or_default().to_ascii_lowercase();
    format!("{letter}{size}")
}

thread_local! {
    /// True while this thread decodes a file, whose panics become errors and are not printed.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `decode` and turns a panic into an error. The decoders panic on some damaged files, such as a page that names a
/// missing dictionary.
fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !DECODES.get() {
                print(panic);
            }
        }));
    });
    DECODES.set(true);
    // State that a panic leaves incomplete is dropped together with the error.
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    DECODES.set(false);
    outcome.unwrap_or_else(|_| {
        Err(Error::format(
            path,
            "damaged: a part of the file does not match its header; write the file again",
        ))
    })
}
