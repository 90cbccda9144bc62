//! Hints below errors and warnings: flags of the configuration fields that a message names.
//!
//! The library names fields in backticks, such as `train.k_start`. This module finds them and adds the flag of the
//! command that was called: `--k-start`, or `--set train.k_start=VALUE` if the command has no such flag.

use std::io::ErrorKind;
use std::path::Path;

use clap::Command;
use rarefy::Error;
use rarefy::variants::VARIANTS;

/// Way to set a field of the configuration on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Setter {
    /// Positional argument.
    Argument(&'static str),
    /// Flag, without the two dashes.
    Flag(&'static str),
    /// `--set FIELD=VALUE`, for fields without a flag.
    Set,
}

use Setter::{Argument, Flag, Set};

/// Fields of the configuration with their flags. Options of architectures follow a rule: see [`setter`].
const FIELDS: &[(&str, Setter)] = &[
    ("data.path", Argument("data")),
    ("data.with", Flag("with")),
    ("data.target", Flag("target")),
    ("data.rows", Flag("rows")),
    ("data.holdout", Flag("holdout")),
    ("data.member", Flag("member")),
    ("data.header", Flag("header")),
    ("data.more", Argument("data")),
    ("data.columns", Flag("columns")),
    ("data.exclude", Flag("exclude")),
    ("data.label", Flag("label")),
    ("data.text", Flag("text")),
    ("data.row_axis", Flag("row-axis")),
    ("data.skip_bad_rows", Flag("skip-bad-rows")),
    ("data.preprocess", Flag("preprocess")),
    ("data.preprocess_target", Flag("preprocess-target")),
    ("data.image_shape", Flag("image-shape")),
    ("data.memory", Flag("memory")),
    ("model.arch", Flag("arch")),
    ("model.latents", Flag("latents")),
    ("model.init", Flag("init")),
    ("model.b_dec_start", Flag("b-dec-start")),
    ("model.centre", Flag("centre")),
    ("model.skip", Flag("skip")),
    ("model.decoder_norm", Flag("decoder-norm")),
    ("train.optimizer", Flag("optimizer")),
    ("train.steps", Flag("steps")),
    ("train.epochs", Flag("epochs")),
    ("train.batch", Flag("batch")),
    ("train.lr", Flag("lr")),
    ("train.lr_warmup", Flag("lr-warmup")),
    ("train.lr_decay", Flag("lr-decay")),
    ("train.lr_schedule", Flag("lr-schedule")),
    ("train.lr_end", Flag("lr-end")),
    ("train.k_start", Flag("k-start")),
    ("train.k_anneal", Flag("k-anneal")),
    ("train.p_end", Flag("p-end")),
    ("train.p_from", Flag("p-from")),
    ("train.sparsity_warmup", Flag("sparsity-warmup")),
    ("train.momentum", Set),
    ("train.beta1", Flag("beta1")),
    ("train.beta2", Flag("beta2")),
    ("train.ema", Flag("ema")),
    ("train.mask", Flag("mask")),
    ("train.resample_every", Flag("resample-every")),
    ("train.resample", Flag("resample")),
    ("train.clip", Flag("clip")),
    ("train.history", Set),
    ("train.tolerance", Flag("tolerance")),
    ("train.seed", Flag("seed")),
    ("train.threads", Flag("threads")),
    ("train.shuffle", Flag("no-shuffle")),
    ("train.checkpoint_every", Set),
    ("train.checkpoint_minutes", Set),
    ("train.keep_checkpoints", Set),
    ("train.keep_every", Set),
];

/// Options of patches and stores, which are no fields of the configuration, with their flags.
const OF_DATA: &[(&str, &str)] = &[
    ("store.append", "append"),
    ("store.dtype", "dtype"),
    ("store.model", "model"),
    ("store.module", "module"),
    ("store.outlier_norm", "outlier-norm"),
    ("store.resume", "resume"),
    ("store.shard_rows", "shard-rows"),
    ("store.skip_first", "skip-first"),
    ("store.skip_tokens", "skip-tokens"),
    ("patches.count", "count"),
    ("patches.accept_damaged", "accept-damaged"),
];

/// Section of the architectures' options; the flag of `model.options.aux_k` is `--aux-k`.
const OPTIONS: &str = "model.options.";

/// Hints for an error: advice for its kind, then the flags of the fields that its message names.
pub fn for_error(error: Option<&Error>, message: &str, command: &Command) -> Vec<String> {
    let set = if message.contains("has no meaning here") {
        fields_with_flags(message, command, "is set with")
    } else {
        fields_with_flags(message, command, "with").map(|flags| format!("set {flags}"))
    };
    error.and_then(advice).into_iter().chain(set).collect()
}

/// Hint for a warning or note: the flags of the fields that it names.
pub fn for_warning(warning: &str, command: &Command) -> Option<String> {
    fields_with_flags(warning, command, "is set with")
}

/// Fields that a message names, each with its flag; `None` if it names no field.
fn fields_with_flags(message: &str, command: &Command, verb: &str) -> Option<String> {
    let mut known: Vec<String> = Vec::new();
    // A name after "did you mean" corrects a misspelt one, and is not a field to set.
    let facts = message.split("did you mean").next().unwrap_or_default();
    for quoted in facts.split('`').skip(1).step_by(2) {
        let field = quoted.split([' ', '=']).next().unwrap_or_default();
        let flag = setter(field).and_then(|setter| flag(field, setter, command));
        let hint = flag.map(|flag| format!("`{field}` {verb} {flag}"));
        if let Some(hint) = hint.filter(|hint| !known.contains(hint)) {
            known.push(hint);
        }
    }
    (!known.is_empty()).then(|| known.join(", "))
}

/// Setter of a dotted field, or `None` for other words.
fn setter(field: &str) -> Option<Setter> {
    if let Some(option) = field.strip_prefix(OPTIONS) {
        let mut all = VARIANTS.iter().flat_map(rarefy::variants::Info::options);
        return all
            .find(|info| info.name == option)
            .map(|info| Flag(info.name));
    }
    if let Some((_, flag)) = OF_DATA.iter().find(|(name, _)| *name == field) {
        return Some(Flag(flag));
    }
    let found = FIELDS.iter().find(|(name, _)| *name == field);
    found.map(|(_, setter)| *setter)
}

/// Flag or argument as typed, such as `--lr`, or `None` if the command cannot set the field.
fn flag(field: &str, setter: Setter, command: &Command) -> Option<String> {
    let has = |long: &str| {
        command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(long))
    };
    match setter {
        Argument(id) => {
            let found = command.get_positionals().find(|arg| arg.get_id() == id)?;
            Some(format!(
                "the argument {}",
                found.get_value_names()?.first()?
            ))
        }
        Flag(name) if has(&name.replace('_', "-")) => Some(format!("--{}", name.replace('_', "-"))),
        _ if has("set") => Some(format!("--set {field}=VALUE")),
        _ => None,
    }
}

