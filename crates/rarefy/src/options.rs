//! Options of an architecture as data, so that flags, config, docs and checks share one table.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// One option of an architecture: `--weight-decay` on the command line, `weight_decay` in a file.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// Key in a config file; the flag has `-` for `_`.
    pub name: &'static str,
    /// Help text: meaning, unit, symbol.
    pub help: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Default, as one would type it.
    pub default: &'static str,
    /// Unit of its number, given the values of all options.
    pub unit: fn(&Hyper) -> Unit,
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
    /// Plain number, which stays as it is.
    Number,
}

impl Unit {
    /// Unit of a plain number, whatever the other options are.
    pub const fn number(_: &Hyper) -> Self {
        Self::Number
    }

    /// Unit of a pre-activation, whatever the other options are.
    pub const fn activation(_: &Hyper) -> Self {
        Self::Activation
    }

    /// Unit of a reciprocal pre-activation, whatever the other options are.
    pub const fn per_activation(_: &Hyper) -> Self {
        Self::PerActivation
    }

    /// Unit of the weight of a term that does not grow with the rows.
    pub const fn weight_of_count(_: &Hyper) -> Self {
        Self::Weight(0.0)
    }

    /// Unit of the weight of a term that grows as the rows do.
    pub const fn weight_of_length(_: &Hyper) -> Self {
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

    fn accepts(&self, text: &str) -> bool {
        let number = text.parse::<f64>().ok().filter(|v| v.is_finite());
        match self {
            Self::Open(low, high) => number.is_some_and(|v| v > *low && v < *high),
            Self::AtLeast(low) => number.is_some_and(|v| v >= *low),
            Self::Count(low) => text.parse::<usize>().is_ok_and(|v| v >= *low),
            Self::AutoCount(low) => text == "auto" || Self::Count(*low).accepts(text),
            Self::AutoAtLeast(low) => text == "auto" || Self::AtLeast(*low).accepts(text),
            Self::AutoAbove(low) => text == "auto" || number.is_some_and(|v| v > *low),
            Self::Numbers => {
                let positive = |part: &str| {
                    part.trim()
                        .parse()
                        .is_ok_and(|v: f64| v > 0.0 && v.is_finite())
                };
                text == "auto" || text.split(',').all(positive)
            }
            Self::Flag => text.parse::<bool>().is_ok(),
            Self::Choice(words) => words.contains(&text),
        }
    }
}

/// Checked option values of one architecture; every option has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyper(BTreeMap<&'static str, String>);

impl Hyper {
    /// Checks `given` (key, value as text) against `table` and fills in the defaults.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a key that is not in the table; [`Error::Hyper`] for a value that
    /// its kind does not accept.
    pub fn check<'a>(
        table: &'static [OptionInfo],
        given: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<Self> {
        let mut values: BTreeMap<_, _> = table
            .iter()
            .map(|o| (o.name, o.default.to_owned()))
            .collect();
        for (key, value) in given {
            let option = table
                .iter()
                .find(|o| o.name == key)
                .ok_or_else(|| Error::unknown("option", key, table.iter().map(|o| o.name)))?;
            if !option.kind.accepts(&value) {
                return Err(Error::hyper(option.name, &option.kind.expected(), value));
            }
            values.insert(option.name, value);
        }
        Ok(Self(values))
    }

    /// Defaults of a table.
    pub fn defaults(table: &[OptionInfo]) -> Self {
        let defaults = table.iter().map(|o| (o.name, o.default.to_owned()));
        Self(defaults.collect())
    }

    /// The value of an option as text.
    ///
    /// # Panics
    /// If the table has no such option: names in code and table must agree.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.0
            .get(name)
            .unwrap_or_else(|| panic!("no option `{name}` in the architecture's table"))
    }

    /// The value of an option as text, or `None` if the architecture has no such option.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a number option.
    ///
    /// # Panics
    /// As [`Hyper::text`], or if the option is not a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> f64 {
        self.text(name)
            .parse()
            .unwrap_or_else(|_| panic!("option `{name}` is not a number"))
    }

    /// The numbers of a list option; none where it is `auto`.
    ///
    /// # Panics
    /// As [`Hyper::text`].
    #[track_caller]
    pub fn numbers(&self, name: &str) -> Vec<f64> {
        let parts = self.text(name).split(',');
        parts.filter_map(|part| part.trim().parse().ok()).collect()
    }

    /// The value of a flag.
    ///
    /// # Panics
    /// As [`Hyper::text`].
    #[track_caller]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Replaces the value of an option, for choices such as `auto`.
    ///
    /// # Panics
    /// As [`Hyper::text`].
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers and texts alike"
    )]
    pub fn set(&mut self, name: &str, value: impl ToString) {
        *self
            .0
            .get_mut(name)
            .unwrap_or_else(|| panic!("no option `{name}` in the architecture's table")) =
            value.to_string();
    }

    /// All options with their values, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[OptionInfo] = &[
        OptionInfo {
            name: "rho",
            help: "",
            kind: Kind::Open(0.0, 1.0),
            default: "0.05",
            unit: Unit::number,
        },
        OptionInfo {
            name: "tied",
            help: "",
            kind: Kind::Flag,
            default: "false",
            unit: Unit::number,
        },
    ];

    #[test]
    fn a_value_outside_its_range_is_refused_with_the_range() {
        let error = Hyper::check(TABLE, [("rho", "1.5".into())]).unwrap_err();
        assert_eq!(error.to_string(), "rho must be a number in (0, 1), got 1.5");
        assert!(Hyper::check(TABLE, [("rho", "NaN".into())]).is_err());
    }

    #[test]
    fn an_unknown_key_suggests_the_nearest() {
        let error = Hyper::check(TABLE, [("rhoo", "0.1".into())]).unwrap_err();
        assert!(error.to_string().contains("did you mean `rho`?"), "{error}");
    }

    #[test]
    fn defaults_fill_in() {
        let hyper = Hyper::check(TABLE, [("tied", "true".into())]).unwrap();
        assert_eq!((hyper.number("rho"), hyper.flag("tied")), (0.05, true));
    }
}
