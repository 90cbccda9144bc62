//! A run seen from another process: records as they are written, and the run's state. The folder is only read.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use rarefy::{Error, Result};

use crate::figures;
use crate::folder::{Holder, Run};
use crate::records::Record;

/// Reader of a `metrics.jsonl` that grows.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    records: Vec<Record>,
    /// Bytes read so far, which end with a line.
    read: u64,
    /// The last line read. Where the file has another line in its place, it was replaced: by a resumed run, or a new one.
    last: Vec<u8>,
}

/// State of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A process holds the folder, or was killed while it did.
    Held(Holder),
    /// The run has taken its last step, and has the figures of its model.
    Ended,
    /// No process holds the folder, and steps or figures are missing.
    Stopped,
}

impl Follower {
    /// Reader of the records of a run, from the first on.
    pub fn of(run: &Run) -> Self {
        Self {
            path: run.metrics_path(),
            records: Vec::new(),
            read: 0,
            last: Vec::new(),
        }
    }

    /// Records read so far, in the order of their steps.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Reads the lines written since the last call; true if the records changed. An incomplete last line waits for the next call.
    pub fn update(&mut self) -> Result<bool> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(self.forget()),
            Err(e) => return Err(Error::io(&self.path)(e)),
        };
        let mut new = Vec::new();
        let goes_on = self.goes_on(&mut file, &mut new);
        let forgot = !goes_on.map_err(Error::io(&self.path))? && self.forget();
        let end = new.iter().rposition(|byte| *byte == b'\n');
        let lines = &new[..end.map_or(0, |at| at + 1)];
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let record = serde_json::from_slice(line).map_err(|e| {
                let number = self.records.len() + 1;
                Error::format(&self.path, format!("line {number}: {e}"))
            })?;
            self.records.push(record);
            self.last = line.to_vec();
        }
        self.read += lines.len() as u64;
        Ok(forgot || !lines.is_empty())
    }

    /// Reads what follows the last line, or all of a file that was replaced, for which it returns false.
    fn goes_on(&self, file: &mut File, new: &mut Vec<u8>) -> std::io::Result<bool> {
        file.seek(SeekFrom::Start(self.read - self.last.len() as u64))?;
        file.read_to_end(new)?;
        if new.starts_with(&self.last) {
            new.drain(..self.last.len());
            return Ok(true);
        }
        new.clear();
        file.rewind()?;
        file.read_to_end(new)?;
        Ok(false)
    }

    /// Drops all records; true if there were any.
    fn forget(&mut self) -> bool {
        self.read = 0;
        self.last.clear();
        !std::mem::take(&mut self.records).is_empty()
    }

    /// Time since the last record was written, if the file system and the clock tell.
    pub fn age(&self) -> Option<Duration> {
        let modified = self.path.metadata().and_then(|about| about.modified());
        modified.ok()?.elapsed().ok()
    }
}

/// State of a run whose last record is that of the step `last`.
pub fn state(run: &Run, last: Option<usize>) -> Result<State> {
    if let Some(holder) = run.holder() {
        return Ok(State::Held(holder));
    }
    // A resumed run has the figures of its earlier end until its own.
    let figures = figures::read(run)?.and_then(|figures| figures.steps);
    let is_whole = figures.is_some() && figures >= last.map(|step| step as u64);
    Ok(if is_whole {
        State::Ended
    } else {
        State::Stopped
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn line(step: usize) -> String {
        format!(
            "{{\"step\":{step},\"rows_seen\":9,\"loss\":0.5,\"reconstruction\":0.5,\"gradient_norm\":1.0}}\n"
        )
    }

    fn steps(follower: &Follower) -> Vec<usize> {
        follower.records().iter().map(|r| r.step).collect()
    }

    #[test]
    fn follower_reads_complete_lines_as_they_come() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::at(dir.path());
        let mut follower = Follower::of(&run);
        assert!(!follower.update().unwrap());
        let all: String = (1..=3).map(line).collect();
        let (two, half) = (line(1).len() + line(2).len(), 10);
        for (end, expected) in [
            (two, [1, 2].as_slice()),
            (two + half, &[1, 2]),
            (all.len(), &[1, 2, 3]),
        ] {
            fs::write(run.metrics_path(), &all[..end]).unwrap();
            let before = follower.records().len();
            assert_eq!(follower.update().unwrap(), before != expected.len());
            assert_eq!(steps(&follower), expected);
        }
        assert!(!follower.update().unwrap());
    }

    #[test]
    fn replaced_file_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::at(dir.path());
        let mut follower = Follower::of(&run);
        let write = |steps: &[usize]| {
            let text: String = steps.iter().map(|step| line(*step)).collect();
            fs::write(run.metrics_path(), text).unwrap();
        };
        // Shorter, longer with other lines, and longer with the same number of bytes before the last line read.
        for new in [[1, 2, 3].as_slice(), &[1], &[4, 5, 6, 7], &[8, 9, 1, 2, 3]] {
            write(new);
            assert!(follower.update().unwrap());
            assert_eq!(steps(&follower), new);
        }
        fs::remove_file(run.metrics_path()).unwrap();
        assert!(follower.update().unwrap() && follower.records().is_empty());
    }

    #[test]
    fn damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::at(dir.path());
        fs::write(run.metrics_path(), format!("{}{{}}\n", line(1))).unwrap();
        let error = Follower::of(&run).update().unwrap_err().to_string();
        assert!(error.contains("line 2: missing field `step`"), "{error}");
    }

    #[test]
    fn state_follows_from_lock_file_and_figures() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::at(dir.path());
        assert_eq!(state(&run, None).unwrap(), State::Stopped);
        let lock = run.lock().unwrap();
        let State::Held(holder) = state(&run, Some(3)).unwrap() else {
            panic!("the folder is locked");
        };
        assert_eq!(holder.process, Some(std::process::id()));
        assert!(!holder.is_gone);
        drop(lock);
        fs::write(run.figures_path(), r#"{"steps": 5, "training": {}}"#).unwrap();
        assert_eq!(state(&run, Some(5)).unwrap(), State::Ended);
        // Resumed with more steps, and interrupted.
        assert_eq!(state(&run, Some(6)).unwrap(), State::Stopped);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn holder_that_does_not_run_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run::at(dir.path());
        // Above the largest process id of Linux.
        fs::write(dir.path().join("run.lock"), "4194305").unwrap();
        let holder = run.holder().unwrap();
        assert!(holder.is_gone && holder.process == Some(4_194_305));
        fs::write(dir.path().join("run.lock"), "").unwrap();
        assert!(!run.holder().unwrap().is_gone);
    }
}
