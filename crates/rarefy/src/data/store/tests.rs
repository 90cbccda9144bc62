//! Stores: written, stopped, continued, extended, damaged.

mod contexts;
mod damage;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::data::{self, Memory, Source};

const WIDTH: usize = 3;

/// Rows with labels; row 7 is long.
fn dataset(name: &str, rows: usize) -> Dataset<'static> {
    let values = (0..rows * WIDTH)
        .map(|i| (i as f32 * 0.37).sin() * if i / WIDTH == 7 { 90.0 } else { 1.0 });
    let mut dataset = Dataset::new(Memory::new(name, WIDTH, values.collect()));
    dataset.labels = Some((0..rows).map(|row| format!("row \"{row}\"\n")).collect());
    dataset
}

fn options(number: Number) -> StoreOptions {
    StoreOptions {
        number: Some(number),
        shard_rows: Some(10),
        ..StoreOptions::default()
    }
}

struct Place {
    _dir: TempDir,
    folder: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("store");
    Place { _dir: dir, folder }
}

fn open_store(folder: &Path) -> Result<Dataset<'static>> {
    data::open(folder.to_str().unwrap(), &OpenOptions::default())
}

fn all(source: &dyn Source) -> Vec<f32> {
    let mut rows = vec![0.0; source.rows() * source.d_in()];
    source.read(0, &mut rows).unwrap();
    rows
}

/// Names and contents of all files of a folder and its subfolders.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Writer that is stopped after a number of pieces.
fn stopped(pieces: usize) -> impl FnMut(usize) -> Result<()> {
    let mut left = pieces;
    move |_| {
        left = left.checked_sub(1).ok_or(Error::Interrupted)?;
        Ok(())
    }
}

/// Writes rows.
fn put(given: &Dataset, place: &Place, number: Number, begin: Begin) -> Result<Written> {
    write(given, &place.folder, &options(number), begin, &mut go_on)
}

/// Writes rows until some pieces are written.
fn put_some(
    given: &Dataset,
    place: &Place,
    number: Number,
    begin: Begin,
    pieces: usize,
) -> Result<Written> {
    write(
        given,
        &place.folder,
        &options(number),
        begin,
        &mut stopped(pieces),
    )
}

#[expect(clippy::unnecessary_wraps, reason = "writers call it")]
fn go_on(_: usize) -> Result<()> {
    Ok(())
}

#[test]
fn store_has_the_rows_and_labels_that_were_put_in() {
    for (number, tolerance) in [
        (Number::F32, 0.0),
        (Number::F64, 0.0),
        (Number::F16, 5e-4),
        (Number::Bf16, 4e-3),
        (Number::Int8, 4.1e-3),
    ] {
        let place = place();
        let given = dataset("rows", 25);
        let written = put(&given, &place, number, Begin::New).unwrap();
        assert_eq!(
            (written.rows, written.shards, written.number),
            (25, 3, number)
        );
        let opened = open_store(&place.folder).unwrap();
        assert_eq!(opened.labels, given.labels);
        assert_eq!(opened.texts, None);
        let expected = all(given.source.as_ref());
        for (row, (got, expected)) in all(opened.source.as_ref())
            .chunks(WIDTH)
            .zip(expected.chunks(WIDTH))
            .enumerate()
        {
            let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for (got, expected) in got.iter().zip(expected) {
                assert!(
                    (got - expected).abs() <= tolerance * largest,
                    "{number:?}, row {row}: {got}, expected {expected}"
                );
            }
        }
        let mut bytes = 0;
        let verified = verify(&place.folder, &mut |count| {
            bytes += count as u64;
            Ok(())
        });
        let verified = verified.unwrap();
        assert_eq!(
            (verified.rows, verified.files, verified.bytes),
            (25, 6, bytes)
        );
    }
}

#[test]
fn int8_keeps_rows_of_tiny_values_and_of_zeros() {
    let place = place();
    let given = Dataset::new(Memory::new(
        "rows",
        2,
        vec![1e-38, -5e-39, 0.0, 0.0, 3e38, 1.0],
    ));
    put(&given, &place, Number::Int8, Begin::New).unwrap();
    let got = all(open_store(&place.folder).unwrap().source.as_ref());
    // Half a step of 127 to the largest value of the row.
    let expected = [
        (1e-38, 1e-38),
        (-5e-39, 1e-38),
        (0.0, 0.0),
        (0.0, 0.0),
        (3e38, 3e38),
        (1.0, 3e38),
    ];
    for (got, (expected, largest)) in got.iter().zip(expected) {
        assert!(
            (got - expected).abs() <= largest * 4.1e-3,
            "{got}, expected {expected}"
        );
    }
}

