//! Codes that this library wrote, as sparse matrices: arrays of a safetensors file, lists of a parquet file.

use std::path::Path;

use super::scipy::expand;
use super::{Entries, SparseMatrix, refuse_parts};
#[cfg(feature = "parquet")]
use crate::data::table::{
    Kind, Table,
    arrow::{ArrowTable, floats, holds_lists, integers, lists, open_in_place, open_stacks},
    dataset,
};
use crate::data::{Dataset, OpenOptions};
use crate::tensors::Reader;
use crate::{Error, Result};

#[cfg(feature = "parquet")]
use ::arrow_array::Array;

/// Opens a safetensors file with the tensors `indptr`, `indices`, `data` and `shape`.
///
/// # Errors
/// [`Error::Format`] for a choice of one tensor and for invalid entries.
pub(in crate::data) fn open_tensors(
    path: &Path,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    refuse_parts(path, options)?;
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = Reader::new(path, &bytes)?;
    let shape: Vec<i64> = file.vector("shape")?;
    let &[rows, columns] = shape.as_slice() else {
        return Err(file.bad(format!(
            "sparse matrix: expected two axes, got shape {shape:?}"
        )));
    };
    let offsets = file.vector("indptr")?;
    let of_rows = file.has("row_means") || file.has("row_scales");
    of_codes(
        path,
        (rows, columns),
        &offsets,
        (file.vector("indices")?, file.vector("data")?),
        of_rows,
    )
}

/// Opens a parquet file: sparse rows if its lists are indices and values, else a table.
///
/// # Errors
/// [`Error::Format`] for a damaged file, and as [`of_lists`].
#[cfg(feature = "parquet")]
pub(in crate::data) fn open_parquet(
    path: &Path,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    open_table(path, ArrowTable::parquet(path)?, options)
}

/// Opens an Arrow file or stream, such as a Feather file or a shard of a Hugging Face dataset, as [`open_parquet`].
///
/// # Errors
/// As [`open_parquet`].
#[cfg(feature = "parquet")]
pub(in crate::data) fn open_arrow(path: &Path, options: &OpenOptions) -> Result<Dataset<'static>> {
    if let Some(rows) = open_in_place(path, options)? {
        return Ok(rows);
    }
    open_table(path, ArrowTable::file(path)?, options)
}

#[cfg(feature = "parquet")]
fn open_table(
    path: &Path,
    mut table: ArrowTable,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    if let Some(sparse) = of_lists(path, &mut table, options)? {
        return Ok(sparse);
    }
    match open_stacks(path, &mut table, options)? {
        Some(stacks) => Ok(stacks),
        None => dataset(path, &mut table, options),
    }
}

/// Sparse rows of a table whose columns of lists are indices and values; `None` for other tables.
///
/// # Errors
/// [`Error::Format`] for a choice of one column, for lists without the number of columns, and for invalid entries.
#[cfg(feature = "parquet")]
fn of_lists(
    path: &Path,
    table: &mut ArrowTable,
    options: &OpenOptions,
) -> Result<Option<Dataset<'static>>> {
    let all = table.fields().iter();
    let of_lists = all.filter(|field| field.kind == Kind::List);
    if !super::is_codes(of_lists.map(|field| field.name.as_str())) {
        return Ok(None);
    }
    let d_sae = table.metadata.iter().find(|(key, _)| key == "d_sae");
    let d_sae = d_sae.and_then(|(_, text)| text.parse::<i64>().ok());
    if d_sae.is_none()
        && (options.member.is_some() || !options.columns.is_empty() || !options.exclude.is_empty())
    {
        return Ok(None);
    }
    refuse_parts(path, options)?;
    let complete = table.has("indices") && table.has("values");
    let Some(d_sae) = d_sae.filter(|_| complete) else {
        let why = "sparse rows (lists of indices and of values) without the number of columns, which `rarefy encode` \
                   stores as `d_sae` in the metadata; save dense rows, or scipy.sparse.save_npz(file, csr_matrix)";
        return Err(Error::format(path, why));
    };
    let (offsets, indices) = entries(path, table, "indices", integers)?;
    let (ends, values) = entries(path, table, "values", |array| {
        Some(floats(array)?.into_owned())
    })?;
    if offsets != ends {
        let why = "sparse rows: expected as many values as indices in each row";
        return Err(Error::format(path, why));
    }
    let shape = (offsets.len() as i64 - 1, d_sae);
    let of_rows = table.has("row_mean") || table.has("row_scale");
    let mut dataset = of_codes(path, shape, &offsets, (indices, values), of_rows)?;
    let fields = table.fields().iter().map(|field| field.name.as_str());
    let others =
        fields.filter(|name| !["indices", "values", "row_mean", "row_scale"].contains(name));
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        let (path, others) = (path.display(), others.join(", "));
        dataset
            .notes
            .push(format!("{path}: left out beside sparse rows: {others}"));
    }
    Ok(Some(dataset))
}

