//! Conversion of coefficients between scales of the rows and of the loss.

use crate::options::{Kind, OptionInfo, Options, Unit};
use crate::variants::Info;

/// Scale of the rows and factor of the loss in another convention.
///
/// ```text
/// J' = factor 1/m sum_i |x'_i - x_hat'_i|^2 + lambda' T'       x' = scale x
/// ```
///
/// With the same weights, and biases and thresholds times `scale`, pre-activations, latents and `x_hat` are
/// `scale` times what they are on x, and a term of degree p is `T' = scale^p T`. So
///
/// ```text
/// J' / (factor scale^2) = 1/m sum_i |x_i - x_hat_i|^2 + lambda T        lambda = lambda' scale^(p - 2) / factor
/// ```
///
/// has the same minima, and its gradient is the other one's, block by block, times a constant.
///
/// # Example
/// ```
/// use rarefy::explain::{Frame, Unit};
/// // An L1 coefficient (degree 1) of 5 for rows that were doubled, and its way back.
/// let frame = Frame { scale: 2.0, factor: 1.0 };
/// assert_eq!(frame.here(Unit::Weight(1.0), 5.0), 2.5);
/// assert_eq!(frame.there(Unit::Weight(1.0), 2.5), 5.0);
/// // With a loss that is a mean over 64 inputs, other terms weigh 64 times as much.
/// let mean = Frame { scale: 1.0, factor: 1.0 / 64.0 };
/// assert_eq!(mean.here(Unit::Weight(1.0), 0.25), 16.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Factor of the rows in the other convention.
    pub scale: f64,
    /// Factor of the squared error (sum over inputs, mean over rows) in the other convention.
    pub factor: f64,
}

impl Frame {
    /// Converts a coefficient of the other convention to ours.
    pub fn here(&self, unit: Unit, there: f64) -> f64 {
        there * self.times(unit)
    }

    /// Converts our coefficient to the other convention.
    pub fn there(&self, unit: Unit, here: f64) -> f64 {
        here / self.times(unit)
    }

    fn times(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Weight(degree) => self.scale.powf(degree - 2.0) / self.factor,
            Unit::Activation => 1.0 / self.scale,
            Unit::PerActivation => self.scale,
            Unit::Number => 1.0,
        }
    }
}

/// Unit of an architecture's option, given the values of all options.
pub fn unit_of(info: &Info, option: &str, options: &Options) -> Unit {
    let found = info.options().iter().find(|other| other.name == option);
    found.map_or(Unit::Number, |option| (option.unit)(options))
}

/// True if an option takes a number.
pub(super) fn is_number(option: &OptionInfo) -> bool {
    !matches!(option.kind, Kind::Flag | Kind::Choice(_) | Kind::Numbers)
}
