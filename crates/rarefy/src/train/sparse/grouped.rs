//! Entries of a batch sorted by latent.

use crate::codes::Codes;

/// Entries of [`Codes`] in the order of their latents, within one latent in the order of rows.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    /// Bounds of each latent's entries, `[d_sae + 1]`.
    offsets: Vec<usize>,
    at: Vec<u32>,
    rows: Vec<u32>,
    pre: Vec<f32>,
    values: Vec<f32>,
}

/// Entries of one latent.
#[derive(Clone, Copy)]
pub(super) struct LatentEntries<'a> {
    /// Position of each entry in the codes.
    pub(super) at: &'a [u32],
    pub(super) rows: &'a [u32],
    pub(super) pre: &'a [f32],
    pub(super) values: &'a [f32],
}

impl LatentEntries<'_> {
    /// Number of rows in which the latent has a value other than 0; a pursuit may take it twice in a row.
    pub(super) fn rows_with_value(&self) -> usize {
        let (mut count, mut last) = (0, None);
        for (row, value) in self.rows.iter().zip(self.values) {
            if *value != 0.0 && last != Some(row) {
                (count, last) = (count + 1, Some(row));
            }
        }
        count
    }
}

impl Grouped {
    /// Sorts the entries of `codes` by latent (counting sort: two passes); `pre` has one number for each entry.
    pub(super) fn fill(&mut self, codes: &Codes, pre: &[f32]) {
        self.offsets.clear();
        self.offsets.resize(codes.d_sae + 1, 0);
        for &latent in &codes.indices {
            self.offsets[latent as usize + 1] += 1;
        }
        for j in 0..codes.d_sae {
            self.offsets[j + 1] += self.offsets[j];
        }
        self.at.resize(codes.indices.len(), 0);
        self.rows.resize(codes.indices.len(), 0);
        self.pre.resize(codes.indices.len(), 0.0);
        self.values.resize(codes.indices.len(), 0.0);
        let mut next = self.offsets.clone();
        for row in 0..codes.rows() {
            for at in codes.offsets[row]..codes.offsets[row + 1] {
                let place = &mut next[codes.indices[at] as usize];
                self.at[*place] = at as u32;
                self.rows[*place] = row as u32;
                self.pre[*place] = pre[at];
                self.values[*place] = codes.values[at];
                *place += 1;
            }
        }
    }

    pub(super) fn of(&self, latent: usize) -> LatentEntries<'_> {
        let range = self.offsets[latent]..self.offsets[latent + 1];
        LatentEntries {
            at: &self.at[range.clone()],
            rows: &self.rows[range.clone()],
            pre: &self.pre[range.clone()],
            values: &self.values[range],
        }
    }
}
