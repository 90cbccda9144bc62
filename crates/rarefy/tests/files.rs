//! Files that a path names: order, hidden files, empty shards, several formats, missing labels.

use crate::folder::{Folder, first_column, gzip, idx};
use rarefy::data::{self, OpenOptions};

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
                .contains("expected at least one row, got 0 rows"),
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
    folder.write("c/a.csv", "0.5,0.25\n");
    folder.write("c/b.csv", "");
    folder.write("c/c.csv", "0.75,0.25\n");
    assert_eq!(first_column(&folder.open("c")), [0.5, 0.75]);
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

/// More files than a process may have open at once.
#[test]
fn thousands_of_shards_are_read() {
    let folder = Folder::new();
    for shard in 0..1500 {
        folder.write_npy(&format!("d/{shard}.npy"), 1, shard as f32);
    }
    let dataset = folder.open("d");
    let expected: Vec<f32> = (0..1500).map(|row| row as f32).collect();
    assert_eq!(first_column(&dataset), expected);
    let mut some = [0.0; 4];
    dataset.source.gather(&[1499, 3], &mut some).unwrap();
    assert_eq!(some, [1499.0, 0.0, 3.0, 0.0]);
}
