//! Tables, JSON and errors.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use rarefy::Error;
use serde::Serialize;

/// Prints one JSON object on stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints a line on stdout; a reader that has gone away is no error.
pub fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// Prints a line on stderr; a reader that has gone away is no reason to end a run.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A table with a header; columns from the second on are right-aligned if `numbers`.
pub fn table(header: &[&str], rows: &[Vec<String>], numbers: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1).filter(|_| numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// A number with as many digits as a reader wants.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-4..1e6).contains(&size) => format!("{value:.3e}"),
        size if size < 1.0 => format!("{value:.5}"),
        size if size < 100.0 => format!("{value:.4}"),
        _ => format!("{value:.1}"),
    }
}

/// Prints an error once with its causes, and a hint where one helps; gives the exit code.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let cause = error.downcast_ref::<Error>();
    if let Some(Error::Interrupted) = cause {
        return ExitCode::from(130);
    }
    note(&format!("error: {}", message(error)));
    if let Some(hint) = cause.and_then(hint) {
        note(&format!("hint: {hint}"));
    }
    let usage = matches!(
        cause,
        Some(Error::Hyper { .. } | Error::Unknown { .. } | Error::Conflict(_))
    );
    ExitCode::from(if usage { 2 } else { 1 })
}

/// The chain of causes in one line, less what an error already says of its cause.
fn message(error: &anyhow::Error) -> String {
    let mut message = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !message.ends_with(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

fn hint(error: &Error) -> Option<String> {
    match error {
        Error::Io { path, source }
            if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&source.kind())
                && path.ends_with("cfg.json") =>
        {
            let folder = path.parent()?;
            if folder.is_file() {
                let file = folder.display();
                return Some(format!(
                    "{file} is a file, where a model's folder stands first, then the data"
                ));
            }
            if folder.join("config.toml").exists() {
                let run = folder.display();
                return Some(format!(
                    "this run has no model yet; go on with: rarefy train --out {run} --resume"
                ));
            }
            Some(
                "a model is a run folder, or a folder with cfg.json and sae_weights.safetensors"
                    .into(),
            )
        }
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            let name = path.to_str()?;
            let sample = rarefy::data::SAMPLES.iter().find(|s| s.name == name)?;
            Some(format!(
                "the embedded sample is written sample:{}",
                sample.name
            ))
        }
        Error::Diverged { step: 0, .. } => Some(
            "the data may be too far from unit scale: try --preprocess scale or standardise".into(),
        ),
        Error::Diverged { .. } => Some(
            "a smaller --lr, --clip 1, or data nearer to unit scale (--preprocess scale) may help; \
             the newest checkpoint is from before"
                .into(),
        ),
        Error::NotFinite { .. } => Some("replace or drop such rows before training".into()),
        Error::Unknown { what, .. } if what.starts_with("config") => {
            Some("a run's config.toml shows every key".into())
        }
        _ => None,
    }
}
