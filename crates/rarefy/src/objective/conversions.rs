//! Conversions of a building block: its coefficients in other libraries and papers.
//!
//! Each block states its conversions in its own file, so every architecture that uses the block has them. Scales of
//! rows and loss belong to the [convention](crate::explain::CONVENTIONS).

/// Conventions of `SAELens`.
pub(crate) const SAELENS: &[&str] = &["saelens", "saelens-scaled"];
/// Conventions of `dictionary_learning`.
pub(crate) const DICTIONARY_LEARNING: &[&str] =
    &["dictionary-learning", "dictionary-learning-scaled"];
/// Convention of sparsify.
pub(crate) const SPARSIFY: &[&str] = &["sparsify"];
/// Convention of `OpenAI`'s `sparse_autoencoder`.
pub(crate) const OPENAI: &[&str] = &["openai"];
/// Convention of the `BatchTopK` code.
pub(crate) const BATCHTOPK: &[&str] = &["batchtopk"];
/// Convention of the `JumpReLU` paper.
pub(crate) const DEEPMIND: &[&str] = &["deepmind"];
/// Convention of Anthropic's update of April 2024.
pub(crate) const APRIL: &[&str] = &["april-2024"];
/// Convention of Anthropic's update of January 2025.
pub(crate) const JANUARY: &[&str] = &["january-2025"];

/// Convention of Ng's lecture notes.
pub(crate) const NG: &[&str] = &["ng"];
/// Convention of MATLAB's `trainAutoencoder`.
pub(crate) const MATLAB: &[&str] = &["matlab"];

/// Option under which decoder rows count as if they had length 1.
pub(crate) const RESCALED: &[(&str, &str)] = &[("decoder_norm", "rescale")];

/// Conversions of one building block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversions {
    /// Coefficients of the block.
    pub coefficients: &'static [Theirs],
    /// Differences of the block that no coefficient expresses.
    pub notes: &'static [ConversionNote],
}

impl Conversions {
    /// Conversions of a block that no other library has.
    pub const NONE: Self = Self {
        coefficients: &[],
        notes: &[],
    };
}

/// Difference between conventions that no coefficient expresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConversionNote {
    /// Names of the conventions.
    pub conventions: &'static [&'static str],
    /// Difference as a sentence.
    pub text: &'static str,
}

/// Coefficient of another library, with the option that corresponds here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theirs {
    /// Names of the conventions that have the coefficient.
    pub conventions: &'static [&'static str],
    /// Name of the option here. Architectures without the option do not have the coefficient.
    pub option: &'static str,
    /// Name of the coefficient in the other library.
    pub name: &'static str,
    /// Options required for the same meaning, with their allowed values. Options that the architecture lacks are skipped.
    pub needs: &'static [(&'static str, &'static [&'static str])],
    /// Further options that make the objective equal to that of the other library.
    pub with: &'static [(&'static str, &'static str)],
    /// Published value, if any.
    pub published: Option<f64>,
}

impl Theirs {
    /// Coefficient `name` of the conventions, equal in meaning to our `option`.
    pub(crate) const fn new(
        conventions: &'static [&'static str],
        option: &'static str,
        name: &'static str,
    ) -> Self {
        Self {
            conventions,
            option,
            name,
            needs: &[],
            with: &[],
            published: None,
        }
    }

    /// Adds required options.
    pub(crate) const fn needs(
        self,
        needs: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        Self { needs, ..self }
    }

    /// Adds options that make the objectives equal.
    pub(crate) const fn with(self, with: &'static [(&'static str, &'static str)]) -> Self {
        Self { with, ..self }
    }

    /// Adds the published value.
    pub(crate) const fn published(self, value: f64) -> Self {
        Self {
            published: Some(value),
            ..self
        }
    }
}
