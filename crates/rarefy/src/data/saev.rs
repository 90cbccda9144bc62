//! Shards of saev: activations of the patches of pictures, or of tokens, of several layers of a transformer.
//!
//! ```text
//! HASH/
//!   metadata.json    layers, tokens in an example, width, number of examples
//!   shards.json      files with their numbers of examples; version 0.1 has none
//!   acts000000.bin   f32 [examples, layers, tokens, width]; a [CLS] token stands before the others
//!   labels.bin       u8 [examples, tokens without [CLS]]; absent without labels
//! ```
//!
//! Names of the entries have changed with the versions 0.1, 1, 2.0 and 2.1; all are read. A file may be longer than its examples, because it
//! is written at full length. `FOLDER::LAYER` names a layer, `FOLDER::cls` the [CLS] tokens, `FOLDER::LAYER/all` all tokens.

use std::path::Path;

use serde::Deserialize;

use super::options::Foreign;
use super::{
    Dataset, Element, FileMatrix, MatrixLayout, OpenOptions, Places, Shards, Source, datasets,
};
use crate::{Error, Result};

const METADATA: &str = "metadata.json";
const SHARDS: &str = "shards.json";
const LABELS: &str = "labels.bin";

/// Entries of `metadata.json` that say where rows are.
#[derive(Debug, Deserialize)]
struct Metadata {
    layers: Vec<i64>,
    #[serde(alias = "patches_per_ex", alias = "n_patches_per_img")]
    content_tokens_per_example: usize,
    cls_token: bool,
    #[serde(alias = "d_vit")]
    d_model: usize,
    #[serde(alias = "n_ex", alias = "n_imgs")]
    n_examples: usize,
    #[serde(alias = "patches_per_shard", alias = "n_patches_per_shard")]
    max_tokens_per_shard: usize,
    #[serde(default = "float32")]
    dtype: String,
}

/// Entry of `shards.json`.
#[derive(Debug, Deserialize)]
struct File {
    name: String,
    #[serde(alias = "n_ex", alias = "n_imgs")]
    n_examples: usize,
}

/// Tokens of an example that are read as rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// All but the [CLS] token.
    Content,
    Cls,
    All,
}

fn float32() -> String {
    "float32".into()
}

/// True for a folder of saev's shards.
pub(super) fn is_saev(folder: &Path) -> bool {
    let metadata = folder.join(METADATA);
    folder.join("acts000000.bin").is_file()
        && datasets::read(&metadata).is_ok_and(|value| value.get("layers").is_some())
}

/// Rows of one layer.
///
/// # Errors
/// [`Error::Format`] for shards that are missing or too short, for damaged metadata, and for several layers without a choice;
/// [`Error::Unknown`] for a layer that is not there.
pub(super) fn open(
    folder: &Path,
    member: Option<&str>,
    options: &OpenOptions,
    foreign: Foreign,
) -> Result<Dataset<'static>> {
    let options = options.for_kind(folder, "saev", foreign)?;
    let metadata = Metadata::read(folder)?;
    let (layer, tokens) = metadata.chosen(folder, member.or(options.member.as_deref()))?;
    let files = metadata.files(folder)?;
    let labels = (tokens == Tokens::Content)
        .then(|| metadata.labels(folder))
        .transpose()?
        .flatten();
    let per_example = metadata.count(tokens);
    let (mut parts, mut first) = (Vec::new(), 0);
    for file in files.iter().filter(|file| file.n_examples > 0) {
        let path = folder.join(&file.name);
        let rows = Picked::open(&path, &metadata, file.n_examples, (layer, tokens))?;
        let mut part = Dataset::new(rows);
        let count = part.source.rows();
        part.labels = labels.as_ref().map(|labels| {
            let labels = labels[first..first + count].iter();
            labels.map(u8::to_string).collect()
        });
        part.places = Places::every(per_example);
        part.files = vec![path.clone()];
        first += count;
        parts.push((path, part));
    }
    let mut dataset = Shards::join(&folder.display().to_string(), parts)?;
    dataset.notes.extend(metadata.note(folder, layer, tokens));
    Ok(dataset)
}

