//! The error type of the library.
//!
//! Every message says what failed, where, what was expected and what was found. Fields of the configuration
//! stand in backticks (`train.lr`); the program adds the flag that sets the field.

use std::io;
use std::path::{Path, PathBuf};

/// Error of a library call: a wrong argument or setting, a bad file, or training that diverged or was interrupted. The
/// message names the place, the expected and the actual value.
///
/// A broken promise inside the library is a panic, not an `Error`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or argument is outside its documented range.
    #[error("{} must be {expected}, got {got}", in_backticks(.name))]
    Hyper {
        /// Field as the configuration spells it, such as `train.lr`. The message puts backticks around the name.
        name: String,
        /// Allowed range or choices, as a phrase after "must be".
        expected: String,
        /// Value that was given.
        got: String,
    },
    /// Two sizes that must be equal are different.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Name of the array or file whose size is wrong.
        what: String,
        /// Required size.
        expected: String,
        /// Actual size.
        got: String,
    },
    /// No entry has this name (of a format, key, sample, architecture, ...).
    #[error("unknown {what} `{name}`{}{}", nearest_phrase(.name, .known), known_phrase(.name, .known))]
    Unknown {
        /// Kind of entry, such as `sample`.
        what: String,
        /// Name that was not found.
        name: String,
        /// All valid names.
        known: Vec<String>,
    },
    /// A file violates its format. `why` names the place (byte, row or line) and what was expected there.
    #[error("{}: {why}", .path.display())]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Description of the fault, with its position and the expected content.
        why: String,
    },
    /// A value in the data is NaN or infinite.
    #[error("{}: row {row}, column {column}: expected a finite number, got {got}", .path.display())]
    NotFinite {
        /// Path of the file.
        path: PathBuf,
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
        /// NaN or an infinity.
        got: f32,
    },
    /// A result of finite rows is NaN or infinite: a number exceeds the range of `f32`, about 3.4e38.
    #[error(
        "{}: {place}: expected a finite number, got {got}; a number exceeds the range of f32, about 3.4e38: scale the rows, or leave the largest out",
        .path.display()
    )]
    OutOfRange {
        /// Path of the file that would hold the result, or name of the rows.
        path: PathBuf,
        /// Name of the result, such as `mse`, or the row and column that were not written.
        place: String,
        /// NaN or an infinity.
        got: f64,
    },
    /// Two settings contradict each other, or a setting contradicts the data.
    #[error("{0}")]
    Conflict(String),
    /// The operating system reported an error.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Training diverged: the objective or its gradient is NaN or infinite.
    #[error(
        "step {step}: expected a finite objective and gradient, got {objective} and {gradient}"
    )]
    Diverged {
        /// Training step, counted from 1.
        step: usize,
        /// Value of the objective.
        objective: f64,
        /// Norm of the gradient.
        gradient: f64,
    },
    /// The caller asked to stop. The checkpoint holds all finished steps.
    #[error("interrupted")]
    Interrupted,
}

/// Result of a call that may fail with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Closure for `map_err` that turns an [`io::Error`] into [`Error::Io`] with `path`, as in
    /// `fs::read(path).map_err(Error::io(path))?`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// Creates [`Error::Format`], for readers of files: the file at `path` violates its format. `why` names the
    /// position and the expected content.
    pub fn format(path: impl AsRef<Path>, why: impl Into<String>) -> Self {
        Self::Format {
            path: path.as_ref().to_path_buf(),
            why: why.into(),
        }
    }

    /// Error of a result that is NaN or infinite, so that the file at `path` was not written; `place` names its row.
    #[doc(hidden)]
    pub fn out_of_range(path: &Path, place: &str, got: f32) -> Self {
        Self::OutOfRange {
            path: path.into(),
            place: format!("not written: {place}"),
            got: got.into(),
        }
    }

    /// The error of another run that ends for this reason: its text, or [`Error::Interrupted`].
    #[doc(hidden)]
    #[must_use]
    pub fn repeated(&self) -> Self {
        match self {
            Self::Interrupted => Self::Interrupted,
            error => Self::Conflict(error.to_string()),
        }
    }

    /// Creates [`Error::Hyper`]: the setting `name` has the value `got`, which is not allowed. `expected` describes the
    /// allowed values, as a phrase after "must be".
    ///
    /// # Example
    /// ```
    /// let error = rarefy::Error::hyper("train.lr", "above 0", -1.0);
    /// assert_eq!(error.to_string(), "`train.lr` must be above 0, got -1");
    /// ```
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

    /// Creates [`Error::Unknown`]: no entry of the kind `what`, such as `sample`, has the name `name`. `known` lists
    /// all valid names; the message suggests the nearest one.
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

/// Known name that is most similar to `name`; `None` if all differ in more than a third of the letters.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .filter(|known| {
            let (letters, apart) = (name.chars().count(), strsim::osa_distance(name, known));
            apart <= (letters / 3).max(1) && apart < letters
        })
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate.as_str()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Puts backticks around a field name that has none.
fn in_backticks(name: &str) -> String {
    if name.starts_with('`') {
        name.to_owned()
    } else {
        format!("`{name}`")
    }
}

fn nearest_phrase(name: &str, known: &[String]) -> String {
    nearest(name, known).map_or_else(String::new, |n| format!(", did you mean `{n}`?"))
}

/// List of all known names; empty if there are many and a near one was suggested.
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
    fn unknown_name_suggests_nearest_known_name() {
        let error = Error::unknown("key", "model.latent", ["model.latents", "train.seed"]);
        assert!(
            error.to_string().contains("did you mean `model.latents`?"),
            "{error}"
        );
    }

    #[test]
    fn name_of_other_letters_is_not_suggested() {
        let known = ["age".to_owned(), "scale".to_owned(), "kl".to_owned()];
        assert_eq!(nearest("diagnosis", &known), None);
        assert_eq!(nearest("zscore", &known), None);
        assert_eq!(nearest("k1", &known), Some("kl"));
        assert_eq!(nearest("sacle", &known), Some("scale"));
    }

    #[test]
    fn list_of_more_than_12_names_is_shown_only_without_near_name() {
        let known: Vec<String> = (0..13).map(|i| format!("key-{i}")).collect();
        let message = |name: &str| Error::unknown("key", name, known.clone()).to_string();
        assert_eq!(
            message("key-77"),
            "unknown key `key-77`, did you mean `key-7`?"
        );
        assert!(
            message("zzz").ends_with("key-11, key-12)"),
            "{}",
            message("zzz")
        );
    }
}
