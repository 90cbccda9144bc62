//! A bar for the passes over rows that lie on disk: surveys, preprocessing, evaluation, reports.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{
    HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use rarefy::data::Dataset;
use rarefy::{Error, Result};
use rarefy_run::watched::watched;

use crate::{cli, output};

/// The bars on stderr, of which the lowest shows how far the data is read in this pass.
pub struct Reading {
    bars: MultiProgress,
    bar: ProgressBar,
}

/// Prints the notes of the reading (columns left out, axes joined, rows skipped), with the flags of the fields that they name.
pub fn tell(dataset: &Dataset, command: &str) {
    let command = cli::named(command);
    dataset
        .notes
        .iter()
        .for_each(|text| output::note_with_flags(text, &command));
}

/// Prints the notes of the data for a command. The data and the bar that it moves; nothing is shown for rows in memory, which are read in milliseconds.
pub fn watch(dataset: Dataset<'static>, quiet: bool, command: &str) -> (Dataset<'static>, Reading) {
    if !quiet {
        tell(&dataset, command);
    }
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr_with_hz(10)
    };
    let bars = MultiProgress::with_draw_target(target);
    if dataset.source.as_slice().is_some() {
        let bar = ProgressBar::hidden();
        return (dataset, Reading { bars, bar });
    }
    let bar = bars.add(ProgressBar::new(dataset.source.rows() as u64));
    bar.set_style(style(
        "{bar:24} reading {human_pos}/{human_len} rows  {rate}  {eta} left in this pass",
    ));
    let (moved, all) = (bar.clone(), dataset.source.rows() as u64);
    let read = AtomicU64::new(0);
    let dataset = watched(dataset, move |rows| {
        let rows = rows as u64;
        let read = read.fetch_add(rows, Ordering::Relaxed) + rows;
        let position = (read - 1) % all + 1;
        if position <= rows {
            moved.reset_eta();
        }
        moved.set_position(position);
        Ok(())
    });
    (dataset, Reading { bars, bar })
}

impl Reading {
    /// Puts another bar above the one of the data.
    pub fn above(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.insert(0, bar)
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Style of a bar; `{rate}` is a whole number of units per second.
pub fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{}/s", HumanCount(state.per_sec() as u64));
    };
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
}

/// Extensions of tables, whose lines are no texts.
const TABLES: [&str; 5] = ["csv", "tsv", "jsonl", "parquet", "arrow"];

/// Lines of a text file, one for each row; of the first rows, if `first` rows are used, the first lines. A table is refused:
/// its lines would be taken for texts.
pub fn lines(path: &Path, what: &str, rows: usize, first: Option<usize>) -> Result<Vec<String>> {
    let extension = path.extension().and_then(|e| e.to_str());
    if extension.is_some_and(|e| TABLES.contains(&e.to_lowercase().as_str())) {
        let message = format!(
            "is a table, and {what} are a text file with one line for each row and no header: write the column to a file such as {what}.txt"
        );
        return Err(Error::format(path, message));
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if first.is_some() {
        lines.truncate(rows);
    }
    if lines.len() == rows {
        return Ok(lines);
    }
    Err(Error::Shape {
        what: format!("{}: {what}", path.display()),
        expected: format!("{rows}, one for each row"),
        got: lines.len().to_string(),
    })
}