/// Data set of codes; `of_rows` is true if the file also has means or scales of the rows.
fn of_codes(
    path: &Path,
    shape: (i64, i64),
    offsets: &[i64],
    (columns, values): (Vec<i64>, Vec<f32>),
    of_rows: bool,
) -> Result<Dataset<'static>> {
    let entries = Entries {
        shape,
        rows: expand(path, offsets, ("row", shape.0), columns.len())?,
        columns,
        values,
    };
    let kind = if of_rows {
        "codes, without means and scales of the rows"
    } else {
        "codes"
    };
    entries
        .matrix(path)
        .map(|matrix: SparseMatrix| matrix.dataset(kind))
}

#[cfg(feature = "parquet")]
/// Lists of a column: offsets of the rows, the first 0, and all values.
pub(crate) fn entries<V: Copy>(
    path: &Path,
    table: &mut ArrowTable,
    name: &str,
    values_of: impl Fn(&dyn Array) -> Option<Vec<V>>,
) -> Result<(Vec<i64>, Vec<V>)> {
    let expected = |what: &str| Error::format(path, format!("column `{name}`: expected {what}"));
    let (mut offsets, mut all) = (vec![0], Vec::new());
    for array in table.arrays(name)? {
        let (ranges, values) = lists(&array).ok_or_else(|| expected("a list in each row"))?;
        if holds_lists(array.data_type()) {
            return Err(expected(
                "a list of numbers in each row, got a list of lists",
            ));
        }
        if array.null_count() + values.null_count() > 0 {
            return Err(expected("a list of numbers in each row, got null"));
        }
        let values = values_of(&values).ok_or_else(|| expected("lists of numbers"))?;
        for range in ranges {
            all.extend_from_slice(&values[range]);
            offsets.push(all.len() as i64);
        }
    }
    Ok((offsets, all))
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow_array::types::{Float32Type, Int64Type};
    use arrow_array::{ArrayRef, ListArray, RecordBatch};
    use arrow_ipc::writer::FileWriter;

    use super::*;
    use crate::data::open;

    /// Rows (0, 2, 0), (0, 0, 0) and (4, 0, 5), as lists of an Arrow file with this metadata.
    fn opened(metadata: &[(&str, &str)]) -> Result<Dataset<'static>> {
        opened_with(metadata, &OpenOptions::default())
    }

    fn opened_with(metadata: &[(&str, &str)], options: &OpenOptions) -> Result<Dataset<'static>> {
        let indices = [vec![1], vec![], vec![0, 2]].map(|row| Some(row.into_iter().map(Some)));
        let values = [vec![2.0], vec![], vec![4.0, 5.0]].map(|row| Some(row.into_iter().map(Some)));
        let indices = ListArray::from_iter_primitive::<Int64Type, _, _>(indices);
        let values = ListArray::from_iter_primitive::<Float32Type, _, _>(values);
        let columns: [(&str, ArrayRef); 2] =
            [("indices", Arc::new(indices)), ("values", Arc::new(values))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata: HashMap<String, String> = metadata.iter().map(text).collect();
        let schema = batch.schema().as_ref().clone().with_metadata(metadata);
        let file = tempfile::Builder::new()
            .suffix(".arrow")
            .tempfile()
            .unwrap();
        let mut writer = FileWriter::try_new(file.reopen().unwrap(), &schema).unwrap();
        writer
            .write(&batch.with_schema(Arc::new(schema)).unwrap())
            .unwrap();
        writer.finish().unwrap();
        open(&file.path().to_string_lossy(), options)
    }

    #[test]
    fn lists_of_indices_and_values_of_an_arrow_file_are_sparse_rows() {
        let source = opened(&[("d_sae", "3")]).unwrap().source;
        let mut rows = vec![7.0; 9];
        source.read(0, &mut rows).unwrap();
        assert_eq!(rows, [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 5.0]);
        let columns = OpenOptions {
            columns: vec!["values".into()],
            ..OpenOptions::default()
        };
        let why = |options| {
            opened_with(&[], options)
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        assert!(
            why(&columns).contains("as in the first row"),
            "{}",
            why(&columns)
        );
        let why = opened(&[]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(
            why.contains(
                "sparse rows (lists of indices and of values) without the number of columns"
            ),
            "{why}"
        );
    }
}
