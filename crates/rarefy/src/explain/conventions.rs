//! Conventions of other libraries and papers: names and scales of their coefficients.
//!
//! Read from the sources of `SAELens` 6.54, `dictionary_learning` 0.1, sparsify 1.3, `OpenAI`'s
//! `sparse_autoencoder` and the `BatchTopK` code, and from the papers. `docs/loss.md` derives the rules.

mod table;

pub use table::CONVENTIONS;

use super::rows::RowStatistics;
use super::units::Frame;

/// Published way to write the objective.
#[derive(Debug)]
pub struct Convention {
    /// Name of the convention, as `rarefy explain` takes it.
    pub name: &'static str,
    /// Library or paper of the convention.
    pub summary: &'static str,
    /// Scaling of the rows before training.
    pub scaling: Scaling,
    /// Normalisation of the reconstruction loss.
    pub loss: Loss,
    /// Coefficients of the convention, each with the option that corresponds here.
    pub terms: &'static [Theirs],
    /// Differences that no coefficient expresses, with their architectures (empty: all).
    pub notes: &'static [(&'static [&'static str], &'static str)],
}

/// Factor by which rows are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Factor 1: rows stay as they are.
    None,
    /// Factor `sqrt(d_in) / E|x|`, which gives a mean length of `sqrt(d_in)`.
    MeanNorm,
    /// Factor `1 / sqrt(E|x|^2)`, which gives a mean squared length of 1.
    MeanSquare,
}

/// Normalisation of the squared error, compared with ours (sum over inputs, mean over rows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Sum over inputs, as here.
    Sum,
    /// Mean over inputs: divided by `d_in`.
    Mean,
    /// Fraction of the rows' variance: divided by `E|x - mean x|^2`.
    Variance,
    /// Twice the error here, which has the factor 1/2 (kl).
    Twice,
}

/// Coefficient of another library, with the option that corresponds here.
#[derive(Debug)]
pub struct Theirs {
    /// Name of the option here.
    pub option: &'static str,
    /// Name of the coefficient in the other library.
    pub name: &'static str,
    /// Architectures that have this coefficient.
    pub archs: &'static [&'static str],
    /// Options required for the same meaning, with their allowed values.
    pub needs: &'static [(&'static str, &'static [&'static str])],
    /// Further options that make the objective equal to that of the other library.
    pub with: &'static [(&'static str, &'static str)],
    /// Published value, if any.
    pub published: Option<f64>,
}

impl Convention {
    /// Frame of the convention for rows with these statistics; `None` if missing statistics are needed.
    pub fn frame(&self, rows: Option<&RowStatistics>) -> Option<Frame> {
        let scale = match self.scaling {
            Scaling::None => 1.0,
            Scaling::MeanNorm => rows.map(|r| (r.d_in as f64).sqrt() / r.mean_norm)?,
            Scaling::MeanSquare => rows.map(|r| 1.0 / r.mean_square.sqrt())?,
        };
        let factor = match self.loss {
            Loss::Sum => 1.0,
            Loss::Mean => rows.map(|r| 1.0 / r.d_in as f64)?,
            // Variance of the scaled rows.
            Loss::Variance => rows.map(|r| 1.0 / (scale * scale * r.variance))?,
            Loss::Twice => 2.0,
        };
        let frame = Frame { scale, factor };
        (scale.is_finite() && factor.is_finite()).then_some(frame)
    }

    /// Sentences on differences that no coefficient expresses, for an architecture.
    pub fn notes(&self, arch: &str) -> impl Iterator<Item = &'static str> {
        let concern =
            move |(archs, _): &&(&[&str], &str)| archs.is_empty() || archs.contains(&arch);
        self.notes.iter().filter(concern).map(|note| note.1)
    }

    /// Coefficients that the convention has for an architecture.
    pub fn of(&self, arch: &str) -> impl Iterator<Item = &'static Theirs> {
        self.terms.iter().filter(move |t| t.archs.contains(&arch))
    }
}
