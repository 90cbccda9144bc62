//! Options of architectures and add-ons: one declaration feeds flags, configuration keys, lists, docs, defaults and
//! range checks.
//!
//! `option_set!` declares a struct with one typed field for each option. The doc text of a field is the help text of
//! the option. [`OptionSet::TABLE`] is the same declaration as data, for programs that walk over all options.
//! [`Options`] are checked values of any table; [`OptionSet::read`] turns them into the struct.
//!
//! # Example
//! ```
//! use rarefy::options::{Auto, OptionSet, Options};
//! use rarefy::variants::ReluOptions;
//! let given = [("l1", "0.5".to_owned()), ("p_root", "false".to_owned())];
//! let relu = ReluOptions::read(&Options::check(ReluOptions::TABLE, given)?);
//! assert_eq!((relu.penalty.l1, relu.p, relu.p_root), (Auto::Value(0.5), 1.0, false));
//! // The same struct as the table `model.options` of a configuration, and back.
//! let table = toml::Table::try_from(&relu).unwrap();
//! assert_eq!(table["l1"].as_float(), Some(0.5));
//! assert_eq!(table.try_into::<ReluOptions>().unwrap(), relu);
//! # Ok::<(), rarefy::Error>(())
//! ```

mod declare;

pub use declare::{OptionField, OptionSet};
pub(crate) use declare::{count, deserialize, join, option_set, words};

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Serialize, Serializer};

use crate::{Error, Result};

/// One option of an architecture: `--weight-decay` on the command line, `weight_decay` in a configuration.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// Key in a configuration; the flag has `-` for `_`.
    pub name: &'static str,
    /// Help text: meaning, unit, default, when to change it.
    pub help: &'static str,
    /// Values that the option takes.
    pub kind: Kind,
    /// Default, as one would type it.
    pub default: &'static str,
    /// Unit of a number, given the values of all options.
    pub unit: fn(&Options) -> Unit,
}

/// Unit of an option's number: how the number changes when the rows are multiplied by a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// Weight of a term that grows as this power of the rows.
    Weight(f64),
    /// Pre-activation, or a length of rows.
    Activation,
    /// Reciprocal of a pre-activation.
    PerActivation,
    /// Plain number, the same for rows of any scale.
    Number,
}

impl Unit {
    /// Unit of a plain number.
    pub const fn number(_: &Options) -> Self {
        Self::Number
    }

    /// Unit of a pre-activation.
    pub const fn activation(_: &Options) -> Self {
        Self::Activation
    }

    /// Unit of a reciprocal pre-activation.
    pub const fn per_activation(_: &Options) -> Self {
        Self::PerActivation
    }

    /// Unit of the weight of a term that does not grow with the rows.
    pub const fn weight_of_count(_: &Options) -> Self {
        Self::Weight(0.0)
    }

    /// Unit of the weight of a term that grows in proportion to the rows.
    pub const fn weight_of_length(_: &Options) -> Self {
        Self::Weight(1.0)
    }
}

/// Values that an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A number in the open interval.
    Open(f64, f64),
    /// A number not below this.
    AtLeast(f64),
    /// A whole number not below this.
    Count(usize),
    /// A whole number not below this, or `auto`: chosen by the plan.
    AutoCount(usize),
    /// A number not below this, or `auto`: chosen by the plan.
    AutoAtLeast(f64),
    /// A number above this, or `auto`: chosen by the plan.
    AutoAbove(f64),
    /// Positive numbers by commas, or `auto`: chosen by the plan.
    Numbers,
    /// `true` or `false`; a bare flag on the command line means `true`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Absolute values of numbers other than 0: their squares and reciprocals are finite in f64, and most in f32.
const USUAL: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