impl Metadata {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(METADATA);
        let damaged =
            |why: String| Error::format(&path, format!("{why}; write the shards again with saev"));
        let read: Self = serde_json::from_value(datasets::read(&path)?)
            .map_err(|e| damaged(format!("expected the metadata of saev's shards: {e}")))?;
        if read.dtype != "float32" {
            return Err(damaged(format!(
                "expected the number type float32, got {}",
                read.dtype
            )));
        }
        let values = [
            read.layers.len(),
            read.tokens(),
            read.d_model,
            read.n_examples,
        ];
        let all = values
            .iter()
            .try_fold(4usize, |all, count| all.checked_mul(*count));
        if all.is_none_or(|all| all == 0) {
            return Err(damaged(format!(
                "expected examples x layers x tokens x width of at least 1, got {values:?}"
            )));
        }
        Ok(read)
    }

    /// Tokens of an example.
    fn tokens(&self) -> usize {
        self.content_tokens_per_example
            .saturating_add(usize::from(self.cls_token))
    }

    /// Rows of an example.
    fn count(&self, tokens: Tokens) -> usize {
        match tokens {
            Tokens::Content => self.content_tokens_per_example,
            Tokens::Cls => 1,
            Tokens::All => self.tokens(),
        }
    }

    /// Place of the layer among the layers, and the tokens, that `LAYER`, `TOKENS` or `LAYER/TOKENS` names.
    fn chosen(&self, folder: &Path, member: Option<&str>) -> Result<(usize, Tokens)> {
        let words: Vec<&str> = member.iter().flat_map(|member| member.split('/')).collect();
        let tokens = |word: &str| match word {
            "content" => Some(Tokens::Content),
            "cls" => Some(Tokens::Cls),
            "all" => Some(Tokens::All),
            _ => None,
        };
        let (layer, tokens) = match words[..] {
            [] => (None, Some(Tokens::Content)),
            [word] if tokens(word).is_some() => (None, tokens(word)),
            [layer] => (Some(layer), Some(Tokens::Content)),
            [layer, word] => (Some(layer), tokens(word)),
            _ => (None, None),
        };
        let shown = folder.display();
        let Some(tokens) = tokens.filter(|tokens| *tokens != Tokens::Cls || self.cls_token) else {
            let kinds = if self.cls_token {
                "content, cls or all"
            } else {
                "content or all"
            };
            let why = format!(
                "{shown}::{}: expected LAYER, TOKENS or LAYER/TOKENS, with {kinds} for the tokens",
                member.unwrap_or_default()
            );
            return Err(Error::Conflict(why));
        };
        let names: Vec<String> = self.layers.iter().map(i64::to_string).collect();
        let at = match (layer, &names[..]) {
            (None, [_]) => 0,
            (None, names) => {
                let why = format!(
                    "expected a choice of one layer, got {} ({}); choose with {shown}::{}",
                    names.len(),
                    names.join(", "),
                    names[0]
                );
                return Err(Error::format(folder, why));
            }
            (Some(layer), names) => {
                names.iter().position(|name| name == layer).ok_or_else(|| {
                    Error::unknown(
                        &format!("layer of {shown}"),
                        layer,
                        names.iter().map(String::as_str),
                    )
                })?
            }
        };
        Ok((at, tokens))
    }

    /// Files in the order of their examples.
    fn files(&self, folder: &Path) -> Result<Vec<File>> {
        let path = folder.join(SHARDS);
        if !path.is_file() {
            return Ok(self.files_of_version_0(folder));
        }
        let files: Vec<File> = serde_json::from_value(datasets::read(&path)?).map_err(|e| {
            Error::format(
                &path,
                format!("expected a list of shards: {e}; write the shards again with saev"),
            )
        })?;
        let plain = |name: &str| Path::new(name).file_name().is_some_and(|file| file == name);
        if let Some(file) = files.iter().find(|file| !plain(&file.name)) {
            return Err(Error::format(
                &path,
                format!("expected the name of a file, got {:?}", file.name),
            ));
        }
        let all = files
            .iter()
            .fold(0usize, |all, file| all.saturating_add(file.n_examples));
        if all != self.n_examples {
            let why = format!(
                "expected {} examples as in {METADATA}, got {all}: the shards are not complete; run saev again",
                self.n_examples
            );
            return Err(Error::format(&path, why));
        }
        Ok(files)
    }

    /// Files of a version without a list: each has as many examples as fit. The first that is missing ends them; opening it is an error.
    fn files_of_version_0(&self, folder: &Path) -> Vec<File> {
        let fit = (self.max_tokens_per_shard / self.layers.len() / self.tokens()).max(1);
        let name = |number: usize| format!("acts{number:06}.bin");
        let starts = (0..self.n_examples).step_by(fit).enumerate();
        let there = starts
            .take_while(|(number, _)| *number == 0 || folder.join(name(number - 1)).is_file());
        let file = |(number, start): (usize, usize)| File {
            name: name(number),
            n_examples: fit.min(self.n_examples - start),
        };
        there.map(file).collect()
    }

    /// Labels of all tokens but [CLS], if there are any.
    fn labels(&self, folder: &Path) -> Result<Option<Vec<u8>>> {
        let path = folder.join(LABELS);
        if !path.is_file() {
            return Ok(None);
        }
        let expected = self.n_examples * self.content_tokens_per_example;
        let length = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
        if length != expected as u64 {
            let why = format!(
                "expected {expected} labels, one for each token, got {length}; write the shards again with saev"
            );
            return Err(Error::format(&path, why));
        }
        std::fs::read(&path).map(Some).map_err(Error::io(&path))
    }

    /// Statement about tokens and layers that are not read.
    fn note(&self, folder: &Path, layer: usize, tokens: Tokens) -> Option<String> {
        let layer = self.layers[layer];
        let what = match tokens {
            Tokens::Content if self.cls_token => format!(
                "the [CLS] token of each example is left out; {}::{layer}/all reads it too",
                folder.display()
            ),
            Tokens::Content | Tokens::All => return None,
            Tokens::Cls => "the [CLS] token of each example, without the others".into(),
        };
        Some(format!("{}: layer {layer}: {what}", folder.display()))
    }
}

