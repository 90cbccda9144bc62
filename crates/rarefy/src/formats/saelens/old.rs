//! Keys of `cfg.json` before version 6 of `SAELens`, brought to the form of version 6.
//!
//! The activation function then had keys of its own: `activation_fn_str` or `activation_fn`, and its arguments in
//! `activation_fn_kwargs`. A `topk` model was `architecture: standard` with `activation_fn: topk`. A switch
//! `finetuning_scaling_factor` added a factor for each latent, in the tensor `scaling_factor`.

use std::path::Path;

use serde_json::{Map, Value};

use super::config::Config;
use super::known::short;
use crate::{Error, Result};

/// Architectures whose activation function was `relu`.
const RELU: &[&str] = &[
    "standard",
    "gated",
    "jumprelu",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
];

/// Architectures that keep a fixed number of latents of each row.
const FIXED_K: &[&str] = &["topk", "abstopk"];

/// Replaces the keys of old folders by those of version 6. A value that this version cannot express is refused.
pub(super) fn upgrade(config: &mut Config, path: &Path) -> Result<()> {
    let activation = activation(config, path)?;
    let arguments = arguments(config, path)?;
    match activation.as_deref() {
        None => {}
        Some("relu") if RELU.contains(&config.architecture.as_str()) => {}
        Some("topk") if config.architecture == "topk" => {}
        Some("topk") if config.architecture == "standard" && !is_of_version_6(config) => {
            config.architecture = "topk".into();
        }
        Some(other @ ("relu" | "topk")) => {
            let why = format!(
                "{other} does not fit the architecture {}",
                config.architecture
            );
            return refuse(path, &format!("activation_fn: {why}"));
        }
        Some(other) => {
            return refuse(
                path,
                &format!("activation_fn: expected relu or topk, got {other}"),
            );
        }
    }
    take_arguments(config, path, arguments)?;
    let without_k = config.k.is_none() && !config.options.contains_key("k");
    if FIXED_K.contains(&config.architecture.as_str()) && without_k {
        return refuse(path, "k: expected the number of active latents, got none");
    }
    take_scaling(config, path)
}

fn refuse<T>(path: &Path, why: &str) -> Result<T> {
    Err(Error::format(path, why))
}

/// Name of the activation function, under one of its two keys.
fn activation(config: &mut Config, path: &Path) -> Result<Option<String>> {
    let mut found: Option<String> = None;
    for key in ["activation_fn_str", "activation_fn"] {
        let name = match config.other.remove(key) {
            None | Some(Value::Null) => continue,
            Some(Value::String(name)) => name,
            Some(other) => {
                return refuse(
                    path,
                    &format!("{key}: expected a name, got {}", short(&other)),
                );
            }
        };
        match &found {
            Some(first) if *first != name => {
                let both = format!("activation_fn: expected one name, got {first} and {name}");
                return refuse(path, &both);
            }
            _ => found = Some(name),
        }
    }
    Ok(found)
}

/// Arguments of the activation function.
fn arguments(config: &mut Config, path: &Path) -> Result<Map<String, Value>> {
    match config.other.remove("activation_fn_kwargs") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(arguments)) => Ok(arguments),
        Some(other) => {
            let why = format!(
                "activation_fn_kwargs: expected an object, got {}",
                short(&other)
            );
            refuse(path, &why)
        }
    }
}

/// Moves `k` out of the arguments, and refuses all others that have an effect.
fn take_arguments(config: &mut Config, path: &Path, arguments: Map<String, Value>) -> Result<()> {
    let of_topk = FIXED_K.contains(&config.architecture.as_str());
    for (name, value) in arguments {
        match (name.as_str(), value) {
            (_, Value::Null) | ("use_sparse_activations", _) | ("signed", Value::Bool(false)) => {}
            ("k", Value::Number(k)) if of_topk => {
                if let Some(other) = config.k.as_ref().filter(|other| **other != k) {
                    return refuse(
                        path,
                        &format!("k: expected one number, got {other} and {k}"),
                    );
                }
                config.k = Some(k);
            }
            (name, value) => {
                let why = format!(
                    "activation_fn_kwargs: {name}: expected no such argument for the architecture {}, got {}",
                    config.architecture,
                    short(&value)
                );
                return refuse(path, &why);
            }
        }
    }
    Ok(())
}

/// Takes the switch of the factors for each latent.
fn take_scaling(config: &mut Config, path: &Path) -> Result<()> {
    config.scaled = match config.other.remove("finetuning_scaling_factor") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(other) => {
            let got = short(&other);
            let why = format!("finetuning_scaling_factor: expected true or false, got {got}");
            return refuse(path, &why);
        }
    };
    Ok(())
}

/// True if the folder says that version 6 or a later one wrote it.
fn is_of_version_6(config: &Config) -> bool {
    let outer = config.other.get("sae_lens_version").and_then(Value::as_str);
    let version = outer.or(config.metadata.sae_lens_version.as_deref());
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 6)
}

#[cfg(test)]
mod tests;
