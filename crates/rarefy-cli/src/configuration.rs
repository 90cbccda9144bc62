//! From flags and files to one configuration.

use clap::ArgMatches;
use rarefy::config::{self, Config};
use rarefy::{Error, variants};
use toml::{Table, Value};

use crate::cli::{DataArgs, TrainArgs, given_options};
use crate::run::Run;

mod file;

/// Merges the sample's defaults, the config file (or the run's own, when resuming), `--set` and flags.
pub fn merge(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<Config> {
    let mut layers = Vec::new();
    if args.resume
        && let Some(out) = &args.out
    {
        layers.push(from_run(&Run::at(out))?);
    }
    if let Some(path) = &args.config {
        layers.push(file::read(path)?);
    }
    // A run's own config.toml holds what came of words that now are others: the steps of its epochs, whether
    // an autoencoder's encoder is centred, where its cosine ends.
    if args.epochs.is_some() {
        forget(&mut layers, "train", "steps");
    }
    let rebound = args.io.target.is_some() || !args.io.with.is_empty();
    if rebound && args.io.centre.is_none() {
        forget(&mut layers, "model", "centre");
    }
    if args.aids.lr_schedule.as_deref() == Some("constant") {
        forget(&mut layers, "train", "lr_end");
    }
    layers.push(from_set(&args.set)?);
    layers.push(flags(args, matches)?);
    let config = config::merge(&layers)?;
    variants::find(&config.model.arch)?;
    let defaults = config::sample_defaults(&config.data.path, &config.model.arch);
    layers.insert(0, defaults);
    Ok(config::merge(&layers)?)
}

/// The layer of what `--set` gives.
pub fn from_set(pairs: &[String]) -> anyhow::Result<Table> {
    let mut set = Table::new();
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::hyper("--set", "KEY=VALUE", pair))?;
        let mut one = Table::new();
        config::set(&mut one, key.trim(), value.trim())?;
        if let Some((message, _)) = file::wrong_type(&toml::to_string(&one)?) {
            return Err(Error::Conflict(format!("--set {pair}: {message}")).into());
        }
        config::set(&mut set, key.trim(), value.trim())?;
    }
    Ok(set)
}

/// Takes a key out of every layer.
fn forget(layers: &mut [Table], section: &str, key: &str) {
    for layer in layers {
        if let Some(section) = layer.get_mut(section).and_then(Value::as_table_mut) {
            section.remove(key);
        }
    }
}

/// The configuration that a run recorded.
pub fn from_run(run: &Run) -> anyhow::Result<Table> {
    file::parse(&run.config_path(), &run.config_text()?)
}

fn flags(args: &TrainArgs, matches: &ArgMatches) -> rarefy::Result<Table> {
    let mut layer = Table::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config::insert(&mut layer, key, value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::String);
    put("data.path", text(&args.data));
    put("data.rows", count(args.source.rows));
    put("data.holdout", count(args.holdout));
    put("data.member", text(&args.source.member));
    put("data.header", args.source.header.map(Value::Boolean));
    put("data.preprocess", args.preprocess.as_deref().map(step_list));
    if let Some((height, width)) = args.image_shape.as_deref().map(parse_size).transpose()? {
        put(
            "data.image_shape",
            Some(Value::Array(vec![
                (height as i64).into(),
                (width as i64).into(),
            ])),
        );
    }
    put("model.arch", text(&args.arch));
    put("model.latents", count(args.latents));
    put(
        "model.init",
        args.init
            .as_ref()
            .map(|path| Value::String(path.display().to_string())),
    );
    put("model.decoder_norm", text(&args.decoder_norm));
    for (name, value) in given_options(matches) {
        put(&format!("model.options.{name}"), Some(Value::String(value)));
    }
    put("train.optimizer", text(&args.optimizer));
    put("train.steps", count(args.steps));
    put("train.epochs", count(args.epochs));
    put("train.batch", count(args.batch));
    put("train.lr", args.lr.map(Value::Float));
    if let Some(clip) = args.clip.as_deref() {
        let value = match (clip, clip.parse()) {
            ("none", _) => Value::String(clip.into()),
            (_, Ok(norm)) => Value::Float(norm),
            _ => return Err(Error::hyper("clip", "a number or none", clip)),
        };
        put("train.clip", Some(value));
    }
    put("train.tolerance", args.tolerance.map(Value::Float));
    put(
        "train.seed",
        args.seed.map(|seed| Value::Integer(seed as i64)),
    );
    put("train.threads", count(args.threads));
    put(
        "train.shuffle",
        args.no_shuffle.then_some(Value::Boolean(false)),
    );
    args.io.put(&mut layer);
    args.aids.put(&mut layer);
    Ok(layer)
}

/// A count as TOML has it, which knows none above 2^63.
pub fn count(n: Option<usize>) -> Option<Value> {
    n.map(|n| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX)))
}

/// Preprocessing steps from a list by commas.
pub fn step_list(list: &str) -> Value {
    let names = list.split(',').map(str::trim).filter(|s| !s.is_empty());
    Value::Array(names.map(|s| Value::String(s.into())).collect())
}

/// `28x28` as (height, width).
pub fn parse_size(text: &str) -> rarefy::Result<(usize, usize)> {
    let sides = text
        .split_once('x')
        .and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
    sides
        .filter(|(h, w)| h * w > 0)
        .ok_or_else(|| Error::hyper("size", "HEIGHTxWIDTH, such as 28x28", text))
}

/// The data part of a command that has no config file.
pub fn data_options(args: &DataArgs) -> rarefy::data::OpenOptions {
    rarefy::data::OpenOptions {
        member: args.member.clone(),
        header: args.header,
        rows: args.rows,
        ..rarefy::data::OpenOptions::default()
    }
}
