//! How a coefficient changes with the scale of the rows and with what a loss is divided by.

use crate::variants::{Hyper, Kind, OptionInfo};

/// What happens to an option's number when the rows are multiplied by something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// The weight of a term that grows as this power of the rows.
    Weight(f64),
    /// A pre-activation, or a length of rows.
    Activation,
    /// One over a pre-activation.
    PerActivation,
    /// It stays what it is.
    Number,
}

/// Another objective on other rows.
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
/// // A loss that is a mean over 64 inputs: everything beside it weighs 64 times as much.
/// let mean = Frame { scale: 1.0, factor: 1.0 / 64.0 };
/// assert_eq!(mean.here(Unit::Weight(1.0), 0.25), 16.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// What the rows are multiplied by there.
    pub scale: f64,
    /// What the sum over inputs, mean over rows of the squared error is multiplied by there.
    pub factor: f64,
}

impl Frame {
    /// What a number from there is here.
    pub fn here(&self, unit: Unit, there: f64) -> f64 {
        there * self.times(unit)
    }

    /// What a number from here is there.
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

/// The unit of an option that has one, given the others.
type Rule = fn(&Hyper) -> Unit;

/// Options whose numbers depend on the rows' scale or on what the loss is divided by.
const UNITS: &[(&str, Rule)] = &[
    ("l1", |hyper| {
        match (hyper.find("p"), hyper.find("p_root")) {
            // Without the root, what is added up are p-th powers.
            (Some(p), Some("false")) => Unit::Weight(p.parse().unwrap_or(1.0)),
            _ => Unit::Weight(1.0),
        }
    }),
    ("l0", |_| Unit::Weight(0.0)),
    ("pre_act", |_| Unit::Weight(1.0)),
    ("aux_coefficient", |hyper| match hyper.find("aux_unit") {
        // Measured as the reconstruction is, so the two change together.
        Some("absolute") => Unit::Number,
        _ => Unit::Weight(0.0),
    }),
    ("threshold", |_| Unit::Activation),
    ("bandwidth", |_| Unit::Activation),
    ("residual", |_| Unit::Activation),
    ("tanh_scale", |_| Unit::PerActivation),
    // Sigmoid latents know no scale; nobody else scales their rows.
    ("beta", |_| Unit::Weight(0.0)),
    ("weight_decay", |_| Unit::Weight(0.0)),
];

/// The unit of an option.
pub fn unit_of(option: &str, hyper: &Hyper) -> Unit {
    let rule = UNITS.iter().find(|(name, _)| *name == option);
    rule.map_or(Unit::Number, |(_, rule)| rule(hyper))
}

/// Whether an option is a number at all.
pub(super) fn is_number(option: &OptionInfo) -> bool {
    !matches!(option.kind, Kind::Flag | Kind::Choice(_) | Kind::Numbers)
}
