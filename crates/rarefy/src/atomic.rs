//! Atomic writes of files and folders: a temporary file or folder beside the target is written, then renamed.

use std::fs;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Writes the file `path` atomically: a reader sees the old file or the new one, never a part.
///
/// The content goes to a temporary file in the same folder, which is flushed to disk and renamed.
/// Missing parent folders are created. If `write` fails, the temporary file is removed. A symbolic link stays: the
/// file that it leads to is written.
///
/// # Errors
/// [`Error::Io`] with `path` if the folder cannot be written or `write` fails.
///
/// # Example
/// ```
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("a/b.txt");
/// rarefy::atomic::write(&path, |out| out.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"whole");
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn write(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let mut file = Pending::create(path)?;
    write(&mut file).map_err(Error::io(path))?;
    file.commit()
}

/// File that is written piece by piece and appears under its name when it is whole; without [`Pending::commit`] it is removed.
pub(crate) struct Pending {
    path: PathBuf,
    file: BufWriter<NamedTempFile>,
}

impl Pending {
    /// Starts a temporary file beside `path`, or beside the file that a symbolic link leads to.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let path = linked(path);
        // A rename would put a file in the place of a device or a pipe.
        if fs::metadata(&path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            let why = "it is a device or a pipe; give the path of a file";
            return Err(Error::io(&path)(std::io::Error::other(why)));
        }
        let folder = folder_of(&path);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let file = sibling()
            .prefix(".rarefy-")
            .tempfile_in(folder)
            .map_err(Error::io(&path))?;
        Ok(Self {
            file: BufWriter::new(file),
            path,
        })
    }

    /// Flushes the file to disk and gives it its name.
    pub(crate) fn commit(self) -> Result<()> {
        let Self { path, file } = self;
        let file = file.into_inner().map_err(|e| Error::io(&path)(e.into()))?;
        file.as_file().sync_data().map_err(Error::io(&path))?;
        file.persist(&path).map_err(|e| Error::io(&path)(e.error))?;
        Ok(())
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Pending {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// Folder of the file that a path leads to, over symbolic links.
pub(crate) fn folder_behind(path: &Path) -> PathBuf {
    folder_of(&linked(path)).to_path_buf()
}

/// Folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Path that a symbolic link leads to, over several links; another path as it is. The file there may be missing.
fn linked(path: &Path) -> PathBuf {
    // As many links as Linux follows.
    const MOST_LINKS: usize = 40;
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Ok(to) = fs::read_link(&path) else {
            break;
        };
        // A relative link starts in the folder of the link.
        path = path.parent().map_or(to.clone(), |folder| folder.join(&to));
    }
    path
}

/// Removes folders of this prefix that a killed process left: those that no process holds a lock on.
fn remove_abandoned(around: &Path, prefix: &str) {
    let entries = fs::read_dir(around).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let is_free = fs::File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
        if is_free {
            // What cannot be removed stays: it is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes the folder `path` atomically: all files that `write` makes in the given temporary folder appear, or none.
///
/// A new folder is written beside `path` and renamed. An existing folder, which should be empty, keeps its place: its
/// files are written to a subfolder `.rarefy-...` and moved up at the end. While that subfolder exists,
/// [`data::open`](crate::data::open) refuses the folder, so that a killed process leaves no part that reads as the
/// whole. If `write` fails, the temporary folder is removed; one that a killed process left is removed by the next call.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be written; the error of `write`.
pub fn write_folder<E: From<Error>>(
    path: impl AsRef<Path>,
    write: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let path = path.as_ref();
    let there = path.is_dir();
    let around = if there { path } else { folder_of(path) };
    fs::create_dir_all(around).map_err(Error::io(around))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".rarefy-{name}-");
    remove_abandoned(around, &prefix);
    let mut builder = tempfile::Builder::new();
    let temporary = with_folder_permissions(builder.prefix(&prefix))
        .tempdir_in(around)
        .map_err(Error::io(path))?;
    // Held until the folder has its name; a system that does not lock folders leaves those of killed processes.
    let lock = fs::File::open(temporary.path());
    let _ = lock.as_ref().map(fs::File::try_lock);
    write(temporary.path())?;
    if there {
        move_up(temporary.path(), path)?;
        fs::remove_dir(temporary.keep()).map_err(Error::io(path))?;
    } else {
        let whole = temporary.keep();
        fs::rename(&whole, path).map_err(|error| {
            // Error of the clean-up is dropped: the first failure says more.
            let _ = fs::remove_dir_all(&whole);
            Error::io(path)(error)
        })?;
    }
    Ok(())
}

/// Moves all files of a folder to another one.
fn move_up(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let entry = entry.map_err(Error::io(from))?;
        let target = to.join(entry.file_name());
        fs::rename(entry.path(), &target).map_err(Error::io(&target))?;
    }
    Ok(())
}

/// Gives a temporary folder the permissions that the umask allows. The default of `tempfile` is a folder that only its
/// owner can read.
#[cfg(unix)]
fn with_folder_permissions<'b, 'p, 's>(
    builder: &'b mut tempfile::Builder<'p, 's>,
) -> &'b mut tempfile::Builder<'p, 's> {
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
}

