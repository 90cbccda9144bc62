//! Columns that options name.

use std::path::Path;

use super::Field;
use super::note::listed;
use crate::data::OpenOptions;
use crate::{Error, Result};

/// Options with the usual columns that the table has, where no option names columns.
pub(super) fn with_usual(options: &OpenOptions, fields: &[Field]) -> OpenOptions {
    let named: Vec<&String> = [&options.label, &options.text]
        .into_iter()
        .flatten()
        .chain(options.columns.iter().chain(&options.exclude))
        .collect();
    let is_free = |pattern: &&String| {
        let matches = matcher(pattern);
        !named.contains(pattern) && fields.iter().any(|field| matches(&field.name))
    };
    let some = |given: &Option<String>, usual: &Option<String>| {
        given
            .clone()
            .or_else(|| usual.iter().find(is_free).cloned())
    };
    let all = |given: &[String], usual: &[String]| -> Vec<String> {
        if given.is_empty() {
            usual.iter().filter(is_free).cloned().collect()
        } else {
            given.to_vec()
        }
    };
    let usual = &options.usual;
    let chosen = options.member.is_some() || !options.columns.is_empty();
    OpenOptions {
        label: some(&options.label, &usual.label),
        text: some(&options.text, &usual.text),
        exclude: all(&options.exclude, &usual.exclude),
        columns: if chosen {
            options.columns.clone()
        } else {
            all(&options.columns, &usual.columns)
        },
        ..options.clone()
    }
}

/// Refuses one name in two options that give different roles.
pub(super) fn check_apart(options: &OpenOptions) -> Result<()> {
    let label = options.label.iter().map(|name| ("data.label", name));
    let text = options.text.iter().map(|name| ("data.text", name));
    let excluded = options.exclude.iter().map(|name| ("data.exclude", name));
    let named: Vec<_> = label.chain(text).chain(excluded).collect();
    for (place, (second, name)) in named.iter().enumerate() {
        let before = named[..place].iter().find(|(_, other)| other == name);
        if let Some((first, _)) = before.filter(|(first, _)| first != second) {
            return Err(Error::Conflict(format!(
                "column `{name}` is named by `{first}` and by `{second}`; name it in one of them"
            )));
        }
    }
    Ok(())
}

/// The column that an option names; refused if a pattern matches several.
pub(super) fn only(
    path: &Path,
    fields: &[Field],
    (option, name): (&str, &Option<String>),
) -> Result<Vec<usize>> {
    let Some(name) = name else {
        return Ok(Vec::new());
    };
    let found = matching(path, fields, std::slice::from_ref(name))?;
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|at| fields[*at].name.clone()).collect();
        let why = format!(
            "`{option}` must name one column, but `{name}` matches {}",
            listed(&names)
        );
        return Err(Error::Conflict(why));
    }
    Ok(found)
}

/// Columns that `data.columns` or `data.member` name, in the order of the option; `None` without the options.
pub(super) fn chosen(
    path: &Path,
    fields: &[Field],
    options: &OpenOptions,
) -> Result<Option<Vec<usize>>> {
    let names = match &options.member {
        Some(member) if options.columns.is_empty() => std::slice::from_ref(member),
        _ => &options.columns,
    };
    if names.is_empty() {
        return Ok(None);
    }
    matching(path, fields, names).map(Some)
}

/// Test of names against a name or glob.
fn matcher(pattern: &str) -> impl Fn(&str) -> bool {
    let glob = glob::Pattern::new(pattern).ok();
    move |name| name == pattern || glob.as_ref().is_some_and(|glob| glob.matches(name))
}

/// Columns whose names match one of the patterns, each once, in the order of the patterns.
pub(super) fn matching(path: &Path, fields: &[Field], patterns: &[String]) -> Result<Vec<usize>> {
    let mut found: Vec<usize> = Vec::new();
    for pattern in patterns {
        let matches = matcher(pattern);
        let before = found.len();
        let here = (0..fields.len()).filter(|at| matches(&fields[*at].name));
        let new: Vec<usize> = here.filter(|at| !found.contains(at)).collect();
        let known = found.iter().any(|at| matches(&fields[*at].name));
        found.extend(new);
        if found.len() == before && !known {
            let what = format!("column of {}", path.display());
            let names = fields.iter().map(|field| field.name.as_str());
            return Err(Error::unknown(&what, pattern, names));
        }
    }
    Ok(found)
}
