//! Models of a frontier: one configuration, and for each architecture the settings of its dial.

use std::sync::Arc;

use rarefy::config::{self, Config};
use rarefy::plan::Plan;
use rarefy::recipe::TrainingData;
use rarefy::variants::{self, Dial, DialSettings, Info, VARIANTS};
use rarefy::{Error, Result};
use toml::{Table, Value};

use super::choices::{Choices, Place};
use super::results::Skipped;
use crate::cli::FrontierArgs;
use crate::configuration::{self, count};

/// Keys that `--set` cannot change here, each with the reason.
const FIXED: &[(&str, &str, &str)] = &[
    ("data", "path", "the data is an argument"),
    ("data", "more", "the data is an argument"),
    ("model", "arch", "architectures are chosen by --arch"),
    ("model", "init", "every model starts from random weights"),
];

/// An architecture and the option that makes it sparser or denser.
#[derive(Clone, Copy)]
pub struct Line {
    pub info: &'static Info,
    pub dial: Dial,
}

/// A model of the frontier.
pub struct Candidate {
    pub arch: &'static str,
    /// Number of latents, if the frontier has several.
    pub latents: Option<usize>,
    pub option: &'static str,
    pub setting: String,
    /// Plan of the model, or the reason why it cannot be trained.
    pub plan: std::result::Result<Arc<Plan>, String>,
}

impl Candidate {
    /// Architecture and setting, as a phrase.
    pub fn name(&self) -> String {
        let latents = self.latents.map_or_else(String::new, |n| format!(" {n}"));
        format!("{}{latents} {} {}", self.arch, self.option, self.setting)
    }

    pub fn place(&self) -> Place<'_> {
        (self.arch, self.latents, &self.setting)
    }

    /// Record of a candidate that has no model.
    pub fn skipped(&self, why: &str) -> Skipped {
        Skipped {
            arch: self.arch.into(),
            latents: self.latents,
            option: self.option.into(),
            setting: self.setting.clone(),
            why: why.into(),
        }
    }
}

/// Places of all models, in order.
pub fn order(candidates: &[Candidate]) -> Vec<Place<'_>> {
    candidates.iter().map(Candidate::place).collect()
}

/// Lines of the architectures named in this call or in the frontier to resume, in the order of `VARIANTS`. A matching
/// pursuit is slow, so it is trained only if `--arch` names it.
pub fn lines(asked: &[String], before: &[String]) -> Result<Vec<Line>> {
    let named = || asked.iter().chain(before);
    for name in named() {
        if variants::find(name.trim())?.dial.is_none() {
            let why = format!("architecture {name} has no option that makes it sparser or denser");
            return Err(Error::Conflict(why));
        }
    }
    let wanted = |info: &&Info| match named().next() {
        Some(_) => named().any(|name| name.trim() == info.name),
        None => !info.pursues(),
    };
    let line = |info: &'static Info| {
        Some(Line {
            info,
            dial: info.dial?,
        })
    };
    Ok(VARIANTS.iter().filter(wanted).filter_map(line).collect())
}

/// Configuration shared by all models, from the frontier to resume, `--set` and flags.
///
/// The samples' default settings are not used: each suits one architecture.
pub fn configuration(args: &FrontierArgs, before: Option<&Table>) -> anyhow::Result<Config> {
    let set = configuration::from_set(&args.set)?;
    for (section, key, why) in FIXED {
        if find(&set, section, key).is_some() {
            let why = format!("--set {section}.{key} cannot be used with a frontier: {why}");
            return Err(Error::Conflict(why).into());
        }
    }
    let mut before = before.cloned().unwrap_or_default();
    if find(&set, "train", "epochs").is_some()
        && let Some(train) = before.get_mut("train").and_then(Value::as_table_mut)
    {
        // The saved steps were computed from the epochs of the earlier call.
        train.remove("steps");
    }
    let layers = [before, set, flags(args)];
    let holdout = |layer: &Table| find(layer, "data", "holdout").and_then(Value::as_integer);
    if layers.iter().filter_map(holdout).next_back() == Some(0) {
        let expected = "at least 1, because a frontier is measured on held-out rows";
        return Err(Error::hyper("holdout", expected, 0).into());
    }
    Ok(config::merge(&layers)?)
}

