//! Preprocessing pipelines: named, fitted, saved and invertible steps between raw rows and the encoder.
//!
//! A pipeline is saved with its model, so `eval`, `encode` and `decode` prepare rows exactly as training did.

mod file;
mod fitted;
mod side_by_side;
mod steps;
mod surveyed;
mod whiten;

use rarefy_kernels::matmul::{Op, matmul};

use crate::data::{Memory, Source, Value};
use crate::{Error, Result};

pub use fitted::FittedPipelines;
use steps::FittedStep;
pub use steps::{STEPS, StepInfo};

/// Fitted preprocessing steps in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    d_in: usize,
    names: Vec<String>,
    steps: Vec<FittedStep>,
}

/// Per-row means and divisors that a pipeline removed from the rows; the inverse puts them back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowContext {
    /// Mean subtracted from each row, `[n]`; empty if no step subtracts row means.
    pub means: Vec<f32>,
    /// Divisor of each row, `[n]`; empty if no step divides rows.
    pub scales: Vec<f32>,
}

impl RowContext {
    /// Context of a range of rows.
    #[must_use]
    pub fn of(&self, rows: std::ops::Range<usize>) -> Self {
        let some = |values: &[f32]| values.get(rows.clone()).unwrap_or_default().to_vec();
        Self {
            means: some(&self.means),
            scales: some(&self.scales),
        }
    }

    /// Appends the context of further rows.
    pub fn append(&mut self, other: Self) {
        self.means.extend(other.means);
        self.scales.extend(other.scales);
    }
}

