//! Damaged tables of other packages give an error that names the file, no panic, and no excessive memory.

use std::path::Path;

use crate::hostile::{Cut, batter, read_all};
use crate::tables::{folder, unpack};
use rarefy::data::OpenOptions;

/// Opens many damaged copies of each table, packed or plain.
fn batter_tables(files: &[&str], cut: Cut) {
    let unpacked = tempfile::tempdir().unwrap();
    unpack("packed.zip.gz", unpacked.path());
    for file in files {
        let path = unpacked.path().join(file);
        if !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(folder().join(file), &path).unwrap();
        }
        batter(&path, cut, &|| read_all(&path, &OpenOptions::default()));
    }
}

#[test]
fn damaged_parquet_tables_give_errors() {
    batter_tables(
        &[
            "pandas/odd-types.parquet",
            "pyarrow/types.parquet",
            "pyarrow/large-list.parquet",
            "pyarrow/list-in-list.parquet",
            "pyarrow/dictionaries.parquet",
            "pyarrow/delta-byte-array.parquet",
            "pyarrow/split.parquet",
            "pyarrow/dec256.parquet",
            "duckdb/list.parquet",
            "fastparquet/category.parquet",
            "polars/frame.parquet",
        ],
        Cut::Refused,
    );
}

#[test]
fn damaged_arrow_files_give_errors() {
    batter_tables(
        &[
            "polars/zstd.arrow",
            "pyarrow/lz4.feather",
            "pyarrow/types.arrow",
            "pyarrow/others.arrow",
            "pyarrow/fixed-in-fixed.arrow",
            "pyarrow/dictionaries.arrow",
        ],
        Cut::Refused,
    );
}

#[test]
fn damaged_arrow_streams_give_errors() {
    // A stream may end after any batch.
    batter_tables(
        &[
            "pyarrow/list.stream.arrow",
            "pyarrow/decimals.stream.arrow",
            "pyarrow/changing.stream.arrow",
            "polars/stream.arrow",
        ],
        Cut::MayPass,
    );
}

#[test]
fn damaged_text_tables_give_errors() {
    batter_tables(
        &[
            "csv/list.csv",
            "csv/comma-header.csv",
            "csv/excel-utf-8.csv",
            "csv/sep-header.csv",
            "csv/labelled.tsv",
            "jsonl/pandas.jsonl",
            "jsonl/objects.jsonl",
            "jsonl/polars.ndjson",
        ],
        Cut::MayPass,
    );
    batter_tables(&["csv/labelled.csv.gz"], Cut::Refused);
}

/// Data sets of the `datasets` package: the list of shards and the shards themselves.
#[test]
fn damaged_data_set_folders_give_errors() {
    let unpacked = tempfile::tempdir().unwrap();
    unpack("packed.zip.gz", unpacked.path());
    let data_set = unpacked.path().join("datasets/two");
    let open = || read_all(&data_set, &OpenOptions::default());
    for file in [
        "state.json",
        "dataset_info.json",
        "data-00001-of-00002.arrow",
    ] {
        batter(&data_set.join(file), Cut::MayPass, &open);
    }
}

/// State files that name a file outside of the folder, no file, or no shard.
#[test]
fn data_set_folders_with_foreign_shard_names_are_refused() {
    let unpacked = tempfile::tempdir().unwrap();
    unpack("packed.zip.gz", unpacked.path());
    let folder = unpacked.path().join("datasets/two");
    let outside = unpacked
        .path()
        .join("datasets/flat/data-00000-of-00001.arrow");
    assert!(outside.exists());
    for name in [
        "../flat/data-00000-of-00001.arrow",
        outside.to_str().unwrap(),
        "",
        ".",
        "none.arrow",
        "state.json",
    ] {
        let state = serde_json::json!({ "_data_files": [{ "filename": name }] });
        std::fs::write(folder.join("state.json"), state.to_string()).unwrap();
        let error = read_all(&folder, &OpenOptions::default()).unwrap_err();
        let names_the_folder = error.to_string().contains("datasets/two");
        assert!(names_the_folder, "`{name}`: {error}");
    }
    assert_refused(&folder, r#"{"_data_files": 7}"#);
    assert_refused(&folder, &"[".repeat(100_000));
}

fn assert_refused(folder: &Path, state: &str) {
    std::fs::write(folder.join("state.json"), state).unwrap();
    let error = read_all(folder, &OpenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
}
