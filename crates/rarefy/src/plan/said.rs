//! Settings that are checked without data: architecture, options, optimiser, length of the run.

use super::defaults::{length, optimizer};
use super::refusals::{bind, check_aids, check_units, refuse_others_options};
use crate::config::{Config, OptimizerKind};
use crate::io_spec::IoSpec;
use crate::variants::{self, Architecture, Info, Length, Options};
use crate::{Error, Result};

/// Input and output columns of a configuration, with a width of 1 for each input and the target.
pub(super) fn one_each(config: &Config) -> Result<IoSpec> {
    let inputs = vec![1; 1 + config.data.with.len()];
    IoSpec::new(&inputs, config.data.target.as_ref().map(|_| 1))
}

/// Input and output columns of a configuration without its data; only the layout counts, not the widths.
pub(crate) fn said_io(config: &Config, info: &Info) -> Result<IoSpec> {
    bind(one_each(config)?, config, info)
}

/// Settings that were checked without data.
pub(super) struct Said {
    pub(super) info: &'static Info,
    pub(super) options: Options,
    pub(super) optimizer: OptimizerKind,
    pub(super) length: Length,
}

impl Said {
    pub(super) fn of(config: &Config) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        refuse_others_options(info, &model.options)?;
        let optimizer = optimizer(info, train)?;
        let (options, architecture) = checked_options(info, &model.options)?;
        check_aids(train, (info, &architecture), optimizer)?;
        check_units(config, &architecture)?;
        Ok(Self {
            info,
            options,
            optimizer,
            length: length(train, optimizer, &info.defaults)?,
        })
    }
}

/// Options of an architecture, checked, and the architecture that they describe.
pub(crate) fn checked_options(info: &Info, given: &toml::Table) -> Result<(Options, Architecture)> {
    let named = |error| name_field(error, info, given);
    let given = &with_aim(info, given);
    let options = Options::check(info.options(), option_texts(given)).map_err(named)?;
    let architecture = info.build(&options).map_err(named)?;
    Ok((options, architecture))
}

/// The options, with the penalty that a target of L0 asks for, if none is named.
fn with_aim(info: &Info, given: &toml::Table) -> toml::Table {
    let mut given = given.clone();
    let has_penalty = info.options().iter().any(|option| option.name == "penalty");
    if has_penalty && given.contains_key("target_l0") && !given.contains_key("penalty") {
        given.insert("penalty".into(), "target".into());
    }
    given
}

/// Names an option in an error by its field, and says so if the value is a default.
pub(super) fn name_field(error: Error, info: &Info, given: &toml::Table) -> Error {
    let ours = |name: &str| info.options().iter().any(|option| option.name == name);
    match error {
        Error::Hyper {
            name,
            expected,
            got,
        } if ours(&name) && !given.contains_key(&name) => {
            let or = if expected.contains("latents") {
                " or `model.latents`"
            } else {
                ""
            };
            Error::Conflict(format!(
                "the default {name} of {got} must be {expected}; set `model.options.{name}`{or}"
            ))
        }
        Error::Hyper {
            name,
            expected,
            got,
        } if ours(&name) => Error::Hyper {
            name: format!("model.options.{name}"),
            expected,
            got,
        },
        other => other,
    }
}

/// Names and texts of options, as the option table checks them.
fn option_texts(options: &toml::Table) -> impl Iterator<Item = (&str, String)> {
    options.iter().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key.as_str(), text)
    })
}
