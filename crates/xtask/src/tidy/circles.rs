//! Circles between files: a file must not use another one that uses it, directly or through others.
//!
//! Paths of code that begin with `crate::` or `super::` count. A module and the modules inside it may use each other.

use std::collections::{BTreeMap, BTreeSet};

use super::Text;
use super::modules::code;

/// Modules of a crate by their path, each with the modules that it uses.
type Uses = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

pub(super) fn check(files: &[Text], faults: &mut Vec<String>) {
    let mut crates: BTreeMap<&str, Vec<(Vec<String>, &str)>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        let path = file.path.to_str().unwrap_or_default();
        if let Some((name, inside)) = path.split_once("/src/")
            && !inside.split(['/', '.']).any(|part| part == "tests")
        {
            let module = module_path(inside);
            crates.entry(name).or_default().push((module, &file.text));
        }
    }
    for (name, modules) in crates {
        for circle in circles(&uses(&modules)) {
            faults.push(format!(
                "{name}: modules use each other in a circle: {circle}; move the shared item to a file of its own"
            ));
        }
    }
}

/// `a/b.rs` and `a/b/mod.rs` as `[a, b]`.
fn module_path(inside: &str) -> Vec<String> {
    let parts = inside.trim_end_matches(".rs").split('/');
    let mut parts: Vec<String> = parts.map(str::to_owned).collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts
}

fn uses(modules: &[(Vec<String>, &str)]) -> Uses {
    let known: BTreeSet<&[String]> = modules.iter().map(|(path, _)| path.as_slice()).collect();
    let of_module = |(module, text): &(Vec<String>, &str)| {
        let text = code(text).collect::<Vec<_>>().join("\n");
        let used = paths(&text, module).into_iter().filter_map(|mut path| {
            while !known.contains(path.as_slice()) {
                path.pop()?;
            }
            let related = path.starts_with(module) || module.starts_with(&path);
            (!related).then_some(path)
        });
        (module.clone(), used.collect())
    };
    modules.iter().map(of_module).collect()
}

/// Paths of the code of a module from the crate's root on.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = code;
    while let Some(at) = [rest.find("crate::"), rest.find("super::")]
        .into_iter()
        .flatten()
        .min()
    {
        let visibility = rest[..at].ends_with("(in ");
        let mut base = Vec::new();
        rest = if let Some(after) = rest[at..].strip_prefix("crate::") {
            after
        } else {
            base = module.to_vec();
            let mut after = &rest[at..];
            while let Some(further) = after.strip_prefix("super::") {
                base.pop();
                after = further;
            }
            after
        };
        if !visibility {
            expand(rest, &base, &mut all);
        }
    }
    all
}

/// Adds the paths at the beginning of `code`, such as `a::{b, c::d}`, each behind `base`.
fn expand(code: &str, base: &[String], all: &mut Vec<Vec<String>>) {
    let word = |c: char| !c.is_alphanumeric() && c != '_';
    let (name, after) = code.split_at(code.find(word).unwrap_or(code.len()));
    if !name.is_empty() {
        let path = [base, &[name.to_owned()]].concat();
        match after.strip_prefix("::") {
            Some(further) => expand(further, &path, all),
            None => all.push(path),
        }
    } else if let Some(list) = code.strip_prefix('{') {
        for item in super::modules::top_level(list) {
            expand(item.trim(), base, all);
        }
    } else {
        all.push(base.to_vec());
    }
}

/// One circle for each group of modules that use each other, as `a -> b -> a`.
fn circles(uses: &Uses) -> Vec<String> {
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for start in uses.keys() {
        if let Some(circle) = way_back(uses, start).filter(|_| !done.contains(start)) {
            done.extend(circle.iter().cloned());
            let names: Vec<String> = circle.iter().map(|module| module.join("::")).collect();
            found.push(names.join(" -> "));
        }
    }
    found
}

/// Shortest way from a module back to itself.
fn way_back(uses: &Uses, start: &Vec<String>) -> Option<Vec<Vec<String>>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in way
                .last()
                .and_then(|last| uses.get(last))
                .into_iter()
                .flatten()
            {
                let mut further = way.clone();
                further.push(next.clone());
                if next == start {
                    return Some(further);
                }
                if seen.insert(next) {
                    longer.push(further);
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let text = |(path, text): &(&str, &str)| Text {
            path: format!("crates/a/src/{path}").into(),
            text: (*text).into(),
        };
        let mut faults = Vec::new();
        check(&files.iter().map(text).collect::<Vec<_>>(), &mut faults);
        faults
    }

    #[test]
    fn circle_over_three_files_is_one_fault() {
        let faults = faults(&[
            ("lib.rs", "mod one;\nmod two;\nmod three;\n"),
            ("one.rs", "use crate::{two::{A, B}, Error};\n"),
            ("two/mod.rs", "fn f() { super::three::go() }\n"),
            ("three.rs", "use super::one::C;\n"),
        ]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(
            faults[0].contains("one -> two -> three -> one"),
            "{faults:?}"
        );
    }

    #[test]
    fn module_and_its_inner_modules_may_use_each_other() {
        let faults = faults(&[
            ("one/mod.rs", "use one::inner::A;\nuse self::inner::B;\n"),
            ("one/inner.rs", "use super::C;\nuse crate::one::D;\n"),
            (
                "one/other.rs",
                "use super::inner::A;\npub(in crate::two) fn f() {}\n",
            ),
            ("two.rs", "use crate::one::other;\n// use crate::one\n"),
        ]);
        assert!(faults.is_empty(), "{faults:?}");
    }
}
