//! Commands that run Python programs, each in a separate virtual environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::root;

/// Regenerates the embedded samples from pinned packages.
pub fn samples() -> Result<()> {
    let python = environment(
        "samples",
        &["numpy==2.4.6", "pillow==13.0.0", "pyarrow==26.0.1"],
    )?;
    let program = root().join("crates/xtask/python/samples.py");
    run(Command::new(python)
        .arg(program)
        .arg(root().join("crates/rarefy/data"))
        .arg(work("samples-work")))
}

/// Regenerates the test fixtures and golden numbers.
pub fn golden() -> Result<()> {
    // Versions that wrote the files in the tree; other versions may write other bytes.
    let packages = [
        "numpy==2.4.6",
        "scipy==1.17.1",
        "pandas==3.1.1",
        "pyarrow==26.0.1",
        "safetensors==0.8.0",
        "pillow==13.0.0",
        "ml_dtypes==0.6.0",
        "tensorboard==2.21.0",
    ];
    let python = environment("golden", &packages)?;
    let tests = root().join("crates/rarefy/tests");
    run(Command::new(&python).arg(tests.join("data/make.py")))?;
    run(Command::new(&python).arg(tests.join("golden/scipy_lbfgs.py")))?;
    run(Command::new(&python).arg(tests.join("golden/tensorboard_events.py")))?;
    run(Command::new(environment("tables", TABLES)?).arg(tests.join("tables/make.py")))
}

/// Packages that wrote the tables of the tests.
const TABLES: &[&str] = &[
    "numpy==2.4.6",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "duckdb==2.0.1",
    "fastparquet==2026.9.0",
    "datasets==5.2.0",
];

/// Regenerates golden numbers of the peer libraries, in the environment of the benchmarks.
pub fn peers() -> Result<()> {
    let list = std::fs::read_to_string(root().join("benches/peers/requirements.txt"))?;
    let lines = list.lines().map(str::trim);
    let packages: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let python = environment("peers", &packages)?;
    let golden = root().join("crates/rarefy/tests/golden");
    for program in PEERS {
        run(Command::new(&python).arg(golden.join(program)))?;
    }
    Ok(())
}

/// Programs that compute golden numbers, relative to the golden folder.
const PEERS: &[&str] = &[
    "dictionary_learning_topk.py",
    "dictionary_learning_batch_topk.py",
    "normalise.py",
    "peers/make_dictionary_learning.py",
    "peers/make_saelens.py",
    "saved.py",
    "schedule_free.py",
    "transcoders.py",
];

/// Downloads data that is never committed.
pub fn fetch(what: &str) -> Result<()> {
    let program = root().join("crates/xtask/python/fetch.py");
    run(Command::new("python3")
        .arg(program)
        .arg(what)
        .arg(root().join("data/fetched")))
}

/// Interpreter of a virtual environment with these packages; creates it if necessary.
pub fn environment(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = work(&format!("venv-{name}"));
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let wanted = packages.join("\n");
    let stamp = folder.join("packages.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-compile"])
        .args(packages))?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// Scratch folder that git ignores.
fn work(name: &str) -> PathBuf {
    root().join("target/xtask").join(name)
}

fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).display().to_string();
    let status = command
        .current_dir(root())
        .status()
        .with_context(|| format!("{program} could not be started"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