impl Kind {
    /// The values as a phrase after "must be".
    pub fn expected(&self) -> String {
        match self {
            Self::Open(low, high) => format!("a number in ({low}, {high})"),
            Self::AtLeast(low) => format!("a number not below {low}"),
            Self::Count(low) => format!("a whole number not below {low}"),
            Self::AutoCount(low) => format!("auto or a whole number not below {low}"),
            Self::AutoAtLeast(low) => format!("auto or a number not below {low}"),
            Self::AutoAbove(low) => format!("auto or a number above {low}"),
            Self::Numbers => "auto or positive numbers by commas".into(),
            Self::Flag => "true or false".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }

    /// Value that a text stands for, of any size; `None` for a text of another kind.
    fn parse(&self, text: &str) -> Option<OptionValue> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
        match self {
            Self::AutoCount(_) | Self::AutoAtLeast(_) | Self::AutoAbove(_) | Self::Numbers
                if text == "auto" =>
            {
                Some(OptionValue::Auto)
            }
            Self::Open(..) | Self::AtLeast(_) | Self::AutoAtLeast(_) | Self::AutoAbove(_) => {
                number(text).map(OptionValue::Number)
            }
            Self::Count(_) | Self::AutoCount(_) => text.parse().ok().map(OptionValue::Count),
            Self::Numbers => {
                let parts = text.split(',').map(|part| number(part.trim()));
                parts.collect::<Option<_>>().map(OptionValue::Numbers)
            }
            Self::Flag => text.parse().ok().map(OptionValue::Flag),
            Self::Choice(words) => {
                let found = words.iter().find(|word| **word == text);
                found.map(|word| OptionValue::Word(word))
            }
        }
    }

    /// True for a value in the option's range.
    fn accepts(&self, value: &OptionValue) -> bool {
        match (self, value) {
            (Self::Open(low, high), OptionValue::Number(v)) => v > low && v < high,
            (Self::AtLeast(low) | Self::AutoAtLeast(low), OptionValue::Number(v)) => v >= low,
            (Self::AutoAbove(low), OptionValue::Number(v)) => v > low,
            (Self::Count(low) | Self::AutoCount(low), OptionValue::Count(v)) => v >= low,
            (Self::Numbers, OptionValue::Numbers(all)) => all.iter().all(|v| *v > 0.0),
            _ => true,
        }
    }
}

/// Value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// `auto`: chosen by the plan.
    Auto,
    /// Number of any kind.
    Number(f64),
    /// Whole number.
    Count(usize),
    /// True or false.
    Flag(bool),
    /// One of the words of a choice.
    Word(&'static str),
    /// List of numbers.
    Numbers(Vec<f64>),
}

impl Display for OptionValue {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Number(v) => v.fmt(f),
            Self::Count(v) => v.fmt(f),
            Self::Flag(v) => v.fmt(f),
            Self::Word(word) => f.write_str(word),
            Self::Numbers(all) => {
                let texts: Vec<String> = all.iter().map(f64::to_string).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

impl Serialize for OptionValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Number(v) => v.serialize(serializer),
            Self::Count(v) => v.serialize(serializer),
            Self::Flag(v) => v.serialize(serializer),
            Self::Auto | Self::Word(_) | Self::Numbers(_) => serializer.collect_str(self),
        }
    }
}

/// Value that the plan chooses unless it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// Chosen by the plan.
    Auto,
    /// Value that was given.
    Value(T),
}

impl<T> Auto<T> {
    /// Given value; `None` for `auto`.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<T> From<T> for Auto<T> {
    fn from(value: T) -> Self {
        Self::Value(value)
    }
}

/// Checked option values of one table; every option has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Options(BTreeMap<&'static str, Entry>);

/// Option with its value, as it was typed and parsed.
#[derive(Debug, Clone)]
struct Entry {
    option: &'static OptionInfo,
    text: String,
    value: OptionValue,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Entry {
    fn default_of(option: &'static OptionInfo) -> Self {
        let value = option.kind.parse(option.default);
        Self {
            option,
            text: option.default.to_owned(),
            value: value.expect("a default is a value of its option"),
        }
    }
}

impl Options {
    /// Checks `given` (key, value as text) against `table` and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a key that is not in the table; [`Error::Hyper`] for a value that
    /// its kind does not accept.
    pub fn check<'a>(
        table: &'static [OptionInfo],
        given: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        let mut options = Self::defaults(table);
        for (key, text) in given {
            if !options.0.contains_key(key) {
                let known = table.iter().map(|o| o.name);
                return Err(Error::unknown("option", key, known));
            }
            options.replace(key, text)?;
        }
        Ok(options)
    }

