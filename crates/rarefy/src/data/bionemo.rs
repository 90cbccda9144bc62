//! Activations of `BioNeMo`'s sparse autoencoders: a folder of parquet files `shard_00000.parquet` and on, with `metadata.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::options::Foreign;
use super::{Dataset, OpenOptions, datasets, open_listed};
use crate::{Error, Result};

const METADATA: &str = "metadata.json";

/// Entries of `metadata.json`, which is written last.
#[derive(Debug, Deserialize)]
struct Metadata {
    n_samples: usize,
    hidden_dim: usize,
    n_shards: usize,
}

/// True for a folder of `BioNeMo`'s activations.
pub(super) fn is_bionemo(folder: &Path) -> bool {
    let keys = ["n_samples", "hidden_dim", "n_shards"];
    datasets::read(&folder.join(METADATA))
        .is_ok_and(|value| keys.iter().all(|key| value.get(key).is_some()))
}

/// Rows of the shards that the metadata counts.
///
/// # Errors
/// [`Error::Format`] for shards whose rows or width differ from the metadata; errors of reading.
pub(super) fn open(
    folder: &Path,
    options: &OpenOptions,
    foreign: Foreign,
) -> Result<Dataset<'static>> {
    let path = folder.join(METADATA);
    let metadata: Metadata = serde_json::from_value(datasets::read(&path)?)
        .map_err(|e| Error::format(&path, format!("damaged: {e}; write the activations again")))?;
    let shard = |number: usize| folder.join(format!("shard_{number:05}.parquet"));
    // The first that is missing is enough for an error.
    let there =
        (0..metadata.n_shards).take_while(|number| *number == 0 || shard(number - 1).exists());
    let files: Vec<PathBuf> = there.map(shard).collect();
    let dataset = open_listed(folder, &files, options, foreign)?;
    let got = (dataset.source.rows(), dataset.source.d_in());
    if got != (metadata.n_samples, metadata.hidden_dim) {
        let why = format!(
            "expected {} rows of {} values as in {METADATA}, got {} of {} in the shards; write the activations again",
            metadata.n_samples, metadata.hidden_dim, got.0, got.1
        );
        return Err(Error::format(folder, why));
    }
    Ok(dataset)
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;
    use crate::data;

    /// Two shards: rows 0 to 2 of three values in the first, row 3 in the second.
    fn folder(samples: usize) -> tempfile::TempDir {
        use arrow_array::types::Float32Type;
        use arrow_array::{ArrayRef, FixedSizeListArray, RecordBatch};
        let dir = tempfile::tempdir().unwrap();
        for (number, rows) in [(0, 0..3), (1, 3..4)] {
            let rows = rows.map(|row| {
                Some(
                    (0..3)
                        .map(move |at| Some((10 * row + at) as f32))
                        .collect::<Vec<_>>(),
                )
            });
            let lists = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 3);
            let batch =
                RecordBatch::try_from_iter([("act", std::sync::Arc::new(lists) as ArrayRef)])
                    .unwrap();
            let file = std::fs::File::create(dir.path().join(format!("shard_{number:05}.parquet")))
                .unwrap();
            let mut writer =
                parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        }
        let metadata = serde_json::json!({"n_samples": samples, "hidden_dim": 3, "n_shards": 2, "shard_size": 3, "model": "esm2"});
        std::fs::write(dir.path().join(METADATA), metadata.to_string()).unwrap();
        dir
    }

    #[test]
    fn rows_of_all_shards_are_read_and_counted() {
        let dir = folder(4);
        let dataset =
            data::open(&dir.path().display().to_string(), &OpenOptions::default()).unwrap();
        let mut rows = [0.0; 6];
        dataset.source.read(2, &mut rows).unwrap();
        assert_eq!(rows, [20.0, 21.0, 22.0, 30.0, 31.0, 32.0]);
        let why = |dir: &tempfile::TempDir| {
            data::open(&dir.path().display().to_string(), &OpenOptions::default())
                .err()
                .unwrap()
                .to_string()
        };
        let got = why(&folder(5));
        assert!(
            got.contains(
                "expected 5 rows of 3 values as in metadata.json, got 4 of 3 in the shards"
            ),
            "{got}"
        );
        std::fs::remove_file(dir.path().join("shard_00001.parquet")).unwrap();
        assert!(why(&dir).contains("shard_00001.parquet"), "{}", why(&dir));
    }
}
