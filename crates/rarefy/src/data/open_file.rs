//! Open files of a data set, within the number of files that a process may have open.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of files that stay open. Systems allow 256 (macOS) or 1024 (Linux) for each process.
const MOST_OPEN: usize = 128;

/// Number of files that are open now.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// File that stays open, or is opened for each read if many others are open: a data set may have thousands of shards.
#[derive(Debug)]
pub(super) struct OpenFile(Option<File>);

impl OpenFile {
    /// Keeps the file open if there is room.
    pub(super) fn keep(file: File) -> Self {
        if OPEN.fetch_add(1, Ordering::Relaxed) < MOST_OPEN {
            return Self(Some(file));
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        Self(None)
    }

    /// Fills `bytes` from position `at` of the file, which lies at `path`.
    pub(super) fn read_exact_at(&self, path: &Path, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match &self.0 {
            Some(file) => read_exact_at(file, bytes, at),
            None => read_exact_at(&File::open(path)?, bytes, at),
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.0.is_some() {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let got = std::os::windows::fs::FileExt::seek_read(file, bytes, at)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[got..];
        at += got as u64;
    }
    Ok(())
}
