//! Sparse codes: what an encoder says about rows, as compressed sparse rows.

/// Codes of n rows over `d_sae` latents: row i has the entries `offsets[i]..offsets[i + 1]`.
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
    /// Number of latents.
    pub d_sae: usize,
    /// `n + 1` positions in the other two, rising from 0.
    pub offsets: Vec<usize>,
    /// Latent of each entry, rising within a row.
    pub indices: Vec<u32>,
    /// Activation of each entry.
    pub values: Vec<f32>,
    /// Mean of each raw row, if the preprocessing removes it; needed to decode.
    pub row_means: Vec<f32>,
    /// What each raw row was divided by, if the preprocessing does that; needed to decode.
    pub row_scales: Vec<f32>,
}

impl Codes {
    /// No rows yet.
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

    /// Lets go of all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.indices.clear();
        self.values.clear();
        self.row_means.clear();
        self.row_scales.clear();
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Appends dense rows, keeping the entries above `threshold`.
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

    /// Appends dense rows, keeping all that is not 0.
    pub fn push_nonzero(&mut self, latents: &[f32]) {
        for row in latents.chunks_exact(self.d_sae) {
            for (index, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                self.indices.push(index as u32);
                self.values.push(value);
            }
            self.offsets.push(self.indices.len());
        }
    }

    /// Appends the rows of other codes.
    pub fn append(&mut self, other: Self) {
        let before = self.indices.len();
        let offsets = other.offsets.iter().skip(1).map(|at| at + before);
        self.offsets.extend(offsets);
        self.indices.extend(other.indices);
        self.values.extend(other.values);
        self.row_means.extend(other.row_means);
        self.row_scales.extend(other.row_scales);
    }

    /// Drops the entries up to `threshold` by absolute value.
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

    /// Puts the entries of every row in the order of their latents; the first row that has a
    /// latent twice, if there is one.
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

    /// All rows with their zeros, `[n, d_sae]`.
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
