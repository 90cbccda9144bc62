//! Paths that are no data file of their name: other content, folders of other programs, pipes, members without meaning.

use std::path::Path;

use crate::folder::{Folder, first_column, gzip, idx};
use rarefy::data::{self, OpenOptions, RowAxis};

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
fn data_file_of_an_unknown_name_is_known_by_its_first_bytes() {
    let folder = Folder::new();
    folder.write_npy("good.npy", 1, 1.0);
    let array = std::fs::read(folder.path("good.npy")).unwrap();
    for (name, bytes, words) in [
        (
            "x.dat",
            &*array,
            "a NumPy array; rename it so that it ends in .npy",
        ),
        (
            "x",
            &array,
            "a NumPy array; rename it so that it ends in .npy",
        ),
        (
            "x.dat",
            b"1 2\n3 4\n",
            "a text file of this name is not read",
        ),
        ("x.pt", b"PK\x03\x04rest", "a PyTorch file is not read"),
        ("x.foo", b"1 2\n", "file name ending not known; expected"),
    ] {
        folder.write(name, bytes);
        let error = folder.refusal(name);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn options_without_meaning_for_a_format_are_refused() {
    let folder = Folder::new();
    folder.write_npy("x.npy", 1, 1.0);
    folder.write("x.csv", b"a,b\n1,2\n");
    folder.write("x.jsonl", b"{\"a\": 1}\n");
    let header = OpenOptions {
        header: Some(true),
        ..OpenOptions::default()
    };
    let axis = OpenOptions {
        row_axis: Some(RowAxis::Last),
        ..OpenOptions::default()
    };
    for (file, options, words) in [
        (
            "x.npy",
            &header,
            Some("an npy file has no header line, got `true`"),
        ),
        ("x.jsonl", &header, Some("no header line")),
        ("x.csv", &header, None),
        ("x.csv", &axis, Some("a csv file has no axes, got `last`")),
        ("x.npy", &axis, None),
    ] {
        let error = data::open(&folder.path(file), options).err();
        let error = error.map(|e| e.to_string());
        assert_eq!(error.is_some(), words.is_some(), "{file}: {error:?}");
        let said = error.unwrap_or_default();
        assert!(said.contains(words.unwrap_or_default()), "{said}");
    }
}

#[test]
fn bad_rows_of_arrays_of_each_format_are_left_out_if_asked() {
    let folder = Folder::new();
    folder.write_npy("x.npy", 1, f32::NAN);
    let options = OpenOptions {
        skip_bad_rows: true,
        ..OpenOptions::default()
    };
    let error = data::open(&folder.path("x.npy"), &options);
    let error = error.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        error.contains("expected a row without NaN and infinities, got 1 rows with one"),
        "{error}"
    );
    folder.write_npy("y.npy", 1, 1.0);
    let both = data::open_all(&[&folder.path("y.npy"), &folder.path("x.npy")], &options).unwrap();
    assert_eq!(both.source.rows(), 1);
    assert!(
        both.notes
            .iter()
            .any(|note| note.contains("1 of 2 rows left out, because a value is NaN")),
        "{:?}",
        both.notes
    );
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
        ("c.npy", b"PK\x03\x04........".to_vec(), "got a zip archive"),
        (
            "c.npz",
            b"PK\x03\x04........".to_vec(),
            "truncated or damaged",
        ),
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
    folder.write("x.feather", b"ARROW1");
    let error = folder.refusal("x.feather");
    assert!(
        error.contains("got 6 bytes; truncated") && error.contains(".npy, .npz"),
        "{error}"
    );
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
    let matched = folder.open("d/*.npy");
    assert_eq!(first_column(&matched), [1.0]);
    assert!(
        matched.notes[0].contains("its name is not UTF-8"),
        "{:?}",
        matched.notes
    );
}
