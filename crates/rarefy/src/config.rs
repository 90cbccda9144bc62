//! Configuration of a run: layers of TOML merged into one [`Config`].
//!
//! Later layers win: built-in defaults, the sample's own defaults, a config file, `--set`, flags.
//! Everything below the [`plan`](crate::plan) sees only checked values.

mod clip;
mod data;
mod size;
mod train;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::variants::BiasStart;
pub use clip::Clip;
pub use data::DataConfig;
pub use size::ByteSize;
pub use train::{OptimizerKind, Recipe, TrainConfig};

use crate::{Error, Result};

/// All settings of a training run, in the three sections of a TOML config file. Made by [`merge`] or
/// `Config::default()` (architecture `kl` on the embedded data `sample:digits`). Taken by
/// [`Builder::config`](crate::Builder::config), [`Plan::new`](crate::plan::Plan::new) and
/// [`Trainer::stream`](crate::Trainer::stream). `None` in a field means the default, which the plan fills in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Section `[data]`: path of the rows, held-out rows, preprocessing.
    pub data: DataConfig,
    /// Section `[model]`: architecture, number of latents, options.
    pub model: ModelConfig,
    /// Section `[train]`: optimiser, schedules, length of the run, seed.
    pub train: TrainConfig,
}

/// Section `[model]` of a [`Config`]: architecture, number of latents, initial weights, biases, constraint on the
/// length of decoder rows, and options of the architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Name of the architecture, such as `topk`; `kl` by default.
    pub arch: String,
    /// Number of latents, `d_sae`; the default of the architecture if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<usize>,
    /// Path of a model whose weights replace the random start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Start value of the decoder's bias; the median for sparse architectures if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b_dec_start: Option<BiasStart>,
    /// If true, the encoder subtracts the decoder's bias from its input; true for sparse autoencoders if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub centre: Option<bool>,
    /// If true, a transcoder also predicts the target by a matrix applied to the input.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip: bool,
    /// Constraint on decoder rows: `unit`, `free` or `rescale`; the default of the architecture if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_norm: Option<DecoderNorm>,
    /// Options of the architecture, such as `k` or `l1`; see `rarefy list architectures`. Options left out have
    /// defaults.
    pub options: toml::Table,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            arch: "kl".into(),
            latents: None,
            init: None,
            b_dec_start: None,
            centre: None,
            skip: false,
            decoder_norm: None,
            options: toml::Table::new(),
        }
    }
}

/// Constraint on the length (L2 norm) of each latent's decoder row during training, configuration key
/// `model.decoder_norm`. Default: `Free` for `kl`, `Unit` for all other architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderNorm {
    /// Each decoder row is scaled to length 1 after every step.
    Unit,
    /// Decoder rows of any length, without a constraint.
    Free,
    /// Decoder rows of any length; pre-activations are multiplied by the length. The finished model has rows of length
    /// 1, see [`crate::variants::rescaled`].
    Rescale,
}

impl DecoderNorm {
    /// Name of the constraint as a configuration spells it: `unit`, `free` or `rescale`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Free => "free",
            Self::Rescale => "rescale",
        }
    }
}

/// Default settings of an embedded sample for an architecture; an empty layer for other data.
#[doc(hidden)]
pub fn sample_defaults(path: &str, arch: &str) -> toml::Table {
    let mut layer = toml::Table::new();
    let sample = path
        .strip_prefix("sample:")
        .and_then(|name| crate::data::samples::find(name).ok());
    for (key, value) in sample.map_or(&[][..], |sample| sample.defaults_of(arch)) {
        set(&mut layer, key, value).expect("the table of samples uses known keys");
    }
    layer
}

/// Dotted names of all keys of a config file, except options of architectures.
#[doc(hidden)]
pub fn keys() -> Vec<String> {
    let all = Config {
        data: DataConfig::with_every_key(),
        model: ModelConfig {
            latents: Some(1),
            init: Some(PathBuf::new()),
            b_dec_start: Some(BiasStart::Zero),
            centre: Some(true),
            skip: true,
            decoder_norm: Some(DecoderNorm::Free),
            ..ModelConfig::default()
        },
        train: TrainConfig::with_every_key(),
    };
    let table = toml::Table::try_from(all).expect("a config is a table");
    let mut keys = Vec::new();
    for (section, entries) in &table {
        let entries = entries.as_table().expect("each section is a table");
        keys.extend(
            entries
                .keys()
                .filter(|k| *k != "options")
                .map(|key| format!("{section}.{key}")),
        );
    }
    keys
}

/// Sets one key of a TOML table that [`merge`] takes later, as the option `--set model.options.rho=0.1` of the
/// command-line program does. `key` is dotted, such as `train.lr`. `value` is text, read as TOML and, where that fails,
/// as a string.
///
/// An existing value is replaced. A bare key is looked up among [`keys`] and then among the architectures' options, so
/// that `--set rho=0.1` works.
///
/// # Errors
/// [`Error::Unknown`] with the nearest key.
pub fn set(layer: &mut toml::Table, key: &str, value: &str) -> Result<()> {
    let path = full_key(key)?;
    insert(layer, &path, parse_value(value));
    Ok(())
}

