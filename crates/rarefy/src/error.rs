//! The one error type of the library: every variant says what, where, expected and got.

use std::io;
use std::path::{Path, PathBuf};

/// Anything that a caller, a file or a configuration can do wrong.
///
/// Broken promises inside the library are panics, never one of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyperparameter is outside its documented range.
    #[error("{name} must be {expected}, got {got}")]
    Hyper {
        /// Name as the configuration spells it.
        name: String,
        /// The range or the choices, as a phrase after "must be".
        expected: String,
        /// What was given.
        got: String,
    },
    /// Two sizes that must agree do not.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// The thing whose size is wrong.
        what: String,
        /// The size that it must have.
        expected: String,
        /// The size that it has.
        got: String,
    },
    /// A name (format, key, sample, architecture) that does not exist.
    #[error("unknown {what} `{name}`{}{}", nearest_phrase(.name, .known), known_phrase(.name, .known))]
    Unknown {
        /// What kind of thing was looked up.
        what: String,
        /// The name that was not found.
        name: String,
        /// Every name that would have been found.
        known: Vec<String>,
    },
    /// A file is not what its format says; `why` names the place (byte, row, line) and what was expected.
    #[error("{}: {why}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what was expected.
        why: String,
    },
    /// A value in the data is NaN or infinite.
    #[error("{}: row {row}, column {column}: expected a finite number, got {got}", .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
        /// NaN or an infinity.
        got: f32,
    },
    /// Two settings that each make sense do not make sense together, or with this data.
    #[error("{0}")]
    Conflict(String),
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Training ran away: the objective or its gradient is no finite number any more.
    #[error(
        "step {step}: expected a finite objective and gradient, got {objective} and {gradient}"
    )]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// Value of the objective.
        objective: f64,
        /// Norm of the gradient.
        gradient: f64,
    },
    /// The caller asked to stop; what was done so far is in the checkpoint.
    #[error("interrupted")]
    Interrupted,
}

/// Result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A closure for `map_err` that remembers which path an I/O error belongs to.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// A file that is not what its format says.
    pub fn format(path: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Format {
            path: path.as_ref().to_path_buf(),
            why: why.into(),
        }
    }

    /// A hyperparameter outside its range.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers pass numbers and texts alike"
    )]
    pub fn hyper(name: &str, expected: &str, got: impl ToString) -> Self {
        Self::Hyper {
            name: name.into(),
            expected: expected.into(),
            got: got.to_string(),
        }
    }

    /// A name that is not among `known`; the message suggests the nearest.
    pub fn unknown(
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let known = known.into_iter().map(Into::into).collect();
        Self::Unknown {
            what: what.into(),
            name: name.into(),
            known,
        }
    }
}

/// The known name that `name` most likely meant, if any is close.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate.as_str()))
        .filter(|(score, _)| *score > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn nearest_phrase(name: &str, known: &[String]) -> String {
    nearest(name, known).map_or_else(String::new, |n| format!(", did you mean `{n}`?"))
}

/// All names, unless they are many and the nearest of them says enough.
fn known_phrase(name: &str, known: &[String]) -> String {
    if known.len() > 12 && nearest(name, known).is_some() {
        String::new()
    } else {
        format!(" (known: {})", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = Error::unknown("key", "model.latent", ["model.latents", "train.seed"]);
        assert!(
            error.to_string().contains("did you mean `model.latents`?"),
            "{error}"
        );
    }

    #[test]
    fn many_names_are_shown_only_if_none_is_near() {
        let known: Vec<String> = (0..13).map(|i| format!("key-{i}")).collect();
        let said = |name: &str| Error::unknown("key", name, known.clone()).to_string();
        assert_eq!(
            said("key-77"),
            "unknown key `key-77`, did you mean `key-7`?"
        );
        assert!(said("zzz").ends_with("key-11, key-12)"), "{}", said("zzz"));
    }
}