impl Pipeline {
    /// Pipeline without steps: rows of `d_in` values stay unchanged.
    pub fn identity(d_in: usize) -> Self {
        Self {
            d_in,
            names: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Fits the named steps to the data, each step to the output of the steps before it.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that is not in [`STEPS`]; [`Error::Hyper`] for an invalid argument;
    /// the errors of [`Source::read`].
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Memory;
    /// use rarefy::preprocess::Pipeline;
    /// let data = Memory::new("two rows", 2, vec![0.0, 8.0, 4.0, 16.0]);
    /// let pipeline = Pipeline::fit(&["scale".into()], &data)?;
    /// let (rows, _) = pipeline.apply(&[4.0, 16.0]);
    /// assert_eq!(rows, [0.25, 1.0]);
    /// assert_eq!(pipeline.invert(&rows, &Default::default()), [4.0, 16.0]);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn fit(names: &[String], source: &dyn Source) -> Result<Self> {
        let mut pipeline = Self::identity(source.d_in());
        check(names)?;
        for name in names.iter().filter(|name| *name != "none") {
            let step = {
                let so_far = Prepared::new(source, &pipeline);
                FittedStep::fit(name, &so_far)?
            };
            pipeline.names.push(name.clone());
            pipeline.steps.push(step);
        }
        Ok(pipeline)
    }

    /// Pipeline of one step that needs no data: `row-mean`, `norm-row` or `layer-norm`.
    ///
    /// # Panics
    /// If `name` is a different step.
    pub fn of_rows(name: &str, d_in: usize) -> Self {
        let step = match name {
            "row-mean" => FittedStep::RowMean,
            "norm-row" => FittedStep::NormRow,
            "layer-norm" => FittedStep::LayerNorm,
            other => panic!("preprocessing step {other} must be fitted to data"),
        };
        Self {
            d_in,
            names: vec![name.into()],
            steps: vec![step],
        }
    }

    /// Joins pipelines column by column: each pipeline prepares the columns of one source.
    ///
    /// # Panics
    /// If `parts` is empty.
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Memory;
    /// use rarefy::preprocess::Pipeline;
    /// let data = Memory::new("two rows", 1, vec![0.0, 4.0]);
    /// let scaled = Pipeline::fit(&["scale".into()], &data)?;
    /// let both = Pipeline::side_by_side(vec![scaled, Pipeline::identity(2)]);
    /// assert_eq!(both.apply(&[2.0, 7.0, 8.0]).0, [0.5, 7.0, 8.0]);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn side_by_side(parts: Vec<Self>) -> Self {
        let d_in = parts.iter().map(Self::d_in).sum();
        assert!(d_in > 0, "expected at least one pipeline");
        if parts.iter().all(Self::is_identity) {
            return Self::identity(d_in);
        }
        let name = |part: &Self| match part.names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(","),
        };
        let names: Vec<String> = parts.iter().map(name).collect();
        Self {
            d_in,
            names: vec![format!("({})", names.join(" | "))],
            steps: vec![FittedStep::SideBySide(parts)],
        }
    }

    /// Name of the first step that is not the same affine map for all rows; `None` if all steps are affine.
    pub fn not_affine(&self) -> Option<&str> {
        let mut steps = self.names.iter().zip(&self.steps);
        steps
            .find(|(_, step)| !step.is_affine())
            .map(|(name, _)| name.as_str())
    }

    /// Number of values in a raw row of each joined pipeline; one entry for a single pipeline.
    pub fn widths(&self) -> Vec<usize> {
        match self.steps.as_slice() {
            [FittedStep::SideBySide(parts)] => parts.iter().map(Self::d_in).collect(),
            _ => vec![self.d_in],
        }
    }

    /// Name of the first step whose inverse needs a [`RowContext`]; `None` if no step does.
    pub fn keeps_context(&self) -> Option<&str> {
        let mut steps = self.names.iter().zip(&self.steps);
        steps
            .find(|(_, step)| step.keeps_context())
            .map(|(name, _)| name.as_str())
    }

    /// Number of values in a raw row.
    pub fn d_in(&self) -> usize {
        self.d_in
    }

    /// Number of values in a prepared row.
    pub fn d_out(&self) -> usize {
        self.steps
            .iter()
            .rev()
            .find_map(FittedStep::d_out)
            .unwrap_or(self.d_in)
    }

    /// Names of the steps with their arguments, such as `scale:0.1:0.9`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// True if the pipeline has no steps.
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// Prepares raw rows `[n, d_in]`. Returns the prepared rows `[n, d_out]` and the context for the inverse.
    pub fn apply(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        self.apply_in(raw)
    }

    /// [`Pipeline::apply`] with all arithmetic in the type of the rows.
    pub(crate) fn apply_in<V: Value>(&self, raw: &[V]) -> (Vec<V>, RowContext) {
        let mut context = RowContext::default();
        let mut rows = raw.to_vec();
        let mut width = self.d_in;
        for step in &self.steps {
            step.apply(&mut rows, &mut width, &mut context);
        }
        (rows, context)
    }

    /// Converts prepared rows `[n, d_out]` back to raw rows `[n, d_in]`.
    ///
    /// Clipped values stay clipped. Row means and divisors are restored from `context`.
    pub fn invert(&self, prepared: &[f32], context: &RowContext) -> Vec<f32> {
        let mut rows = prepared.to_vec();
        let mut width = self.d_out();
        for step in self.steps.iter().rev() {
            step.invert(&mut rows, &mut width, context);
        }
        rows
    }

    /// Applies the linear part of the inverse to directions (differences of prepared rows).
    ///
    /// Offsets are left out, so that a large mean costs no digits of a direction. Steps that are not affine leave
    /// the directions unchanged.
    pub fn invert_directions(&self, prepared: &[f32]) -> Vec<f32> {
        let mut directions = prepared.to_vec();
        let mut width = self.d_out();
        for step in self.steps.iter().rev() {
            step.invert_directions(&mut directions, &mut width);
        }
        directions
    }

    /// Gradient by the raw row of the linear function `weights . prepared_row`.
    ///
    /// The weights pass backwards through the linear part of every step (with ZCA: `W * ZCA`). Pictures of
    /// filters show this direction.
    pub fn pull_back(&self, weights: &[f32]) -> Vec<f32> {
        let mut weights = weights.to_vec();
        for step in self.steps.iter().rev() {
            step.pull_back(&mut weights);
        }
        weights
    }
}

