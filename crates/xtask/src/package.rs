//! The Python package: its compiled part, its tests, and its wheel.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::cargo;
use crate::python::environment;
use crate::root;

/// Packages of the tests. PyTorch is left out, because it takes gigabytes; tests that need it say so.
const TESTS: &[&str] = &[
    "numpy==2.4.6",
    "scipy==1.17.1",
    "scikit-learn==1.9.1",
    "pandas==3.1.1",
    "polars==2.1.0",
    "pyarrow==26.0.1",
    "tensorboard==2.21.0",
    "pytest==9.2.0",
    "mypy==2.4.1",
];
const MATURIN: &[&str] = &["maturin==1.16.0", "zopfli==0.4.3"];
/// Largest size of a wheel, in bytes, of which it has 5.4 million. A megabyte is the embedded samples; half of the rest reads parquet and Arrow.
/// Brotli is left out: its compressor would be half a megabyte, and is never called.
const LARGEST: u64 = 5_600_000;

/// Makes the environment of the tests, which takes a minute of downloads and unpacking.
pub fn prepare() -> Result<()> {
    if std::env::var_os("RAREFY_PYTHON").is_none() {
        environment("python", TESTS)?;
    }
    Ok(())
}

/// Runs the package's tests, examples and type checks.
pub fn test() -> Result<()> {
    // A developer's own environment, for example one with PyTorch, takes the place of the cached one.
    let python = match std::env::var_os("RAREFY_PYTHON") {
        Some(python) => python.into(),
        None => environment("python", TESTS)?,
    };
    let folder = root().join("python");
    let mut tests = Command::new(&python);
    in_folder(
        tests.args(["-m", "pytest", "-p", "no:cacheprovider"]),
        &folder,
    )?;
    let mut types = Command::new(&python);
    in_folder(types.args(["-m", "mypy.stubtest", "rarefy._core"]), &folder)
}

/// Runs a command in the folder of the package.
fn in_folder(command: &mut Command, folder: &Path) -> Result<()> {
    let status = command
        .current_dir(folder)
        .env("PYTHONPATH", folder)
        .status()
        .context("Python could not be started")?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

/// Builds the compiled part as the tests of the workspace are built, and puts it beside the Python files.
pub fn build() -> Result<()> {
    // With `--package rarefy-python`, dependencies would have other features than in the tests, and be built once more.
    cargo(
        &["build", "--workspace", "--lib", "--tests", "--quiet"],
        &[],
    )?;
    let (built, name) = if cfg!(windows) {
        ("_core.dll", "_core.pyd")
    } else if cfg!(target_os = "macos") {
        ("lib_core.dylib", "_core.abi3.so")
    } else {
        ("lib_core.so", "_core.abi3.so")
    };
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let from = target.join("debug").join(built);
    let to = root().join("python/rarefy").join(name);
    // Beside, then renamed: an interpreter that has the old file open keeps it.
    let beside = to.with_extension("new");
    std::fs::copy(&from, &beside).with_context(|| from.display().to_string())?;
    std::fs::rename(&beside, &to).with_context(|| to.display().to_string())
}

/// Builds a wheel into `wheels/`, and checks its size and tag.
pub fn wheel() -> Result<()> {
    licences()?;
    let python = environment("wheel", MATURIN)?;
    let out = root().join("wheels");
    let mut maturin = Command::new(&python);
    maturin.args(["-m", "maturin", "build", "--profile", "wheel", "--out"]);
    // Generic code has many equal instances. Of the linkers that rustc takes by default, LLVM's folds them if it is asked to.
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        maturin.env("RUSTFLAGS", "-Clink-arg=-Wl,--icf=all");
    }
    in_folder(maturin.arg(&out), &root().join("python"))?;
    let wheel = newest(&out)?;
    let mut repack = Command::new(&python);
    repack.arg(root().join("crates/xtask/python/repack.py"));
    in_folder(repack.arg(&wheel), &root())?;
    let size = std::fs::metadata(&wheel)?.len();
    let name = wheel
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if !name.contains("-abi3-") {
        bail!("{name}: expected a wheel for all versions of Python (abi3)");
    }
    if size > LARGEST {
        bail!(
            "{name}: {size} bytes, expected at most {LARGEST}; it works, but is larger than the package should be"
        );
    }
    println!("{}  {:.2} MB", wheel.display(), size as f64 / 1e6);
    Ok(())
}

/// Puts the licences of the code and of the embedded samples beside the package, for the wheel.
fn licences() -> Result<()> {
    let to = root().join("python/licences");
    std::fs::create_dir_all(&to)?;
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        std::fs::copy(root().join(name), to.join(name)).context(name)?;
    }
    for sample in ["digits", "words", "patches"] {
        let from = root()
            .join("crates/rarefy/data")
            .join(sample)
            .join("LICENCE.md");
        std::fs::copy(from, to.join(format!("LICENCE-{sample}.md"))).context(sample)?;
    }
    Ok(())
}

/// The wheel that was written last.
fn newest(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path());
    let wheels = entries.filter(|path| path.extension().is_some_and(|ending| ending == "whl"));
    let time = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    wheels.max_by_key(time).context("maturin wrote no wheel")
}
