//! Settings of a run beside those that it recorded.

use std::collections::{BTreeMap, BTreeSet};

use rarefy::config::{self, Config};
use rarefy::{Error, Result};
use toml::{Table, Value};

use crate::folder::Run;

/// Setting that differs from the record of a run, with its values as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Dotted key.
    pub key: String,
    /// Value in the record.
    pub was: String,
    /// Value from here on.
    pub is: String,
}

impl Change {
    /// Warning of a run that goes on with it.
    pub fn warning(&self) -> String {
        let Self { key, was, is } = self;
        format!("`{key}` was {was} when the run began and is {is} from here on")
    }
}

/// Settings that differ from a record. The number of threads changes no result.
pub fn changes(recorded: &Table, config: &Config) -> Result<Vec<Change>> {
    let table = |config: &Config| {
        Table::try_from(config).map_err(|e| Error::Conflict(format!("the configuration: {e}")))
    };
    let before = values(&table(&config::merge(std::slice::from_ref(recorded))?)?);
    let now = values(&table(config)?);
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let show = |value: Option<&String>| value.map_or("unset", String::as_str).to_owned();
    let changed = keys.into_iter().filter_map(|key| {
        let (was, is) = (before.get(key), now.get(key));
        (was != is && key != "train.threads").then(|| Change {
            key: key.clone(),
            was: show(was),
            is: show(is),
        })
    });
    Ok(changed.collect())
}

/// Refuses changes of a run that has no step left: its weights would not be those of its settings.
pub fn refuse_of_finished(run: &Run, changes: &[Change]) -> Result<()> {
    let counts = [
        "train.steps",
        "train.epochs",
        "train.checkpoint_every",
        "train.checkpoint_minutes",
        "train.keep_checkpoints",
        "train.keep_every",
    ];
    let changed = changes.iter().find(|c| !counts.contains(&c.key.as_str()));
    let Some(Change { key, was, is }) = changed else {
        return Ok(());
    };
    Err(Error::Conflict(format!(
        "{} is finished, so its settings stay: `{key}` was {was} and would be {is}; leave it out, plan more `train.steps`, or train in another folder",
        run.folder().display()
    )))
}

/// Keys with dots and values as text.
pub fn values(table: &Table) -> BTreeMap<String, String> {
    let text = |(key, value): (String, &Value)| (key, value.to_string());
    flat(table).into_iter().map(text).collect()
}

/// Keys with dots, and values.
pub fn flat(table: &Table) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => {
                let inner = flat(inner).into_iter();
                all.extend(inner.map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => drop(all.insert(key.clone(), value)),
        }
    }
    all
}
