//! Temporary folder with small files, for tests of readers.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use rarefy::data::{self, Dataset, OpenOptions, npy};
use tempfile::TempDir;

/// Temporary folder with files of few values.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Writes a matrix of `rows` rows of two values: `first`, `first` + 1 ... in the first column, 0 in the second.
    pub fn write_npy(&self, name: &str, rows: usize, first: f32) {
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

    pub fn open(&self, spec: &str) -> Dataset<'static> {
        data::open(&self.path(spec), &OpenOptions::default()).unwrap()
    }

    #[track_caller]
    pub fn refusal(&self, spec: &str) -> String {
        let result = data::open(&self.path(spec), &OpenOptions::default());
        result.err().expect("it is refused").to_string()
    }
}

/// Values of the first column.
pub fn first_column(dataset: &Dataset) -> Vec<f32> {
    let width = dataset.source.d_in();
    let mut values = vec![0.0; dataset.source.rows() * width];
    dataset.source.read(0, &mut values).unwrap();
    values.into_iter().step_by(width).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// IDX file of unsigned bytes with these sizes.
pub fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    bytes.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(values);
    bytes
}
