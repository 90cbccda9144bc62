//! Columns far from zero: preprocessing subtracts in `f64`, so that the differences keep the digits that `f32` cuts off.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float64Builder};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};

use crate::folder::{Folder, gzip};
use rarefy::data::{Dataset, OpenOptions, SideBySide, Source, hold_out, open_all};
use rarefy::io_spec::IoSpec;
use rarefy::preprocess::{FittedPipelines, Pipeline, Prepared};

const ROWS: usize = 300;
const WIDTH: usize = 3;

/// Noise on offsets of 10^9, 10^12 and 0.
fn value(row: usize, column: usize) -> f64 {
    let noise = |seed: f64| ((row as f64 + seed) * 12.9898).sin();
    match column {
        0 => 1e9 + noise(0.1),
        1 => 1e12 + (1000.0 * noise(0.7)).round(),
        _ => noise(0.3) + noise(0.1),
    }
}

fn values() -> Vec<f64> {
    let rows = (0..ROWS).flat_map(|row| (0..WIDTH).map(move |column| value(row, column)));
    rows.collect()
}

fn little_endian(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn npy(descr: &str, fortran: bool, rows: usize, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({rows}, {WIDTH}), }}\n");
    let length = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes(), bytes].concat()
}

fn npz(member: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("x.npy", options).unwrap();
    archive.write_all(member).unwrap();
    archive.finish().unwrap().into_inner()
}

fn idx() -> Vec<u8> {
    let sizes = [ROWS as u32, WIDTH as u32].map(u32::to_be_bytes).concat();
    let values: Vec<u8> = values().into_iter().flat_map(f64::to_be_bytes).collect();
    [&[0, 0, 14, 2], &sizes[..], &values].concat()
}

fn safetensors() -> Vec<u8> {
    let bytes = little_endian(&values());
    let header = format!(
        "{{\"x\":{{\"dtype\":\"F64\",\"shape\":[{ROWS},{WIDTH}],\"data_offsets\":[0,{}]}}}}",
        bytes.len()
    );
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &bytes].concat()
}

fn csv(rows: std::ops::Range<usize>) -> String {
    let row = |row| format!("{},{},{}\n", value(row, 0), value(row, 1), value(row, 2));
    format!("a,b,c\n{}", rows.map(row).collect::<String>())
}

fn json_lines() -> String {
    let row = |row| {
        let [a, b, c] = [0, 1, 2].map(|column| value(row, column));
        format!("{{\"x\": [{a}, {b}, {c}]}}\n")
    };
    (0..ROWS).map(row).collect()
}

