//! Tables compared value by value with the packages that wrote them, with the role of each column.
//!
//! `tables/make.py` made the files. `tables/expected.json` and `random.json` hold their content.

use std::io::{Cursor, Read};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use rarefy::data::{self, Dataset, OpenOptions};
use serde::Deserialize;

/// Table with its expected content, or with words of the expected error. A readable table with words may be refused
/// with them instead.
#[derive(Deserialize)]
pub struct Table {
    pub file: String,
    #[serde(default)]
    pub options: Options,
    rows: Option<usize>,
    #[serde(default)]
    d_in: usize,
    #[serde(default)]
    values: Vec<f64>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
    /// Name and role of each column; `None` to leave both open.
    columns: Option<Vec<(String, String)>>,
    refused: Option<Vec<String>>,
}

/// Options for opening a table.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    columns: Vec<String>,
    exclude: Vec<String>,
    label: Option<String>,
    text: Option<String>,
    header: Option<bool>,
    skip_bad_rows: bool,
}

impl Options {
    pub fn open(&self) -> OpenOptions {
        OpenOptions {
            columns: self.columns.clone(),
            exclude: self.exclude.clone(),
            label: self.label.clone(),
            text: self.text.clone(),
            header: self.header,
            skip_bad_rows: self.skip_bad_rows,
            ..OpenOptions::default()
        }
    }
}

/// Folder of the tables that are plain text.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tables")
}

/// Tables of `expected.json`.
pub fn expected() -> Vec<Table> {
    serde_json::from_str(include_str!("tables/expected.json")).expect("make.py writes it")
}

/// Writes the files of an archive of `make.py` to a folder.
pub fn unpack(archive: &str, into: &Path) {
    let packed = std::fs::File::open(folder().join(archive)).unwrap();
    let mut zip = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut zip).unwrap();
    let mut zip = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    for at in 0..zip.len() {
        let mut member = zip.by_index(at).unwrap();
        let path = into.join(&*member.name().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut content = Vec::new();
        member.read_to_end(&mut content).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// Path of a table: a text of this folder, or a file of the unpacked archive.
pub fn locate(file: &str, unpacked: &Path) -> PathBuf {
    let text = folder().join(file);
    if text.exists() {
        text
    } else {
        unpacked.join(file)
    }
}

#[test]
fn tables_of_other_packages_read_as_by_these_packages() {
    let unpacked = tempfile::tempdir().unwrap();
    unpack("packed.zip.gz", unpacked.path());
    let all = expected();
    assert!(all.len() > 380, "only {} tables", all.len());
    check_all(&all, |file| locate(file, unpacked.path()));
}

#[test]
fn random_tables_read_as_by_arrow_and_all_columns_have_roles() {
    let unpacked = tempfile::tempdir().unwrap();
    unpack("random.zip.gz", unpacked.path());
    let list = std::fs::read_to_string(unpacked.path().join("random.json")).unwrap();
    let all: Vec<Table> = serde_json::from_str(&list).unwrap();
    assert_eq!(all.len(), 150);
    check_all(&all, |file| unpacked.path().join(file));
}

/// Checks all tables and panics with a list of all differences.
fn check_all(all: &[Table], locate: impl Fn(&str) -> PathBuf) {
    let mut faults = Vec::new();
    for table in all {
        let path = locate(&table.file);
        let outcome = catch_unwind(|| check(table, &path)).unwrap_or(Err("panicked".into()));
        if let Err(why) = outcome {
            faults.push(format!("{} ({:?}): {why}", table.file, table.options));
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {} tables:\n{}",
        faults.len(),
        all.len(),
        faults.join("\n")
    );
}

fn check(table: &Table, path: &Path) -> Result<(), String> {
    let spec = path.to_str().unwrap();
    let opened = data::open(spec, &table.options.open()).and_then(|dataset| {
        data::survey(dataset.source.as_ref())?;
        Ok(dataset)
    });
    match (opened, table.rows, &table.refused) {
        (Ok(dataset), Some(rows), _) => same(table, rows, &dataset),
        (Ok(dataset), None, words) => {
            let roles = roles(&dataset);
            Err(format!(
                "was read as {roles:?}, expected an error with {words:?}"
            ))
        }
        (Err(error), _, None) => Err(error.to_string()),
        (Err(error), _, Some(words)) => has_words(&error.to_string(), &table.file, words),
    }
}

fn has_words(error: &str, file: &str, words: &[String]) -> Result<(), String> {
    let mut wanted = words.iter().map(String::as_str).chain([file]);
    match wanted.find(|word| !error.contains(word)) {
        None => Ok(()),
        Some(word) => Err(format!("no `{word}` in the error: {error}")),
    }
}

/// Compares the content of a data set with the expected one.
fn same(table: &Table, rows: usize, dataset: &Dataset) -> Result<(), String> {
    let source = dataset.source.as_ref();
    equal(
        "roles",
        &Some(roles(dataset)),
        &table.columns.clone().or(Some(roles(dataset))),
    )?;
    equal(
        "rows and d_in",
        &(source.rows(), source.d_in()),
        &(rows, table.d_in),
    )?;
    let wanted: Vec<f32> = table.values.iter().map(|value| *value as f32).collect();
    let mut got = vec![0.0; rows * table.d_in];
    source.read(0, &mut got).map_err(|e| e.to_string())?;
    equal("values", &got, &wanted)?;
    equal("labels", &dataset.labels, &table.labels)?;
    equal("texts", &dataset.texts, &table.texts)?;
    let order: Vec<usize> = (0..rows).rev().collect();
    source.gather(&order, &mut got).map_err(|e| e.to_string())?;
    let turned: Vec<f32> = wanted
        .rchunks_exact(table.d_in)
        .flatten()
        .copied()
        .collect();
    equal("values of the rows in reverse order", &got, &turned)
}

/// Name and role of each column.
fn roles(dataset: &Dataset) -> Vec<(String, String)> {
    let word = |role| match serde_json::to_value(role) {
        Ok(serde_json::Value::String(word)) => word,
        other => panic!("{other:?}"),
    };
    let columns = dataset.columns.iter();
    columns.map(|c| (c.name.clone(), word(c.role))).collect()
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Result<(), String> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: expected {wanted:?}, got {got:?}"))
}
