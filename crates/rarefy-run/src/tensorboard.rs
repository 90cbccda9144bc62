//! TensorBoard event files of a run: the records of `metrics.jsonl` and the final figures as scalars.
//!
//! TensorBoard reads all event files of a folder in the order of their names. Each start of a run writes one file and removes
//! those of earlier starts, whose events up to the checkpoint it takes over. So no step is in two files.

mod encoding;
mod frames;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rarefy::{Error, Result, atomic};

/// Start of the names of event files, by which TensorBoard finds them.
const NAME: &str = "events.out.tfevents.";

/// Scalars of a step: tags and values.
pub type Scalars = Vec<(String, f64)>;

/// Event file that a run writes.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// Starts an event file in `folder` with the steps that a resumed run keeps, and removes earlier event files.
    ///
    /// Events of kept steps are copied from the earlier files with their times; steps without an event get the time of
    /// this call.
    pub fn start(folder: &Path, kept: impl Iterator<Item = (usize, Scalars)>) -> Result<Self> {
        let earlier = files(folder);
        let mut known = BTreeMap::new();
        for path in &earlier {
            for (step, frame) in frames::read(path)? {
                // Figures of an earlier end come after the record of their step, so that the record is found first.
                known.entry(step).or_insert(frame);
            }
        }
        let time = wall_time();
        let mut bytes = frames::framed(&encoding::version(time.as_secs_f64()));
        for (step, scalars) in kept {
            let frame = known.remove(&step);
            bytes.extend(frame.unwrap_or_else(|| framed(time, step, &scalars)));
        }
        let path = folder.join(format!(
            "{NAME}{:010}.{:09}.rarefy",
            time.as_secs(),
            time.subsec_nanos()
        ));
        atomic::write(&path, |out| out.write_all(&bytes))?;
        for old in earlier.iter().filter(|old| **old != path) {
            fs::remove_file(old).map_err(Error::io(old))?;
        }
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(Error::io(&path))?;
        Ok(Self { path, file })
    }

    /// Appends the scalars of a step as one event, in one write: a killed run leaves at most the last event incomplete.
    pub fn append(&mut self, step: usize, scalars: &[(String, f64)]) -> Result<()> {
        let frame = framed(wall_time(), step, scalars);
        self.file.write_all(&frame).map_err(Error::io(&self.path))
    }

    /// Makes sure that all events are on disk.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// True if the folder has event files of a run.
pub fn is_in(folder: &Path) -> bool {
    !files(folder).is_empty()
}

/// Removes the event files of a folder, and the folder if nothing else is in it.
pub fn clear(folder: &Path) -> Result<()> {
    for file in files(folder) {
        fs::remove_file(&file).map_err(Error::io(&file))?;
    }
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Event files of a folder in the order in which TensorBoard reads them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_event = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(NAME);
    let named = entries.filter(|entry| is_event(&entry.file_name()));
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Frame of the event of a step.
fn framed(time: Duration, step: usize, scalars: &[(String, f64)]) -> Vec<u8> {
    frames::framed(&encoding::scalars(time.as_secs_f64(), step, scalars))
}

/// Time since 1970, which each event has: TensorBoard can show the steps of a run over it.
#[expect(
    clippy::disallowed_methods,
    reason = "the time is written beside the numbers and changes none of them"
)]
fn wall_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests;
