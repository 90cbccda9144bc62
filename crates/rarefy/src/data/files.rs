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
use super::listing::{Listing, count, listed};
use super::{bionemo, datasets, folders, idx, natural, saev, store};
use crate::{Error, Result};

/// Part of a data set: an embedded sample or a file, with the member that the path names.
#[derive(Debug, PartialEq)]
pub(super) enum Input {
    /// Name of a sample.
    Sample(String),
    /// Path of a file, and the member of `FILE::MEMBER`.
    File(PathBuf, Option<String>),
    /// Folder of a store.
    Store(PathBuf),
    /// Folder of parquet files with metadata, as `BioNeMo` writes it.
    BioNeMo(PathBuf),
    /// Folder of shards of saev, and the layer and tokens that follow the path.
    Saev(PathBuf, Option<String>),
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
        if store::is_store(folder) {
            if member.is_some() {
                let why = "a store has one tensor of rows: leave out the member";
                return Err(Error::Conflict(format!("{}: {why}", folder.display())));
            }
            self.all.push(Input::Store(folder.into()));
            return Ok(());
        }
        if saev::is_saev(folder) {
            self.all
                .push(Input::Saev(folder.into(), member.map(Into::into)));
            return Ok(());
        }
        if bionemo::is_bionemo(folder) && member.is_none() {
            self.all.push(Input::BioNeMo(folder.into()));
            return Ok(());
        }
        if let Some(shards) = datasets::shards(folder)? {
            let file = |path| Input::File(path, member.map(Into::into));
            self.all.extend(shards.into_iter().map(file));
            return Ok(());
        }
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            listing.add(entry.map_err(Error::io(folder))?.path(), false)?;
        }
        self.add_listing(&listing, folder, member)
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
        self.notes.extend(not_utf_8(spec));
        self.add_listing(&listing, Path::new(spec), member)
    }

    fn add_listing(&mut self, listing: &Listing, of: &Path, member: Option<&str>) -> Result<()> {
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
            Self::File(path, _) | Self::Store(path) | Self::BioNeMo(path) | Self::Saev(path, _) => {
                path.display().to_string()
            }
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path, _) => Some(path),
            _ => None,
        }
    }
}

/// Note on files that no glob matches because their names are not UTF-8; `None` without such files.
fn not_utf_8(spec: &str) -> Option<String> {
    let folder = Path::new(spec).parent()?;
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut entries = std::fs::read_dir(folder).ok()?.flatten();
    let odd =
        entries.find(|e| e.file_name().to_str().is_none() && format_of(&e.path()).is_some())?;
    let odd = odd.path();
    Some(format!(
        "{}: not read by a pattern, because its name is not UTF-8; give the folder",
        odd.display()
    ))
}

/// Name of a data set of several paths, for messages: the paths if there are few, else the first and the number.
pub(super) fn name_of(specs: &[&str]) -> String {
    match specs {
        [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} more", rest.len()),
        specs => specs.join(", "),
    }
}
