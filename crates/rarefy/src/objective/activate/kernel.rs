//! Windows around a threshold: kernels of area 1 over `u = (pre - theta) / bandwidth`.

use crate::options::words;

/// Kernel of area 1.
///
/// ```text
/// rectangle     1                         where |u| < 1/2, as all that end there
/// triangular    2 (1 - z)                 z = 2 |u|
/// epanechnikov  3/2 (1 - z^2)
/// quartic       15/8 (1 - z^2)^2
/// cosine        1 + cos(pi z)
/// gaussian      2 / sqrt(2 pi) e^(-z^2 / 2)
/// silverman     e^(-z / sqrt 2) sin(z / sqrt 2 + pi / 4)
/// cauchy        2 / (pi (1 + z^2))
/// ```
///
/// The last three have no end. They are cut where less than 1e-7 of their height is left; the cauchy kernel,
/// whose tails hold much of the area, at z = 40.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// Rectangle kernel.
    Rectangle,
    /// Triangular kernel.
    Triangular,
    /// Epanechnikov kernel.
    Epanechnikov,
    /// Quartic kernel.
    Quartic,
    /// Cosine kernel.
    Cosine,
    /// Gaussian kernel.
    Gaussian,
    /// Silverman kernel.
    Silverman,
    /// Cauchy kernel.
    Cauchy,
}

words!(Kernel {
    Rectangle: "rectangle",
    Triangular: "triangular",
    Epanechnikov: "epanechnikov",
    Quartic: "quartic",
    Cosine: "cosine",
    Gaussian: "gaussian",
    Silverman: "silverman",
    Cauchy: "cauchy",
});

impl Kernel {
    /// Distance `|u|` beyond which the kernel is 0.
    pub fn reach(self) -> f64 {
        match self {
            Self::Gaussian => 3.0,
            Self::Silverman => 12.0,
            Self::Cauchy => 20.0,
            _ => 0.5,
        }
    }

    /// Height of the kernel at `u`.
    pub fn at(self, u: f64) -> f64 {
        if u.abs() >= self.reach() {
            return 0.0;
        }
        let z = 2.0 * u.abs();
        let pi = std::f64::consts::PI;
        match self {
            Self::Rectangle => 1.0,
            Self::Triangular => 2.0 * (1.0 - z),
            Self::Epanechnikov => 1.5 * (1.0 - z * z),
            Self::Quartic => 15.0 / 8.0 * (1.0 - z * z).powi(2),
            Self::Cosine => 1.0 + (pi * z).cos(),
            Self::Gaussian => 2.0 / (2.0 * pi).sqrt() * (-z * z / 2.0).exp(),
            Self::Silverman => {
                let z = z / 2f64.sqrt();
                (-z).exp() * (z + pi / 4.0).sin()
            }
            Self::Cauchy => 2.0 / (pi * (1.0 + z * z)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{OptionField, OptionValue};

    #[test]
    fn every_kernel_has_area_one_and_is_symmetric() {
        for name in Kernel::WORDS {
            let kernel = Kernel::from_value(&OptionValue::Word(name)).unwrap();
            let steps = 200_000;
            let width = 2.0 * kernel.reach() / f64::from(steps);
            let middle = |i: i32| (f64::from(i) + 0.5) * width - kernel.reach();
            let area: f64 = (0..steps).map(|i| kernel.at(middle(i)) * width).sum();
            // The cauchy kernel's tails beyond z = 40 hold 2 / (40 pi).
            let missing = if *name == "cauchy" { 0.0159 } else { 0.0 };
            assert!((area + missing - 1.0).abs() < 1e-4, "{name}: {area}");
            assert!((kernel.at(0.21) - kernel.at(-0.21)).abs() < 1e-15, "{name}");
        }
    }
}
