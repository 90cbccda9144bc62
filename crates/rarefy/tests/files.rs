//! Files that a path names: order, hidden files, empty shards, several formats, content unlike the name.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use rarefy::data::{self, Dataset, OpenOptions, npy};
use tempfile::TempDir;

/// Temporary folder with files of few values.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes a matrix of `rows` rows of two values: `first`, `first` + 1 ... in the first column, 0 in the second.
    fn write_npy(&self, name: &str, rows: usize, first: f32) {
        let values = (0..rows).flat_map(|row| [first + row as f32, 0.0]);
        let bytes = values.flat_map(f32::to_le_bytes);
        self.write(
            name,
            npy::f32_header(rows, 2)
                .into_iter()
                .chain(bytes)
                .collect::<Vec<u8>>(),
        );
    }

    fn open(&self, spec: &str) -> Dataset {
        data::open(&self.path(spec), &OpenOptions::default()).unwrap()
    }

    #[track_caller]
    fn refusal(&self, spec: &str) -> String {
        let result = data::open(&self.path(spec), &OpenOptions::default());
        result.err().expect("it is refused").to_string()
    }
}

/// Values of the first column.
fn first_column(dataset: &Dataset) -> Vec<f32> {
    let width = dataset.source.d_in();
    let mut values = vec![0.0; dataset.source.rows() * width];
    dataset.source.read(0, &mut values).unwrap();
    values.into_iter().step_by(width).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// IDX file of unsigned bytes with these sizes.
fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

#[test]
fn shards_of_folder_and_glob_come_in_order_of_their_numbers() {
    let folder = Folder::new();
    for shard in 0..12 {
        folder.write_npy(&format!("d/acts_{shard}.npy"), 2, 2.0 * shard as f32);
    }
    let expected: Vec<f32> = (0..24).map(|row| row as f32).collect();
    for spec in ["d", "d/*.npy", "d/acts_*"] {
        let dataset = folder.open(spec);
        assert_eq!(first_column(&dataset), expected, "{spec}");
        assert_eq!(dataset.files.len(), 12);
        assert!(dataset.files[2].ends_with("acts_2.npy"), "{spec}");
        assert!(dataset.notes.is_empty(), "{:?}", dataset.notes);
    }
}

#[test]
fn paths_given_in_the_order_of_the_shell_are_kept_and_noted() {
    let folder = Folder::new();
    for (shard, first) in [(1, 1.0), (2, 2.0), (10, 10.0)] {
        folder.write_npy(&format!("{shard}.npy"), 1, first);
    }
    let open = |names: [&str; 3]| {
        let paths = names.map(|name| folder.path(name));
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        data::open_all(&paths, &OpenOptions::default()).unwrap()
    };
    let by_shell = open(["1.npy", "10.npy", "2.npy"]);
    assert_eq!(first_column(&by_shell), [1.0, 10.0, 2.0]);
    assert!(
        by_shell.notes[0].contains("3 files are one data set, in the order given, which is not"),
        "{:?}",
        by_shell.notes
    );
    for quiet in [["1.npy", "2.npy", "10.npy"], ["10.npy", "1.npy", "2.npy"]] {
        assert!(open(quiet).notes[0].ends_with("in the order given"));
    }
    let twice = open(["1.npy", "1.npy", "2.npy"]);
    assert_eq!(first_column(&twice), [1.0, 1.0, 2.0]);
    assert!(
        twice.notes[1].contains("1.npy: given more than once"),
        "{:?}",
        twice.notes
    );
}

#[test]
fn hidden_and_system_files_are_left_out() {
    let folder = Folder::new();
    folder.write_npy("d/a.npy", 1, 1.0);
    folder.write_npy("d/b.npy", 1, 2.0);
    for name in [
        "._a.npy",
        ".DS_Store",
        "_SUCCESS",
        "_metadata",
        "_common_metadata",
        "Thumbs.db",
    ] {
        folder.write(&format!("d/{name}"), b"\x00\x05\x16\x07");
    }
    for spec in ["d", "d/*.npy", "d/*"] {
        let dataset = folder.open(spec);
        assert_eq!(first_column(&dataset), [1.0, 2.0], "{spec}");
        assert!(dataset.notes.is_empty(), "{spec}: {:?}", dataset.notes);
    }
    // A pattern that names them, and a data file that is left out for its name.
    folder.write_npy("d/_old.npy", 1, 3.0);
    assert_eq!(first_column(&folder.open("d/_*.npy")), [3.0]);
    let dataset = folder.open("d");
    assert_eq!(dataset.source.rows(), 2);
    assert!(
        dataset.notes[0].contains("start with `_`: _old.npy"),
        "{:?}",
        dataset.notes
    );
    folder.write_npy("only/_a.npy", 1, 3.0);
    let error = folder.refusal("only");
    assert!(
        error.contains("got none but 1 that start with `_`"),
        "{error}"
    );
}

#[test]
fn subfolders_and_other_files_are_not_read_and_said() {
    let folder = Folder::new();
    folder.write_npy("d/train/a.npy", 1, 1.0);
    folder.write_npy("d/test/a.npy", 1, 2.0);
    let error = folder.refusal("d");
    assert!(
        error.contains("subfolders test, train, which are not read"),
        "{error}"
    );
    assert_eq!(first_column(&folder.open("d/*/*.npy")), [2.0, 1.0]);
    folder.write_npy("d/b.npy", 1, 3.0);
    folder.write("d/acts.pt", b"PK");
    let dataset = folder.open("d");
    assert_eq!(first_column(&dataset), [3.0]);
    let notes = dataset.notes.join("\n");
    assert!(notes.contains("no data files: acts.pt"), "{notes}");
    assert!(
        notes.contains("subfolders are not read: test, train"),
        "{notes}"
    );
    folder.write("torch/a_0.pt", b"PK");
    folder.write("torch/a_1.pt", b"PK");
    let error = folder.refusal("torch");
    assert!(
        error.contains("got none but 2 .pt; a PyTorch file: convert"),
        "{error}"
    );
}

#[test]
fn empty_shards_count_nothing_and_data_without_rows_is_refused() {
    let folder = Folder::new();
    folder.write_npy("n/a.npy", 3, 1.0);
    folder.write_npy("n/b.npy", 0, 1.0);
    folder.write_npy("n/c.npy", 1, 9.0);
    // numpy.save of an empty list.
    let vector =
        b"\x93NUMPY\x01\x00\x3a\x00{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }\n";
    folder.write("n/d.npy", vector);
    let dataset = folder.open("n");
    assert_eq!(first_column(&dataset), [1.0, 2.0, 3.0, 9.0]);
    assert_eq!(dataset.files.len(), 4);
    assert!(
        dataset.notes[0].ends_with("b.npy and 1 more file: no rows, passed over"),
        "{:?}",
        dataset.notes
    );
    for spec in ["n/b.npy", "n/d.npy", "n/[bd].npy"] {
        assert!(
            folder
                .refusal(spec)
                .contains("expected at least one row, got none"),
            "{spec}"
        );
    }
    folder.write("n/e.npy", b"");
    assert!(
        folder
            .refusal("n")
            .contains("e.npy: expected data, got an empty file")
    );
    // Spark writes csv parts of zero bytes.
    folder.write("c/a.csv", "1,2\n");
    folder.write("c/b.csv", "");
    assert_eq!(first_column(&folder.open("c")), [1.0]);
    assert!(folder.refusal("c/b.csv").contains("got an empty file"));
}

#[test]
fn files_of_several_formats_are_refused_with_their_counts() {
    let folder = Folder::new();
    folder.write_npy("d/a.npy", 1, 1.0);
    folder.write_npy("d/b.npy", 1, 2.0);
    folder.write("d/c.csv", "1,2\n");
    for spec in ["d", "d/*"] {
        let error = folder.refusal(spec);
        assert!(
            error.contains("expected files of one format, got 1 csv, 2 npy"),
            "{error}"
        );
    }
    assert_eq!(folder.open("d/*.npy").source.rows(), 2);
    folder.write("twice/a.csv", "1,2\n");
    folder.write("twice/a.csv.gz", gzip(b"1,2\n"));
    assert!(folder.refusal("twice").contains("expected each file once"));
}

#[test]
fn labels_missing_in_some_shards_are_empty_and_noted() {
    let folder = Folder::new();
    folder.write("d/a.csv", "x,y,label\n1,2,ant\n3,4,bee\n");
    folder.write("d/b.csv", "x,y\n5,6\n");
    folder.write("d/c.csv", "x,y,label\n7,8,cat\n");
    let dataset = folder.open("d");
    assert_eq!(first_column(&dataset), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(dataset.labels.unwrap(), ["ant", "bee", "", "cat"]);
    let note = dataset.notes.join("\n");
    assert!(
        note.contains("b.csv: no labels, which other files have"),
        "{note}"
    );
}

#[test]
fn folders_of_models_and_other_libraries_are_named() {
    let folder = Folder::new();
    for (file, beside, words) in [
        (
            "run/config.toml",
            "run/model/cfg.json",
            "the folder of a run",
        ),
        (
            "sae/cfg.json",
            "sae/sae_weights.safetensors",
            "the folder of a model",
        ),
        (
            "llm/config.json",
            "llm/model.safetensors",
            "the folder of a model",
        ),
        (
            "ds/dataset_info.json",
            "ds/data-0.arrow",
            "Hugging Face `datasets`",
        ),
        ("x.zarr/zarr.json", "x.zarr/c/0", "a Zarr array"),
        (
            "delta/a.parquet",
            "delta/_delta_log/0.json",
            "a table whose log",
        ),
    ] {
        folder.write(file, b"{}");
        folder.write(beside, b"x");
        let of = file.split('/').next().unwrap();
        let error = folder.refusal(of);
        assert!(
            error.contains(words) && error.contains(".npy, .npz"),
            "{error}"
        );
    }
}

#[test]
fn content_unlike_the_name_is_named() {
    let folder = Folder::new();
    folder.write_npy("good.npy", 1, 1.0);
    let array = std::fs::read(folder.path("good.npy")).unwrap();
    for (name, bytes, words) in [
        (
            "a.csv",
            b"<!DOCTYPE html><html>".to_vec(),
            "got an HTML page",
        ),
        (
            "a.csv.gz",
            b"\n <HTML>".to_vec(),
            "plain or gzip, got an HTML page",
        ),
        (
            "a.parquet",
            b"<?xml version='1.0'?><Error>".to_vec(),
            "got an XML document",
        ),
        (
            "a.safetensors",
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            "git lfs pull",
        ),
        ("b.csv", array.clone(), "got a NumPy array; rename it"),
        ("b.npy", gzip(&array), "unpack it first with gunzip"),
        ("c.npy", b"PK\x03\x04....".to_vec(), "got a zip archive"),
        ("c.npz", b"PK\x03\x04....".to_vec(), "truncated or damaged"),
        (
            "d.safetensors",
            b"\x00\x10\x00\x00\x00\x00\x00\x00{\"x\":".to_vec(),
            "truncated",
        ),
    ] {
        folder.write(name, bytes);
        let error = folder.refusal(name);
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
    folder.write("folder.npy/a.npy", &array);
    assert_eq!(folder.open("folder.npy").source.rows(), 1);
    assert!(folder.refusal("good.npy/x.npy").contains("x.npy"));
}

#[test]
fn idx_is_unpacked_by_content_and_truncation_has_a_position() {
    let folder = Folder::new();
    let images = idx(&[3, 1, 2], &[1, 2, 3, 4, 5, 6]);
    let labels = idx(&[3], &[7, 8, 9]);
    for (spec, images, beside, labels) in [
        (
            "a-images-idx3-ubyte",
            gzip(&images),
            "a-labels-idx1-ubyte",
            labels.clone(),
        ),
        (
            "b-images.idx3-ubyte.gz",
            images.clone(),
            "b-labels.idx1-ubyte",
            gzip(&labels),
        ),
        (
            "c-images-idx3-ubyte",
            images.clone(),
            "c-labels-idx1-ubyte.gz",
            gzip(&labels),
        ),
    ] {
        folder.write(&format!("{spec}-d/{spec}"), images);
        folder.write(&format!("{spec}-d/{beside}"), labels);
        for dataset in [
            folder.open(&format!("{spec}-d/{spec}")),
            folder.open(&format!("{spec}-d")),
            folder.open(&format!("{spec}-d/*ubyte*")),
        ] {
            assert_eq!(first_column(&dataset), [1.0, 3.0, 5.0], "{spec}");
            assert_eq!(dataset.image_shape, Some((1, 2)));
            assert_eq!(
                dataset.labels.as_deref().unwrap(),
                ["7", "8", "9"],
                "{spec}"
            );
        }
    }
    let noise: Vec<u8> = (0..4000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let packed = gzip(&idx(&[1000, 2, 2], &noise));
    folder.write("x-images-idx3-ubyte.gz", &packed[..packed.len() / 2]);
    let error = folder.refusal("x-images-idx3-ubyte.gz");
    assert!(
        error.contains("truncated: the compressed data ends after"),
        "{error}"
    );
    let mut damaged = packed.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    folder.write("x-images-idx3-ubyte.gz", damaged);
    let error = folder.refusal("x-images-idx3-ubyte.gz");
    assert!(
        error.contains("damaged compressed data after 4000"),
        "{error}"
    );
}

#[test]
fn test_and_training_files_read_together_are_noted() {
    let folder = Folder::new();
    folder.write("m/train-images-idx3-ubyte", idx(&[1, 1, 2], &[1, 2]));
    folder.write("m/t10k-images-idx3-ubyte", idx(&[1, 1, 2], &[3, 4]));
    let dataset = folder.open("m");
    assert_eq!(first_column(&dataset), [3.0, 1.0]);
    assert!(
        dataset.notes[0].contains("the files of t10k and train are read as one"),
        "{:?}",
        dataset.notes
    );
    folder.write_npy("n/train_0.npy", 1, 0.0);
    folder.write_npy("n/train_1.npy", 1, 0.0);
    assert!(folder.open("n").notes.is_empty());
}

#[test]
fn members_and_columns_of_formats_without_them_are_refused() {
    let folder = Folder::new();
    folder.write_npy("a.npy", 1, 1.0);
    folder.write("x.idx", idx(&[1, 2], &[1, 2]));
    for spec in ["a.npy::x", "x.idx::x"] {
        let error = folder.refusal(spec);
        assert!(
            error.contains("`data.member` has no meaning here") && error.contains("`x`"),
            "{error}"
        );
    }
    let refused = |spec: &str, options: OpenOptions, key: &str| {
        let error = data::open(spec, &options)
            .err()
            .expect("it is refused")
            .to_string();
        assert!(
            error.contains(&format!("`{key}` has no meaning here")),
            "{error}"
        );
    };
    let some = || Some("x".to_owned());
    let a = folder.path("a.npy");
    for spec in [&*a, "sample:digits"] {
        refused(
            spec,
            OpenOptions {
                member: some(),
                ..Default::default()
            },
            "data.member",
        );
        refused(
            spec,
            OpenOptions {
                label: some(),
                ..Default::default()
            },
            "data.label",
        );
        refused(
            spec,
            OpenOptions {
                text: some(),
                ..Default::default()
            },
            "data.text",
        );
        refused(
            spec,
            OpenOptions {
                columns: vec!["x".into()],
                ..Default::default()
            },
            "data.columns",
        );
        refused(
            spec,
            OpenOptions {
                exclude: vec!["x".into()],
                ..Default::default()
            },
            "data.exclude",
        );
    }
}

#[test]
fn folder_with_an_unfinished_write_is_refused() {
    let folder = Folder::new();
    folder.write_npy("d/shard-00000.npy", 1, 1.0);
    folder.write_npy("d/.rarefy-x1/shard-00001.npy", 1, 1.0);
    let error = folder.refusal("d");
    assert!(
        error.contains(".rarefy-x1: left by a run that did not finish"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let folder = Folder::new();
    let pipe = folder.path("pipe.npy");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    for spec in ["pipe.npy", "."] {
        let error = folder.refusal(spec);
        assert!(
            error.contains("pipe.npy: expected a regular file, got a pipe"),
            "{error}"
        );
    }
    let error = data::open("/dev/null", &OpenOptions::default())
        .err()
        .unwrap();
    assert!(error.to_string().contains("got a device"), "{error}");
}

#[cfg(unix)]
#[test]
fn folder_reads_files_whose_names_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    folder.write_npy("d/a.npy", 1, 1.0);
    let odd = Path::new(&folder.path("d")).join(std::ffi::OsStr::from_bytes(b"b\xff.npy"));
    std::fs::copy(folder.path("d/a.npy"), odd).unwrap();
    assert_eq!(first_column(&folder.open("d")), [1.0, 1.0]);
}
