//! Texts: links must have targets, listed errors need guards, absolute paths of a machine are faults.

use std::path::Path;

use super::Text;
use crate::root;

/// Absolute paths that exist on one machine only. They are concatenated so that this file does not
/// contain them.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Page with common errors in public code, each with a test that guards against it.
const ERRORS: &str = "docs/common-errors.md";
const ERROR_COUNT: usize = 35;

pub(super) fn check(files: &[Text], faults: &mut Vec<String>) {
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS.iter().filter(|path| line.contains(**path)) {
                faults.push(format!(
                    "{}:{}: `{path}` is a path of one machine",
                    file.path.display(),
                    number + 1
                ));
            }
        }
        if file.is("md") {
            links(file, faults);
        }
    }
    match files.iter().find(|file| file.path == Path::new(ERRORS)) {
        Some(errors) => guards(errors, files, faults),
        None => faults.push(format!("{ERRORS} is missing")),
    }
}

/// Checks that relative links in Markdown point to existing files.
fn links(file: &Text, faults: &mut Vec<String>) {
    let folder = root().join(file.path.parent().unwrap_or(Path::new("")));
    for (_, after) in file
        .text
        .match_indices("](")
        .map(|(at, mark)| file.text.split_at(at + mark.len()))
    {
        let target = after.split([')', '#', '\n']).next().unwrap_or_default();
        if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
            faults.push(format!(
                "{}: link to `{target}`, which does not exist",
                file.path.display()
            ));
        }
    }
}

/// Checks that each error has a row, and that the row names a function that guards against it.
fn guards(errors: &Text, files: &[Text], faults: &mut Vec<String>) {
    let defined = |name: &str| {
        let signature = format!("fn {name}");
        let mut sources = files.iter().filter(|file| file.is("rs"));
        name.len() > 3 && sources.any(|file| file.text.contains(&signature))
    };
    for number in 1..=ERROR_COUNT {
        let start = format!("| E{number} |");
        let row = errors.text.lines().find(|line| line.starts_with(&start));
        let named = row.is_some_and(|row| row.split('`').skip(1).step_by(2).any(defined));
        if !named {
            faults.push(format!(
                "{ERRORS}: expected a row `{start} ...` that names a test or function of the code"
            ));
        }
    }
}