    /// Defaults of a table.
    pub fn defaults(table: &'static [OptionInfo]) -> Self {
        let defaults = table.iter().map(|o| (o.name, Entry::default_of(o)));
        Self(defaults.collect())
    }

    /// Replaces the value of an option by a text that its kind accepts.
    ///
    /// # Errors
    /// [`Error::Hyper`] for a value that its kind does not accept.
    ///
    /// # Panics
    /// As [`Options::text`].
    #[track_caller]
    pub fn replace(&mut self, name: &str, text: impl Into<String>) -> Result<()> {
        let (text, entry) = (text.into(), self.entry_mut(name));
        let kind = entry.option.kind;
        if let Some(OptionValue::Number(v)) = kind.parse(&text)
            && v != 0.0
            && !USUAL.contains(&v.abs())
        {
            let expected = "0 or between 1e-30 and 1e30 in absolute value";
            return Err(Error::hyper(entry.option.name, expected, text));
        }
        match kind.parse(&text).filter(|value| kind.accepts(value)) {
            Some(value) => {
                (entry.text, entry.value) = (text, value);
                Ok(())
            }
            None => Err(Error::hyper(entry.option.name, &kind.expected(), text)),
        }
    }

    /// Replaces the value of an option by what the plan decided, for choices such as `auto`.
    ///
    /// # Panics
    /// As [`Options::text`], or for a value of another type.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers and texts alike"
    )]
    pub fn set(&mut self, name: &str, value: impl ToString) {
        let (text, entry) = (value.to_string(), self.entry_mut(name));
        let parsed = entry.option.kind.parse(&text);
        entry.value = parsed.unwrap_or_else(|| panic!("option `{name}` cannot be {text}"));
        entry.text = text;
    }

    #[track_caller]
    fn entry(&self, name: &str) -> &Entry {
        let found = self.0.get(name);
        found.unwrap_or_else(|| panic!("no option `{name}` in the table of options"))
    }

    #[track_caller]
    fn entry_mut(&mut self, name: &str) -> &mut Entry {
        let found = self.0.get_mut(name);
        found.unwrap_or_else(|| panic!("no option `{name}` in the table of options"))
    }

    /// The value of an option as text.
    ///
    /// # Panics
    /// If the table has no such option: names in code and table must agree.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        &self.entry(name).text
    }

    /// The value of an option as text, or `None` if the table has no such option.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|entry| entry.text.as_str())
    }

    /// The value of an option, or `None` if the table has no such option.
    pub fn value(&self, name: &str) -> Option<&OptionValue> {
        self.0.get(name).map(|entry| &entry.value)
    }

    /// True for an option that the plan has still to choose.
    pub fn is_auto(&self, name: &str) -> bool {
        self.value(name) == Some(&OptionValue::Auto)
    }

    /// Number of an option; `None` if the table has no such option, or if it is no number or `auto`.
    pub fn find_number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            OptionValue::Number(v) => Some(*v),
            OptionValue::Count(v) => Some(*v as f64),
            _ => None,
        }
    }

    /// The value of a number option.
    ///
    /// # Panics
    /// As [`Options::text`], or if the option is not a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        let number = self.find_number(self.entry(name).option.name);
        number.unwrap_or_else(|| panic!("option `{name}` is not a number"))
    }

    /// The value of a flag.
    ///
    /// # Panics
    /// As [`Options::text`], or if the option is not a flag.
    #[track_caller]
    pub fn flag(&self, name: &str) -> bool {
        self.field(name)
    }

    /// The value of an option as the type of a struct's field.
    ///
    /// # Panics
    /// As [`Options::text`], or if the option is of another type.
    #[track_caller]
    pub(crate) fn field<T: OptionField>(&self, name: &str) -> T {
        let found = T::from_value(&self.entry(name).value);
        found.unwrap_or_else(|| panic!("option `{name}` is of another type"))
    }

    /// All options with their values, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let entries = self.0.iter();
        entries.map(|(name, entry)| (*name, entry.text.as_str()))
    }
}

#[cfg(test)]
mod tests;
