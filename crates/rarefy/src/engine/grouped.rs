//! Codes by latent: which rows each latent is active in.

use crate::codes::Codes;

/// The entries of [`Codes`] in the order of their latents, and within one of their rows.
#[derive(Debug, Default)]
pub(crate) struct Grouped {
    /// `d_sae + 1` positions in the other two.
    pub(crate) offsets: Vec<usize>,
    /// Row of each entry.
    pub(crate) rows: Vec<u32>,
    /// Value of each entry.
    pub(crate) values: Vec<f32>,
}

impl Grouped {
    /// Sorts the codes' entries by latent (counting: two passes over them).
    pub(crate) fn fill(&mut self, codes: &Codes) {
        self.offsets.clear();
        self.offsets.resize(codes.d_sae + 1, 0);
        for &latent in &codes.indices {
            self.offsets[latent as usize + 1] += 1;
        }
        for j in 0..codes.d_sae {
            self.offsets[j + 1] += self.offsets[j];
        }
        self.rows.resize(codes.indices.len(), 0);
        self.values.resize(codes.indices.len(), 0.0);
        let mut next = self.offsets.clone();
        for row in 0..codes.rows() {
            for at in codes.offsets[row]..codes.offsets[row + 1] {
                let place = &mut next[codes.indices[at] as usize];
                self.rows[*place] = row as u32;
                self.values[*place] = codes.values[at];
                *place += 1;
            }
        }
    }

    /// Rows and values of one latent.
    pub(crate) fn of(&self, latent: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[latent]..self.offsets[latent + 1];
        (&self.rows[range.clone()], &self.values[range])
    }
}
