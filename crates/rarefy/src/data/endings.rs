//! Endings of file names: the format of a data file, and advice for files that no reader takes.

use std::path::Path;

use super::{DataFormat, FORMATS};
use crate::Error;

/// Format that the ending of a file name determines; `None` if no reader takes such files.
pub(super) fn format_of(path: &Path) -> Option<&'static DataFormat> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    FORMATS
        .iter()
        .find(|format| format.extensions.iter().any(|end| name.ends_with(end)))
}

/// All endings that are read, separated by commas.
pub(super) fn readable() -> String {
    let all: Vec<&str> = FORMATS.iter().flat_map(|f| f.extensions).copied().collect();
    all.join(", ")
}

/// Error for a file whose ending no reader takes: kind of file and conversion if known, then the endings that are read.
pub(super) fn unknown(path: &Path) -> Error {
    let readable = readable();
    let why = match advice(path) {
        Some((what, remedy)) => format!("{what} is not read; {remedy} (read are {readable})"),
        None => format!(
            "file name ending not known; expected the name of a data file to end in one of {readable}"
        ),
    };
    Error::format(path, why)
}

/// Kind of file and conversion, for the endings that people have; `None` for other endings.
pub(super) fn advice(path: &Path) -> Option<(&'static str, &'static str)> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let found = FOREIGN
        .iter()
        .find(|(endings, ..)| endings.iter().any(|end| name.ends_with(end)))?;
    Some((found.1, found.2))
}

/// Kind of file whose ending says little about its content.
pub(super) const TEXT: &str = "a text file of this name";

/// Endings that no reader takes, the kind of file, and the conversion.
const FOREIGN: &[(&[&str], &str, &str)] = &[
    (
        &[".tar", ".tar.gz", ".tgz", ".zip", ".7z", ".rar"],
        "an archive",
        "unpack it and give the folder",
    ),
    (
        &[".gz", ".bz2", ".xz", ".zst", ".lz4"],
        "a compressed file of this name",
        "unpack it first",
    ),
    (
        &[".pt", ".pth", ".ckpt", ".bin"],
        "a PyTorch file",
        "convert it with safetensors.torch.save_file({'x': tensor}, 'x.safetensors')",
    ),
    (
        &[".pkl", ".pickle", ".joblib"],
        "a Python pickle",
        "unpickling can run code; save the numbers with np.save('x.npy', x) or DataFrame.to_parquet",
    ),
    (
        &[".mat"],
        "a MATLAB file",
        "convert it with np.save('x.npy', scipy.io.loadmat(path)['NAME'])",
    ),
    (
        &[".h5ad"],
        "an AnnData file",
        "convert it with np.save('x.npy', anndata.read_h5ad(path).X)",
    ),
    (
        &[".h5", ".hdf5", ".hdf", ".nc"],
        "an HDF5 file",
        "convert it with np.save('x.npy', h5py.File(path)['NAME'][:])",
    ),
    (
        &[".zarr"],
        "a Zarr array",
        "convert it with np.save('x.npy', zarr.open(path)[:])",
    ),
    (
        &[".json"],
        "a JSON file",
        "write one object on each line, for example with pandas.read_json(path).to_json('x.jsonl', orient='records', lines=True)",
    ),
    (
        &[".xlsx", ".xls", ".ods"],
        "a spreadsheet",
        "export the sheet as csv",
    ),
    (
        &[".orc", ".avro", ".dta", ".sav", ".sas7bdat"],
        "a table of this kind",
        "convert it to parquet, for example with pandas or pyarrow",
    ),
    (
        &[".rds", ".rda", ".rdata"],
        "an R file",
        "convert it in R with write.csv(x, 'x.csv', row.names=FALSE)",
    ),
    (
        &[".mtx", ".mm"],
        "a Matrix Market file",
        "convert it with scipy.sparse.save_npz('x.npz', scipy.io.mmread(path).tocsr())",
    ),
    (
        &[".db", ".sqlite", ".sqlite3", ".duckdb", ".lmdb", ".mdb"],
        "a database",
        "export the table as parquet or csv",
    ),
    (
        &[".tfrecord", ".tfrecords"],
        "a TensorFlow file",
        "save the numbers with np.save('x.npy', x)",
    ),
    (
        &[".gguf", ".onnx", ".msgpack"],
        "a model file",
        "give data; a model is an argument of `rarefy eval` and `rarefy encode` if it is a folder",
    ),
    (
        &[".tif", ".tiff", ".bmp", ".gif", ".webp", ".heic", ".dcm"],
        "an image of this kind",
        "convert it to PNG",
    ),
    (
        &[".txt", ".dat", ".data", ".asc"],
        TEXT,
        "if it holds a table of numbers, rename it so that it ends in .csv or .tsv",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_endings_name_the_kind_the_conversion_and_what_is_read() {
        for (name, words) in [
            ("acts.pt", "PyTorch"),
            ("X.PTH", "safetensors.torch"),
            ("x.npy.gz", "unpack"),
            ("x.tar.gz", "archive"),
            ("IMAGES.mat", "loadmat"),
            ("x.h5ad", "anndata"),
            ("x.zarr", "zarr.open"),
            ("x.xlsx", "export the sheet"),
            ("notes.txt", ".csv"),
        ] {
            let error = unknown(Path::new(name)).to_string();
            assert!(error.starts_with(name), "{error}");
            assert!(error.contains(words), "{name}: {error}");
            assert!(error.contains(".npy, .npz"), "{name}: {error}");
            assert!(!error.contains("did you mean"), "{name}: {error}");
        }
        let other = unknown(Path::new("x.nyp")).to_string();
        assert!(other.contains("file name ending not known"), "{other}");
        assert!(!other.contains("did you mean"), "{other}");
    }

    #[test]
    fn no_foreign_ending_hides_behind_a_format() {
        for end in FOREIGN.iter().flat_map(|(ends, ..)| *ends) {
            assert!(format_of(Path::new(&format!("x{end}"))).is_none(), "{end}");
        }
    }

    #[test]
    fn every_foreign_ending_is_in_lower_case_and_listed_once() {
        let mut all: Vec<&str> = FOREIGN
            .iter()
            .flat_map(|(ends, ..)| *ends)
            .copied()
            .collect();
        assert!(
            all.iter()
                .all(|end| **end == end.to_lowercase() && end.starts_with('.'))
        );
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(count, all.len());
    }
}
