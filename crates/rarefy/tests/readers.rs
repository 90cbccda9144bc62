//! Data readers compared with the packages that wrote the files, value by value.
//!
//! `data/make.py` made the files. `data/expected.json` holds their content as read by those packages.

use crate::fixtures::{Fixture, Refusal, expected, folder};
use rarefy::data;

#[test]
fn every_fixture_reads_as_by_its_own_package() {
    let all = expected().readable;
    assert!(all.len() > 60, "only {} fixtures", all.len());
    for fixture in all {
        let Fixture {
            file,
            rows,
            d_in,
            values,
            labels,
            image_shape,
            options,
        } = &fixture;
        let path = folder().join(file);
        let dataset = data::open(path.to_str().unwrap(), &options.open())
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        let source = dataset.source.as_ref();
        assert_eq!((source.rows(), source.d_in()), (*rows, *d_in), "{file}");
        let mut got = vec![0.0; rows * d_in];
        source.read(0, &mut got).unwrap();
        let far = |(got, want): (&f32, &f64)| (f64::from(*got) - want).abs() > options.tolerance;
        assert!(
            !got.iter().zip(values).any(far),
            "{file} ({options:?}):\n{got:?}\n{values:?}"
        );
        assert_eq!(&dataset.labels, labels, "{file}");
        assert_eq!(&dataset.image_shape, image_shape, "{file}");
        // Rows gathered in reverse order are equal.
        let order: Vec<usize> = (0..*rows).rev().collect();
        let mut turned = vec![0.0; rows * d_in];
        source.gather(&order, &mut turned).unwrap();
        assert!(
            turned.rchunks_exact(*d_in).eq(got.chunks_exact(*d_in)),
            "{file}"
        );
    }
}

#[test]
fn unusable_files_are_refused_with_file_and_position() {
    for Refusal {
        file,
        words,
        options,
    } in expected().refused
    {
        let path = folder().join(&file);
        let Err(error) = data::open(path.to_str().unwrap(), &options.open())
            .and_then(|dataset| data::survey(dataset.source.as_ref()))
        else {
            panic!("{file} was read");
        };
        let error = error.to_string();
        assert!(error.contains(&file), "no name of {file}: {error}");
        for word in words {
            assert!(error.contains(&word), "no `{word}`: {error}");
        }
    }
}

#[test]
fn first_rows_keep_their_labels() {
    let path = folder().join("csv/labels.csv");
    let options = data::OpenOptions {
        rows: Some(2),
        ..Default::default()
    };
    let dataset = data::open(path.to_str().unwrap(), &options).unwrap();
    assert_eq!(dataset.source.rows(), 2);
    assert_eq!(dataset.labels.unwrap(), ["ant", "bee, the"]);
}

/// Three shards of one, two and three rows; the label of each row says its value.
#[test]
fn labels_of_several_shards_stay_with_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (shard, rows) in [("a", 10..11), ("b", 20..22), ("c", 30..33)] {
        let lines: Vec<String> = rows.map(|v| format!("{v},1,row{v}")).collect();
        let text = format!("x,y,label\n{}\n", lines.join("\n"));
        std::fs::write(folder.path().join(format!("{shard}.csv")), text).unwrap();
    }
    let options = data::OpenOptions::default();
    let dataset = data::open(folder.path().to_str().unwrap(), &options).unwrap();
    let labels = dataset.labels.unwrap();
    let mut values = vec![0.0; 12];
    dataset.source.read(0, &mut values).unwrap();
    let of_values = values.chunks(2).map(|row| format!("row{}", row[0]));
    assert_eq!(labels, of_values.collect::<Vec<_>>());
    assert_eq!(
        labels,
        ["row10", "row20", "row21", "row30", "row31", "row32"]
    );
}
