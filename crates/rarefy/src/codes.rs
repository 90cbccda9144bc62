//! Sparse codes: the active latents of each row and their activations, in CSR layout.

use crate::{Error, Result};

/// Sparse latents of n rows, a matrix `[n, d_sae]` in CSR layout like `scipy.sparse.csr_matrix`. Codes also keep the
/// mean and the divisor of each row that preprocessing removed (steps `row-mean`, `norm-row`, `layer-norm`). Returned
/// by [`Model::encode`](crate::model::Model::encode) and taken by [`Model::decode`](crate::model::Model::decode), which
/// restores means and divisors.
///
/// The entries of row i have the positions `offsets[i]..offsets[i + 1]` in `indices` and `values`.
///
/// # Example
/// ```
/// use rarefy::codes::Codes;
/// let mut codes = Codes::new(3);
/// codes.push_dense(&[0.0, 0.7, 0.0, 0.9, 0.1, 0.0], 0.05);
/// assert_eq!((codes.rows(), codes.indices.as_slice()), (2, [1, 0, 1].as_slice()));
/// assert_eq!(codes.to_dense(), [0.0, 0.7, 0.0, 0.9, 0.1, 0.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    /// Number of latents, the number of columns.
    pub d_sae: usize,
    /// Positions in `indices` and `values` at which each row starts, `[n + 1]`: rising from 0 to the number of entries.
    pub offsets: Vec<usize>,
    /// Latent (column, from 0) of each entry, ascending within a row.
    pub indices: Vec<u32>,
    /// Activation of each entry; entries that are not stored are 0.
    pub values: Vec<f32>,
    /// Mean that preprocessing subtracted from each row, `[n]`, or empty. Decoding adds the means back.
    pub row_means: Vec<f32>,
    /// Divisor that preprocessing applied to each row, `[n]`, or empty. Decoding multiplies by the divisors.
    pub row_scales: Vec<f32>,
}

impl Codes {
    /// Codes with 0 rows over `d_sae` latents, to be filled by [`Codes::push_dense`], [`Codes::push_nonzero`] or
    /// [`Codes::append`].
    pub fn new(d_sae: usize) -> Self {
        Self {
            d_sae,
            offsets: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
            row_means: Vec::new(),
            row_scales: Vec::new(),
        }
    }

