//! Atomic file writes: a temporary file beside the target is written, then renamed.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes the file `path` atomically: a reader sees the old file or the new one, never a part.
///
/// The content goes to a temporary file in the same folder, which is flushed to disk and renamed.
/// Missing parent folders are created. If `write` fails, the temporary file is removed.
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
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let mut file = sibling()
        .prefix(".rarefy-")
        .tempfile_in(folder)
        .map_err(Error::io(path))?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    write(&mut buffered).map_err(Error::io(path))?;
    buffered.flush().map_err(Error::io(path))?;
    drop(buffered);
    file.as_file().sync_data().map_err(Error::io(path))?;
    file.persist(path).map_err(|e| Error::Io {
        path: path.to_path_buf(),
        source: e.error,
    })?;
    Ok(())
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
    }
}