fn find<'a>(layer: &'a Table, section: &str, key: &str) -> Option<&'a Value> {
    layer.get(section)?.get(key)
}

fn flags(args: &FrontierArgs) -> Table {
    let mut layer = Table::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config::insert(&mut layer, key, value);
        }
    };
    for (key, value) in configuration::paths(&args.data) {
        put(key, Some(value));
    }
    put("data.holdout", count(args.holdout));
    put(
        "data.preprocess",
        args.preprocess.as_deref().map(configuration::name_list),
    );
    let only = args.latents.first().filter(|_| args.latents.len() == 1);
    put("model.latents", count(only.copied()));
    put("train.steps", count(args.steps));
    put("train.batch", count(args.batch));
    args.source.put(&mut layer);
    args.seed.put(&mut layer);
    args.io.put(&mut layer);
    layer
}

/// Default number of held-out rows.
pub fn default_holdout(rows: usize) -> usize {
    (rows / 20).max(1000.min(rows / 5)).max(1)
}

/// Models of the frontier, with their common settings written to `config`: without a number of latents or steps,
/// all get the numbers of the first model.
pub fn candidates(
    config: &mut Config,
    lines: &[Line],
    choices: &Choices,
    data: &TrainingData,
) -> Result<Vec<Candidate>> {
    check_options(config, lines)?;
    if !choices.k.is_empty() && !lines.iter().any(|line| line.dial.option == "k") {
        let why = "--k has no meaning here: none of the architectures has an option k";
        return Err(Error::Conflict(why.into()));
    }
    let all = |config: &Config| -> Result<Vec<Candidate>> {
        if choices.latents.is_empty() {
            return planned(config, lines, choices, data);
        }
        let mut wide = config.clone();
        let of_width = |latents: &usize| {
            wide.model.latents = Some(*latents);
            let mut planned = planned(&wide, lines, choices, data)?;
            planned.iter_mut().for_each(|c| c.latents = Some(*latents));
            Ok(planned)
        };
        let found = choices.latents.iter().map(of_width);
        Ok(found
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect())
    };
    let first = all(config)?;
    let Some(plan) = first
        .iter()
        .find_map(|candidate| candidate.plan.as_ref().ok())
    else {
        let why = first
            .iter()
            .find_map(|candidate| candidate.plan.as_ref().err());
        let why = why.map_or("no architecture", String::as_str);
        return Err(Error::Conflict(format!("nothing can be trained: {why}")));
    };
    config.model.latents = choices.latents.is_empty().then(|| plan.d_sae());
    config.train.steps = Some(plan.steps());
    config.train.epochs = None;
    config.train.batch = Some(plan.batch());
    let mut candidates = all(config)?;
    // All models of an architecture stand together.
    let line = |arch: &str| lines.iter().position(|line| line.info.name == arch);
    candidates.sort_by_key(|candidate| line(candidate.arch));
    Ok(candidates)
}

/// Refuses options that no architecture has, and options that the frontier varies itself.
fn check_options(config: &Config, lines: &[Line]) -> Result<()> {
    let options = &config.model.options;
    let aims = match options.get("penalty").and_then(|value| value.as_str()) {
        Some(penalty) => ["target", "quadratic"].contains(&penalty),
        // Alone, a target sets the penalty.
        None => options.contains_key("target_l0"),
    };
    if aims && lines.iter().any(|line| has(line.info, "target_l0")) {
        let why = "under a target, the weight that the frontier varies does not set L0: train each target with \
             `rarefy train DATA --arch jumprelu --target-l0 N --out RUN`, then `rarefy compare RUN...`";
        return Err(Error::Conflict(why.into()));
    }
    for key in config.model.options.keys() {
        if !lines.iter().any(|line| has(line.info, key)) {
            let names: Vec<&str> = lines.iter().map(|line| line.info.name).collect();
            let names = names.join(", ");
            return Err(Error::Conflict(format!(
                "none of {names} has the option {key}"
            )));
        }
        let turned = lines.iter().find_map(|line| match line.dial.settings {
            DialSettings::These(settings) if line.dial.option == key => Some(settings),
            _ => None,
        });
        if let Some(settings) = turned {
            let settings = settings.join(", ");
            let why = format!(
                "the frontier varies option {key} itself ({settings}); remove it from --set"
            );
            return Err(Error::Conflict(why));
        }
    }
    Ok(())
}

