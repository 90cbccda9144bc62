//! What others call our coefficients: one entry for each library or paper, and the options of ours that it has.
//!
//! Read from the sources of `SAELens` 6.54, `dictionary_learning` 0.1, sparsify 1.3, `OpenAI`'s
//! `sparse_autoencoder` and the `BatchTopK` code, and from the papers. `docs/loss.md` derives the rules.

mod table;

pub use table::CONVENTIONS;

use super::rows::RowStatistics;
use super::units::Frame;

/// A published way to write the objective.
#[derive(Debug)]
pub struct Convention {
    /// Its name for `--from`.
    pub name: &'static str,
    /// Whose it is.
    pub summary: &'static str,
    /// What it does to the rows first.
    pub scaling: Scaling,
    /// What its reconstruction loss is.
    pub loss: Loss,
    /// The options of ours that it has.
    pub terms: &'static [Theirs],
    /// What coefficients do not tell, of which architectures; of all where none is named.
    pub notes: &'static [(&'static [&'static str], &'static str)],
}

/// What rows are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// 1.
    None,
    /// `sqrt(d_in) / E|x|`: a mean length of `sqrt(d_in)`.
    MeanNorm,
    /// `1 / sqrt(E|x|^2)`: a mean squared length of 1.
    MeanSquare,
}

/// What stands for the squared error, summed over inputs, mean over rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Itself.
    Sum,
    /// Its mean over inputs: divided by `d_in`.
    Mean,
    /// The share of the rows' variance: divided by `E|x - mean x|^2`.
    Variance,
    /// Twice ours, where ours has 1/2.
    Twice,
}

/// One of our options under another name.
#[derive(Debug)]
pub struct Theirs {
    /// Our option.
    pub option: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The architectures of which that holds.
    pub archs: &'static [&'static str],
    /// Options under which our number means the same thing, with the values that do.
    pub needs: &'static [(&'static str, &'static [&'static str])],
    /// Options that make the rest of the objective theirs, too.
    pub with: &'static [(&'static str, &'static str)],
    /// The value that was published.
    pub published: Option<f64>,
}

impl Convention {
    /// Its frame on these rows; `None` if it depends on rows that are not there.
    pub fn frame(&self, rows: Option<&RowStatistics>) -> Option<Frame> {
        let scale = match self.scaling {
            Scaling::None => 1.0,
            Scaling::MeanNorm => rows.map(|r| (r.d_in as f64).sqrt() / r.mean_norm)?,
            Scaling::MeanSquare => rows.map(|r| 1.0 / r.mean_square.sqrt())?,
        };
        let factor = match self.loss {
            Loss::Sum => 1.0,
            Loss::Mean => rows.map(|r| 1.0 / r.d_in as f64)?,
            // The variance is that of the rows as they are seen there.
            Loss::Variance => rows.map(|r| 1.0 / (scale * scale * r.variance))?,
            Loss::Twice => 2.0,
        };
        let frame = Frame { scale, factor };
        (scale.is_finite() && factor.is_finite()).then_some(frame)
    }

    /// What its coefficients do not tell of an architecture, in sentences.
    pub fn notes(&self, arch: &str) -> impl Iterator<Item = &'static str> {
        let concern =
            move |(archs, _): &&(&[&str], &str)| archs.is_empty() || archs.contains(&arch);
        self.notes.iter().filter(concern).map(|note| note.1)
    }

    /// The options that it has of an architecture.
    pub fn of(&self, arch: &str) -> impl Iterator<Item = &'static Theirs> {
        self.terms.iter().filter(move |t| t.archs.contains(&arch))
    }
}
