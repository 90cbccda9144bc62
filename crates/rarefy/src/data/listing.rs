//! Data files among the content of a folder or the matches of a glob, and statements about everything else there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::endings::{self, format_of};
use super::natural;
use crate::{Error, Result};

/// Content of a folder, or matches of a glob.
#[derive(Default)]
pub(super) struct Listing {
    /// Data files.
    files: Vec<PathBuf>,
    /// Data files whose names start with `_`.
    underscored: Vec<PathBuf>,
    /// Files that no reader takes.
    others: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Listing {
    /// Sorts a path into the listing. Names that start with `.` or `_` are left out unless `hidden`.
    pub(super) fn add(&mut self, path: PathBuf, hidden: bool) -> Result<()> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(".rarefy-") && path.is_dir() {
            let why = "left by a run that did not finish, so the files beside it are not all; write them again";
            return Err(Error::format(path, why));
        }
        if !hidden && (name.starts_with('.') || ["Thumbs.db", "desktop.ini"].contains(&&*name)) {
            return Ok(());
        }
        let known = format_of(&path).is_some();
        let into = match (path.is_dir(), name.starts_with('_') && !hidden) {
            (true, false) => &mut self.folders,
            (false, true) if known => &mut self.underscored,
            (_, true) => return Ok(()),
            (false, false) if known => &mut self.files,
            (false, false) => &mut self.others,
        };
        into.push(path);
        Ok(())
    }

    /// Data files in natural order.
    pub(super) fn files(&self, of: &Path) -> Result<Vec<PathBuf>> {
        if self.files.is_empty() {
            return Err(Error::format(of, self.without_files(of)));
        }
        let mut files = self.files.clone();
        files.sort_by(|a, b| natural::order(a, b));
        let packed = |file: &PathBuf| {
            let name = file.file_name()?.to_str()?.strip_suffix(".gz")?;
            Some(file.with_file_name(name)).filter(|plain| files.contains(plain))
        };
        if let Some(plain) = files.iter().find_map(packed) {
            let plain = plain.display();
            let why = format!(
                "expected each file once, got {plain} and {plain}.gz; remove one, or name the files"
            );
            return Err(Error::format(of, why));
        }
        Ok(files)
    }

    /// Reason for a refusal without data files: the files and subfolders found instead.
    fn without_files(&self, of: &Path) -> String {
        if self.underscored.len() + self.others.len() + self.folders.len() == 0 {
            let got = if of.is_dir() {
                "an empty folder"
            } else {
                "a pattern that matches no file"
            };
            return format!("expected data files, got {got}");
        }
        let mut why = format!(
            "expected files whose names end in one of {}, got none",
            endings::readable()
        );
        let mut there = Vec::new();
        if !self.others.is_empty() {
            there.push(listed(&count(self.others.iter().map(|path| ending(path)))));
        }
        if !self.underscored.is_empty() {
            there.push(format!(
                "{} that start with `_`, which are not read",
                self.underscored.len()
            ));
        }
        if !self.folders.is_empty() {
            let names = names(&self.folders);
            there.push(format!(
                "subfolders {names}, which are not read: give one, or a pattern such as DIR/*/*.npy"
            ));
        }
        if !there.is_empty() {
            why = format!("{why} but {}", there.join("; "));
        }
        if let Some((what, remedy)) = self.others.iter().find_map(|path| endings::advice(path)) {
            why = format!("{why}; {what}: {remedy}");
        }
        why
    }

    /// Statements about other files and subfolders beside the data files.
    pub(super) fn notes(&self, of: &Path) -> Vec<String> {
        let of = of.display();
        let mut notes = Vec::new();
        if !self.underscored.is_empty() {
            let names = names(&self.underscored);
            notes.push(format!(
                "{of}: not read, because their names start with `_`: {names}"
            ));
        }
        if !self.others.is_empty() {
            notes.push(format!(
                "{of}: not read, as they are no data files: {}",
                names(&self.others)
            ));
        }
        if !self.folders.is_empty() {
            notes.push(format!(
                "{of}: subfolders are not read: {}",
                names(&self.folders)
            ));
        }
        if let Some(splits) = splits(&self.files) {
            notes.push(format!(
                "{of}: the files of {splits} are read as one data set"
            ));
        }
        notes
    }
}

/// Names of splits, such as train and test, if the files are of several; `None` otherwise.
fn splits(files: &[PathBuf]) -> Option<String> {
    const SPLITS: [&str; 8] = [
        "train",
        "training",
        "test",
        "t10k",
        "val",
        "valid",
        "validation",
        "dev",
    ];
    let mut found: Vec<&str> = Vec::new();
    for file in files {
        let name = file.file_name()?.to_string_lossy().to_lowercase();
        let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let split = words.find_map(|word| SPLITS.iter().find(|split| **split == word))?;
        if !found.contains(split) {
            found.push(split);
        }
    }
    found.sort_unstable();
    (found.len() > 1).then(|| found.join(" and "))
}

/// Ending of a file name with its dot, or `no ending`.
fn ending(path: &Path) -> String {
    path.extension().map_or("no ending".into(), |ending| {
        format!(".{}", ending.to_string_lossy())
    })
}

/// Numbers of equal words, in the order of the words.
pub(super) fn count(words: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_insert(0) += 1);
    counts
}

/// Counts as a phrase, such as `2 csv, 1 npy`.
pub(super) fn listed(counts: &BTreeMap<String, usize>) -> String {
    let one = |(word, count): (&String, &usize)| format!("{count} {word}");
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Names of up to three paths in natural order, and the number of further ones.
fn names(paths: &[PathBuf]) -> String {
    let mut sorted = paths.to_vec();
    sorted.sort_by(|a, b| natural::order(a, b));
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let shown: Vec<String> = sorted.iter().take(3).map(name).collect();
    match sorted.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