    /// Removes all rows, and the mean and divisor that are kept for each of them (preprocessing takes them out of a row
    /// and decoding puts them back). `d_sae` and the allocated memory stay, for reuse.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.indices.clear();
        self.values.clear();
        self.row_means.clear();
        self.row_scales.clear();
    }

    /// Number of rows n; rows without an active latent count too.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Appends n dense rows, row-major `[n, d_sae]`; entries above `threshold` are stored, all others become 0. Values
    /// after the last complete row are ignored. The new rows get no row mean or divisor. With a threshold of 0,
    /// negative latents are lost; [`Codes::push_nonzero`] keeps them.
    pub fn push_dense(&mut self, latents: &[f32], threshold: f32) {
        for row in latents.chunks_exact(self.d_sae) {
            for (index, &value) in row
                .iter()
                .enumerate()
                .filter(|(_, value)| **value > threshold)
            {
                self.indices.push(index as u32);
                self.values.push(value);
            }
            self.offsets.push(self.indices.len());
        }
    }

    /// Appends n dense rows, row-major `[n, d_sae]`, and stores every entry other than 0, negative ones too. Values
    /// after the last complete row are ignored. The new rows get no row mean or divisor: the caller fills `row_means`
    /// and `row_scales` if other rows have entries there.
    pub fn push_nonzero(&mut self, latents: &[f32]) {
        for row in latents.chunks_exact(self.d_sae) {
            for (index, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                self.indices.push(index as u32);
                self.values.push(value);
            }
            self.offsets.push(self.indices.len());
        }
    }

    /// Appends all rows of `other`, to join the codes of consecutive batches of one model. Panics if `d_sae` differs,
    /// or if only one of both has row means or divisors.
    ///
    /// # Panics
    /// If `other` has another `d_sae`, or row means or divisors where these codes have none.
    pub fn append(&mut self, other: Self) {
        assert_eq!(
            self.d_sae, other.d_sae,
            "codes of different models cannot be joined"
        );
        let both = |ours: &[f32], theirs: &[f32]| {
            let (n, m) = (self.rows(), other.rows());
            n == 0 || m == 0 || ours.is_empty() == theirs.is_empty()
        };
        assert!(
            both(&self.row_means, &other.row_means) && both(&self.row_scales, &other.row_scales),
            "codes with and without row means or divisors cannot be joined"
        );
        let before = self.indices.len();
        let offsets = other.offsets.iter().skip(1).map(|at| at + before);
        self.offsets.extend(offsets);
        self.indices.extend(other.indices);
        self.values.extend(other.values);
        self.row_means.extend(other.row_means);
        self.row_scales.extend(other.row_scales);
    }

    /// Sets all entries with an absolute value of at most `threshold` to 0, which removes them from `indices` and
    /// `values`. The number of rows stays. Use to drop small sigmoid latents of `kl`, which are almost never 0.
    pub fn keep_above(&mut self, threshold: f32) {
        let (mut kept, mut start) = (0, 0);
        for row in 1..self.offsets.len() {
            let end = self.offsets[row];
            for at in start..end {
                if self.values[at].abs() > threshold {
                    self.indices[kept] = self.indices[at];
                    self.values[kept] = self.values[at];
                    kept += 1;
                }
            }
            self.offsets[row] = kept;
            start = end;
        }
        self.indices.truncate(kept);
        self.values.truncate(kept);
    }

    /// Refuses codes that are not of a model with `d_sae` latents, or whose arrays do not fit together.
    pub(crate) fn check(&self, d_sae: usize) -> Result<()> {
        let refuse = |what: &str, expected: String, got: String| {
            let what = format!("codes: {what}");
            Err(Error::Shape {
                what,
                expected,
                got,
            })
        };
        if self.d_sae != d_sae {
            let expected = format!("{d_sae} as the model has");
            return refuse("number of latents", expected, self.d_sae.to_string());
        }
        let entries = self.indices.len();
        if self.offsets.first() != Some(&0)
            || !self.offsets.is_sorted()
            || self.offsets.last() != Some(&entries)
        {
            let expected = format!("numbers that rise from 0 to {entries}, the number of entries");
            return refuse("`offsets`", expected, "others".into());
        }
        if self.values.len() != entries {
            let expected = format!("{entries} as `indices`");
            return refuse(
                "length of `values`",
                expected,
                self.values.len().to_string(),
            );
        }
        if let Some(index) = self.indices.iter().find(|index| **index as usize >= d_sae) {
            return refuse("latent", format!("below {d_sae}"), index.to_string());
        }
        for (what, values) in [
            ("row_means", &self.row_means),
            ("row_scales", &self.row_scales),
        ] {
            if !values.is_empty() && values.len() != self.rows() {
                let expected = format!("{} as rows, or 0", self.rows());
                return refuse(
                    &format!("length of `{what}`"),
                    expected,
                    values.len().to_string(),
                );
            }
        }
        Ok(())
    }

    /// Sorts the entries of each row by latent. Returns the first row with a duplicate latent, if any.
    pub(crate) fn sort_rows(&mut self) -> Option<usize> {
        let mut twice = None;
        for row in 0..self.rows() {
            let range = self.offsets[row]..self.offsets[row + 1];
            let indices = &self.indices[range.clone()];
            if indices.is_sorted_by(|a, b| a < b) {
                continue;
            }
            let values = &self.values[range.clone()];
            let mut entries: Vec<(u32, f32)> = indices
                .iter()
                .copied()
                .zip(values.iter().copied())
                .collect();
            entries.sort_by_key(|entry| entry.0);
            if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                twice = twice.or(Some(row));
            }
            for (at, (index, value)) in range.zip(entries) {
                self.indices[at] = index;
                self.values[at] = value;
            }
        }
        twice
    }

    /// Returns all rows as a dense row-major matrix `[n, d_sae]`, with 0 for entries that are not stored.
    pub fn to_dense(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.rows() * self.d_sae];
        for (row, ends) in dense
            .chunks_exact_mut(self.d_sae)
            .zip(self.offsets.windows(2))
        {
            for at in ends[0]..ends[1] {
                row[self.indices[at] as usize] = self.values[at];
            }
        }
        dense
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows `[0, 5, 0]`, `[0, 0, 0]` and `[7, 0, 6]`.
    fn codes() -> Codes {
        Codes {
            d_sae: 3,
            offsets: vec![0, 1, 1, 3],
            indices: vec![1, 0, 2],
            values: vec![5.0, 7.0, 6.0],
            row_means: Vec::new(),
            row_scales: Vec::new(),
        }
    }

    #[test]
    fn dense_rows_hold_each_entry_at_its_latent() {
        assert_eq!(
            codes().to_dense(),
            [0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 7.0, 0.0, 6.0]
        );
    }

    #[test]
    fn arrays_that_do_not_fit_together_are_refused_by_name() {
        let refusal = |change: fn(&mut Codes)| {
            let mut codes = codes();
            change(&mut codes);
            codes.check(3).err().map(|e| e.to_string())
        };
        assert_eq!(refusal(|_| ()), None);
        assert_eq!(refusal(|codes| codes.row_means = vec![0.0; 3]), None);
        for (words, change) in [
            (
                "row_means",
                (|codes| codes.row_means = vec![0.0; 2]) as fn(&mut Codes),
            ),
            ("row_scales", |codes| codes.row_scales = vec![1.0; 4]),
            ("offsets", |codes| codes.offsets[0] = 1),
            ("offsets", |codes| codes.offsets[2] = 9),
            ("offsets", |codes| codes.offsets[3] = 2),
            ("values", |codes| codes.values.truncate(2)),
            ("latent", |codes| codes.indices[2] = 3),
            ("number of latents", |codes| codes.d_sae = 4),
        ] {
            let why = refusal(change).expect(words);
            assert!(why.contains(words), "{words}: {why}");
        }
    }
}
