//! Reader of `NumPy`'s `.npz`: a zip archive of `.npy` members, one of which is the data.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::content::failed;
use super::file_matrix::exactly;
use super::npy::Header;
use super::{Dataset, Element, MatrixLayout, OpenOptions, Value, check_finite, sparse};
use crate::{Error, Result};

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    let mut archive = Archive::open(path)?;
    if sparse::has_sparse_arrays(&archive.names()) {
        return sparse::open_npz(path, archive, options);
    }
    let name = archive.choose(options.member.as_deref())?;
    let Member { path, header, .. } = archive.member(&name)?;
    if header.shape == [0] {
        return Ok(Dataset::empty(archive.path.display().to_string(), 0));
    }
    let (layout, rows) = header.matrix(&path, options.row_axis)?;
    let values = archive.values(&name, &layout)?;
    let exact = layout.needs_f64(&values);
    let exact = exact.then(|| archive.values(&name, &layout)).transpose()?;
    if !options.skip_bad_rows {
        check_finite(&path, 0, layout.d_in, &values)?;
    }
    let source = layout.source(&path, values, exact);
    Ok(header.dataset(&path, source, rows))
}

/// Open npz archive; members are read on request.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipArchive<File>,
}

/// Member of an npz archive, with its header read and its values not yet read.
pub(crate) struct Member<'a> {
    /// Path of the archive and name of the member, for messages.
    pub(crate) path: PathBuf,
    /// Header of the member.
    pub(crate) header: Header,
    /// Uncompressed content from the first value on.
    pub(crate) input: Box<dyn Read + 'a>,
    /// Uncompressed size in bytes according to the archive, header included.
    size: u64,
}

impl Archive {
    /// Opens an archive and reads its directory.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        let is_zip = exactly(path, &mut &file, 4.min(length), "a zip header")? == b"PK\x03\x04";
        let zip = ZipArchive::new(file).map_err(|e| {
            let why = if is_zip {
                format!("truncated or damaged: expected the list of members at the end of {length} bytes: {e}")
            } else {
                format!("not an npz file: {e}")
            };
            Error::format(path, why)
        })?;
        Ok(Self {
            path: path.into(),
            zip,
        })
    }

    /// Names of all arrays, without `.npy`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip
            .file_names()
            .filter_map(|n| n.ok()?.strip_suffix(".npy").map(str::to_owned))
            .collect()
    }

    /// Name of the array to read: `wanted`, or the only array of the archive.
    fn choose(&self, wanted: Option<&str>) -> Result<String> {
        let names = self.names();
        match (wanted, names.as_slice()) {
            (Some(wanted), _) if names.iter().any(|n| n == wanted) => Ok(wanted.to_owned()),
            (Some(wanted), _) => Err(Error::unknown(
                &format!("member of {}", self.path.display()),
                wanted,
                names,
            )),
            (None, [only]) => Ok(only.clone()),
            (None, _) => {
                let why = format!(
                    "expected one array, got {} ({}); choose one with `data.member`",
                    names.len(),
                    names.join(", ")
                );
                Err(Error::format(&self.path, why))
            }
        }
    }

    /// Values of the member of this name, row by row.
    fn values<V: Value>(&mut self, name: &str, layout: &MatrixLayout) -> Result<Vec<V>> {
        let member = self.member(name)?;
        member.check_size(layout.bytes())?;
        layout.decode(&member.path, member.input)
    }

    /// Opens the member of this name and reads its header.
    pub(crate) fn member(&mut self, name: &str) -> Result<Member<'_>> {
        let path = PathBuf::from(format!("{}[{name}]", self.path.display()));
        let mut input = self
            .zip
            .by_name(&format!("{name}.npy"))
            .map_err(|e| Error::format(&path, e.to_string()))?;
        Ok(Member {
            header: Header::read(&path, &mut input)?,
            size: input.size(),
            path,
            input: Box::new(input),
        })
    }
}

impl Member<'_> {
    /// Checks that the size in the archive is the size of header and data. The check comes before the data is
    /// read, so that a false size costs no memory.
    pub(crate) fn check_size(&self, data: Option<u64>) -> Result<()> {
        let needed = data.and_then(|bytes| bytes.checked_add(self.header.offset));
        if needed == Some(self.size) {
            return Ok(());
        }
        let needed = needed.map_or_else(|| "more than 2^64".into(), |n| n.to_string());
        let why = format!(
            "expected a member of {needed} bytes for shape {:?} of {}, got {}",
            self.header.shape, self.header.descr, self.size
        );
        Err(Error::format(&self.path, why))
    }

    /// Reads all values, converted to `f32`.
    pub(crate) fn floats(self) -> Result<Vec<f32>> {
        let (element, big_endian) = self.header.element(&self.path)?;
        let bytes = self.bytes(element)?;
        let mut values = vec![0.0; bytes.len() / element.size()];
        element.convert(&bytes, big_endian, &mut values);
        Ok(values)
    }

    /// Reads all values as integers, exactly. The stored type must be an integer of 32 or 64 bits.
    pub(crate) fn integers(self) -> Result<Vec<i64>> {
        let (element, big_endian) = self.header.element(&self.path)?;
        let path = self.path.clone();
        let bytes = self.bytes(element)?;
        element.integers(&bytes, big_endian).ok_or_else(|| {
            let why = format!("expected integers of 32 or 64 bits, got {}", element.name());
            Error::format(path, why)
        })
    }

    /// Reads the bytes of a short text, at most 64.
    pub(crate) fn text(self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut start = self.input.take(64);
        start
            .read_to_end(&mut text)
            .map_err(|e| failed(&self.path, 0, e))?;
        Ok(text)
    }

    /// Reads the bytes of all values, after checking their number.
    fn bytes(mut self, element: Element) -> Result<Vec<u8>> {
        let size = element.size() as u64;
        self.check_size(
            self.header
                .values()
                .and_then(|n| size.checked_mul(n as u64)),
        )?;
        let mut bytes = Vec::new();
        let read = self.input.read_to_end(&mut bytes);
        read.map_err(|e| failed(&self.path, bytes.len() as u64, e))?;
        let expected = self.size.saturating_sub(self.header.offset);
        if bytes.len() as u64 == expected {
            Ok(bytes)
        } else {
            let why = format!(
                "truncated: expected {expected} bytes of data from byte {} on, got {}",
                self.header.offset,
                bytes.len()
            );
            Err(Error::format(&self.path, why))
        }
    }
}
