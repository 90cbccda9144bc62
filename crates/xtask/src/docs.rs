//! `cargo xtask docs`: writes `docs/reference.md` from the program's help texts and tables.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{cargo, program};
use crate::root;

const TARGET: &str = "docs/reference.md";
const COMMANDS: &[&[&str]] = &[
    &["train"],
    &["explain"],
    &["frontier"],
    &["eval"],
    &["latents"],
    &["watch"],
    &["compare"],
    &["encode"],
    &["decode"],
    &["convert"],
    &["inspect"],
    &["report"],
    &["plot", "penalty"],
    &["check", "gradients"],
    &["data", "info"],
    &["data", "patches"],
    &["data", "shard"],
    &["list"],
    &["synth"],
    &["truth"],
    &["bench"],
    &["bench", "step"],
    &["bench", "objective"],
];
const LISTS: &[&str] = &[
    "architectures",
    "formats",
    "samples",
    "preprocessing",
    "metrics",
];

pub fn run(check: bool) -> Result<()> {
    cargo(&["test", "--workspace", "--no-run", "--quiet"], &[])?;
    let text = reference()?;
    let path = root().join(TARGET);
    if !check {
        fs::write(&path, text)?;
        println!("{TARGET}");
        return Ok(());
    }
    if fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    bail!("{TARGET} is out of date; run `cargo xtask docs`")
}

fn reference() -> Result<String> {
    let mut text = String::from(
        "# Reference\n\nThe program's own words, written by `cargo xtask docs`; do not edit.\n\n## Commands\n",
    );
    for command in COMMANDS {
        let help = rarefy(&[command, &["--help"][..]].concat())?;
        write!(
            text,
            "\n### rarefy {}\n\n```text\n{}\n```\n",
            command.join(" "),
            help.trim_end()
        )?;
    }
    for list in LISTS {
        let table = rarefy(&["list", list])?;
        write!(
            text,
            "\n## {}{}\n\n```text\n{}\n```\n",
            list[..1].to_uppercase(),
            &list[1..],
            table.trim_end()
        )?;
    }
    Ok(text)
}

/// Output of the program on stdout, without trailing spaces.
fn rarefy(arguments: &[&str]) -> Result<String> {
    let program = program();
    let output = Command::new(&program)
        .args(arguments)
        .env_remove("COLUMNS")
        .output()
        .with_context(|| program.display().to_string())?;
    if !output.status.success() {
        bail!(
            "rarefy {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect())
}
