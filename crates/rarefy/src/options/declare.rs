//! Declaration of options as structs with typed fields.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Auto, Kind, OptionInfo, OptionValue, Options, Unit};

/// Type of an option's field.
pub trait OptionField: Sized {
    /// Field of a value; `None` if the value is of another type.
    fn from_value(value: &OptionValue) -> Option<Self>;

    /// Value of the field.
    fn to_value(&self) -> OptionValue;
}

/// Implements [`OptionField`] for the type inside one kind of [`OptionValue`].
macro_rules! field_types {
    ($($type:ty: $kind:ident),*) => {
        $(impl OptionField for $type {
            fn from_value(value: &OptionValue) -> Option<Self> {
                match value {
                    OptionValue::$kind(value) => Some(value.to_owned()),
                    _ => None,
                }
            }

            fn to_value(&self) -> OptionValue {
                OptionValue::$kind(self.to_owned())
            }
        })*
    };
}

field_types!(f64: Number, usize: Count, bool: Flag, &'static str: Word, Vec<f64>: Numbers);

impl<T: OptionField> OptionField for Auto<T> {
    fn from_value(value: &OptionValue) -> Option<Self> {
        match value {
            OptionValue::Auto => Some(Self::Auto),
            value => T::from_value(value).map(Self::Value),
        }
    }

    fn to_value(&self) -> OptionValue {
        match self {
            Self::Auto => OptionValue::Auto,
            Self::Value(value) => value.to_value(),
        }
    }
}

/// Gives the variants of an enum words, so that an option can take one of them.
///
/// `words!(Penalty { Step: "step", Tanh: "tanh" })` makes `Penalty::WORDS`, `Penalty::word` and [`OptionField`].
macro_rules! words {
    ($type:ident { $($variant:ident: $word:literal),* $(,)? }) => {
        impl $type {
            /// Words of all variants.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// Word of the variant.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl $crate::options::OptionField for $type {
            fn from_value(value: &$crate::options::OptionValue) -> Option<Self> {
                match value {
                    $($crate::options::OptionValue::Word($word) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn to_value(&self) -> $crate::options::OptionValue {
                $crate::options::OptionValue::Word(self.word())
            }
        }
    };
}
pub(crate) use words;

/// Options of an architecture or add-on as a struct.
pub trait OptionSet: Sized {
    /// Options in the order in which they are shown.
    const TABLE: &'static [OptionInfo];

    /// The struct from checked options, which may have more than those of [`OptionSet::TABLE`].
    ///
    /// # Panics
    /// If one of its options is missing.
    fn read(options: &Options) -> Self;

    /// Names and values of all options.
    fn values(&self) -> Vec<(&'static str, OptionValue)>;
}

/// Declares a struct of options; see the module `options`.
///
/// `use a: Group;` puts the options of another struct first, `also a: Group;` last. Between them, an option is
/// `name: type = default, kind, unit;`. The unit may be left out for a plain number.
macro_rules! option_set {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(use $first:ident: $First:ident;)*
            $(
                $(#[doc = $help:literal])+
                $option:ident: $type:ty = $default:expr, $kind:expr $(, $unit:expr)?;
            )*
            $(also $last:ident: $Last:ident;)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(clippy::doc_markdown, reason = "a help text is plain text")]
        pub struct $name {
            $(
                #[doc = concat!("Options of [`", stringify!($First), "`].")]
                pub $first: $First,
            )*
            $(
                $(#[doc = $help])+
                pub $option: $type,
            )*
            $(
                #[doc = concat!("Options of [`", stringify!($Last), "`].")]
                pub $last: $Last,
            )*
        }

        impl $crate::options::OptionSet for $name {
            const TABLE: &'static [$crate::options::OptionInfo] = {
                const TABLES: &[&[$crate::options::OptionInfo]] = &[
                    $(<$First as $crate::options::OptionSet>::TABLE,)*
                    &[$($crate::options::OptionInfo {
                        name: stringify!($option),
                        help: concat!($($help),+).trim_ascii(),
                        kind: $kind,
                        default: $default,
                        unit: $crate::options::option_set!(@unit $($unit)?),
                    }),*],
                    $(<$Last as $crate::options::OptionSet>::TABLE,)*
                ];
                const ALL: [$crate::options::OptionInfo; $crate::options::count(TABLES)] =
                    $crate::options::join(TABLES);
                &ALL
            };

            fn read(options: &$crate::options::Options) -> Self {
                Self {
                    $($first: $crate::options::OptionSet::read(options),)*
                    $($option: options.field(stringify!($option)),)*
                    $($last: $crate::options::OptionSet::read(options),)*
                }
            }

            fn values(&self) -> Vec<(&'static str, $crate::options::OptionValue)> {
                let groups = [
                    $($crate::options::OptionSet::values(&self.$first),)*
                    vec![$((
                        stringify!($option),
                        $crate::options::OptionField::to_value(&self.$option),
                    )),*],
                    $($crate::options::OptionSet::values(&self.$last),)*
                ];
                groups.concat()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let table = <Self as $crate::options::OptionSet>::TABLE;
                $crate::options::OptionSet::read(&$crate::options::Options::defaults(table))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_map($crate::options::OptionSet::values(self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                $crate::options::deserialize(deserializer)
            }
        }
    };
    (@unit) => { $crate::options::Unit::number };
    (@unit $unit:expr) => { $unit };
}
pub(crate) use option_set;

/// Number of options in several tables.
pub(crate) const fn count(tables: &[&[OptionInfo]]) -> usize {
    let (mut table, mut n) = (0, 0);
    while table < tables.len() {
        n += tables[table].len();
        table += 1;
    }
    n
}

/// Options of several tables, one table after the other.
pub(crate) const fn join<const N: usize>(tables: &[&[OptionInfo]]) -> [OptionInfo; N] {
    const EMPTY: OptionInfo = OptionInfo {
        name: "",
        help: "",
        kind: Kind::Flag,
        default: "false",
        unit: Unit::number,
    };
    let mut all = [EMPTY; N];
    let (mut table, mut n) = (0, 0);
    while table < tables.len() {
        let mut at = 0;
        while at < tables[table].len() {
            all[n] = tables[table][at];
            n += 1;
            at += 1;
        }
        table += 1;
    }
    all
}

/// Struct of options from a map of values, which are checked like those of a configuration.
pub(crate) fn deserialize<'de, T: OptionSet, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let given = BTreeMap::<String, Given>::deserialize(deserializer)?;
    let given = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.text()));
    let options = Options::check(T::TABLE, given).map_err(D::Error::custom)?;
    Ok(T::read(&options))
}

/// Value of an option in a file: a text, or a number or flag as such.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Flag(bool),
    Count(u64),
    Number(f64),
    Text(String),
}

impl Given {
    fn text(&self) -> String {
        match self {
            Self::Flag(v) => v.to_string(),
            Self::Count(v) => v.to_string(),
            Self::Number(v) => v.to_string(),
            Self::Text(v) => v.clone(),
        }
    }
}
