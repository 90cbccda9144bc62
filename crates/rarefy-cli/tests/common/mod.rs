//! Temporary folder in which the program runs, with helpers for input files.
#![allow(dead_code, reason = "each test file uses its own share")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Fields of `eval --json` for a sparse architecture.
pub const SPARSE_FIELDS: [&str; 13] = [
    "rows",
    "mse",
    "explained_variance",
    "l0",
    "lifetime_sparsity",
    "population_sparsity",
    "dead_latents",
    "dead_fraction",
    "always_on_latents",
    "rare_latents",
    "frequent_latents",
    "loss",
    "reconstruction",
];

/// Fields of `eval --json` for kl; `train --json` has four more.
pub const EVAL_FIELDS: [&str; 19] = [
    "rows",
    "mse",
    "explained_variance",
    "l0",
    "lifetime_sparsity",
    "population_sparsity",
    "dead_latents",
    "dead_fraction",
    "always_on_latents",
    "collapsed_latents",
    "loss",
    "reconstruction",
    "penalty",
    "weight_decay",
    "rho",
    "rho_hat_mean",
    "rho_hat_mean_deviation",
    "rho_hat_max_deviation",
    "omega",
];

use rarefy::data::OpenOptions;
use tempfile::TempDir;

/// Temporary folder, removed at the end of the test.
pub struct TestDir(TempDir);

impl TestDir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("the system has room for a folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Command of the program with arguments from `words`, to run in this folder.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rarefy"));
        command
            .current_dir(self.0.path())
            .args(words.split_whitespace())
            .env_remove("RAREFY_CPU")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().expect("the program starts")
    }

    /// Standard output of a call, which must succeed.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        let output = self.run(words);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{words}: {out}{err}");
        out
    }

    /// JSON object on standard output, which must hold nothing else.
    #[track_caller]
    pub fn json(&self, words: &str) -> serde_json::Value {
        let out = self.ok(words);
        let value: serde_json::Value = serde_json::from_str(&out).expect("one JSON value");
        assert!(value.is_object(), "{words}: {out}");
        value
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the folder")).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn write_npy(&self, name: &str, width: usize, values: &[f32]) {
        self.write(name, npy(width, values));
    }

    /// Values of an npy file that the program wrote.
    pub fn read_npy(&self, name: &str) -> Vec<f32> {
        let path = self.path(name);
        let data = rarefy::data::open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
        let mut values = vec![0.0; data.source.rows() * data.source.d_in()];
        data.source.read(0, &mut values).unwrap();
        values
    }

    /// Paths of all files below a folder, relative to it, sorted.
    pub fn files_in(&self, folder: &str) -> Vec<String> {
        let all = self.everything();
        let inside = all
            .iter()
            .filter_map(|path| path.strip_prefix(&format!("{folder}/")));
        let files = inside.filter(|name| self.path(&format!("{folder}/{name}")).is_file());
        files.map(str::to_owned).collect()
    }

    /// Asserts that two folders hold the same files with the same bytes.
    #[track_caller]
    pub fn assert_equal_folders(&self, got: &str, expected: &str) {
        assert_eq!(
            self.files_in(got),
            self.files_in(expected),
            "{got}, {expected}"
        );
        for name in self.files_in(got) {
            let [a, b] = [got, expected].map(|folder| self.read(&format!("{folder}/{name}")));
            assert!(a == b, "{name} differs in {got} and {expected}");
        }
    }

    /// Paths of all files and folders below, sorted.
    pub fn everything(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(self.0.path(), self.0.path(), &mut found);
        found.sort();
        found
    }
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        found.push(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() {
            collect(root, &path, found);
        }
    }
}

/// Runs the calls of a table, which must all fail as the table says and leave the folder unchanged.
///
/// A call begins with `$ `; the lines below are the exit code and the text of stderr.
#[track_caller]
pub fn all_fail(dir: &TestDir, table: &str) {
    let before = dir.everything();
    let cases = table.strip_prefix("$ ").expect("a call begins the table");
    let mut wrong = Vec::new();
    for case in cases.split("\n$ ") {
        let (words, expected) = case.split_once('\n').expect("a result below the call");
        let output = dir.run(words);
        let code = output.status.code().expect("no signal ended it");
        let got = format!("{code} {}", text(&output.stderr).trim_end());
        if got != expected.trim_end() {
            wrong.push(format!(
                "$ {words}\n{got}\n--- expected\n{}",
                expected.trim_end()
            ));
        }
        assert_eq!(text(&output.stdout), "", "rarefy {words}");
        assert_eq!(dir.everything(), before, "rarefy {words}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Data of the explorer in a report page.
pub struct Page {
    pub head: serde_json::Value,
    body: Vec<u8>,
}

impl Page {
    /// Data of the page of a run.
    pub fn of(dir: &TestDir, run: &str) -> Self {
        use base64::Engine;
        use std::io::Read;
        let page = text(&dir.read(&format!("{run}/report.html")));
        let element = |id: &str| {
            let (_, after) = page
                .split_once(&format!("<script id=\"{id}\""))
                .expect("the page has data");
            let (_, content) = after.split_once('>').expect("an element has an end");
            content
                .split_once("</script>")
                .expect("an element has an end")
                .0
        };
        let packed = base64::engine::general_purpose::STANDARD.decode(element("data"));
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&*packed.expect("data is base64"))
            .read_to_end(&mut body)
            .expect("data is packed by gzip");
        let head = serde_json::from_str(element("head")).expect("the head is JSON");
        Self { head, body }
    }

    pub fn has(&self, name: &str) -> bool {
        self.head["parts"].get(name).is_some()
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        let part = &self.head["parts"][name];
        let number = |i: usize| {
            part[i]
                .as_u64()
                .unwrap_or_else(|| panic!("the page has no {name}")) as usize
        };
        &self.body[number(1)..number(1) + number(2)]
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let numbers = self.bytes(name).as_chunks::<4>().0.iter();
        numbers.map(|b| f32::from_le_bytes(*b)).collect()
    }

    pub fn counts(&self, name: &str) -> Vec<usize> {
        let numbers = self.bytes(name).as_chunks::<4>().0.iter();
        numbers.map(|b| u32::from_le_bytes(*b) as usize).collect()
    }

    pub fn texts(&self, name: &str) -> Vec<String> {
        let texts = self.bytes(name).split(|b| *b == 0);
        let mut texts: Vec<String> = texts.map(text).collect();
        texts.pop();
        texts
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes of an npy file with a C-order f32 matrix.
pub fn npy(width: usize, values: &[f32]) -> Vec<u8> {
    let mut bytes = rarefy::data::npy::f32_header(values.len() / width, width);
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// Pseudo-random numbers in [0, 1): upper bits of a linear congruential generator.
pub fn noise(count: usize) -> Vec<f32> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(1), next)
        .skip(1)
        .take(count)
        .map(|state| (state >> 8) as f32 / (1 << 24) as f32)
        .collect()
}
