//! Arrays of more than two axes, uncommon element types and sparse matrices: right rows, with a note, or a refusal.

use std::path::{Path, PathBuf};

use crate::fixtures::{CodesFixture, expected, folder};
use rarefy::Result;
use rarefy::data::{self, Dataset, OpenOptions, RowAxis, npy};

fn open(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    data::open(path.to_str().unwrap(), options)
}

fn refusal(path: &Path, options: &OpenOptions) -> String {
    match open(path, options) {
        Ok(_) => panic!("{} was read", path.display()),
        Err(error) => error.to_string(),
    }
}

fn values(dataset: &Dataset) -> Vec<f32> {
    let source = dataset.source.as_ref();
    let mut values = vec![0.0; source.rows() * source.d_in()];
    source.read(0, &mut values).unwrap();
    values
}

fn member(name: &str) -> OpenOptions {
    OpenOptions {
        member: Some(name.into()),
        ..OpenOptions::default()
    }
}

/// Writes an npy file of `numpy` type `descr` in a new folder.
fn npy_file(folder: &Path, descr: &str, shape: &str, bytes: &[u8]) -> PathBuf {
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    text.push_str(&" ".repeat(117 - text.len()));
    text.push('\n');
    let length = (text.len() as u16).to_le_bytes();
    let start: &[u8] = b"\x93NUMPY\x01\x00";
    let path = folder.join("x.npy");
    std::fs::write(&path, [start, &length, text.as_bytes(), bytes].concat()).unwrap();
    path
}

/// Writes a safetensors file with one tensor `x`.
fn tensor_file(folder: &Path, dtype: &str, shape: &str, bytes: &[u8]) -> PathBuf {
    let end = bytes.len();
    let header =
        format!("{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}");
    let length = (header.len() as u64).to_le_bytes();
    let path = folder.join("x.safetensors");
    std::fs::write(&path, [&length[..], header.as_bytes(), bytes].concat()).unwrap();
    path
}

fn counted(values: usize) -> Vec<f32> {
    (0..values).map(|value| value as f32).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn three_axes_make_the_same_rows_in_npy_and_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let content = bytes(&counted(24));
    let files = [
        npy_file(folder.path(), "<f4", "(2, 3, 4)", &content),
        tensor_file(folder.path(), "F32", "[2,3,4]", &content),
    ];
    for file in files {
        for (row_axis, rows, d_in, words) in [
            (None, 6, 4, "6 rows of 4 values (last axis)"),
            (Some(RowAxis::Last), 6, 4, "6 rows of 4 values (last axis)"),
            (Some(RowAxis::Flatten), 2, 12, "2 rows of 12 values"),
        ] {
            let options = OpenOptions {
                row_axis,
                ..OpenOptions::default()
            };
            let dataset = open(&file, &options).unwrap();
            let shape = (dataset.source.rows(), dataset.source.d_in());
            assert_eq!(shape, (rows, d_in), "{}", file.display());
            assert_eq!(values(&dataset), counted(24));
            let [note] = &dataset.notes[..] else {
                panic!("expected one note, got {:?}", dataset.notes);
            };
            assert!(note.starts_with(file.to_str().unwrap()), "{note}");
            assert!(
                note.contains("shape [2, 3, 4]") && note.contains(words),
                "{note}"
            );
        }
    }
}

/// Patches in colour are written with four axes, as floats.
#[test]
fn colour_images_are_known_again_by_their_axes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.npy");
    let header = npy::header_of("<f4", &[2, 2, 3, 3]);
    std::fs::write(&path, [header, bytes(&counted(36))].concat()).unwrap();
    let dataset = open(&path, &OpenOptions::default()).unwrap();
    assert_eq!((dataset.source.rows(), dataset.source.d_in()), (2, 18));
    assert_eq!(dataset.image_shape, Some((2, 3)));
    assert_eq!(data::image_channels((2, 3), 18), Some(3));
}

/// 1.5, -2 and 3 are the upper halves of f32: 3FC0, C000, 4040.
#[test]
fn npy_of_bfloat16_is_read_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let stored = [0xC0, 0x3F, 0x00, 0xC0, 0x40, 0x40];
    for descr in ["<V2", "|V2"] {
        let path = npy_file(folder.path(), descr, "(1, 3)", &stored);
        let dataset = open(&path, &OpenOptions::default()).unwrap();
        assert_eq!(values(&dataset), [1.5, -2.0, 3.0]);
        assert!(dataset.notes[0].contains("bfloat16"), "{:?}", dataset.notes);
    }
}

#[test]
fn booleans_are_0_or_1() {
    let folder = tempfile::tempdir().unwrap();
    let npy = npy_file(folder.path(), "|b1", "(1, 3)", &[1, 0, 255]);
    let tensor = tensor_file(folder.path(), "BOOL", "[1,3]", &[1, 0, 255]);
    for file in [npy, tensor] {
        let dataset = open(&file, &OpenOptions::default()).unwrap();
        assert_eq!(values(&dataset), [1.0, 0.0, 1.0]);
    }
}

#[test]
fn types_of_8_bit_floats_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions::default();
    for descr in ["<V1", "<f1"] {
        let error = refusal(&npy_file(folder.path(), descr, "(1, 3)", &[0; 3]), &options);
        assert!(
            error.contains("float8") && error.contains("astype"),
            "{error}"
        );
    }
    for dtype in ["F8_E4M3", "F8_E5M2"] {
        let error = refusal(
            &tensor_file(folder.path(), dtype, "[1,3]", &[0; 3]),
            &options,
        );
        assert!(
            error.contains(dtype) && error.contains("torch.float32"),
            "{error}"
        );
    }
}

/// `scipy`, `pyarrow` and `safetensors` wrote the files.
#[test]
fn sparse_files_are_read_as_their_dense_rows() {
    let mut read = 0;
    for CodesFixture {
        file, d_sae, dense, ..
    } in expected().codes
    {
        if !cfg!(feature = "parquet") && file.ends_with("parquet") || file.ends_with("npy") {
            continue;
        }
        let dataset = open(&folder().join(&file), &OpenOptions::default()).unwrap();
        assert_eq!(dataset.source.d_in(), d_sae, "{file}");
        let got: Vec<f64> = values(&dataset).into_iter().map(f64::from).collect();
        assert_eq!(got, dense, "{file}");
        assert!(dataset.notes[0].contains("sparse matrix 6 x 4"), "{file}");
        read += 1;
        if file == "codes/csr.npz" {
            let columns = open(&folder().join("codes/csc.npz"), &OpenOptions::default()).unwrap();
            assert_eq!(values(&columns), values(&dataset));
        }
    }
    assert!(read >= 4, "only {read} files");
}

#[test]
fn one_array_of_a_sparse_matrix_is_refused() {
    for (file, name) in [
        ("codes/csr.npz", "data"),
        ("codes/csr.safetensors", "data"),
        ("codes/lists.parquet", "values"),
    ] {
        if !cfg!(feature = "parquet") && file.ends_with("parquet") {
            continue;
        }
        let error = refusal(&folder().join(file), &member(name));
        assert!(error.contains("sparse") && error.contains(name), "{error}");
    }
}
