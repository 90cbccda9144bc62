//! First bytes of a file: other content than the name says is refused, and gzip is unpacked whatever the name.

use std::fs::{File, FileType};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{DataFormat, endings};
use crate::{Error, Result};

/// Number of bytes that show the kind of a file.
const START: u64 = 512;
/// Formats of which no file is shorter than `SHORTEST`.
const BINARY: [&str; 5] = ["npy", "npz", "safetensors", "parquet", "arrow"];
/// Number of bytes below which a file of a binary format lacks even its ends.
const SHORTEST: usize = 12;
/// First bytes of gzip-compressed content.
const GZIP: &[u8] = &[0x1F, 0x8B];

/// First bytes of kinds of files, the endings of readable files that start so, the kind, and what to do.
const SIGNATURES: &[(&[u8], &[&str], &str, &str)] = &[
    (
        b"\x93NUMPY",
        &[".npy"],
        "a NumPy array",
        "rename it so that it ends in .npy",
    ),
    (
        b"PK\x03\x04",
        &[".npz"],
        "a zip archive",
        "unpack it, or rename it to .npz if NumPy wrote it",
    ),
    (
        b"PAR1",
        &[".parquet"],
        "a parquet file",
        "rename it so that it ends in .parquet",
    ),
    (
        b"ARROW1",
        &[".arrow"],
        "an Arrow file",
        "rename it so that it ends in .arrow",
    ),
    (
        b"\x89HDF",
        &[],
        "an HDF5 file",
        "save the array with np.save",
    ),
    (
        b"\x89PNG",
        &[".png"],
        "a PNG image",
        "rename it so that it ends in .png",
    ),
    (
        b"\xFF\xD8\xFF",
        &[".jpg"],
        "a JPEG image",
        "rename it so that it ends in .jpg",
    ),
    (b"%PDF-", &[], "a PDF document", "give a data file"),
    (
        b"version https://git-lfs",
        &[],
        "a Git LFS pointer",
        "fetch the file itself with git lfs pull",
    ),
];

/// Refuses paths that are no regular files: folders, pipes, devices. Opening a pipe would wait for its writer.
pub(super) fn check_regular(path: &Path) -> Result<()> {
    if path == Path::new("-") && !path.exists() {
        let why = "standard input is not read; save the data to a file first";
        return Err(Error::format(path, why));
    }
    let kind = std::fs::metadata(path)
        .map_err(Error::io(path))?
        .file_type();
    if kind.is_file() {
        return Ok(());
    }
    let why = if kind.is_dir() {
        "expected a file, got a folder".to_owned()
    } else {
        format!(
            "expected a regular file, got {}; rows are read by position and more than once, so save the data to a file first",
            special(kind)
        )
    };
    Err(Error::format(path, why))
}

/// Kind of a path that is neither a file nor a folder.
#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "a pipe or device"
}

/// Refuses a file whose first bytes belong to another kind of file than its name says.
pub(super) fn check(path: &Path, format: &DataFormat) -> Result<()> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(START).read_to_end(&mut start))
        .map_err(Error::io(path))?;
    let gzip = format
        .extensions
        .iter()
        .any(|end| end.rsplit('.').next() == Some("gz"));
    let expected = format!(
        "expected {}{}",
        format.name,
        if gzip { ", plain or gzip" } else { "" }
    );
    let refuse = |what: &str, remedy: &str| {
        Err(Error::format(
            path,
            format!("{expected}, got {what}; {remedy}"),
        ))
    };
    if let Some(page) = markup(&start) {
        return refuse(
            page,
            "a server has sent this page in place of the file: download the file again",
        );
    }
    if start.starts_with(GZIP) && !gzip {
        return refuse("gzip-compressed content", "unpack it first with gunzip");
    }
    for (bytes, endings, what, remedy) in SIGNATURES {
        let own = endings.iter().any(|end| format.extensions.contains(end));
        if start.starts_with(bytes) && !own {
            return refuse(what, remedy);
        }
    }
    if BINARY.contains(&format.name) && start.len() < SHORTEST {
        let remedy = format!(
            "truncated, or no data file (read are {})",
            endings::readable()
        );
        return refuse(&format!("{} bytes", start.len()), &remedy);
    }
    Ok(())
}

/// Error for a file whose ending no reader takes. If the ending says nothing about its content, the first bytes may.
pub(super) fn unknown(path: &Path) -> Error {
    if endings::advice(path).is_none_or(|(what, _)| what == endings::TEXT) {
        let mut start = Vec::new();
        // A file that cannot be read is refused by its name.
        let _ = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
        let found = SIGNATURES
            .iter()
            .find(|(bytes, ..)| start.starts_with(bytes));
        if let Some((_, _, what, remedy)) = found {
            let why = format!(
                "file name ending not known, but the first bytes are those of {what}; {remedy}"
            );
            return Error::format(path, why);
        }
    }
    endings::unknown(path)
}

/// Kind of markup that a file starts with: an HTML page or an XML document.
fn markup(start: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(start).to_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("<!doctype html") || text.starts_with("<html") {
        Some("an HTML page")
    } else if text.starts_with("<?xml") {
        Some("an XML document")
    } else {
        None
    }
}

/// Opens a file and unpacks gzip, which is known by its first bytes and not by the name; true if the file is packed.
pub(super) fn unpacked(path: &Path) -> Result<(Box<dyn Read>, bool)> {
    check_regular(path)?;
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let packed = file.fill_buf().map_err(Error::io(path))?.starts_with(GZIP);
    let reader: Box<dyn Read> = if packed {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok((reader, packed))
}

/// Error of a compressed stream that failed after `done` unpacked bytes: truncated, damaged, or of the system.
pub(super) fn failed(path: &Path, done: u64, error: io::Error) -> Error {
    let why = match error.kind() {
        ErrorKind::UnexpectedEof => {
            format!("truncated: the compressed data ends after {done} unpacked bytes")
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            format!("damaged compressed data after {done} unpacked bytes: {error}")
        }
        _ => return Error::io(path)(error),
    };
    Error::format(path, why)
}