/// A value read as TOML or, where that fails, as a string.
pub(crate) fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("v = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| toml::Value::String(text.into()))
}

/// Puts a value at a dotted path, making the tables on the way.
#[doc(hidden)]
pub fn insert(layer: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        None => {
            layer.insert(path.into(), value);
        }
        Some((head, rest)) => {
            let inner = layer
                .entry(head)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// Makes a [`Config`] from TOML tables, such as a parsed config file and later [`set`] values. A value in a later table
/// replaces that of an earlier one; fields that no table sets have their defaults. An unknown key is an error.
///
/// # Errors
/// [`Error::Unknown`] with the nearest key; [`Error::Conflict`] for a value of a wrong type.
pub fn merge(layers: &[toml::Table]) -> Result<Config> {
    let mut merged = toml::Table::new();
    for layer in layers {
        check_keys(layer)?;
        overlay(&mut merged, layer);
    }
    Config::deserialize(toml::Value::Table(merged))
        .map_err(|e| Error::Conflict(format!("config: {}", in_plain_words(e.message()))))
}

/// Message about a value of a wrong type, without the names of Rust types.
fn in_plain_words(message: &str) -> String {
    message
        .replace("expected usize", "expected a whole number not below 0")
        .replace("expected u64", "expected a whole number not below 0")
        .replace("expected f64", "expected a number")
}

fn overlay(base: &mut toml::Table, top: &toml::Table) {
    for (key, value) in top {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(top)) => overlay(base, top),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

fn option_keys() -> Vec<String> {
    let mut keys: Vec<String> = crate::variants::VARIANTS
        .iter()
        .flat_map(super::variants::Info::options)
        .map(|option| format!("model.options.{}", option.name))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn full_key(key: &str) -> Result<String> {
    let mut known = keys();
    known.extend(option_keys());
    if known.iter().any(|k| k == key) {
        return Ok(key.into());
    }
    let bare = key.replace('-', "_");
    let matches = |k: &&String| k.rsplit('.').next() == Some(bare.as_str());
    known.iter().find(matches).cloned().ok_or_else(|| {
        // Compare bare names with bare names, so that `lattents` finds `latents`.
        let short = known
            .iter()
            .map(|k| k.rsplit('.').next().unwrap_or(k).to_owned());
        Error::unknown(
            "config key",
            key,
            if key.contains('.') {
                known.clone()
            } else {
                short.collect()
            },
        )
    })
}

fn check_keys(layer: &toml::Table) -> Result<()> {
    let mut known = keys();
    known.extend(option_keys());
    let sections = ["data", "model", "train"];
    for (section, entries) in layer {
        let Some(entries) = entries
            .as_table()
            .filter(|_| sections.contains(&section.as_str()))
        else {
            return Err(Error::unknown("config section", section, sections));
        };
        for (key, value) in entries {
            let options = (section == "model" && key == "options")
                .then(|| value.as_table())
                .flatten();
            let dotted: Vec<String> = match options {
                Some(options) => options
                    .keys()
                    .map(|o| format!("model.options.{o}"))
                    .collect(),
                None => vec![format!("{section}.{key}")],
            };
            if let Some(unknown) = dotted.iter().find(|d| !known.contains(d)) {
                return Err(Error::unknown("config key", unknown, known));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_override_and_bare_keys_are_found() {
        let mut flags = toml::Table::new();
        set(&mut flags, "rho", "0.2").unwrap();
        set(&mut flags, "latents", "25").unwrap();
        let file: toml::Table = "[model]\nlatents = 9\n[train]\nseed = 3".parse().unwrap();
        let config = merge(&[file, flags]).unwrap();
        assert_eq!((config.model.latents, config.train.seed), (Some(25), 3));
        assert_eq!(config.model.options["rho"].as_float(), Some(0.2));
    }

    #[test]
    fn unknown_key_error_suggests_the_nearest() {
        let file: toml::Table = "[model]\nlatent = 9".parse().unwrap();
        let error = merge(&[file]).unwrap_err().to_string();
        assert!(error.contains("did you mean `model.latents`?"), "{error}");
        assert!(set(&mut toml::Table::new(), "latnets", "1").is_err());
    }

    #[test]
    fn config_written_as_toml_reads_back_equal() {
        for clip in [None, Some(Clip::None), Some(Clip::Norm(0.5))] {
            let mut config = Config::default();
            config.train.clip = clip;
            let text = toml::to_string(&config).unwrap();
            assert_eq!(merge(&[text.parse().unwrap()]).unwrap(), config);
        }
    }

    #[test]
    fn clip_accepts_a_number_or_none() {
        let of = |text: &str| merge(&[format!("[train]\nclip = {text}").parse().unwrap()]);
        let clip = |text: &str| of(text).unwrap().train.clip.unwrap().norm();
        assert_eq!(
            (clip("2"), clip("0.5"), clip("'none'")),
            (Some(2.0), Some(0.5), None)
        );
        let refused = of("'tight'").unwrap_err().to_string();
        assert!(refused.contains("expected a number or none"), "{refused}");
    }
}
