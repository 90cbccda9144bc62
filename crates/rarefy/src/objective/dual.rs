//! Dual numbers: a value and its derivative along one direction, for the f64 twin.
//!
//! Selections, activations and loss terms state their value once in these numbers, so the twin's gradient needs
//! no second set of formulas; central differences then check the derivatives. Where the field uses a
//! pseudo-derivative (a step has none), the twin carries that one.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// Value and its derivative along one direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Dual {
    /// Value of the number.
    pub value: f64,
    /// Derivative along the chosen direction.
    pub slope: f64,
}

impl Dual {
    /// Number with derivative 0.
    pub const fn constant(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }

    /// `f(self)`, from the value and the derivative of f at this number.
    #[must_use]
    pub fn through(self, value: f64, derivative: f64) -> Self {
        Self {
            value,
            slope: derivative * self.slope,
        }
    }

    /// Square of the number.
    #[must_use]
    pub fn square(self) -> Self {
        self * self
    }

    /// Square root.
    #[must_use]
    pub fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.through(root, 0.5 / root)
    }

    /// Exponential `e^x`.
    #[must_use]
    pub fn exp(self) -> Self {
        let e = self.value.exp();
        self.through(e, e)
    }

    /// Hyperbolic tangent.
    #[must_use]
    pub fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.through(t, 1.0 - t * t)
    }

    /// Power `x^p` of a positive number.
    #[must_use]
    pub fn powf(self, p: f64) -> Self {
        self.through(self.value.powf(p), p * self.value.powf(p - 1.0))
    }

    /// Rectifier: the number where positive, else 0.
    #[must_use]
    pub fn relu(self) -> Self {
        if self.value > 0.0 {
            self
        } else {
            Self::default()
        }
    }
}

impl From<f64> for Dual {
    fn from(value: f64) -> Self {
        Self::constant(value)
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            slope: self.slope + other.slope,
        }
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        self.through(-self.value, -1.0)
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            value: self.value * other.value,
            slope: self.slope * other.value + self.value * other.slope,
        }
    }
}

impl Mul<f64> for Dual {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        self * Self::constant(factor)
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        Self {
            value: self.value / other.value,
            slope: (self.slope * other.value - self.value * other.slope) / other.value.powi(2),
        }
    }
}

impl std::iter::Sum for Dual {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        numbers.fold(Self::default(), Add::add)
    }
}
