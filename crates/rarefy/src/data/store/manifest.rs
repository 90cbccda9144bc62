//! Manifest of a store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, atomic};

/// Name of the file.
pub(in crate::data) const MANIFEST: &str = "_manifest.json";
/// Name of the format in the manifest.
const FORMAT: &str = "rarefy-activations";
/// Version of the format. A reader refuses others.
const VERSION: u64 = 1;
/// Largest manifest that is read, about a million shards.
const LONGEST: u64 = 512 << 20;

/// Number type of the rows in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Number {
    /// IEEE double precision.
    #[serde(rename = "float64")]
    F64,
    /// IEEE single precision.
    #[serde(rename = "float32")]
    F32,
    /// IEEE half precision, up to 65504.
    #[serde(rename = "float16")]
    F16,
    /// The upper 16 bits of an `f32`.
    #[serde(rename = "bfloat16")]
    Bf16,
    /// Whole numbers from -127 to 127 times the scale of the row, the largest size of its values over 127.
    #[serde(rename = "int8")]
    Int8,
}

impl Number {
    /// Name of the type, as the program takes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Size of a value in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// The manifest. Entries of `lm.harvest` that are not listed here are passed over: that writer alone continues its stores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::data) struct Manifest {
    format: String,
    version: u64,
    /// False while the store is being written.
    pub(in crate::data) complete: bool,
    /// Values in a row.
    pub(in crate::data) n_inputs: usize,
    /// Settings of the writer.
    pub(in crate::data) arguments: Arguments,
    /// Largest norm of a row that is kept.
    pub(in crate::data) norm_limit: Option<f64>,
    /// Rows kept, and rows that each mask left out.
    pub(in crate::data) counts: BTreeMap<String, u64>,
    /// Height and width, if each row is a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::data) image_shape: Option<(usize, usize)>,
    /// Data that was put in, in its order; empty in a store of `lm.harvest`.
    #[serde(default)]
    pub(in crate::data) sources: Vec<Given>,
    /// Shards that are complete, in the order of the rows.
    pub(in crate::data) shards: Vec<Shard>,
}

/// Settings of the writer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::data) struct Arguments {
    #[serde(rename = "dtype")]
    pub(in crate::data) number: Number,
    /// Rows of the data that a shard takes.
    #[serde(default)]
    pub(in crate::data) shard_rows: usize,
    /// Factor of the median norm beyond which a row is left out.
    #[serde(default)]
    pub(in crate::data) outlier_norm: Option<f64>,
    /// Positions at the start of each context that are left out.
    #[serde(default)]
    pub(in crate::data) skip_first: u64,
    /// Tokens whose rows are left out.
    #[serde(default)]
    pub(in crate::data) skip_tokens: Vec<i32>,
    /// Model whose activations the rows are; a name, or what `lm.harvest` says of it.
    #[serde(default)]
    pub(in crate::data) model: Option<serde_json::Value>,
    /// Place in the model.
    #[serde(default)]
    pub(in crate::data) module: Option<String>,
}

/// Data that was put in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::data) struct Given {
    /// Name of the data.
    pub(in crate::data) data: String,
    pub(in crate::data) rows: usize,
    /// CRC-32 of some of its rows, by which it is known again.
    pub(in crate::data) sample: String,
}

/// Entry of a shard.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::data) struct Shard {
    pub(in crate::data) file: String,
    pub(in crate::data) rows: usize,
    /// SHA-256 of the file; absent for a shard without rows.
    pub(in crate::data) sha256: Option<String>,
    /// SHA-256 of the file with labels and texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::data) cells_sha256: Option<String>,
    /// SHA-256 of the file with tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::data) tokens_sha256: Option<String>,
    /// Number of the source in the list of sources.
    #[serde(default)]
    pub(in crate::data) source: usize,
    /// Rows of the source that were read up to here.
    #[serde(default)]
    pub(in crate::data) rows_read: usize,
    /// Rows among them that were left out because of their position.
    #[serde(default)]
    pub(in crate::data) first: usize,
    /// Rows among them that were left out because of their token.
    #[serde(default)]
    pub(in crate::data) special: usize,
    /// Rows among them that were left out because of their norm.
    #[serde(default)]
    pub(in crate::data) outliers: usize,
    /// Contexts up to here.
    #[serde(default)]
    pub(in crate::data) sequences: u64,
}

/// Numbers of rows that a store left out, each under the first reason that applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Because of their position in their context.
    pub first: usize,
    /// Because of their token.
    pub special: usize,
    /// Because of their norm.
    pub outliers: usize,
}

