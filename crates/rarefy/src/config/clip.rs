//! Value of `train.clip`: a number, or the word none.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Limit of the gradient's global norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// No limit.
    None,
    /// Longer gradients are scaled to this norm.
    Norm(f64),
}

impl Clip {
    /// Largest norm, or `None` without a limit.
    pub fn norm(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::Norm(norm) => Some(norm),
        }
    }
}

impl From<Option<f64>> for Clip {
    fn from(norm: Option<f64>) -> Self {
        norm.map_or(Self::None, Self::Norm)
    }
}

/// Written as a number or the word `none`, since TOML has no null.
impl Serialize for Clip {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => to.serialize_str("none"),
            Self::Norm(norm) => to.serialize_f64(*norm),
        }
    }
}

impl<'de> Deserialize<'de> for Clip {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NumberOrNone;
        impl Visitor<'_> for NumberOrNone {
            type Value = Clip;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number or none")
            }
            fn visit_f64<E>(self, norm: f64) -> Result<Clip, E> {
                Ok(Clip::Norm(norm))
            }
            fn visit_i64<E>(self, norm: i64) -> Result<Clip, E> {
                Ok(Clip::Norm(norm as f64))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<Clip, E> {
                match word {
                    "none" => Ok(Clip::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        from.deserialize_any(NumberOrNone)
    }
}
