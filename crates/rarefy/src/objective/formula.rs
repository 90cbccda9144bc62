//! Formulas of loss terms, in plain text and in LaTeX.

use serde::Serialize;

/// Formula in plain text and in LaTeX.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Maths {
    /// Plain text, for a terminal.
    pub text: String,
    /// LaTeX in math mode, for a paper.
    pub latex: String,
}

impl Maths {
    /// Formula from both scripts.
    pub fn new(text: impl Into<String>, latex: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            latex: latex.into(),
        }
    }
}

/// Coefficient of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Known value.
    Known(f64),
    /// Value that follows from the data, under the option's name.
    Open(&'static str),
}

impl Number {
    /// Value, if it is known.
    pub fn known(self) -> Option<f64> {
        match self {
            Self::Known(number) => Some(number),
            Self::Open(_) => None,
        }
    }

    /// Value, or 0 while the value is unknown. The plan resolves all values before training.
    pub fn value(self) -> f64 {
        self.known().unwrap_or(0.0)
    }
}

/// Part of the objective's value to which a term counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPart {
    /// Reconstruction loss.
    Reconstruction,
    /// Sparsity penalty.
    Penalty,
    /// Losses that train gates and dead latents.
    Auxiliary,
    /// Weight decay.
    WeightDecay,
}

/// Sizes of a run as far as they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Number of latents.
    pub d_sae: Option<usize>,
}

/// Formula of one loss term, with its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct TermFormula {
    /// Name of the term.
    pub name: &'static str,
    /// Numbers of the formula by name.
    pub numbers: Vec<(&'static str, Number)>,
    /// Formula of the term.
    pub maths: Maths,
    /// Options behind the numbers and remarks.
    pub note: String,
    /// Part of the objective to which the term counts.
    pub part: LossPart,
    /// True if `train.sparsity_warmup` raises the term's coefficient from 0.
    pub warms_up: bool,
}

impl TermFormula {
    /// True for a norm with a power p, which a run may lower.
    pub fn anneals_p(&self) -> bool {
        self.number("p").is_some()
    }

    /// Number called `name`, if the formula has one and its value is known.
    pub fn number(&self, name: &str) -> Option<f64> {
        let found = self.numbers.iter().find(|(other, _)| *other == name);
        found.and_then(|(_, number)| number.known())
    }
}

/// Number with at most six digits, as one would type it.
///
/// # Example
/// ```
/// use rarefy::explain::short;
/// assert_eq!((short(0.03125), short(2.0 / 3.0), short(3e-6)), ("0.03125".into(), "0.666667".into(), "3e-6".into()));
/// ```
pub fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    match rounded.abs() {
        0.0 => "0".into(),
        size if (1e-4..1e7).contains(&size) => format!("{rounded}"),
        _ => format!("{rounded:e}"),
    }
}

/// Number with at most six digits, in LaTeX.
pub(crate) fn in_latex(number: f64) -> String {
    match short(number).split_once('e') {
        Some((digits, power)) => format!("{digits} \\cdot 10^{{{power}}}"),
        None => short(number),
    }
}

impl From<Number> for Maths {
    fn from(number: Number) -> Self {
        match number {
            Number::Known(number) => Self::from(number),
            Number::Open(name) => {
                Self::new(name, format!("\\mathrm{{{}}}", name.replace('_', "\\_")))
            }
        }
    }
}

impl From<f64> for Maths {
    fn from(number: f64) -> Self {
        Self::new(short(number), in_latex(number))
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Known(number)
    }
}

/// Factor `weight/m`.
pub(crate) fn mean(weight: impl Into<Maths>) -> Maths {
    let weight = weight.into();
    Maths::new(
        format!("{}/m", weight.text),
        format!("\\frac{{{}}}{{m}}", weight.latex),
    )
}

/// Product of a factor and the rest of a term.
pub(crate) fn times(factor: &Maths, text: &str, latex: &str) -> Maths {
    Maths::new(
        format!("{} {text}", factor.text),
        format!("{} {latex}", factor.latex),
    )
}