/// Rows of one layer, of some tokens of each example, in a file.
struct Picked {
    all: FileMatrix,
    /// Rows of the file for each example.
    every: usize,
    /// First of them that is read, and their number.
    from: usize,
    count: usize,
    examples: usize,
}

impl Picked {
    fn open(
        path: &Path,
        metadata: &Metadata,
        examples: usize,
        (layer, kind): (usize, Tokens),
    ) -> Result<Self> {
        let tokens = metadata.tokens();
        let every = metadata.layers.len() * tokens;
        let layout = MatrixLayout {
            offset: 0,
            element: Element::F32,
            big_endian: false,
            column_major: false,
            rows: examples * every,
            d_in: metadata.d_model,
        };
        let skipped = usize::from(kind == Tokens::Content && metadata.cls_token);
        Ok(Self {
            all: FileMatrix::open(path, layout)?,
            every,
            from: layer * tokens + skipped,
            count: metadata.count(kind),
            examples,
        })
    }
}

impl Source for Picked {
    fn name(&self) -> &str {
        self.all.name()
    }

    fn rows(&self) -> usize {
        self.examples * self.count
    }

    fn d_in(&self) -> usize {
        self.all.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let (mut row, mut out) = (start, out);
        while !out.is_empty() {
            let (example, token) = (row / self.count, row % self.count);
            let here = (self.count - token).min(out.len() / self.d_in());
            let (now, later) = out.split_at_mut(here * self.d_in());
            self.all
                .read(example * self.every + self.from + token, now)?;
            row += here;
            out = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
