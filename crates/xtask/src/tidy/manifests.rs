//! Manifests of the crates: fields that a release needs, and the minimum Rust version.

use serde_json::Value;

use crate::metadata::{Metadata, text};

/// Largest number of keywords that the registry accepts.
const MOST_KEYWORDS: usize = 5;

pub(super) fn check(metadata: &Metadata, faults: &mut Vec<String>) {
    for package in metadata.members() {
        let name = text(package, "name");
        release_fields(package, name, faults);
        path_dependencies(package, name, faults);
    }
    rust_version(metadata, faults);
}

/// Fields that people see in the registry. A crate with `publish = false` needs a description only.
fn release_fields(package: &Value, name: &str, faults: &mut Vec<String>) {
    let is_published = package["publish"].is_null();
    let mut needs = |field: &str, is_there: bool| {
        if !is_there {
            faults.push(format!("crate {name}: Cargo.toml lacks `{field}`"));
        }
    };
    let count = |field: &str| package[field].as_array().map_or(0, Vec::len);
    needs("description", !text(package, "description").is_empty());
    needs("license", !text(package, "license").is_empty());
    if !is_published {
        return;
    }
    needs("categories", count("categories") > 0);
    needs("keywords", count("keywords") > 0);
    let folder = std::path::Path::new(text(package, "manifest_path"));
    let readme = folder.with_file_name(text(package, "readme"));
    needs("readme", readme.is_file());
    if count("keywords") > MOST_KEYWORDS {
        faults.push(format!(
            "crate {name}: {} keywords, expected {MOST_KEYWORDS} at most",
            count("keywords")
        ));
    }
}

/// A package in the registry cannot depend on a path alone.
fn path_dependencies(package: &Value, name: &str, faults: &mut Vec<String>) {
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        if !dependency["path"].is_null() && text(dependency, "req") == "*" {
            faults.push(format!(
                "crate {name}: dependency `{}` has a path and no version",
                text(dependency, "name")
            ));
        }
    }
}

/// All crates declare the same minimum Rust version, and no dependency needs a newer one. The lint
/// `incompatible_msrv` compares our own code with it.
fn rust_version(metadata: &Metadata, faults: &mut Vec<String>) {
    let declared = |package: &Value| version(text(package, "rust_version"));
    let lowest = metadata.members().map(declared).min().unwrap_or_default();
    for package in metadata.members() {
        if declared(package) != lowest || lowest == [0; 3] {
            faults.push(format!(
                "crate {}: expected `rust-version.workspace = true`",
                text(package, "name")
            ));
        }
    }
    for package in metadata.foreign().filter(|p| declared(p) > lowest) {
        faults.push(format!(
            "Cargo.toml: `rust-version` is too low: {} {} needs Rust {}",
            text(package, "name"),
            text(package, "version"),
            text(package, "rust_version")
        ));
    }
}

/// Numbers of a version such as `1.89` or `1.89.0`; zeros if there is none.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(text.split('.')) {
        *number = part.parse().unwrap_or(0);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version("1.89") > version("1.9.3"));
        assert_eq!(version("1.89"), version("1.89.0"));
        assert_eq!(version(""), [0; 3]);
    }

    #[test]
    fn missing_release_fields_are_faults() {
        let mut faults = Vec::new();
        let package = serde_json::json!({
            "name": "x", "license": "MIT", "publish": null, "manifest_path": "/x/Cargo.toml",
            "description": "a crate", "keywords": ["a", "b", "c", "d", "e", "f"], "categories": [],
            "dependencies": [{ "name": "y", "path": "/y", "req": "*" }, { "name": "z", "path": "/z", "req": "^1" }],
        });
        release_fields(&package, "x", &mut faults);
        path_dependencies(&package, "x", &mut faults);
        let expected = [
            "crate x: Cargo.toml lacks `categories`",
            "crate x: Cargo.toml lacks `readme`",
            "crate x: 6 keywords, expected 5 at most",
            "crate x: dependency `y` has a path and no version",
        ];
        assert_eq!(faults, expected);
    }
}
