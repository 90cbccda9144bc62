//! Errors of the library as Python exceptions, in the names of Python parameters.

use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError};
use pyo3::prelude::*;
use rarefy::Error;

/// Sections of the configuration, which Python parameters do not name.
const SECTIONS: [&str; 5] = ["model.options.", "model.", "train.", "data.", "store."];

/// Parameters whose Python name differs from the configuration's.
const RENAMED: [(&str, &str); 5] = [
    ("latents", "n_latents"),
    ("arch", "architecture"),
    ("batch", "batch_size"),
    ("seed", "random_state"),
    ("lr", "learning_rate"),
];

/// Settings of runs and data that are Python parameters, by our names; all others are keys of `settings`.
const PARAMETERS: [&str; 13] = [
    "path",
    "target",
    "member",
    "preprocess",
    "holdout",
    "image_shape",
    "steps",
    "epochs",
    "batch",
    "lr",
    "optimizer",
    "seed",
    "threads",
];

/// The exception for an error: a class of `rarefy.errors`, or an `OSError` by its number.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let text = in_python(&error.to_string());
    let class = match error {
        Error::Interrupted => return PyKeyboardInterrupt::new_err(text),
        Error::Io { source, path } => {
            // `OSError(number, text, file)` becomes FileNotFoundError and others by itself.
            let Some(number) = source.raw_os_error() else {
                return PyOSError::new_err(text);
            };
            let what = source.to_string();
            let what = what
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            return PyOSError::new_err((number, what, path.display().to_string()));
        }
        Error::Diverged { .. } => "DivergedError",
        Error::Shape { .. } => "ShapeError",
        Error::NotFinite { .. } | Error::OutOfRange { .. } => "NotFiniteError",
        Error::Format { .. } => "FormatError",
        Error::Hyper { .. } | Error::Unknown { .. } | Error::Conflict(_) => "ConfigError",
        _ => "RarefyError",
    };
    of_class(py, class, &text)
}

/// Exception of a class of `rarefy.errors`.
pub fn of_class(py: Python<'_>, class: &str, text: &str) -> PyErr {
    let made = py
        .import("rarefy.errors")
        .and_then(|module| module.getattr(class))
        .and_then(|class| class.call1((text,)));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// A message with the names of Python parameters: `train.lr` is `learning_rate`, and the flag --force is `force`.
pub fn in_python(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let named = parts.map(|(at, part)| {
        if at % 2 == 1 {
            parameter(part)
        } else {
            flags(part)
        }
    });
    named.collect::<Vec<_>>().join("`")
}

fn parameter(name: &str) -> String {
    let short = SECTIONS
        .iter()
        .find_map(|section| name.strip_prefix(section))
        .unwrap_or(name);
    let is_setting = name.starts_with("train.") || name.starts_with("data.");
    if is_setting && !PARAMETERS.contains(&short.split([' ', '=']).next().unwrap_or_default()) {
        return match name.split_once(" = ") {
            Some((key, value)) => format!("settings[\"{key}\"] = \"{value}\""),
            None => format!("settings[\"{name}\"]"),
        };
    }
    let renamed = RENAMED.iter().find(|(ours, _)| *ours == short);
    renamed.map_or(short, |(_, python)| python).to_owned()
}

/// Flags of the program as parameters.
fn flags(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.strip_prefix("--") {
        Some(flag) if !flag.is_empty() => flag.replace('-', "_"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
