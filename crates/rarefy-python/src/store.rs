//! Stores of activations.

use std::path::PathBuf;

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use rarefy::Result;
use rarefy::data::store::{self, Begin, Number, StoreOptions};
use rarefy::data::{OpenOptions, Places};
use rarefy_run::folder::Lock;
use rarefy_run::output_path;
use serde::Deserialize;

use crate::errors::of_class;
use crate::input::{Input, with_cells};
use crate::watch;

/// Settings as JSON.
#[derive(Deserialize)]
struct Settings {
    dtype: Option<Number>,
    shard_rows: Option<usize>,
    outlier_norm: Option<f64>,
    skip_first: u64,
    skip_tokens: Vec<i32>,
    model: Option<String>,
    module: Option<String>,
}

/// Writes rows as a store. `begin` is `new`, `append` or `resume`; `context` is the number of rows in a context, and `tokens` has one for each row.
#[pyfunction]
#[pyo3(signature = (rows, options, out, begin, context, tokens, labels, texts))]
#[allow(
    clippy::too_many_arguments,
    reason = "a function of Python, called with names"
)]
pub fn shard(
    py: Python<'_>,
    rows: Input<'_>,
    options: &str,
    out: PathBuf,
    begin: &str,
    context: Option<usize>,
    tokens: Option<PyReadonlyArray1<'_, i32>>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
) -> PyResult<()> {
    let given: Settings = serde_json::from_str(options)
        .map_err(|e| of_class(py, "ConfigError", &format!("shard: {e}")))?;
    let options = StoreOptions {
        number: given.dtype,
        shard_rows: given.shard_rows,
        outlier_norm: given.outlier_norm,
        skip_first: given.skip_first,
        skip_tokens: given.skip_tokens,
        model: given.model,
        module: given.module,
    };
    let begin = match begin {
        "append" => Begin::Append,
        "resume" => Begin::Resume,
        _ => Begin::New,
    };
    let places = context.and_then(Places::every);
    let tokens = tokens.map(|tokens| tokens.as_array().to_vec());
    let view = rows.view();
    let inputs: Vec<PathBuf> = rows
        .paths()
        .into_iter()
        .flatten()
        .map(PathBuf::from)
        .collect();
    watch::run(py, None, None, |watch| -> Result<()> {
        output_path::check_folder(&out)?;
        let inputs: Vec<_> = inputs.iter().map(PathBuf::as_path).collect();
        output_path::check_apart(&out, &inputs)?;
        // Held until the end: one process at a time writes into a store.
        let _lock = Lock::folder(&out)?;
        let of_rows = OpenOptions {
            places: true,
            ..OpenOptions::default()
        };
        let mut dataset = with_cells(view.dataset(watch, &of_rows)?, labels, texts)?;
        if let Some(places) = places {
            dataset.places = Some(match tokens {
                Some(tokens) => places.with_tokens(tokens),
                None => places,
            });
        }
        store::write(&dataset, &out, &options, begin, &mut |_| watch.check())?;
        Ok(())
    })
}
