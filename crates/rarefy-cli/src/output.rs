//! Printed output: tables, JSON, warnings and errors.
//!
//! All text goes through [`print()`] and [`note`], which escape control and bidi characters of names, labels and paths.

mod visible;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Command;
use comfy_table::{CellAlignment, Table, presets};
use rarefy::Error;
pub use rarefy_run::words::{label, number, percent};
use serde::Serialize;

use crate::hints;

/// Prints one JSON object on stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a line on stdout; a closed pipe is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{}", visible::lines(text)) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// Prints a line on stderr; a closed pipe does not end the run.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", visible::lines(text));
}

/// Text on one line, with hidden characters escaped.
pub fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    visible::line(text)
}

/// First characters of a text on one line.
pub fn start_of(text: &str) -> String {
    const MOST: usize = 80;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Table with a header; if `numbers`, columns from the second on are right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>], numbers: bool) -> String {
    aligned(header, rows, if numbers { 1..header.len() } else { 0..0 })
}

/// Table with a header whose columns of numbers are right-aligned.
fn aligned(header: &[&str], rows: &[Vec<String>], numbers: std::ops::Range<usize>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    let plain = |row: &Vec<String>| {
        row.iter()
            .map(|cell| visible::line(cell).into_owned())
            .collect()
    };
    table.add_rows(rows.iter().map(plain).collect::<Vec<Vec<String>>>());
    for (_, column) in table
        .column_iter_mut()
        .enumerate()
        .filter(|(at, _)| numbers.contains(at))
    {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Table whose last column holds text and whose other columns hold numbers.
pub fn table_but_last(header: &[&str], rows: &[Vec<String>]) -> String {
    aligned(header, rows, 0..header.len() - 1)
}

/// Prints an error once with its causes, then hints; returns the exit code.
pub fn fail(error: &anyhow::Error, command: &Command) -> ExitCode {
    let cause = error.downcast_ref::<Error>();
    if let Some(Error::Interrupted) = cause {
        return ExitCode::from(130);
    }
    let message = message(error);
    note(&format!("error: {}", visible::message(&message)));
    for hint in hints::for_error(cause, &message, command) {
        note(&format!("hint: {}", visible::message(&hint)));
    }
    let usage = matches!(
        cause,
        Some(Error::Hyper { .. } | Error::Unknown { .. } | Error::Conflict(_))
    );
    ExitCode::from(if usage { 2 } else { 1 })
}

/// Prints a warning of the library, then the flags of the fields that it names.
pub fn warn(warning: &str, command: &Command) {
    note_with_flags(&format!("warning: {}", visible::message(warning)), command);
}

/// Prints a message of the library, then the flags of the fields that it names.
pub fn note_with_flags(message: &str, command: &Command) {
    note(message);
    if let Some(hint) = hints::for_warning(message, command) {
        note(&format!("hint: {hint}"));
    }
}

/// Chain of causes in one line; a cause that the message already ends with is not repeated.
fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}