fn columns() -> RecordBatch {
    let column = |column| (0..ROWS).map(move |row| value(row, column));
    let integers = column(1).map(|v| v as i64);
    let columns: [(&str, ArrayRef); 3] = [
        ("a", Arc::new(Float64Array::from_iter_values(column(0)))),
        ("b", Arc::new(Int64Array::from_iter_values(integers))),
        ("c", Arc::new(Float64Array::from_iter_values(column(2)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn lists() -> RecordBatch {
    let mut lists = FixedSizeListBuilder::new(Float64Builder::new(), WIDTH as i32);
    for row in values().chunks(WIDTH) {
        lists.values().append_slice(row);
        lists.append(true);
    }
    RecordBatch::try_from_iter([("x", Arc::new(lists.finish()) as ArrayRef)]).unwrap()
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn arrow(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    bytes
}

/// Rows standardised in `f64` by the textbook.
fn standardised(values: &[f64]) -> Vec<f64> {
    let rows = values.len() / WIDTH;
    let moments: Vec<(f64, f64)> = (0..WIDTH)
        .map(|column| {
            let column = || values[column..].iter().step_by(WIDTH);
            // Less its first value, so that the sums of the test have all digits too.
            let first = column().next().copied().unwrap_or_default();
            let mean = column().map(|v| v - first).sum::<f64>() / rows as f64;
            let square = column().map(|v| (v - first - mean).powi(2)).sum::<f64>();
            (first + mean, (square / rows as f64).sqrt())
        })
        .collect();
    let each = values.iter().zip(moments.iter().cycle());
    each.map(|(v, (mean, deviation))| (v - mean) / deviation)
        .collect()
}

/// Rows of a source, prepared by steps that are fitted to them.
fn prepared(steps: &str, source: &dyn Source) -> Vec<f32> {
    let steps: Vec<String> = steps.split(',').map(str::to_owned).collect();
    let pipeline = Pipeline::fit(&steps, source).unwrap();
    let (surveyed, _) = Pipeline::fit_surveyed(&steps, source).unwrap();
    assert_eq!(surveyed, pipeline, "{steps:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    pipeline.save(file.path()).unwrap();
    assert_eq!(Pipeline::load(file.path()).unwrap(), pipeline, "{steps:?}");
    let rows = Prepared::new(source, &pipeline);
    let mut all = vec![0.0; rows.rows() * rows.d_in()];
    rows.read(0, &mut all).unwrap();
    let (mut one, last) = (vec![0.0; rows.d_in()], rows.rows() - 1);
    rows.gather(&[last], &mut one).unwrap();
    assert_eq!(one, all[last * rows.d_in()..], "{steps:?}");
    all
}

#[track_caller]
fn assert_near(what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let apart = (f64::from(*got) - expected).abs();
        // At 10^9 an f64 has steps of 1e-7; the noise of 10^12 is whole numbers, exact.
        assert!(
            apart < 1e-6,
            "{what}, value {at}: {got}, expected {expected}"
        );
    }
}

/// Files of every format that stores more digits than `f32`.
fn files(folder: &Folder) -> Vec<&'static str> {
    let by_columns: Vec<f64> = (0..WIDTH)
        .flat_map(|column| (0..ROWS).map(move |row| value(row, column)))
        .collect();
    let rows = npy("<f8", false, ROWS, &little_endian(&values()));
    let turned = npy("<f8", true, ROWS, &little_endian(&by_columns));
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("rows.npy", rows.clone()),
        ("columns.npy", turned.clone()),
        ("rows.npz", npz(&rows)),
        ("columns.npz", npz(&turned)),
        ("x.safetensors", safetensors()),
        ("x.idx", idx()),
        ("x.idx.gz", gzip(&idx())),
        ("x.csv", csv(0..ROWS).into()),
        ("x.jsonl", json_lines().into()),
        ("columns.parquet", parquet(&columns())),
        ("lists.parquet", parquet(&lists())),
        ("columns.arrow", arrow(&columns())),
        ("lists.feather", arrow(&lists())),
    ];
    let write = |(name, bytes)| {
        folder.write(name, bytes);
        name
    };
    files.into_iter().map(write).collect()
}

#[test]
fn noise_far_from_zero_is_standardised_from_every_format() {
    let folder = Folder::new();
    let expected = standardised(&values());
    for name in files(&folder) {
        let dataset = folder.open(name);
        let got = prepared("standardise", &*dataset.source);
        assert_near(name, &got, &expected);
        let notes = dataset.notes.join("\n");
        assert!(
            notes.contains("subtract in f64 and keep the differences"),
            "{name}: {notes}"
        );
    }
}

#[test]
fn whole_numbers_beyond_f32_are_standardised() {
    let folder = Folder::new();
    let whole: Vec<f64> = values().iter().map(|v| v.round()).collect();
    let bytes: Vec<u8> = whole
        .iter()
        .flat_map(|v| (*v as i64).to_le_bytes())
        .collect();
    folder.write("x.npy", npy("<i8", false, ROWS, &bytes));
    let got = prepared("standardise", &*folder.open("x.npy").source);
    assert_near("i64", &got, &standardised(&whole));
}

#[test]
fn shards_held_out_rows_and_first_rows_keep_their_digits() {
    let folder = Folder::new();
    folder.write("1.csv", csv(0..100));
    let rest = &values()[100 * WIDTH..];
    folder.write("2.npy", npy("<f8", false, 200, &little_endian(rest)));
    folder.write("2.csv", csv(100..ROWS));
    let open = |names: &[&str], rows| {
        let paths: Vec<String> = names.iter().map(|name| folder.path(name)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let options = OpenOptions {
            rows,
            ..OpenOptions::default()
        };
        open_all(&paths, &options).unwrap()
    };
    let all = open(&["1.csv", "2.csv"], None);
    assert_near(
        "shards",
        &prepared("standardise", &*all.source),
        &standardised(&values()),
    );
    let first = open(&["1.csv", "2.csv"], Some(150));
    let expected = standardised(&values()[..150 * WIDTH]);
    assert_near(
        "first rows",
        &prepared("standardise", &*first.source),
        &expected,
    );
    let (training, held_out) = hold_out(&*all.source, 100).unwrap();
    for (part, rest) in [(training, false), (held_out.unwrap(), true)] {
        let rows = values();
        let rows = rows.chunks(WIDTH).enumerate();
        let of_part = rows.filter(|(row, _)| row.is_multiple_of(3) == rest);
        let of_part: Vec<f64> = of_part.flat_map(|(_, row)| row.to_vec()).collect();
        assert_near(
            "hold-out",
            &prepared("standardise", &part),
            &standardised(&of_part),
        );
    }
    let sources: Vec<Box<dyn Source>> = [open(&["2.npy"], None), open(&["2.csv"], None)]
        .map(|dataset: Dataset| dataset.source)
        .into();
    let both = SideBySide::new(sources).unwrap();
    let one = standardised(rest);
    let twice: Vec<f64> = one
        .chunks(WIDTH)
        .flat_map(|row| [row, row].concat())
        .collect();
    assert_near("side by side", &prepared("standardise", &both), &twice);
}

#[test]
fn whole_numbers_that_f32_holds_alike_are_row_numbers_only_if_they_count() {
    let folder = Folder::new();
    let table = |step: u64| {
        let row = |row: u64| format!("{},{}\n", 1_000_000_000_000 + step * row, row % 3);
        format!("when,a\n{}", (0..20).map(row).collect::<String>())
    };
    let constant = (0..20).map(|row| format!("1700000000,{}.5\n", row % 3));
    let constant = constant.collect::<Vec<_>>().concat();
    folder.write("constant.csv", format!("a,b\n{constant}"));
    assert_eq!(folder.open("constant.csv").source.d_in(), 2);
    folder.write("steps.csv", table(7));
    folder.write("counts.csv", table(1));
    assert_eq!(folder.open("steps.csv").source.d_in(), 2);
    let counts = folder.open("counts.csv");
    assert_eq!(counts.source.d_in(), 1);
    assert!(
        counts.notes[0].contains("when (row number)"),
        "{:?}",
        counts.notes
    );
}

/// Steps whose textbook formula is short; steps not listed read rows and sum in the same way.
#[test]
fn every_step_that_subtracts_keeps_the_digits() {
    let folder = Folder::new();
    let noise: Vec<f64> = (0..ROWS).map(|row| value(row, 0) - 1e9).collect();
    let column: Vec<f64> = (0..ROWS).flat_map(|row| [value(row, 0); WIDTH]).collect();
    folder.write("x.npy", npy("<f8", false, ROWS, &little_endian(&column)));
    let dataset = folder.open("x.npy");
    let (low, high) = noise
        .iter()
        .fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let thrice = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
        noise.iter().flat_map(|v| [f(*v); WIDTH]).collect()
    };
    let scaled = thrice(&|v| (v - low) / (high - low));
    assert_near("scale", &prepared("scale", &*dataset.source), &scaled);
    let mean = noise.iter().sum::<f64>() / ROWS as f64;
    let deviation = (noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / ROWS as f64).sqrt();
    let whitened = prepared("pca:1:0", &*dataset.source);
    let expected: Vec<f64> = noise.iter().map(|v| (v - mean) / deviation).collect();
    let sign = if f64::from(whitened[0]) * expected[0] < 0.0 {
        -1.0
    } else {
        1.0
    };
    let expected: Vec<f64> = expected.iter().map(|v| sign * v).collect();
    assert_near("pca", &whitened, &expected);
    let standard = thrice(&|v| (v - mean) / deviation);
    for steps in [
        "clip-sd:100,standardise",
        "norm-average,standardise",
        "norm-square,standardise",
    ] {
        assert_near(steps, &prepared(steps, &*dataset.source), &standard);
    }
    let spread: Vec<f64> = (0..ROWS)
        .flat_map(|row| {
            let at = value(row, 0);
            [at - 0.5, at, at + 0.5]
        })
        .collect();
    folder.write(
        "spread.npy",
        npy("<f8", false, ROWS, &little_endian(&spread)),
    );
    let dataset = folder.open("spread.npy");
    let centred = [-0.5, 0.0, 0.5].repeat(ROWS);
    assert_near(
        "row-mean",
        &prepared("row-mean", &*dataset.source),
        &centred,
    );
    let normed: Vec<f64> = centred.iter().map(|v| v / (0.5 + 1e-5)).collect();
    assert_near(
        "layer-norm",
        &prepared("layer-norm", &*dataset.source),
        &normed,
    );
}

#[test]
fn inputs_and_target_side_by_side_keep_the_digits() {
    let folder = Folder::new();
    let steps = ["standardise".to_owned()];
    folder.write("x.npy", npy("<f8", false, ROWS, &little_endian(&values())));
    let sources: Vec<Box<dyn Source>> =
        vec![folder.open("x.npy").source, folder.open("x.npy").source];
    let both = SideBySide::new(sources).unwrap();
    let one = standardised(&values());
    let twice: Vec<f64> = one
        .chunks(WIDTH)
        .flat_map(|row| [row, row].concat())
        .collect();
    for io in [
        IoSpec::new(&[WIDTH], Some(WIDTH)),
        IoSpec::new(&[WIDTH; 2], None),
    ] {
        let fitted = FittedPipelines::fit(&steps, None, &both, &io.unwrap()).unwrap();
        let pipeline = fitted.rows();
        let rows = Prepared::new(&both, &pipeline)
            .in_memory(1 << 20)
            .unwrap()
            .unwrap();
        assert_near("pairs", rows.as_slice().unwrap(), &twice);
    }
}

#[test]
fn constant_columns_become_zero() {
    let folder = Folder::new();
    let rows = (0..ROWS).flat_map(|row| [0.1, 1e9 + 0.1, value(row, 2)]);
    folder.write(
        "x.npy",
        npy(
            "<f8",
            false,
            ROWS,
            &little_endian(&rows.collect::<Vec<_>>()),
        ),
    );
    for steps in ["standardise", "scale,standardise"] {
        let got = prepared(steps, &*folder.open("x.npy").source);
        for row in got.chunks(WIDTH) {
            assert!(row[..2].iter().all(|v| v.abs() < 1e-6), "{steps}: {row:?}");
        }
    }
}

/// A few other values, rows left out, and rows whose values are far apart from row to row.
#[test]
fn other_values_do_not_hide_the_digits() {
    let folder = Folder::new();
    let row = |row: usize| match row {
        7 => "0,1\n".to_owned(),
        9 => "1e300,2\n".to_owned(),
        row => format!("{},{}\n", value(row, 0), value(row, 2)),
    };
    folder.write(
        "x.csv",
        format!("a,b\n{}", (0..ROWS).map(row).collect::<String>()),
    );
    let options = OpenOptions {
        skip_bad_rows: true,
        ..OpenOptions::default()
    };
    let dataset = open_all(&[&folder.path("x.csv")], &options).unwrap();
    let mut one = [0.0; 2];
    dataset.source.read_f64(5, &mut one).unwrap();
    assert_eq!(one, [value(5, 0), f64::from(value(5, 2) as f32)]);
    let times = |row: usize| 1_500_000_000 + 700_001 * row as i64;
    let row = |row| format!("{},{}\n", times(row), times(row) + (row % 60) as i64);
    folder.write(
        "times.csv",
        format!("from,to\n{}", (0..ROWS).map(row).collect::<String>()),
    );
    let got = prepared("row-mean", &*folder.open("times.csv").source);
    let expected: Vec<f64> = (0..ROWS)
        .map(|row| (row % 60) as f64 / 2.0)
        .flat_map(|half| [-half, half])
        .collect();
    assert_near("times", &got, &expected);
}

#[test]
fn constant_columns_need_no_more_digits() {
    let folder = Folder::new();
    let row = |row| format!("0.1,{},1\n", value(row, 2));
    folder.write(
        "x.csv",
        format!("a,b,c\n{}", (0..ROWS).map(row).collect::<String>()),
    );
    let ones: Vec<u8> = (0..ROWS * WIDTH)
        .flat_map(|at| (at as i64 % 3).to_le_bytes())
        .collect();
    folder.write("x.npz", npz(&npy("<i8", false, ROWS, &ones)));
    for name in ["x.csv", "x.npz"] {
        let source = folder.open(name).source;
        assert!(!source.has_f64() && source.as_slice().is_some(), "{name}");
    }
}

#[test]
fn model_encodes_a_file_as_it_was_trained() {
    let folder = Folder::new();
    for name in files(&folder) {
        let dataset = folder.open(name);
        let builder = rarefy::topk(2).latents(6).steps(20).batch(50).holdout(0);
        let model = builder.preprocess(["standardise"]).fit(&dataset).unwrap();
        let rows: Vec<f32> = standardised(&values()).iter().map(|v| *v as f32).collect();
        let plain = rarefy::topk(2).latents(6).steps(20).batch(50).holdout(0);
        let other = plain.preprocess(["none"]).fit((&rows, WIDTH)).unwrap();
        let (got, expected) = (
            model.encode_dense(&dataset),
            other.encode_dense((&rows, WIDTH)),
        );
        let expected: Vec<f64> = expected.unwrap().into_iter().map(f64::from).collect();
        for (at, (got, expected)) in got.unwrap().iter().zip(&expected).enumerate() {
            let apart = (f64::from(*got) - expected).abs();
            assert!(
                apart < 1e-3,
                "{name}, latent {at}: {got}, expected {expected}"
            );
        }
        let path = folder.path("model");
        model.save(std::path::Path::new(&path)).unwrap();
        let loaded = rarefy::model::Model::load(std::path::Path::new(&path)).unwrap();
        assert_eq!(
            loaded.encode(&dataset).unwrap(),
            model.encode(&dataset).unwrap()
        );
        let figures = model.evaluate(&dataset).unwrap();
        assert!(
            figures.explained_variance > 0.3,
            "{name}: {}",
            figures.explained_variance
        );
    }
}