/// Advice for errors of some kinds.
fn advice(error: &Error) -> Option<String> {
    match error {
        Error::Io { path, source }
            if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&source.kind())
                && path.ends_with("cfg.json") =>
        {
            let folder = path.parent()?;
            if folder.join("config.toml").exists() {
                let run = folder.display();
                return Some(format!(
                    "this run has no model yet; continue with: rarefy train --out {run} --resume"
                ));
            }
            Some(
                "a model is a run folder, or a folder with cfg.json and sae_weights.safetensors; it stands before the data"
                    .into(),
            )
        }
        Error::Io { path, source } if source.kind() == ErrorKind::NotFound => {
            let name = path.to_str()?;
            let sample = rarefy::data::SAMPLES.iter().find(|s| s.name == name);
            let sample = sample.map(|s| format!("write sample:{} for the embedded sample", s.name));
            sample.or_else(|| similar(path))
        }
        Error::Format { why, .. } if why.starts_with("a file; expected a run folder") => {
            Some("give the folder of a model first, then the data".into())
        }
        Error::Format { path, .. } if path.parent()?.ends_with("checkpoints") => {
            Some("no older checkpoint can be read; start again with --force".into())
        }
        Error::Diverged { step: 0, .. } => {
            Some("the values may be too large or too small: try --preprocess scale or --preprocess standardise".into())
        }
        Error::Diverged { .. } => Some(
            "try a smaller --lr, --clip 1, or --preprocess scale; the newest checkpoint is from before the divergence"
                .into(),
        ),
        Error::NotFinite { .. } => Some("leave such rows out with --skip-bad-rows, or replace the values".into()),
        Error::Unknown { what, .. } if what.starts_with("config") => {
            Some("the config.toml of any run shows every key".into())
        }
        _ => None,
    }
}

