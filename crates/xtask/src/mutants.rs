//! Planted errors: each is applied to a copy of the tree, and at least one test must fail.

mod list;
mod runs;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::list::{MUTANTS, Mutant, ON_AVX512};
use self::runs::OF_RUNS;
use crate::root;

/// Test commands, fastest build first: most errors are caught before the slower builds.
const STAGES: &[&[&str]] = &[
    &["--package", "rarefy-kernels", "--lib"],
    &["--package", "rarefy", "--lib"],
    &["--package", "rarefy", "--test", "it"],
];

/// Name parts of the tests that run after those of the error's own module and before all tests of their stage.
const FIRST: &[&str] = &["check::", "train", "golden"];

pub fn run(words: &[String]) -> Result<()> {
    let tree = root().join("target/mutants/tree");
    copy_tree(&tree)?;
    if !tests_pass(&tree, "")? {
        bail!("the tests fail before any error is planted");
    }
    let (mut planted, mut caught) = (0, 0);
    let all = for_each_machine().chain(for_this_machine());
    for mutant in all.filter(|mutant| mutant.is_meant(words)) {
        let verdict = match survives(mutant, &tree) {
            Ok(false) => "caught",
            Ok(true) => "SURVIVED",
            Err(error) => &format!("NOT TRIED ({error})"),
        };
        println!("{verdict:8}  {}", mutant.name);
        planted += 1;
        caught += usize::from(verdict == "caught");
    }
    println!("{planted} errors planted, {caught} caught");
    if caught < planted {
        bail!("{} planted errors were not caught", planted - caught);
    }
    Ok(())
}

/// Lists the errors whose source line is not in the tree, without a build.
pub fn applies() -> Result<()> {
    let lost = stale(|name| fs::read_to_string(root().join(name)).ok());
    lost.iter().for_each(|line| println!("{line}"));
    let all = for_each_machine().chain(ON_AVX512).count();
    println!("{} of {all} planted errors apply", all - lost.len());
    if !lost.is_empty() {
        bail!("{} planted errors have no place in the source", lost.len());
    }
    Ok(())
}

impl Mutant {
    /// True if the name or file contains one of the words, or without words.
    fn is_meant(&self, words: &[String]) -> bool {
        let has = |word: &String| self.name.contains(word) || self.file.contains(word);
        words.is_empty() || words.iter().any(has)
    }

    /// Name of the module that the error is planted in: `sparse` for both `sparse.rs` and `sparse/mod.rs`.
    fn module(&self) -> &str {
        let path = self.file.trim_end_matches(".rs").trim_end_matches("/mod");
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// Faults of errors that do not match the source: without this check, a changed line would disable its
/// error silently.
///
/// `text_of` gives the content of a file of the workspace.
pub fn stale(text_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let all = for_each_machine().chain(ON_AVX512);
    all.filter_map(|mutant| fault(mutant, &text_of(mutant.file).unwrap_or_default()))
        .collect()
}

fn fault(mutant: &Mutant, text: &str) -> Option<String> {
    let times = text.matches(mutant.from).count();
    (times != 1).then(|| {
        format!(
            "{}: expected `{}` once, for the planted error \"{}\", got it {times} times",
            mutant.file, mutant.from, mutant.name
        )
    })
}

/// Errors that any machine notices.
fn for_each_machine() -> impl Iterator<Item = &'static Mutant> {
    MUTANTS.iter().chain(OF_RUNS)
}

fn for_this_machine() -> &'static [Mutant] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        return ON_AVX512;
    }
    println!("left out  {} errors that need AVX-512", ON_AVX512.len());
    &[]
}

/// Plants an error, runs the tests and restores the file. True if all tests pass.
fn survives(mutant: &Mutant, tree: &Path) -> Result<bool> {
    let path = tree.join(mutant.file);
    let sound = fs::read_to_string(&path)?;
    if let Some(fault) = fault(mutant, &sound) {
        bail!(fault);
    }
    fs::write(&path, sound.replace(mutant.from, mutant.to))?;
    let survived = tests_pass(tree, mutant.module());
    fs::write(&path, sound)?;
    survived
}

/// Copies the files that git does not ignore to a separate folder.
fn copy_tree(tree: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    for name in String::from_utf8(listed.stdout)?.lines() {
        let (from, to) = (root().join(name), tree.join(name));
        let Ok(content) = fs::read(&from) else {
            continue;
        };
        // An unchanged file keeps its time, so that cargo does not rebuild it.
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        fs::create_dir_all(to.parent().context("file without a folder")?)?;
        fs::write(&to, content)?;
    }
    Ok(())
}

/// True if all tests of the kernels and the library pass.
///
/// The tests whose names contain `module` run first: they catch most errors, within seconds.
///
/// # Errors
/// Fails if the tree does not build, because then nothing is tested.
fn tests_pass(tree: &Path, module: &str) -> Result<bool> {
    for stage in STAGES {
        let cargo = |more: &[&str]| {
            Command::new(env!("CARGO"))
                .args(["test", "--quiet"])
                .args(*stage)
                .args(more)
                .current_dir(tree)
                .env("CARGO_TARGET_DIR", tree.with_file_name("build"))
                .env("CARGO_PROFILE_DEV_DEBUG", "none")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
        };
        if !cargo(&["--no-run"])?.success() {
            bail!("the tree does not build; see {}", tree.display());
        }
        let first = [&["--"], FIRST].concat();
        for tests in [&["--", module][..], &first, &[]] {
            if !cargo(tests)?.success() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_matches_one_place_and_changed_or_doubled_lines_are_faults() {
        let read = |name: &str| fs::read_to_string(root().join(name)).ok();
        assert_eq!(stale(read), [""; 0]);
        let all = for_each_machine().chain(ON_AVX512).count();
        assert_eq!(stale(|_| None).len(), all);
        assert_eq!(stale(|name| read(name).map(|t| t.repeat(2))).len(), all);
    }
}
