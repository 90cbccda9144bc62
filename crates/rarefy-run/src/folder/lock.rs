//! Lock of a run folder: one process at a time writes into a run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rarefy::{Error, Result};

/// Name of the lock file; its content is the process id of the holder.
pub const LOCK: &str = "run.lock";

/// Folder that this process alone writes to, until the value is dropped.
///
/// The operating system releases the lock of a killed process, so a lock file that is left behind does no harm. On drop,
/// the lock file is removed, and so are folders that were created for the run and are still empty.
#[derive(Debug)]
pub struct Lock {
    /// The locked file; `None` if the file system has no locks.
    file: Option<File>,
    path: PathBuf,
    /// Folders created for the run, the innermost first.
    created: Vec<PathBuf>,
}

/// Process that holds a folder, by the content of the lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id, if the file has one.
    pub process: Option<u32>,
    /// True if no such process runs on this machine: it was killed, or runs on another machine. Known on Linux only.
    pub is_gone: bool,
}

impl Holder {
    /// Holder of a folder; `None` without a lock file.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(LOCK)).ok()?;
        let process = text.trim().parse().ok();
        let is_known = cfg!(target_os = "linux") && Path::new("/proc/self/stat").exists();
        let is_gone = is_known && process.is_some_and(|id| !runs(id));
        Some(Self { process, is_gone })
    }
}

impl Lock {
    /// Creates the folder if missing, and locks it.
    ///
    /// Fails with the holder's process id if another process holds the lock.
    pub fn folder(folder: &Path) -> Result<Self> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let created: Vec<PathBuf> = folder
            .ancestors()
            .take_while(missing)
            .map(Into::into)
            .collect();
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        Self::created(folder, created)
    }

    /// Claims the first of the numbered folders that does not exist: creates and locks it.
    pub fn first_free(numbered: impl Fn(usize) -> PathBuf) -> Result<(PathBuf, Self)> {
        let mut number = 1;
        loop {
            let folder = numbered(number);
            let parent = folder.parent().unwrap_or(Path::new("")).to_path_buf();
            let new_parent = !parent.as_os_str().is_empty() && !parent.exists();
            fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
            // Of several processes, one creates the folder.
            match fs::create_dir(&folder) {
                Ok(()) => {
                    let above = new_parent.then_some(parent);
                    let created = [folder.clone()].into_iter().chain(above).collect();
                    let lock = Self::created(&folder, created)?;
                    return Ok((folder, lock));
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
                // Another process removed the empty parent.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io(&folder)(e)),
            }
        }
    }

    fn created(folder: &Path, created: Vec<PathBuf>) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = match lock(folder, &path) {
            Ok(file) => file,
            Err(error) => {
                remove_empty(&created);
                return Err(error);
            }
        };
        Ok(Self {
            file,
            path,
            created,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
        remove_empty(&self.created);
    }
}

/// True if Linux has a process with this id that has not ended.
fn runs(id: u32) -> bool {
    // `ID (NAME) STATE ...`: a process that ended is a zombie until its parent asks for it.
    let stat = fs::read_to_string(format!("/proc/{id}/stat"));
    let state = stat.ok().and_then(|text| {
        text.rsplit_once(')')
            .map(|(_, after)| after.trim_start().starts_with(['Z', 'X']))
    });
    state == Some(false)
}

/// Locks the file and writes the process id into it.
fn lock(folder: &Path, path: &Path) -> Result<Option<File>> {
    let id = std::process::id().to_string();
    loop {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(folder, &mut file)),
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {
                drop(file);
                let _ = fs::remove_file(path);
                return Ok(None);
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(path)(e)),
        }
        file.set_len(0).map_err(Error::io(path))?;
        file.rewind().map_err(Error::io(path))?;
        file.write_all(id.as_bytes()).map_err(Error::io(path))?;
        // The holder before may have removed this file between opening and locking: then the lock is of no use.
        if fs::read_to_string(path).is_ok_and(|there| there == id) {
            return Ok(Some(file));
        }
    }
}

/// Error for a folder that another process holds.
fn held(folder: &Path, file: &mut File) -> Error {
    let mut id = String::new();
    let _ = file.take(32).read_to_string(&mut id);
    let holder = match id.trim() {
        "" => "another process".to_owned(),
        id => format!("process {id}"),
    };
    Error::Conflict(format!(
        "{} is the folder of a run in progress, held by {holder}; wait until that process ends, or give another --out",
        folder.display()
    ))
}

/// Removes those of the folders that are empty, the innermost first.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_held_by_one_lock_and_removed_if_empty() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let first = Lock::folder(&folder).unwrap();
        let error = Lock::folder(&folder).unwrap_err().to_string();
        assert!(error.contains("held by process "), "{error}");
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(!dir.path().join("a").exists());
        let again = Lock::folder(&folder).unwrap();
        fs::write(folder.join("config.toml"), "").unwrap();
        drop(again);
        assert!(folder.exists() && !folder.join(LOCK).exists());
        // The lock file of a killed process.
        fs::write(folder.join(LOCK), "1").unwrap();
        drop(Lock::folder(&folder).unwrap());
        assert!(!folder.join(LOCK).exists());
    }

    #[test]
    fn threads_claim_different_folders() {
        let dir = tempfile::tempdir().unwrap();
        let numbered = |n: usize| dir.path().join("runs").join(n.to_string());
        let claim = || Lock::first_free(numbered).unwrap();
        let claims: Vec<(PathBuf, Lock)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let mut names: Vec<&PathBuf> = claims.iter().map(|(folder, _)| folder).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8);
        drop(claims);
        assert!((0..8).all(|n| !numbered(n).exists()));
    }
}
