//! Shape of the code: what may use what, how long a file may be, that each says what it is.

use super::Text;

/// The library's modules, lowest first: each may use only those above it in this list.
const LAYERS: &[&str] = &[
    "error",
    "atomic",
    "io_spec",
    "tensors",
    "data",
    "params",
    "penalty",
    "codes",
    "synth",
    "engine",
    "optim",
    "variants",
    "config",
    "plan",
    "explain",
    "preprocess",
    "model",
    "formats",
    "train",
    "metrics",
    "check",
];

/// A crate's folder and what its source must not mention, with the reason.
const BARRED: &[(&str, &[&str], &str)] = &[
    (
        "crates/rarefy-kernels/src",
        &["std::fs", "std::io", "std::time", "rand::", "serde"],
        "kernels know slices and numbers only",
    ),
    (
        "crates/rarefy-report/src",
        &["rarefy::", "rarefy_kernels", "std::fs"],
        "the report knows plain records only",
    ),
    (
        "crates/rarefy/src",
        &["println!", "eprintln!", "std::time", "process::exit"],
        "the library neither speaks nor looks at the clock",
    ),
];

/// Lines above which a file of code wants to be two.
const LONGEST: usize = 500;

pub(super) fn check(files: &[Text], faults: &mut Vec<String>) {
    for file in files.iter().filter(|file| file.is("rs")) {
        let path = file.path.display();
        if !file.text.starts_with("//!") {
            faults.push(format!(
                "{path}: expected a first line `//! what this module is for`"
            ));
        }
        let lines = file.text.lines().count();
        if lines > LONGEST {
            faults.push(format!(
                "{path}: {lines} lines, expected {LONGEST} at most; split it by concept"
            ));
        }
        for (folder, words, why) in BARRED
            .iter()
            .filter(|(folder, ..)| file.path.starts_with(folder))
        {
            let said = words
                .iter()
                .filter(|word| code(&file.text).any(|line| line.contains(**word)));
            said.for_each(|word| {
                faults.push(format!("{path}: `{word}` is barred from {folder}: {why}"));
            });
        }
        layers(file, faults);
    }
}

/// Lines of code: without comments and without the tests at the end.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "mod tests {")
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Uses of `crate::MODULE` in the library may only point to lower layers.
fn layers(file: &Text, faults: &mut Vec<String>) {
    let Ok(inside) = file.path.strip_prefix("crates/rarefy/src") else {
        return;
    };
    let Some(first) = inside.iter().next().and_then(|part| part.to_str()) else {
        return;
    };
    let module = first.trim_end_matches(".rs");
    if module == "lib" || inside.ends_with("tests.rs") {
        return;
    }
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let Some(own) = rank(module) else {
        faults.push(format!(
            "{}: module `{module}` has no place among the layers in tidy",
            file.path.display()
        ));
        return;
    };
    for used in used_modules(&code(&file.text).collect::<Vec<_>>().join("\n")) {
        if rank(&used).is_some_and(|rank| rank > own) {
            let path = file.path.display();
            faults.push(format!(
                "{path}: `{module}` is below `{used}` and must not use it"
            ));
        }
    }
}

/// Names after `crate::`, also inside `use crate::{a, b::c}`.
fn used_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (_, after) in code
        .match_indices("crate::")
        .map(|(at, word)| code.split_at(at + word.len()))
    {
        let list = match after.strip_prefix('{') {
            Some(inside) => top_level(inside),
            None => vec![after],
        };
        let name = |item: &str| {
            item.trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        };
        names.extend(list.into_iter().map(name));
    }
    names
}

/// Items of a braced list, split at commas outside inner braces.
fn top_level(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&inside[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        check(
            &[Text {
                path: path.into(),
                text: text.into(),
            }],
            &mut faults,
        );
        faults
    }

    #[test]
    fn a_lower_layer_may_not_use_a_higher_one() {
        let upward = "//! x\nuse crate::{Error, data::{Source, Memory}, train::State};\n";
        assert_eq!(
            faults("crates/rarefy/src/data/npy.rs", upward),
            ["crates/rarefy/src/data/npy.rs: `data` is below `train` and must not use it"]
        );
        assert!(faults("crates/rarefy/src/train/mod.rs", upward).is_empty());
    }

    #[test]
    fn barred_words_count_in_code_alone() {
        let text = "//! x\n// std::time is not used\nfn f() {}\nmod tests {\nuse std::time;\n}\n";
        assert!(faults("crates/rarefy-kernels/src/a.rs", text).is_empty());
        assert_eq!(
            faults(
                "crates/rarefy-kernels/src/a.rs",
                "//! x\nuse std::time::Instant;\n"
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_module_says_what_it_is_and_stays_short() {
        let long = "fn f() {}\n".repeat(501);
        assert_eq!(faults("crates/rarefy-cli/src/a.rs", &long).len(), 2);
    }
}
