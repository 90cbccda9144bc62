//! Labels and texts of the rows of a shard: a line of JSON for each row.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::manifest::Shard;
use crate::data::Dataset;
use crate::{Error, Result};

/// Longest line.
const LONGEST: u64 = 64 << 20;

/// Labels and texts of rows; `None` where there are none.
#[derive(Debug, Default)]
pub(in crate::data) struct Cells {
    pub(in crate::data) labels: Option<Vec<String>>,
    pub(in crate::data) texts: Option<Vec<String>>,
}

/// Line of a row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Path of the cells of a shard.
pub(super) fn path(folder: &Path, shard: &str) -> PathBuf {
    folder
        .join("cells")
        .join(Path::new(shard).with_extension("jsonl"))
}

/// Lines of some rows of a data set; `None` if it has neither labels nor texts.
pub(super) fn lines(dataset: &Dataset, rows: &[usize]) -> Option<String> {
    if dataset.labels.is_none() && dataset.texts.is_none() {
        return None;
    }
    let of =
        |cells: &Option<Vec<String>>, row: usize| cells.as_ref().map(|cells| cells[row].clone());
    let mut all = String::new();
    for &row in rows {
        let line = Line {
            label: of(&dataset.labels, row),
            text: of(&dataset.texts, row),
        };
        all.push_str(&serde_json::to_string(&line).expect("texts are JSON"));
        all.push('\n');
    }
    Some(all)
}

impl Cells {
    /// Cells of all shards, in the order of the rows; empty for rows of shards without.
    ///
    /// # Errors
    /// [`Error::Format`] for a line that is no such object, and for another number of lines than rows.
    pub(super) fn read_all(folder: &Path, shards: &[&Shard]) -> Result<Self> {
        let mut all = Self::default();
        let mut rows = 0;
        for shard in shards {
            if shard.cells_sha256.is_some() {
                all.read(&path(folder, &shard.file), rows, shard.rows)?;
            }
            rows += shard.rows;
            for cells in [&mut all.labels, &mut all.texts].into_iter().flatten() {
                cells.resize(rows, String::new());
            }
        }
        Ok(all)
    }

    /// Reads the cells of `count` rows behind `before` others.
    fn read(&mut self, path: &Path, before: usize, count: usize) -> Result<()> {
        let file = File::open(path).map_err(Error::io(path))?;
        let mut input = BufReader::new(file);
        let mut line = String::new();
        let bad = |number: usize, why: String| {
            Error::format(path, format!("line {number}: {why}; copy the store again"))
        };
        for number in 1..=count {
            line.clear();
            let read = input.by_ref().take(LONGEST).read_line(&mut line);
            if read.map_err(Error::io(path))? == 0 {
                return Err(bad(
                    number,
                    format!(
                        "expected {count} lines, one for each row of the shard, got {}",
                        number - 1
                    ),
                ));
            }
            let cells: Line = serde_json::from_str(&line).map_err(|e| {
                bad(
                    number,
                    format!("expected an object with label and text: {e}"),
                )
            })?;
            for (all, cell) in [
                (&mut self.labels, cells.label),
                (&mut self.texts, cells.text),
            ] {
                if let Some(cell) = cell {
                    let all = all.get_or_insert_default();
                    all.resize(before + number - 1, String::new());
                    all.push(cell);
                }
            }
        }
        line.clear();
        if input
            .take(1)
            .read_line(&mut line)
            .map_err(Error::io(path))?
            > 0
        {
            return Err(bad(
                count + 1,
                format!("expected {count} lines, one for each row of the shard, got more"),
            ));
        }
        Ok(())
    }
}
