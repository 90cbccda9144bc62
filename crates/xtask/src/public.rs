//! `cargo xtask public`: the public items of the library, from its documentation pages.
//!
//! An item counts if the documentation shows it: items marked `#[doc(hidden)]` are internal. Methods of a type count
//! one each; trait implementations, fields and variants do not.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::root;

/// Committed list, in the order of the documentation's index.
const LIST: &str = "docs/public-items.txt";

/// Largest number of public items.
const MOST: usize = 150;

/// Writes the list, or fails if it is out of date or too long.
pub fn run(check: bool) -> Result<()> {
    let flags = [("RUSTDOCFLAGS", "--deny warnings")];
    // With `--package rarefy`, dependencies would have other features than in the other checks, and be built once more.
    cargo(&["doc", "--workspace", "--no-deps", "--quiet"], &flags)?;
    let items = items(&root().join("target/doc/rarefy"))?;
    let mut text = String::new();
    items.iter().for_each(|item| {
        let _ = writeln!(text, "{item}");
    });
    println!("{} public items", items.len());
    if items.len() > MOST {
        bail!(
            "the library may have at most {MOST} public items; mark internal ones `#[doc(hidden)]`"
        );
    }
    let path = root().join(LIST);
    if !check {
        fs::write(&path, text)?;
        println!("{LIST}");
    } else if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    } else {
        bail!("{LIST} is out of date; run `cargo xtask public`")
    }
    Ok(())
}

/// Items of all pages: `module::Type` and `module::Type::method`.
fn items(pages: &Path) -> Result<Vec<String>> {
    let index = read(&pages.join("all.html"))?;
    let links = index.split("<li><a href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split('"').next());
    let mut all = Vec::new();
    for link in links.filter(|link| !link.starts_with('#')) {
        let name = item_name(link);
        let page = read(&pages.join(link))?;
        all.push(name.clone());
        all.extend(methods(&page).into_iter().map(|m| format!("{name}::{m}")));
    }
    Ok(all)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// `data/struct.Memory.html` as `data::Memory`.
fn item_name(link: &str) -> String {
    let link = link.trim_end_matches(".html");
    let (folder, file) = link.rsplit_once('/').unwrap_or(("", link));
    let item = file.split_once('.').map_or(file, |(_, item)| item);
    match folder {
        "" => item.into(),
        folder => format!("{}::{item}", folder.replace('/', "::")),
    }
}

/// Inherent methods of a type, or methods of a trait.
fn methods(page: &str) -> BTreeSet<String> {
    let from = page
        .find("id=\"implementations\"")
        .or_else(|| page.find("id=\"required-methods\""))
        .or_else(|| page.find("id=\"provided-methods\""));
    let Some(from) = from else {
        return BTreeSet::new();
    };
    let ends = [
        "trait-implementations",
        "synthetic-implementations",
        "implementors",
    ];
    let ends = ends.map(|end| page[from..].find(&format!("id=\"{end}\"")));
    let end = ends.into_iter().flatten().min();
    let section = &page[from..end.map_or(page.len(), |end| from + end)];
    let marks = section.split("id=\"").skip(1);
    let marks = marks.filter_map(|rest| {
        let id = rest.split('"').next()?;
        id.strip_prefix("method.").or(id.strip_prefix("tymethod."))
    });
    marks.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_other_traits_do_not_count() {
        let page = r#"<h2 id="implementations"></h2><section id="method.new"></section>
            <section id="method.rows"></section><h2 id="trait-implementations"></h2><section id="method.clone">"#;
        let expected = ["new", "rows"].map(String::from);
        assert_eq!(methods(page), BTreeSet::from(expected));
        assert_eq!(methods("<p>a function</p>"), BTreeSet::new());
    }

    #[test]
    fn links_become_paths_of_items() {
        assert_eq!(item_name("data/npy/struct.Npy.html"), "data::npy::Npy");
        assert_eq!(item_name("fn.topk.html"), "topk");
    }
}
