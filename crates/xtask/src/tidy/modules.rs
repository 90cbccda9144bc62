//! Code structure: allowed uses between modules, their table in ARCHITECTURE.md, length of files, module docs.

use std::path::Path;

use super::Text;

/// Modules of the library, lowest layer first; a module may use only modules above it in this list. ARCHITECTURE.md
/// has the same order.
const LAYERS: &[&str] = &[
    "error",
    "atomic",
    "io_spec",
    "options",
    "tensors",
    "codes",
    "synth",
    "data",
    "params",
    "penalty",
    "engine",
    "objective",
    "optim",
    "variants",
    "config",
    "plan",
    "explain",
    "preprocess",
    "model",
    "formats",
    "stream",
    "train",
    "metrics",
    "latents",
    "trainer",
    "recipe",
    "builder",
    "prelude",
    "check",
];

/// Folder of a crate, with words that its source must not contain and the reason.
const BARRED: &[(&str, &[&str], &str)] = &[
    (
        "crates/rarefy-kernels/src",
        &["std::fs", "std::io", "std::time", "rand::", "serde"],
        "kernels only work on slices and numbers",
    ),
    (
        "crates/rarefy-report/src",
        &["rarefy::", "rarefy_kernels", "std::fs"],
        "the report only uses plain records",
    ),
    (
        "crates/rarefy/src",
        &["println!", "eprintln!", "std::time", "process::exit"],
        "the library prints nothing and reads no clock",
    ),
];

/// Page with the table of layers.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Header of the table of layers.
const HEADER: &str = "| module | content |";

/// Largest number of lines of a source file.
const LONGEST: usize = 500;

pub(super) fn check(files: &[Text], faults: &mut Vec<String>) {
    merged_tests(files, faults);
    documented_layers(files, faults);
    for file in files.iter().filter(|file| file.is("rs")) {
        let path = file.path.display();
        if !file.text.starts_with("//!") {
            faults.push(format!(
                "{path}: expected a first line with the module's docs, `//! ...`"
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

/// Checks that the table of layers in ARCHITECTURE.md has the modules of [`LAYERS`] in their order.
fn documented_layers(files: &[Text], faults: &mut Vec<String>) {
    let mut pages = files.iter();
    let Some(page) = pages.find(|file| file.path == Path::new(ARCHITECTURE)) else {
        return;
    };
    let lines = page.text.lines().skip_while(|line| *line != HEADER).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let listed: Vec<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    if listed != LAYERS {
        faults.push(format!(
            "{ARCHITECTURE}: expected the layers {}, got {}",
            LAYERS.join(", "),
            listed.join(", ")
        ));
    }
}

/// Checks that `tests/main.rs` of a crate lists each file beside it. A file that is not listed would never
/// run.
fn merged_tests(files: &[Text], faults: &mut Vec<String>) {
    let mains = files
        .iter()
        .filter(|file| file.path.ends_with("tests/main.rs"));
    for main in mains {
        let folder = main.path.parent().expect("a folder of tests");
        let beside = files
            .iter()
            .filter(|file| file.is("rs") && file.path.parent() == Some(folder));
        for file in beside.filter(|file| file.path != main.path) {
            let name = file.path.file_stem().unwrap_or_default().to_string_lossy();
            if !main.text.contains(&format!("mod {name};")) {
                faults.push(format!("{}: add `mod {name};`", main.path.display()));
            }
        }
    }
}

/// Lines of code without comments and without the tests at the end.
pub(super) fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "mod tests {")
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Checks that uses of `crate::MODULE` in the library name lower layers only.
fn layers(file: &Text, faults: &mut Vec<String>) {
    let Ok(inside) = file.path.strip_prefix("crates/rarefy/src") else {
        return;
    };
    let Some(first) = inside.iter().next().and_then(|part| part.to_str()) else {
        return;
    };
    let module = first.trim_end_matches(".rs");
    let is_test = inside.ends_with("tests.rs") || inside.iter().any(|part| part == "tests");
    if module == "lib" || is_test {
        return;
    }
    let rank = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let Some(own) = rank(module) else {
        faults.push(format!(
            "{}: module `{module}` is missing in the layers of tidy",
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

/// Module names after `crate::`, also in `use crate::{a, b::c}`.
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

/// Items of a list in braces, split at commas outside of inner braces.
pub(super) fn top_level(inside: &str) -> Vec<&str> {
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
    fn use_of_a_higher_layer_is_a_fault() {
        let upward = "//! x\nuse crate::{Error, data::{Source, Memory}, train::State};\n";
        assert_eq!(
            faults("crates/rarefy/src/data/npy.rs", upward),
            ["crates/rarefy/src/data/npy.rs: `data` is below `train` and must not use it"]
        );
        assert!(faults("crates/rarefy/src/train/mod.rs", upward).is_empty());
    }

    #[test]
    fn table_of_layers_in_another_order_is_a_fault() {
        let table = |names: &[&str]| {
            let rows = names
                .iter()
                .map(|name| format!("| `{name}` | content of `x` |\n"));
            format!(
                "# A\n\n{HEADER}\n|---|---|\n{}\nEnd.\n",
                rows.collect::<String>()
            )
        };
        assert!(faults(ARCHITECTURE, &table(LAYERS)).is_empty());
        let mut other = LAYERS.to_vec();
        other.swap(0, 1);
        assert_eq!(faults(ARCHITECTURE, &table(&other)).len(), 1);
    }

    #[test]
    fn test_file_that_main_does_not_list_is_a_fault() {
        let file = |path: &str, text: &str| Text {
            path: path.into(),
            text: text.into(),
        };
        let files = [
            file("crates/a/tests/main.rs", "//! x\nmod one;\n"),
            file("crates/a/tests/one.rs", "//! x\n"),
            file("crates/a/tests/two.rs", "//! x\n"),
            file("crates/a/tests/one/part.rs", "//! x\n"),
        ];
        let mut faults = Vec::new();
        check(&files, &mut faults);
        assert_eq!(faults, ["crates/a/tests/main.rs: add `mod two;`"]);
    }

    #[test]
    fn barred_words_count_in_code_only() {
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
    fn missing_docs_and_long_files_are_faults() {
        let long = "fn f() {}\n".repeat(501);
        assert_eq!(faults("crates/rarefy-cli/src/a.rs", &long).len(), 2);
    }
}