#[test]
fn stopped_writer_leaves_no_complete_store_and_continues_to_the_same_bytes() {
    let whole = place();
    put(&dataset("rows", 47), &whole, Number::F16, Begin::New).unwrap();
    let expected: Vec<Vec<u8>> = files(&whole.folder)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    for pieces in 0..10 {
        let place = place();
        let begun = put_some(
            &dataset("rows", 47),
            &place,
            Number::F16,
            Begin::New,
            pieces,
        );
        assert!(
            matches!(begun, Err(Error::Interrupted)),
            "{pieces} pieces: {begun:?}"
        );
        let error = open_store(&place.folder).err().unwrap().to_string();
        assert!(error.contains("not complete"), "{error}");
        assert!(verify(&place.folder, &mut go_on).is_err());
        let again = put(&dataset("rows", 47), &place, Number::F16, Begin::New);
        assert!(again.unwrap_err().to_string().contains("`store.resume`"));
        // As a killed writer leaves it.
        fs::write(place.folder.join(".rarefy-1234"), "part").unwrap();
        put(&dataset("rows", 47), &place, Number::F16, Begin::Resume).unwrap();
        let got: Vec<Vec<u8>> = files(&place.folder)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        assert!(got == expected, "{pieces} pieces");
        // Nothing is left to do.
        let done = put_some(&dataset("rows", 47), &place, Number::F16, Begin::Resume, 0);
        assert_eq!(done.unwrap().rows, 47);
    }
}

#[test]
fn other_rows_follow_those_of_the_store() {
    let place = place();
    let (first, second) = (dataset("first", 25), dataset("second", 12));
    put(&first, &place, Number::F32, Begin::New).unwrap();
    let begun = put_some(&second, &place, Number::F32, Begin::Append, 2);
    assert!(matches!(begun, Err(Error::Interrupted)));
    assert!(open_store(&place.folder).is_err(), "a part of the new rows");
    let other = put(&first, &place, Number::F32, Begin::Resume);
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("give the same data")
    );
    // Equal in name and number of rows.
    let changed = Dataset::new(Memory::new("second", WIDTH, vec![1.0; 12 * WIDTH]));
    let other = put(&changed, &place, Number::F32, Begin::Resume);
    assert!(
        other
            .unwrap_err()
            .to_string()
            .contains("the data has changed")
    );
    let written = put(&second, &place, Number::F32, Begin::Resume).unwrap();
    assert_eq!((written.rows, written.shards), (37, 5));
    let opened = open_store(&place.folder).unwrap();
    let expected = [all(first.source.as_ref()), all(second.source.as_ref())].concat();
    assert_eq!(all(opened.source.as_ref()), expected);
    let labels = [first.labels.unwrap(), second.labels.unwrap()].concat();
    assert_eq!(opened.labels, Some(labels));
}

#[test]
fn rows_of_an_unusual_norm_are_left_out_and_counted() {
    let place = place();
    let given = dataset("rows", 25);
    let settings = StoreOptions {
        outlier_norm: Some(10.0),
        ..options(Number::F32)
    };
    let written = write(&given, &place.folder, &settings, Begin::New, &mut go_on).unwrap();
    assert_eq!((written.rows, written.left_out.outliers), (24, 1));
    let opened = open_store(&place.folder).unwrap();
    let mut expected = all(given.source.as_ref());
    expected.drain(7 * WIDTH..8 * WIDTH);
    assert_eq!(all(opened.source.as_ref()), expected);
    assert_eq!(opened.labels.unwrap()[7], "row \"8\"\n");
    for factor in [1.0, f64::NAN] {
        let settings = StoreOptions {
            outlier_norm: Some(factor),
            ..options(Number::F32)
        };
        let refused = write(
            &given,
            &place.folder.join("other"),
            &settings,
            Begin::New,
            &mut go_on,
        );
        assert!(refused.is_err(), "{factor}");
    }
}

#[test]
fn value_beyond_the_number_type_is_named_and_leaves_nothing() {
    let place = place();
    let mut values = vec![1.0; 25 * WIDTH];
    values[23 * WIDTH + 1] = 7e4;
    let given = Dataset::new(Memory::new("rows", WIDTH, values));
    let error = put(&given, &place, Number::F16, Begin::New);
    let error = error.unwrap_err().to_string();
    assert_eq!(
        error,
        "rows: row 23, column 1: expected at most 65504, the largest number of float16, got 70000; set `store.dtype` to bf16 or f32"
    );
    assert!(!place.folder.exists());
    put(&given, &place, Number::Bf16, Begin::New).unwrap();
}

#[test]
fn store_is_as_before_if_rows_cannot_be_added() {
    let place = place();
    put(&dataset("first", 25), &place, Number::F16, Begin::New).unwrap();
    let before = files(&place.folder);
    let mut values = vec![1.0; 25 * WIDTH];
    values[23 * WIDTH] = 7e4;
    let other = Dataset::new(Memory::new("other", WIDTH, values));
    let error = put(&other, &place, Number::F16, Begin::Append);
    assert!(error.unwrap_err().to_string().contains("other: row 23"));
    assert_eq!(files(&place.folder), before);
    // The same after a stop.
    let begun = put_some(&other, &place, Number::F16, Begin::Append, 2);
    assert!(matches!(begun, Err(Error::Interrupted)));
    assert!(put(&other, &place, Number::F16, Begin::Resume).is_err());
    assert_eq!(files(&place.folder), before);
}

#[test]
fn no_bit_of_a_manifest_can_change_unseen() {
    let place = place();
    put(&dataset("rows", 25), &place, Number::F32, Begin::New).unwrap();
    let path = place.folder.join(MANIFEST);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in [0, 3, 5] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            assert!(open_store(&place.folder).is_err(), "byte {at}, bit {bit}");
        }
    }
}
