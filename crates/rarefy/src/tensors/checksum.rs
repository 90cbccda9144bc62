//! Checksum of the content of a safetensors file, kept in its header.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::{self, Write};

/// Key of the text that holds the checksum.
pub(super) const CHECKSUM: &str = "crc32";

/// Running CRC-32, shown in hexadecimal digits.
pub(super) struct Checksum(flate2::Crc);

impl Checksum {
    /// Checksum of all texts but the checksum itself.
    pub(super) fn of_texts(texts: &BTreeMap<String, String>) -> Self {
        let mut sum = Self(flate2::Crc::new());
        for (key, text) in texts.iter().filter(|(key, _)| *key != CHECKSUM) {
            sum.update(key.as_bytes());
            sum.update(text.as_bytes());
        }
        sum
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Display for Checksum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, Writer};
    use super::*;

    #[test]
    fn checksum_is_that_of_zlib() {
        let mut sum = Checksum::of_texts(&BTreeMap::new());
        sum.update(b"123456789");
        // The check value of CRC-32, as `zlib.crc32(b"123456789")` gives it.
        assert_eq!(sum.to_string(), "cbf43926");
    }

    #[test]
    fn each_changed_byte_of_the_content_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        for with_sum in [true, false] {
            let mut file = Writer::default();
            file.vector("b", [1.0f64, 2.0]);
            file.vector("a", [3.0f32]);
            file.text("step", &7);
            if with_sum {
                file.checksum();
            }
            file.write(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            Reader::new(&path, &bytes).unwrap().verify().unwrap();
            for at in bytes.len() - 20..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 4;
                let verified = Reader::new(&path, &changed).unwrap().verify();
                assert_eq!(verified.is_err(), with_sum, "byte {at}");
            }
        }
    }
}