#[cfg(not(unix))]
fn with_folder_permissions<'b, 'p, 's>(
    builder: &'b mut tempfile::Builder<'p, 's>,
) -> &'b mut tempfile::Builder<'p, 's> {
    builder
}

/// Builder of a temporary file with the permissions that the umask allows. The default of `tempfile` is a file
/// that only its owner can read.
#[cfg(unix)]
fn sibling<'a>() -> tempfile::Builder<'a, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn sibling<'a>() -> tempfile::Builder<'a, 'static> {
    tempfile::Builder::new()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn written_file_has_default_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write(&ours, |out| out.write_all(b"x")).unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
        let (ours, plain) = (folder.path().join("a/b"), folder.path().join("c"));
        write_folder(&ours, |_| Ok::<_, Error>(())).unwrap();
        fs::create_dir(&plain).unwrap();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn folder_of_a_killed_process_is_removed_and_that_of_a_live_one_stays() {
        let around = tempfile::tempdir().unwrap();
        let path = |name: &str| around.path().join(name);
        for name in [
            ".rarefy-model-killed",
            ".rarefy-model-live",
            ".rarefy-other-killed",
        ] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("part"), b"x").unwrap();
        }
        let live = fs::File::open(path(".rarefy-model-live")).unwrap();
        live.try_lock().unwrap();
        write_folder(path("model"), |_| Ok::<_, Error>(())).unwrap();
        let mut names: Vec<_> = fs::read_dir(around.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [".rarefy-model-live", ".rarefy-other-killed", "model"]
        );
    }

    #[test]
    fn link_is_followed_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("deep")).unwrap();
        fs::write(path("deep/file"), b"old").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
        link("file", "deep/near");
        link("deep/near", "far");
        link("deep/missing", "dangling");
        for (name, file) in [("far", "deep/file"), ("dangling", "deep/missing")] {
            write(path(name), |out| out.write_all(b"new")).unwrap();
            assert_eq!(fs::read(path(file)).unwrap(), b"new", "{name}");
            assert!(path(name).is_symlink(), "{name}");
        }
        // A link to itself is an error, not a hang.
        link("self", "self");
        assert!(write(path("self"), |out| out.write_all(b"x")).is_err() || path("self").is_file());
    }

    #[test]
    fn sockets_and_other_non_files_are_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("socket", path("link")).unwrap();
        for name in ["socket", "link"] {
            let refused = write(path(name), |out| out.write_all(b"x")).unwrap_err();
            let why = refused.to_string();
            assert!(why.contains("a device or a pipe"), "{why}");
        }
        assert!(!fs::metadata(path("socket")).unwrap().is_file());
    }

    #[test]
    fn folder_is_written_whole_or_not_at_all() {
        let base = tempfile::tempdir().unwrap();
        let files = |folder: &Path| {
            let entries = fs::read_dir(folder).unwrap().flatten();
            let mut names: Vec<_> = entries
                .map(|e| e.file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let fill = |folder: &Path| {
            fs::write(folder.join("1"), b"x").unwrap();
            fs::write(folder.join("2"), b"y").unwrap();
        };
        for there in [false, true] {
            let path = base.path().join(format!("out-{there}"));
            if there {
                fs::create_dir(&path).unwrap();
            }
            let before = files(base.path());
            let failed = write_folder(&path, |folder| {
                fill(folder);
                // Nothing is visible yet under its name.
                assert!(!path.join("1").exists());
                Err(Error::Interrupted)
            });
            assert!(matches!(failed, Err(Error::Interrupted)));
            assert_eq!(files(base.path()), before);
            write_folder(&path, |folder| {
                fill(folder);
                Ok::<_, Error>(())
            })
            .unwrap();
            assert_eq!(files(&path), ["1", "2"]);
        }
        assert_eq!(files(base.path()), ["out-false", "out-true"]);
    }
}
