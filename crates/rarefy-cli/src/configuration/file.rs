//! Configuration file in TOML; errors name the line and column.

use std::path::Path;

use anyhow::Context;
use rarefy::Error;
use rarefy::config::{self, Config};
use toml::Table;
use toml::de::DeTable;

/// Reads a configuration file and checks that every key is known and every value has its type.
pub fn read(path: &Path) -> anyhow::Result<Table> {
    if path.is_dir() {
        return Err(Error::format(path, "expected a configuration file, got a folder").into());
    }
    parse(
        path,
        &std::fs::read_to_string(path).map_err(Error::io(path))?,
    )
}

/// Parses and checks the text of a configuration file; `path` is named in errors.
pub fn parse(path: &Path, text: &str) -> anyhow::Result<Table> {
    let table: Table = text.parse().map_err(|e: toml::de::Error| {
        let place = e.span().map(|span| line_and_column(text, span.start));
        Error::format(
            path,
            format!("{}{}", place.unwrap_or_default(), e.message()),
        )
    })?;
    let whole = config::merge(std::slice::from_ref(&table));
    if let Err(Error::Unknown { name, .. }) = &whole {
        let place = key_offset(text, name).map(|at| line_and_column(text, at));
        let place = place.unwrap_or_default();
        let file = format!("{}: {place}", path.display());
        let file = file.trim_end_matches([':', ' ']).to_owned();
        whole.context(file)?;
    } else if whole.is_err() {
        if let Some((message, offset)) = wrong_type(text) {
            let place = offset.map_or_else(String::new, |at| line_and_column(text, at));
            return Err(Error::format(path, format!("{place}{message}")).into());
        }
        whole?;
    }
    Ok(table)
}

/// First value of a wrong type in a TOML text: message and offset of the value, or `None`.
pub fn wrong_type(text: &str) -> Option<(String, Option<usize>)> {
    let error = toml::from_str::<Config>(text).err()?;
    Some((plain(error.message()), error.span().map(|span| span.start)))
}

/// Message without the names of Rust types.
fn plain(message: &str) -> String {
    message
        .replace("expected usize", "expected a whole number not below 0")
        .replace("expected u64", "expected a whole number not below 0")
        .replace("expected f64", "expected a number")
}

fn line_and_column(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: ")
}

/// Offset of a dotted key in a TOML text.
fn key_offset(text: &str, dotted: &str) -> Option<usize> {
    fn find(table: &DeTable, path: &str) -> Option<usize> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == head)?;
        if rest.is_empty() {
            return Some(key.span().start);
        }
        find(value.get_ref().as_table()?, rest)
    }
    find(DeTable::parse(text).ok()?.get_ref(), dotted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_line_and_column() {
        for (text, message) in [
            ("[model]\nlatents = = 3", "f: line 2, column 11: "),
            (
                "[train]\nseed = 1\n sede = 3",
                "f: line 3, column 2: unknown config key `train.sede`, did you mean",
            ),
            (
                "[modle]",
                "f: line 1, column 2: unknown config section `modle`",
            ),
            (
                "[model]\nlatents = 'é'",
                "f: line 2, column 11: invalid type: string \"é\", expected a whole number",
            ),
            (
                "model = 3",
                "f: line 1, column 1: unknown config section `model`",
            ),
        ] {
            let error = format!("{:#}", parse(Path::new("f"), text).unwrap_err());
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }
}