fn planned(
    config: &Config,
    lines: &[Line],
    choices: &Choices,
    data: &TrainingData,
) -> Result<Vec<Candidate>> {
    let mut all = Vec::new();
    for line in lines {
        let (arch, option) = (line.info.name, line.dial.option);
        for setting in settings(config, line, choices, data)? {
            let plan = match data.plan(&of(config, line, Some(&setting))) {
                Ok(plan) => Ok(Arc::new(plan)),
                // The data or the number of latents has no room for it, but perhaps for others.
                Err(error) if is_about(&error, option) => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            all.push(Candidate {
                arch,
                latents: None,
                option,
                setting,
                plan,
            });
        }
    }
    Ok(all)
}

/// Settings of a dial as texts, as one would type them.
fn settings(
    config: &Config,
    line: &Line,
    choices: &Choices,
    data: &TrainingData,
) -> Result<Vec<String>> {
    if line.dial.option == "k" && !choices.k.is_empty() {
        return Ok(choices.k.iter().map(ToString::to_string).collect());
    }
    match line.dial.settings {
        DialSettings::These(settings) => Ok(settings.iter().map(ToString::to_string).collect()),
        DialSettings::Times(factors) => {
            let middle = data
                .plan(&of(config, line, None))?
                .options()
                .number(line.dial.option);
            Ok(factors
                .iter()
                .map(|factor| typed(factor * middle))
                .collect())
        }
    }
}

/// Number rounded to three digits.
fn typed(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    rounded.to_string()
}

/// Configuration of one model, with the given options that its architecture has.
fn of(config: &Config, line: &Line, setting: Option<&str>) -> Config {
    let mut config = config.clone();
    config.model.arch = line.info.name.into();
    let options = &mut config.model.options;
    options.retain(|key, _| has(line.info, key));
    if let Some(setting) = setting {
        options.insert(line.dial.option.into(), Value::String(setting.into()));
    }
    config
}

fn has(info: &Info, key: &str) -> bool {
    info.options().iter().any(|option| option.name == key)
}

/// True if the error refuses a value of `option`, named with or without its section.
fn is_about(error: &Error, option: &str) -> bool {
    match error {
        Error::Hyper { name, .. } => name.rsplit('.').next() == Some(option),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_held_out_but_not_too_few() {
        for (rows, expected) in [
            (1, 1),
            (100, 20),
            (1797, 359),
            (5000, 1000),
            (20_000, 1000),
            (300_000, 15_000),
        ] {
            assert_eq!(default_holdout(rows), expected, "{rows}");
        }
    }

    #[test]
    fn settings_are_typed_with_three_digits() {
        let typed = [1234.5, 0.012_345, 2.0, 0.0, 4.0 * 0.777].map(typed);
        assert_eq!(typed, ["1230", "0.0123", "2", "0", "3.11"]);
    }

    #[test]
    fn lines_stand_in_the_order_of_the_table_and_slow_ones_are_asked_for() {
        let names = |asked: &[&str], before: &[&str]| -> Vec<&str> {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
            let lines = lines(&owned(asked), &owned(before)).unwrap();
            lines.iter().map(|line| line.info.name).collect()
        };
        assert_eq!(
            names(&["topk", "relu", "topk"], &["gated"]),
            ["relu", "topk", "gated"]
        );
        assert_eq!(names(&["matching-pursuit"], &[]), ["matching-pursuit"]);
        let all = names(&[], &[]);
        let dials = VARIANTS.iter().filter(|info| info.dial.is_some()).count();
        assert_eq!(all.len() + 1, dials);
        assert!(!all.contains(&"matching-pursuit"));
    }
}
