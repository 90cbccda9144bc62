//! `NumPy`'s `.npz`: a zip of `.npy` members; one of them is the data.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::npy::Header;
use super::{Dataset, Element, OpenOptions};
use crate::{Error, Result};

pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Dataset> {
    let mut archive = Archive::open(path)?;
    let name = archive.choose(options.member.as_deref())?;
    let member = archive.member(&name)?;
    let layout = member.header.matrix(&member.path)?;
    member.check_size(layout.bytes())?;
    Ok(Dataset::new(layout.decode(&member.path, member.input)?))
}

/// An npz file, its members not yet read.
pub(crate) struct Archive {
    path: PathBuf,
    zip: ZipArchive<File>,
}

/// One member: its header is read, its values are not.
pub(crate) struct Member<'a> {
    /// The archive and the member's name, for messages.
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// Stands at the first value.
    pub(crate) input: Box<dyn Read + 'a>,
    /// Bytes of the member, as the archive says.
    size: u64,
}

impl Archive {
    /// Reads the directory of the archive.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        let zip = ZipArchive::new(file)
            .map_err(|e| Error::format(path, format!("not an npz file: {e}")))?;
        Ok(Self {
            path: path.into(),
            zip,
        })
    }

    /// Names of the arrays.
    pub(crate) fn names(&self) -> Vec<String> {
        self.zip
            .file_names()
            .filter_map(|n| n.ok()?.strip_suffix(".npy").map(str::to_owned))
            .collect()
    }

    /// The name that is wanted; the only one if none is.
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
                    "expected one array, got {} ({}); name one with member",
                    names.len(),
                    names.join(", ")
                );
                Err(Error::format(&self.path, why))
            }
        }
    }

    /// Opens one member and reads its header.
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
    /// Checks, before anything large is read, that the archive and the header speak of one size.
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

    /// All values as floating-point numbers, whatever they are stored as.
    pub(crate) fn floats(self) -> Result<Vec<f32>> {
        let (element, big_endian) = self.header.element(&self.path)?;
        let bytes = self.bytes(element)?;
        let mut values = vec![0.0; bytes.len() / element.size()];
        element.convert(&bytes, big_endian, &mut values);
        Ok(values)
    }

    /// All values as integers, exactly.
    pub(crate) fn integers(self) -> Result<Vec<i64>> {
        let (element, big_endian) = self.header.element(&self.path)?;
        let path = self.path.clone();
        let bytes = self.bytes(element)?;
        element.integers(&bytes, big_endian).ok_or_else(|| {
            let why = format!("expected integers of 32 or 64 bits, got {}", element.name());
            Error::format(path, why)
        })
    }

    /// The bytes of a short text.
    pub(crate) fn text(self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut start = self.input.take(64);
        start
            .read_to_end(&mut text)
            .map_err(Error::io(&self.path))?;
        Ok(text)
    }

    fn bytes(mut self, element: Element) -> Result<Vec<u8>> {
        let size = element.size() as u64;
        self.check_size(
            self.header
                .values()
                .and_then(|n| size.checked_mul(n as u64)),
        )?;
        let mut bytes = Vec::new();
        self.input
            .read_to_end(&mut bytes)
            .map_err(Error::io(&self.path))?;
        if Some(bytes.len() as u64) == self.size.checked_sub(self.header.offset) {
            Ok(bytes)
        } else {
            Err(Error::format(&self.path, "truncated"))
        }
    }
}
