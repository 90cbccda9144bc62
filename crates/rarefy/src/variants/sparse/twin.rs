//! The sparse objective in f64, written from its formulas with plain loops: the oracle.
//!
//! Every number carries its derivative in one direction ([`Dual`]), so the gradient needs no second set of
//! formulas: the value is written once, and central differences say whether its derivatives are right.
//! Where the field uses a pseudo-derivative (a step has none), the twin carries that one.
//!
//! Which latents a row keeps is found once; between two such sets the objective jumps, within one it
//! is smooth, and that is where a gradient belongs to.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A number and its derivative in some direction.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Dual {
    /// The number.
    pub value: f64,
    /// The derivative.
    pub slope: f64,
}

impl Dual {
    /// A number that does not move.
    pub const fn constant(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }

    /// `f(self)`, where f has this value and this derivative here.
    #[must_use]
    pub fn through(self, value: f64, derivative: f64) -> Self {
        Self {
            value,
            slope: derivative * self.slope,
        }
    }

    /// Its square.
    #[must_use]
    pub fn square(self) -> Self {
        self * self
    }

    /// Its square root.
    #[must_use]
    pub fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.through(root, 0.5 / root)
    }

    /// e to its power.
    #[must_use]
    pub fn exp(self) -> Self {
        let e = self.value.exp();
        self.through(e, e)
    }

    /// Its hyperbolic tangent.
    #[must_use]
    pub fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.through(t, 1.0 - t * t)
    }

    /// Its power; of a positive number.
    #[must_use]
    pub fn powf(self, p: f64) -> Self {
        self.through(self.value.powf(p), p * self.value.powf(p - 1.0))
    }

    /// Itself where positive, else 0.
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

/// What an architecture is, in plain formulas.
pub trait Twin {
    /// The entries that each row has, from all its pre-activations.
    fn keep(&self, pre: &[Vec<f64>], own: &[Vec<f64>]) -> Vec<Vec<usize>>;

    /// The latents that a pursuit takes for a row less `b_dec`, in order.
    fn pursue(&self, _left: Vec<f64>, _w_dec: &[Vec<f64>]) -> Vec<usize> {
        Vec::new()
    }

    /// The value of an entry, from its pre-activation, the latent's bias and its own numbers.
    fn value(&self, pre: Dual, _bias: Dual, _own: &[Dual]) -> Dual {
        pre
    }

    /// The penalty with its coefficient.
    fn penalty(&self, _batch: &TwinBatch) -> Dual {
        Dual::default()
    }

    /// Blocks whose derivative is a pseudo-derivative, which no difference of values shows.
    fn pseudo(&self) -> &[&'static str] {
        &[]
    }
}

/// A batch in plain numbers.
pub struct TwinBatch {
    /// The entries of each row.
    pub rows: Vec<Vec<TwinEntry>>,
    /// All pre-activations, `[n][d_sae]`.
    pub pre: Vec<Vec<Dual>>,
    /// Lengths of the decoder's rows.
    pub norms: Vec<Dual>,
    /// Each latent's own numbers.
    pub own: Vec<Vec<Dual>>,
    /// Which latents are dead.
    pub dead: Vec<bool>,
}

/// An entry of a row.
#[derive(Debug, Clone, Copy)]
pub struct TwinEntry {
    /// Its latent.
    pub latent: usize,
    /// Its pre-activation.
    pub pre: Dual,
    /// Its value.
    pub value: Dual,
}

/// The largest positive numbers of each row: which.
pub fn largest_of_rows(pre: &[Vec<f64>], k: usize) -> Vec<Vec<usize>> {
    pre.iter()
        .map(|row| {
            let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j] > 0.0).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            order.truncate(k);
            order.sort_unstable();
            order
        })
        .collect()
}

/// The largest positive numbers of all rows together: which of each.
pub fn largest_of_all(pre: &[Vec<f64>], wanted: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for (i, row) in pre.iter().enumerate() {
        all.extend((0..row.len()).filter(|&j| row[j] > 0.0).map(|j| (i, j)));
    }
    all.sort_by(|a, b| pre[b.0][b.1].total_cmp(&pre[a.0][a.1]));
    all.truncate(wanted);
    all.sort_unstable();
    let mut kept = vec![Vec::new(); pre.len()];
    all.into_iter().for_each(|(i, j)| kept[i].push(j));
    kept
}

/// All numbers above 0: which of each row.
pub fn above_zero(pre: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let positive = |row: &Vec<f64>| (0..row.len()).filter(|&j| row[j] > 0.0).collect();
    pre.iter().map(positive).collect()
}
