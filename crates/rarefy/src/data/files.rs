//! Files that paths name: a file, a folder of shards, a glob or a sample, in the order of their rows.
//!
//! # Order
//! The files of a folder or glob are read in natural order: numbers in names by value, `shard_2` before `shard_10`.
//! Several paths are read in the order given.
//!
//! # Left out
//! In folders and globs, names that start with `.` or `_` are left out (`.DS_Store`, `._a.npy`, `_SUCCESS`), unless
//! the glob itself names them. Subfolders are not read. Files of other kinds are not read, which a note says. The labels
//! file of an IDX images file is read with the images.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::endings::{self, format_of};
use super::{folders, idx, natural};
use crate::{Error, Result};

/// Part of a data set: an embedded sample or a file, with the member that the path names.
#[derive(Debug, PartialEq)]
pub(super) enum Input {
    /// Name of a sample.
    Sample(String),
    /// Path of a file, and the member of `FILE::MEMBER`.
    File(PathBuf, Option<String>),
}

/// Inputs that several paths name, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Samples and files.
    pub all: Vec<Input>,
    /// Statements about files that were left out, or that are read in an order that the caller may not expect.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Inputs of all paths.
    ///
    /// # Errors
    /// [`Error::Format`] for a folder or glob without data files, and for files of several formats.
    pub(super) fn of(specs: &[&str]) -> Result<Self> {
        let mut inputs = Self::default();
        for spec in specs {
            inputs.add(spec)?;
        }
        inputs.drop_labels_of_images();
        inputs.refuse_several_formats(&name_of(specs))?;
        inputs.note_order(specs);
        Ok(inputs)
    }

    /// Paths of all files; samples have none.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.all
            .iter()
            .filter_map(Input::path)
            .map(Into::into)
            .collect()
    }

    /// True if every input is a photograph, so that patches are drawn from all of them together.
    pub(super) fn are_images(&self) -> bool {
        let is_image = |input: &Input| {
            input
                .path()
                .and_then(format_of)
                .is_some_and(|format| format.name == "image")
        };
        !self.all.is_empty() && self.all.iter().all(is_image)
    }

    fn add(&mut self, spec: &str) -> Result<()> {
        let path = Path::new(spec);
        if let Some(name) = spec.strip_prefix("sample:") {
            self.all.push(Input::Sample(name.into()));
        } else if path.is_dir() {
            self.add_folder(path, None)?;
        } else if path.exists() {
            self.all.push(Input::File(path.into(), None));
        } else if let Some((path, member)) = spec.rsplit_once("::") {
            self.add_path(path, Some(member))?;
        } else {
            self.add_path(spec, None)?;
        }
        Ok(())
    }

    /// Adds a path that may be a glob, with the member that follows it.
    fn add_path(&mut self, spec: &str, member: Option<&str>) -> Result<()> {
        let path = Path::new(spec);
        if path.is_dir() {
            self.add_folder(path, member)
        } else if !path.exists() && spec.contains(['*', '?', '[']) {
            self.add_glob(spec, member)
        } else {
            self.all
                .push(Input::File(path.into(), member.map(Into::into)));
            Ok(())
        }
    }

    fn add_folder(&mut self, folder: &Path, member: Option<&str>) -> Result<()> {
        if let Some((what, remedy)) = folders::foreign(folder) {
            let why = format!(
                "got {what}; {remedy} (read are files in {})",
                endings::readable()
            );
            return Err(Error::format(folder, why));
        }
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            listing.add(entry.map_err(Error::io(folder))?.path(), false)?;
        }
        self.add_listing(listing, folder, member)
    }

    fn add_glob(&mut self, spec: &str, member: Option<&str>) -> Result<()> {
        let bad = |e: glob::PatternError| Error::format(spec, format!("invalid glob pattern: {e}"));
        let last = Path::new(spec).file_name().map(OsStr::to_string_lossy);
        let names_hidden = last.is_some_and(|name| name.starts_with(['.', '_']));
        let mut listing = Listing::default();
        for found in glob::glob(spec).map_err(bad)? {
            let path = found.map_err(|e| Error::Io {
                path: e.path().into(),
                source: e.into(),
            })?;
            listing.add(path, names_hidden)?;
        }
        self.add_listing(listing, Path::new(spec), member)
    }

    fn add_listing(&mut self, listing: Listing, of: &Path, member: Option<&str>) -> Result<()> {
        let files = listing.files(of)?;
        self.notes.extend(listing.notes(of));
        let file = |path| Input::File(path, member.map(Into::into));
        self.all.extend(files.into_iter().map(file));
        Ok(())
    }

    /// Leaves out IDX labels whose images are among the inputs: they are read with the images.
    fn drop_labels_of_images(&mut self) {
        if self.all.len() > 1 {
            let paths = self.paths();
            let with_images =
                |path: &Path| idx::images_paths(path).any(|images| paths.contains(&images));
            self.all
                .retain(|input| !input.path().is_some_and(with_images));
        }
    }

    /// Refuses files of several formats: one of them is seldom a continuation of the other.
    fn refuse_several_formats(&self, name: &str) -> Result<()> {
        let formats = self
            .all
            .iter()
            .filter_map(Input::path)
            .filter_map(format_of);
        let counts = count(formats.map(|format| format.name.to_owned()));
        if counts.len() < 2 {
            return Ok(());
        }
        let why = format!(
            "expected files of one format, got {}; give the files of one format, for example with a pattern such as *{}",
            listed(&counts),
            self.paths()
                .iter()
                .find_map(|path| format_of(path))
                .map_or("", |f| f.extensions[0])
        );
        Err(Error::format(name, why))
    }

    /// Says that several paths are one data set, and if their order is that of their characters but not that of their
    /// numbers, as when a shell expands a pattern; and if a file is given twice.
    fn note_order(&mut self, specs: &[&str]) {
        if specs.len() > 1 {
            let (name, count) = (name_of(specs), self.all.len());
            let natural = |a: &&str, b: &&str| natural::order(Path::new(a), Path::new(b)).is_le();
            let unlike = if specs.is_sorted() && !specs.is_sorted_by(natural) {
                ", which is not the order of the numbers in their names; for that order give the folder, or the pattern in quotes"
            } else {
                ""
            };
            self.notes.push(format!(
                "{name}: {count} files are one data set, in the order given{unlike}"
            ));
        }
        let mut paths = self.paths();
        paths.sort();
        if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            let twice = twice[0].display();
            self.notes.push(format!(
                "{twice}: given more than once, and its rows are read as often"
            ));
        }
    }
}