/// Name of a file or folder beside a missing one that is spelled nearly like it.
fn similar(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let read = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let names = std::fs::read_dir(read).ok()?.flatten();
    let names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let near = rarefy::nearest(path.file_name()?.to_str()?, &names)?;
    Some(format!("there is {}", folder.join(near).display()))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;
    use crate::cli::named as command;

    /// Flags of `train` that set no field of the configuration.
    const OTHERS: [&str; 13] = [
        "out",
        "sweep",
        "config",
        "set",
        "resume",
        "force",
        "tensorboard",
        "log-every",
        "timings",
        "json",
        "quiet",
        "help",
        "version",
    ];

    #[test]
    fn every_field_has_one_entry_and_every_entry_is_a_field() {
        let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        let mut keys = rarefy::config::keys();
        keys.sort_unstable();
        assert_eq!(sorted, keys);
    }

    #[test]
    fn field_without_meaning_is_not_to_be_set() {
        let hints = |message: &str| for_error(None, message, &command("train"));
        assert_eq!(
            hints("x.npy: `data.header` has no meaning here; leave it out"),
            ["`data.header` is set with --header"]
        );
        assert_eq!(
            hints("x.csv: set `data.header` to true or false"),
            ["set `data.header` with --header"]
        );
    }

    #[test]
    fn every_entry_is_an_argument_of_train_and_every_flag_has_an_entry() {
        let train = command("train");
        let longs: Vec<&str> = train.get_arguments().filter_map(Arg::get_long).collect();
        for (field, setter) in FIELDS {
            match setter {
                Argument(id) => assert!(
                    train.get_positionals().any(|arg| arg.get_id() == id),
                    "{field}"
                ),
                Flag(flag) => assert!(longs.contains(flag), "{field}"),
                Set => {
                    let key = field.rsplit('.').next().unwrap().replace('_', "-");
                    assert!(!longs.contains(&&*key), "{field} has the flag --{key}");
                }
            }
        }
        let is_option =
            |long: &str| setter(&format!("{OPTIONS}{}", long.replace('-', "_"))).is_some();
        for &long in &longs {
            let entry = FIELDS
                .iter()
                .any(|(_, setter)| matches!(setter, Flag(flag) if *flag == long));
            let other = OTHERS.contains(&long) || is_option(long);
            assert!(entry != other, "--{long}");
        }
    }

    #[test]
    fn flags_follow_the_command() {
        let message = "`train.lr` must be above 0 and `model.options.aux_k` at least 1; `train.history = 5` is fine";
        for (name, expected) in [
            (
                "train",
                Some(
                    "`train.lr` with --lr, `model.options.aux_k` with --aux-k, `train.history` with --set train.history=VALUE",
                ),
            ),
            (
                "frontier",
                Some(
                    "`train.lr` with --set train.lr=VALUE, `model.options.aux_k` with --set model.options.aux_k=VALUE, `train.history` with --set train.history=VALUE",
                ),
            ),
            ("eval", None),
        ] {
            assert_eq!(
                fields_with_flags(message, &command(name), "with").as_deref(),
                expected,
                "{name}"
            );
        }
        let paths = "`data.path` and `data.target`, `data.target` again, `other.words` and `adam`";
        assert_eq!(
            fields_with_flags(paths, &command("eval"), "with").as_deref(),
            Some("`data.path` with the argument DATA, `data.target` with --target")
        );
    }

    #[test]
    fn warning_names_the_flag_of_its_field() {
        let hint = for_warning(
            "`train.beta2` has no effect with `signum`",
            &command("train"),
        );
        assert_eq!(hint.as_deref(), Some("`train.beta2` is set with --beta2"));
    }

    #[test]
    fn misspelt_key_gets_advice_without_flags() {
        let error = Error::unknown("config key", "train.sede", ["train.seed"]);
        let hints = for_error(Some(&error), &error.to_string(), &command("train"));
        assert_eq!(hints, ["the config.toml of any run shows every key"]);
    }
}
