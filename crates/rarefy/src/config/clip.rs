//! Value of `train.clip`: a number, or the word none.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Value of `train.clip`: the largest L2 norm of the gradient over all parameters together, as `max_norm` of PyTorch's
/// `clip_grad_norm_`, or no clipping. Default: no clipping for `kl`, a norm of 1 for all other architectures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clip {
    /// Gradients are not clipped.
    None,
    /// A gradient of all parameters with a larger L2 norm is scaled down to this norm; must be above 0.
    Norm(f64),
}

impl Clip {
    /// Threshold of clipping: the largest L2 norm of the gradient over all parameters together, to which longer
    /// gradients are scaled down. `None` if gradients are not clipped.
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
