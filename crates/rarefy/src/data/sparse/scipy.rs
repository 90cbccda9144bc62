//! Sparse matrices of `scipy.sparse.save_npz`: formats csr, csc and coo; bsr and dia are refused by name.

use std::path::Path;

use super::{Entries, SparseMatrix, refuse_parts};
use crate::data::npz::Archive;
use crate::data::{Dataset, OpenOptions};
use crate::{Error, Result};

/// Largest number of entries, 16 GiB in memory.
const MOST_ENTRIES: usize = 1 << 31;

/// True if arrays of these names are those of a compressed sparse matrix.
pub(in crate::data) fn has_sparse_arrays(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|known| known == name);
    has("data") && ((has("format") && has("shape")) || (has("indptr") && has("indices")))
}

/// Opens an archive with the arrays of a sparse matrix.
///
/// # Errors
/// [`Error::Format`] for a choice of one array, for other formats than csr, csc and coo, and for invalid entries.
pub(in crate::data) fn open_npz(
    path: &Path,
    mut archive: Archive,
    options: &OpenOptions,
) -> Result<Dataset<'static>> {
    refuse_parts(path, options)?;
    let bad = |why: String| Err(Error::format(path, format!("sparse matrix: {why}")));
    if !archive.names().iter().any(|name| name == "format") {
        return bad(
            "expected the array `format`, got none; save with scipy.sparse.save_npz".into(),
        );
    }
    // Compressed zeros can claim any number of entries in a small file.
    let entries = archive.member("data")?.header.values();
    if entries.is_none_or(|entries| entries > MOST_ENTRIES) {
        return bad(format!("expected at most {MOST_ENTRIES} entries, got more"));
    }
    // A text of bytes or of 4 bytes a letter.
    let mut format = archive.member("format")?.text()?;
    format.retain(|byte| *byte != 0);
    let format = String::from_utf8_lossy(&format).into_owned();
    let shape = archive.member("shape")?.integers()?;
    let &[rows, columns] = shape.as_slice() else {
        return bad(format!("expected two axes, got shape {shape:?}"));
    };
    let (of_rows, of_columns) = match format.as_str() {
        "csr" | "csc" => {
            let indices = archive.member("indices")?.integers()?;
            let indptr = archive.member("indptr")?.integers()?;
            let (axis, groups) = if format == "csr" {
                ("row", rows)
            } else {
                ("column", columns)
            };
            let of_group = expand(path, &indptr, (axis, groups), indices.len())?;
            if format == "csr" {
                (of_group, indices)
            } else {
                (indices, of_group)
            }
        }
        "coo" => {
            let of_rows = archive.member("row")?.integers()?;
            (of_rows, archive.member("col")?.integers()?)
        }
        other => {
            return bad(format!(
                "expected the format csr, csc or coo, got {other}; convert it with x.tocsr()"
            ));
        }
    };
    let entries = Entries {
        shape: (rows, columns),
        rows: of_rows,
        columns: of_columns,
        values: archive.member("data")?.floats()?,
    };
    entries
        .matrix(path)
        .map(|matrix: SparseMatrix| matrix.dataset(&format))
}

/// Row of each entry from the positions `indptr` of the rows' first entries; or column, as `axis` names it.
pub(super) fn expand(
    path: &Path,
    indptr: &[i64],
    (axis, groups): (&str, i64),
    entries: usize,
) -> Result<Vec<i64>> {
    let bad = |why: String| Err(Error::format(path, format!("sparse matrix, indptr: {why}")));
    let got = indptr.len();
    if got == 0 || usize::try_from(groups) != Ok(got - 1) {
        return bad(format!(
            "expected one number more than the {groups} {axis}s, got {got}"
        ));
    }
    if indptr[0] != 0 {
        return bad(format!("expected 0 at {axis} 0, got {}", indptr[0]));
    }
    let mut of_entry = Vec::new();
    for (group, ends) in indptr.windows(2).enumerate() {
        if ends[1] < ends[0] || ends[1] as usize > entries {
            return bad(format!(
                "{axis} {group}: expected an end between {} and {entries}, got {}",
                ends[0], ends[1]
            ));
        }
        of_entry.resize(ends[1] as usize, group as i64);
    }
    if of_entry.len() == entries {
        return Ok(of_entry);
    }
    bad(format!(
        "expected the last {axis} to end at {entries}, got {}",
        of_entry.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_offsets_that_fall_or_leave_entries_out_are_refused() {
        let expand = |indptr: &[i64], rows| expand(Path::new("x"), indptr, ("row", rows), 3);
        assert_eq!(expand(&[0, 1, 1, 3], 3).unwrap(), [0, 2, 2]);
        for (indptr, rows, word) in [
            (
                &[0, 2, 1, 3][..],
                3,
                "row 1: expected an end between 2 and 3, got 1",
            ),
            (&[0, 1, 9, 3], 3, "got 9"),
            (&[0, -1, 1, 3], 3, "row 0"),
            (&[1, 1, 1, 3], 3, "expected 0 at row 0, got 1"),
            (&[0, 1, 2, 2], 3, "expected the last row to end at 3, got 2"),
            (&[0, 3], 3, "one number more than the 3 rows, got 2"),
            (&[], -1, "one number more"),
        ] {
            let error = expand(indptr, rows).unwrap_err().to_string();
            assert!(error.contains(word), "{indptr:?}: {error}");
        }
    }
}