/// Checks names and arguments of preprocessing steps, and their combination, before any data is read.
///
/// # Errors
/// [`Error::Unknown`] for a name that is not in [`STEPS`]; [`Error::Hyper`] for an invalid argument, or for two
/// steps that both remove the mean or the scale of each row.
pub fn check(names: &[String]) -> Result<()> {
    for name in names.iter().filter(|name| *name != "none") {
        steps::parse(name)?;
    }
    for (kept, by) in [
        ("mean", ["row-mean", "layer-norm"]),
        ("scale", ["norm-row", "layer-norm"]),
    ] {
        if names
            .iter()
            .filter(|name| by.contains(&name.as_str()))
            .count()
            > 1
        {
            let why = format!(
                "at most one of {}, because the codes of a row store one {kept} for decoding",
                by.join(" and ")
            );
            return Err(Error::hyper("data.preprocess", &why, names.join(",")));
        }
    }
    Ok(())
}

/// Source whose rows are prepared by a pipeline as they are read.
pub struct Prepared<'a> {
    source: &'a dyn Source,
    pipeline: &'a Pipeline,
    d_out: usize,
}

impl<'a> Prepared<'a> {
    /// Prepared view of `source`.
    pub fn new(source: &'a dyn Source, pipeline: &'a Pipeline) -> Self {
        Self {
            source,
            pipeline,
            d_out: pipeline.d_out(),
        }
    }

    /// Prepares all rows once and returns them in memory; `None` if they need more than `bytes` bytes.
    ///
    /// # Errors
    /// Same as [`Source::read`].
    pub fn in_memory(&self, bytes: usize) -> Result<Option<Memory>> {
        let Some(values) = self
            .rows()
            .checked_mul(self.d_out)
            .filter(|v| v.saturating_mul(4) <= bytes)
        else {
            return Ok(None);
        };
        let mut all = vec![0.0; values];
        let block = (1 << 20) / self.d_out.max(1) + 1;
        for (index, out) in all.chunks_mut(block * self.d_out).enumerate() {
            self.read(index * block, out)?;
        }
        Ok(Some(Memory::new(self.source.name(), self.d_out, all)))
    }
}

impl Prepared<'_> {
    /// Prepared rows, read and computed in a type.
    fn apply_to<V: Value>(&self, start: usize, count: usize) -> Result<Vec<V>> {
        let mut raw = vec![V::default(); count * self.source.d_in()];
        V::read(self.source, start, &mut raw)?;
        Ok(self.pipeline.apply_in(&raw).0)
    }
}

impl Source for Prepared<'_> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn d_in(&self) -> usize {
        self.d_out
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let count = out.len() / self.d_out;
        if self.pipeline.is_identity() {
            return self.source.read(start, out);
        }
        if self.source.has_f64() {
            let rows = self.apply_to::<f64>(start, count)?;
            out.copy_from_slice(&f64::narrowed(rows));
        } else {
            out.copy_from_slice(&self.apply_to::<f32>(start, count)?);
        }
        Ok(())
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        out.copy_from_slice(&self.apply_to(start, out.len() / self.d_out)?);
        Ok(())
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        let width = self.source.d_in();
        if self.pipeline.is_identity() {
            return self.source.gather(rows, out);
        }
        if self.source.has_f64() {
            let mut raw = vec![0.0; rows.len() * width];
            for (&row, raw) in rows.iter().zip(raw.chunks_exact_mut(width)) {
                self.source.read_f64(row, raw)?;
            }
            let prepared = self.pipeline.apply_in(&raw).0;
            out.copy_from_slice(&f64::narrowed(prepared));
            return Ok(());
        }
        let mut raw = vec![0.0; rows.len() * width];
        self.source.gather(rows, &mut raw)?;
        out.copy_from_slice(&self.pipeline.apply(&raw).0);
        Ok(())
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source
            .as_slice()
            .filter(|_| self.pipeline.is_identity())
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}

/// Product `rows matrix^T`, for rows of `width` values and a matrix `[height, width]`.
fn times(rows: &[f32], matrix: &[f32], width: usize) -> Vec<f32> {
    let (n, height) = (rows.len() / width, matrix.len() / width);
    let mut out = vec![0.0; n * height];
    matmul(
        &mut out,
        false,
        (rows, Op::N),
        (matrix, Op::T),
        [n, height, width],
    );
    out
}

#[cfg(test)]
mod tests;
