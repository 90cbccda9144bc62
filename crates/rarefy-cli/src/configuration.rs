//! Configuration of a run, merged from flags, `--set`, a file and the sample's defaults.

use clap::ArgMatches;
use rarefy::config::{self, ByteSize, Config};
use rarefy::{Error, variants};
use rarefy_run::folder::Run;
use toml::{Table, Value};

use crate::cli::{DataArgs, TrainArgs, given_options};

mod file;

/// Configuration of the flags, after that of the run that is resumed.
pub fn of_command(args: &TrainArgs, matches: &ArgMatches) -> anyhow::Result<Config> {
    let before = match &args.out {
        Some(out) if args.resume => Some(from_run(&Run::at(out))?),
        _ => None,
    };
    merge(args, matches, before, &Table::new())
}

/// Merges the sample's defaults, the settings `before` of a run that is resumed, the config file, `--set`, flags, and the settings `last` of a sweep's
/// member.
pub fn merge(
    args: &TrainArgs,
    matches: &ArgMatches,
    before: Option<Table>,
    last: &Table,
) -> anyhow::Result<Config> {
    let mut layers = Vec::from_iter(before);
    if let Some(path) = &args.config {
        layers.push(file::read(path)?);
    }
    // A run's config.toml holds resolved values. A flag that replaces their cause must also remove them: the steps that
    // followed from epochs, the centring of an autoencoder's encoder, the end of a cosine schedule.
    if args.optimizer.epochs.is_some() {
        forget(&mut layers, "train", "steps");
    }
    let other_io = args.io.target.is_some() || !args.io.with.is_empty();
    if other_io && args.io.centre.is_none() {
        forget(&mut layers, "model", "centre");
    }
    if args.schedules.lr_schedule.as_deref() == Some("constant") {
        forget(&mut layers, "train", "lr_end");
    }
    layers.push(from_set(&args.set)?);
    layers.push(flags(args, matches)?);
    layers.push(last.clone());
    layers.insert(0, rarefy_run::by_data::defaults(&layers));
    let config = config::merge(&layers)?;
    variants::find(&config.model.arch)?;
    let defaults = config::sample_defaults(&config.data.path, &config.model.arch);
    layers.insert(0, defaults);
    Ok(config::merge(&layers)?)
}

/// Layer of the `--set KEY=VALUE` pairs: the one parser of that flag.
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

/// Removes a key from every layer.
fn forget(layers: &mut [Table], section: &str, key: &str) {
    for layer in layers {
        if let Some(section) = layer.get_mut(section).and_then(Value::as_table_mut) {
            section.remove(key);
        }
    }
}

/// Layer of the configuration that a run recorded.
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
    for (key, value) in paths(&args.data) {
        put(key, Some(value));
    }
    put("data.holdout", count(args.holdout));
    put("data.preprocess", args.preprocess.as_deref().map(name_list));
    if let Some((height, width)) = args
        .image_shape
        .as_deref()
        .map(|text| parse_size("data.image_shape", text))
        .transpose()?
    {
        put(
            "data.image_shape",
            Some(Value::Array(vec![
                (height as i64).into(),
                (width as i64).into(),
            ])),
        );
    }
    if let Some(size) = &args.memory {
        let expected = "a size such as 2GiB or 500MB";
        let parsed = size.parse::<ByteSize>();
        let parsed = parsed.map_err(|_| Error::hyper("data.memory", expected, size))?;
        put("data.memory", Some(Value::String(parsed.to_string())));
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
    args.source.put(&mut layer);
    args.optimizer.put(&mut layer)?;
    args.io.put(&mut layer);
    args.schedules.put(&mut layer);
    Ok(layer)
}

/// Paths of a command as `data::open_all` takes them.
pub fn as_paths(paths: &[String]) -> Vec<&str> {
    paths.iter().map(String::as_str).collect()
}

/// Values of `data.path` and `data.more` for the paths of a command; none without paths.
pub fn paths(paths: &[String]) -> Vec<(&'static str, Value)> {
    let Some((first, more)) = paths.split_first() else {
        return Vec::new();
    };
    let more = more.iter().cloned().map(Value::String).collect();
    vec![
        ("data.path", first.clone().into()),
        ("data.more", Value::Array(more)),
    ]
}

/// Count as a TOML integer. TOML has none above 2^63 - 1: such a count stays a text, which the configuration refuses.
pub fn count(n: Option<usize>) -> Option<Value> {
    n.map(|n| i64::try_from(n).map_or_else(|_| Value::String(n.to_string()), Value::Integer))
}

/// Names of a comma-separated list, as a TOML array.
pub fn name_list(list: &str) -> Value {
    let names = list.split(',').map(str::trim).filter(|s| !s.is_empty());
    Value::Array(names.map(|s| Value::String(s.into())).collect())
}

/// Height and width of a text such as `28x28`; `name` is the field or flag that errors name.
pub fn parse_size(name: &str, text: &str) -> rarefy::Result<(usize, usize)> {
    parse_pair(text)
        .filter(|(height, width)| height * width > 0)
        .ok_or_else(|| Error::hyper(name, "HEIGHTxWIDTH, such as 28x28", text))
}

/// Two whole numbers of a text such as `2x3`.
pub fn parse_pair(text: &str) -> Option<(usize, usize)> {
    let (first, second) = text.split_once('x')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

/// Options for opening the data of a command without a configuration file.
pub fn data_options(args: &DataArgs) -> rarefy::Result<rarefy::data::OpenOptions> {
    let mut layer = Table::new();
    args.put(&mut layer);
    Ok(config::merge(&[layer])?.data.open_options())
}
