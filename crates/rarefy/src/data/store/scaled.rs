//! Rows of whole numbers from -127 to 127, each row with a scale.

use std::path::Path;

use crate::data::{FileMatrix, Source};
use crate::{Error, Result};

/// Name of the tensor with the scale of each row.
pub(in crate::data) const SCALES: &str = "scales";

/// Source of rows that are stored as `i8` with a factor for each row.
pub(in crate::data) struct ScaledRows {
    numbers: FileMatrix,
    scales: Vec<f32>,
}

impl ScaledRows {
    /// Rows whose values are those of `numbers` times the scale of their row.
    ///
    /// # Errors
    /// [`Error::Format`] if there is not one finite scale for each row.
    pub(in crate::data) fn new(
        path: &Path,
        numbers: FileMatrix,
        scales: &FileMatrix,
    ) -> Result<Self> {
        let rows = numbers.rows();
        if scales.rows() != rows {
            let why = format!(
                "tensor {SCALES}: expected {rows}, one for each row, got {}; copy the store again",
                scales.rows()
            );
            return Err(Error::format(path, why));
        }
        let mut values = vec![0.0; rows];
        scales.read(0, &mut values)?;
        Ok(Self {
            numbers,
            scales: values,
        })
    }
}

impl Source for ScaledRows {
    fn name(&self) -> &str {
        self.numbers.name()
    }

    fn rows(&self) -> usize {
        self.numbers.rows()
    }

    fn d_in(&self) -> usize {
        self.numbers.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.numbers.read(start, out)?;
        for (row, scale) in out.chunks_exact_mut(self.d_in()).zip(&self.scales[start..]) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
        // A scale near the largest f32 may overflow.
        crate::data::check_finite(Path::new(self.name()), start, self.d_in(), out)
    }
}
