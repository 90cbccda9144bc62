//! Codes that this library wrote, as sparse matrices: arrays of a safetensors file, lists of a parquet file.

use std::path::Path;

use super::scipy::expand;
use super::{Entries, SparseMatrix, refuse_parts};
#[cfg(feature = "parquet")]
use crate::data::table::{
    Kind, Table,
    arrow::{ArrowTable, floats, integers, lists},
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
pub(in crate::data) fn open_tensors(path: &Path, options: &OpenOptions) -> Result<Dataset> {
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

/// Opens a parquet file if its columns of lists are sparse rows; `None` if not.
///
/// # Errors
/// [`Error::Format`] for a choice of one column, for lists without the number of columns, and for invalid entries.
#[cfg(feature = "parquet")]
pub(in crate::data) fn open_parquet(path: &Path, options: &OpenOptions) -> Result<Option<Dataset>> {
    let mut table = ArrowTable::parquet(path)?;
    let all = table.fields().iter();
    let of_lists = all.filter(|field| field.kind == Kind::List);
    if !super::is_codes(of_lists.map(|field| field.name.as_str())) {
        return Ok(None);
    }
    refuse_parts(path, options)?;
    let d_sae = table.metadata.iter().find(|(key, _)| key == "d_sae");
    let d_sae = d_sae.and_then(|(_, text)| text.parse::<i64>().ok());
    let complete = table.has("indices") && table.has("values");
    let Some(d_sae) = d_sae.filter(|_| complete) else {
        let why = "sparse rows (lists of indices and of values) without the number of columns, which `rarefy encode` \
                   stores as `d_sae` in the metadata; save dense rows, or scipy.sparse.save_npz(file, csr_matrix)";
        return Err(Error::format(path, why));
    };
    let (offsets, indices) = entries(path, &mut table, "indices", integers)?;
    let (ends, values) = entries(path, &mut table, "values", |array| {
        Some(floats(array)?.into_owned())
    })?;
    if offsets != ends {
        let why = "sparse rows: expected as many values as indices in each row";
        return Err(Error::format(path, why));
    }
    let shape = (offsets.len() as i64 - 1, d_sae);
    let of_rows = table.has("row_mean") || table.has("row_scale");
    of_codes(path, shape, &offsets, (indices, values), of_rows).map(Some)
}

/// Data set of codes; `of_rows` is true if the file also has means or scales of the rows.
fn of_codes(
    path: &Path,
    shape: (i64, i64),
    offsets: &[i64],
    (columns, values): (Vec<i64>, Vec<f32>),
    of_rows: bool,
) -> Result<Dataset> {
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
pub(crate) fn entries<V>(
    path: &Path,
    table: &mut ArrowTable,
    name: &str,
    values_of: impl Fn(&dyn Array) -> Option<Vec<V>>,
) -> Result<(Vec<i64>, Vec<V>)> {
    let expected = |what: &str| Error::format(path, format!("column `{name}`: expected {what}"));
    let (mut offsets, mut all) = (vec![0], Vec::new());
    for array in table.arrays(name)? {
        let (ranges, values) = lists(&array).ok_or_else(|| expected("a list in each row"))?;
        if array.null_count() + values.null_count() > 0 {
            return Err(expected("a list of numbers in each row, got null"));
        }
        let mut values = values_of(&values)
            .ok_or_else(|| expected("lists of numbers"))?
            .into_iter();
        let mut at = 0;
        for range in ranges {
            // Ranges ascend, and values between them belong to no row.
            all.extend(values.by_ref().skip(range.start - at).take(range.len()));
            at = range.end;
            offsets.push(all.len() as i64);
        }
    }
    Ok((offsets, all))
}