impl Manifest {
    /// Manifest without shards.
    pub(super) fn new(n_inputs: usize, arguments: Arguments) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            complete: false,
            n_inputs,
            arguments,
            norm_limit: None,
            counts: BTreeMap::new(),
            image_shape: None,
            sources: Vec::new(),
            shards: Vec::new(),
        }
    }

    /// True if a folder has a manifest of this format, of any version, or one that is damaged.
    pub(super) fn is_in(folder: &Path) -> bool {
        let path = folder.join(MANIFEST);
        let Ok(text) = text(&path) else {
            return path.exists();
        };
        // A manifest of another program has other keys.
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => ["shards", "complete", "n_inputs"]
                .iter()
                .any(|key| value.get(key).is_some()),
            Err(_) => true,
        }
    }

    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// [`Error::Format`] for a damaged manifest or another version; [`Error::Io`].
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let damaged = |why: String| {
            Error::format(
                &path,
                format!("damaged manifest: {why}; copy the store again"),
            )
        };
        let text = text(&path)?;
        let version: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        if version["format"] != FORMAT {
            return Err(damaged(format!(
                "expected the format {FORMAT:?}, got {}",
                version["format"]
            )));
        }
        if version["version"] != VERSION {
            let why = format!(
                "expected {FORMAT} version {VERSION}, got version {}",
                version["version"]
            );
            return Err(Error::format(&path, why));
        }
        let manifest: Self = serde_json::from_value(version).map_err(|e| damaged(e.to_string()))?;
        // `lm.harvest` names no sources and writes no checksum.
        match sealed(&text) {
            Some(true) => {}
            None if manifest.sources.is_empty() => {}
            _ => return Err(damaged("its checksum is not that of its content".into())),
        }
        if manifest.arguments.shard_rows == 0 && !manifest.sources.is_empty() {
            return Err(damaged("expected shards of at least 1 row, got 0".into()));
        }
        let plain = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
        if let Some(shard) = manifest.shards.iter().find(|shard| !plain(&shard.file)) {
            return Err(damaged(format!(
                "expected the name of a file, got {:?}",
                shard.file
            )));
        }
        let rows = manifest
            .shards
            .iter()
            .try_fold(0usize, |sum, shard| sum.checked_add(shard.rows));
        if rows.is_none() {
            return Err(damaged(
                "the shards have more rows than a number can say".into(),
            ));
        }
        Ok(manifest)
    }

    /// Writes the manifest, atomically.
    pub(super) fn write(&mut self, folder: &Path) -> Result<()> {
        let left_out = self.left_out();
        let counts = [
            ("rows", self.rows()),
            ("first", left_out.first),
            ("special", left_out.special),
            ("outliers", left_out.outliers),
        ];
        self.counts = counts
            .map(|(name, count)| (name.to_owned(), count as u64))
            .into();
        let body = serde_json::to_string_pretty(self).expect("a manifest is JSON");
        let entries = body.strip_suffix(END).expect("an object ends with a brace");
        let text = format!("{entries}{SEAL}{}\"{END}\n", checksum(&body));
        atomic::write(folder.join(MANIFEST), |out| out.write_all(text.as_bytes()))
    }

    /// Manifest before the newest source was added; `None` if that is the only one.
    pub(super) fn without_newest(&self) -> Option<Self> {
        let newest = self
            .sources
            .len()
            .checked_sub(1)
            .filter(|newest| *newest > 0)?;
        let mut before = self.clone();
        before.sources.truncate(newest);
        before.shards.retain(|shard| shard.source < newest);
        before.complete = true;
        Some(before)
    }

    /// Numbers of rows that were left out.
    pub(super) fn left_out(&self) -> LeftOut {
        let sum = |of: fn(&Shard) -> usize| self.shards.iter().map(of).sum();
        LeftOut {
            first: sum(|shard| shard.first),
            special: sum(|shard| shard.special),
            outliers: sum(|shard| shard.outliers),
        }
    }

    /// Number of rows in all shards.
    pub(super) fn rows(&self) -> usize {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// Rows of the newest source that the shards have taken.
    pub(super) fn rows_read(&self) -> usize {
        let newest = self.sources.len().saturating_sub(1);
        let mut of_newest = self.shards.iter().filter(|shard| shard.source == newest);
        of_newest.next_back().map_or(0, |shard| shard.rows_read)
    }
}

/// End of a manifest's text.
const END: &str = "\n}";
/// Start of the last entry, which has the checksum of the text without it.
const SEAL: &str = ",\n  \"crc32\": \"";

/// True if the last entry of a manifest has the checksum of the text before it; `None` without such an entry.
fn sealed(text: &str) -> Option<bool> {
    let at = text.rfind(SEAL)?;
    let body = format!("{}{END}", &text[..at]);
    let expected = format!("{}\"{END}\n", checksum(&body));
    Some(text[at + SEAL.len()..] == expected)
}

/// CRC-32 in hexadecimal digits.
fn checksum(text: &str) -> String {
    let mut sum = flate2::Crc::new();
    sum.update(text.as_bytes());
    format!("{:08x}", sum.sum())
}

fn text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.map_err(Error::io(path))?;
    Ok(text)
}
