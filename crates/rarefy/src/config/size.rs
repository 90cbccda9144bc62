//! Sizes in bytes with a unit, such as `2GiB`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Size in bytes, written as a whole number with a unit: `2GiB`, `500MB`, `4096`.
///
/// # Example
/// ```
/// use rarefy::config::ByteSize;
/// let size: ByteSize = "1.5GiB".parse().unwrap();
/// assert_eq!((size.bytes(), size.to_string()), (1536 << 20, "1536MiB".to_owned()));
/// assert_eq!("500 MB".parse::<ByteSize>().unwrap().bytes(), 500_000_000);
/// assert!("2 cups".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

/// Units with their sizes in bytes. The first of a size is the one that is written.
const UNITS: [(&str, u64); 13] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("B", 1),
];

impl ByteSize {
    /// Size of this number of bytes.
    pub const fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Number of bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("expected a size such as 2GiB or 500MB, got {text:?}");
        let trimmed = text.trim();
        let end = trimmed
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(end);
        let number: f64 = number.parse().map_err(|_| refused())?;
        let unit = unit.trim();
        let found = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let factor = match found {
            Some((_, factor)) => *factor,
            None if unit.is_empty() => 1,
            None => return Err(refused()),
        };
        let bytes = number * factor as f64;
        // Beyond this, numbers of f64 are no longer whole.
        if bytes >= (1u64 << 53) as f64 {
            return Err(refused());
        }
        Ok(Self(bytes as usize))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let bytes = self.0 as u64;
        let (name, factor) = UNITS
            .iter()
            .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{name}", bytes / factor)
    }
}

/// Written with its unit.
impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a size such as 2GiB or 500MB")
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let size = usize::try_from(bytes).map(ByteSize);
                size.map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                let size = usize::try_from(bytes).map(ByteSize);
                size.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                let wrong = |_| E::invalid_value(de::Unexpected::Str(text), &self);
                text.parse().map_err(wrong)
            }
        }
        from.deserialize_any(NumberOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for bytes in [0, 1, 1023, 1024, 1 << 30, 3 << 29, 500_000_000, 1 << 41] {
            let size = ByteSize::of(bytes);
            assert_eq!(size.to_string().parse(), Ok(size), "{size}");
        }
        assert_eq!(ByteSize::of(2 << 30).to_string(), "2GiB");
        assert_eq!(ByteSize::of(0).to_string(), "0B");
    }

    #[test]
    fn texts_that_are_no_sizes_are_refused() {
        for text in [
            "",
            "GiB",
            "-1GiB",
            "1e3",
            "2 cups",
            "99999999TiB",
            "1.2.3MB",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