impl Input {
    /// Name for messages: the path without the member, or `sample:NAME`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Sample(name) => format!("sample:{name}"),
            Self::File(path, _) => path.display().to_string(),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Sample(_) => None,
            Self::File(path, _) => Some(path),
        }
    }
}

/// Name of a data set of several paths, for messages: the paths if there are few, else the first and the number.
pub(super) fn name_of(specs: &[&str]) -> String {
    match specs {
        [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} more", rest.len()),
        specs => specs.join(", "),
    }
}

/// Content of a folder, or matches of a glob.
#[derive(Default)]
struct Listing {
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
    fn add(&mut self, path: PathBuf, hidden: bool) -> Result<()> {
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
            (true, true) => return Ok(()),
            (true, false) => &mut self.folders,
            (false, true) if known => &mut self.underscored,
            (false, true) => return Ok(()),
            (false, false) if known => &mut self.files,
            (false, false) => &mut self.others,
        };
        into.push(path);
        Ok(())
    }

    /// Data files in natural order.
    fn files(&self, of: &Path) -> Result<Vec<PathBuf>> {
        if self.files.is_empty() {
            return Err(Error::format(of, self.without_files()));
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
    fn without_files(&self) -> String {
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
    fn notes(&self, of: &Path) -> Vec<String> {
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
        let words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let split = words
            .filter_map(|word| SPLITS.iter().find(|split| **split == word))
            .next()?;
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
fn count(words: impl Iterator<Item = String>) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_insert(0) += 1);
    counts
}

/// Counts as a phrase, such as `2 csv, 1 npy`.
fn listed(counts: &std::collections::BTreeMap<String, usize>) -> String {
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
