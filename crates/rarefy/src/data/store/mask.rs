//! Rows that a store leaves out: the first positions of contexts, chosen tokens, unusual norms.

use std::ops::Range;

use super::manifest::Arguments;
use crate::data::{Dataset, Places, Source, Value, evenly_spaced_rows};
use crate::{Error, Result};

/// Rows whose norms are looked at together.
const BLOCK: usize = 1 << 12;
/// Rows whose norms give the median.
const SAMPLE: usize = 1 << 14;

/// Rules by which rows of a data set are left out. A row counts under the first that leaves it out.
pub(super) struct Mask<'a> {
    source: &'a dyn Source,
    places: Option<&'a Places>,
    arguments: &'a Arguments,
    norm_limit: Option<f64>,
}

/// Rows of a range that are kept, and the numbers of rows that are not.
pub(super) struct Kept {
    pub(super) rows: Vec<usize>,
    /// Rows left out because of their position.
    pub(super) first: usize,
    /// Rows left out because of their token.
    pub(super) special: usize,
    /// Rows left out because of their norm.
    pub(super) outliers: usize,
}

impl<'a> Mask<'a> {
    /// # Errors
    /// [`Error::Conflict`] if positions or tokens decide and the data has none.
    pub(super) fn new(
        dataset: &'a Dataset,
        arguments: &'a Arguments,
        norm_limit: Option<f64>,
    ) -> Result<Self> {
        let places = dataset.places.as_ref();
        let name = dataset.source.name();
        let need = |key: &str, what: &str, advice: &str| {
            Err(Error::Conflict(format!(
                "{name}: `store.{key}` needs the {what} of each row, which this data does not have; {advice}"
            )))
        };
        if arguments.skip_first > 0 && places.is_none() {
            let advice = "give an array [prompts, tokens, width], shards of saev, or activations that SAELens cached or `lm.harvest` wrote";
            return need("skip_first", "position", advice);
        }
        if !arguments.skip_tokens.is_empty() && !places.is_some_and(Places::has_tokens) {
            let advice = "give activations with tokens, which SAELens caches as `token_ids` and `lm.harvest` writes";
            return need("skip_tokens", "token", advice);
        }
        Ok(Self {
            source: dataset.source.as_ref(),
            places,
            arguments,
            norm_limit,
        })
    }

    /// Largest norm of a row that is kept: the factor times the median norm of evenly spaced rows.
    pub(super) fn norm_limit(&self) -> Result<Option<f64>> {
        let Some(factor) = self.arguments.outlier_norm else {
            return Ok(None);
        };
        if !(factor.is_finite() && factor > 1.0) {
            return Err(Error::hyper(
                "store.outlier_norm",
                "a number above 1",
                factor,
            ));
        }
        let rows = evenly_spaced_rows(self.source, SAMPLE)?;
        let mut norms: Vec<f64> = rows.chunks_exact(self.source.d_in()).map(norm).collect();
        norms.sort_by(f64::total_cmp);
        let median = norms.get(norms.len() / 2).copied();
        Ok(median.map(|median| factor * median))
    }

    /// Rows of a range that are kept. `check` is called between reads; an error of it ends them.
    pub(super) fn kept(
        &self,
        range: Range<usize>,
        check: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Kept> {
        let mut kept = Kept {
            rows: Vec::new(),
            first: 0,
            special: 0,
            outliers: 0,
        };
        for row in range {
            if self.is_first(row) {
                kept.first += 1;
            } else if self.is_special(row) {
                kept.special += 1;
            } else {
                kept.rows.push(row);
            }
        }
        if let Some(limit) = self.norm_limit {
            let all = kept.rows.len();
            kept.rows = self.within(&kept.rows, limit, check)?;
            kept.outliers = all - kept.rows.len();
        }
        Ok(kept)
    }

    fn is_first(&self, row: usize) -> bool {
        let skipped = self.arguments.skip_first;
        skipped > 0
            && self
                .places
                .is_some_and(|places| places.position(row) < skipped)
    }

    fn is_special(&self, row: usize) -> bool {
        let skipped = &self.arguments.skip_tokens;
        let token = || self.places.and_then(|places| places.token(row));
        !skipped.is_empty() && token().is_some_and(|token| skipped.contains(&token))
    }

    /// Rows whose norm is within the limit.
    fn within(
        &self,
        rows: &[usize],
        limit: f64,
        check: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<usize>> {
        let width = self.source.d_in();
        let mut kept = Vec::with_capacity(rows.len());
        for run in rows
            .chunk_by(|a, b| a + 1 == *b)
            .flat_map(|run| run.chunks(BLOCK))
        {
            let mut values = vec![0.0; run.len() * width];
            check(0)?;
            self.source.read(run[0], &mut values)?;
            let norms = values.chunks_exact(width).map(norm).zip(run);
            kept.extend(
                norms
                    .filter(|(norm, _)| *norm <= limit)
                    .map(|(_, row)| *row),
            );
        }
        Ok(kept)
    }
}

/// Length of a row.
fn norm<V: Value>(row: &[V]) -> f64 {
    let squares = row.iter().map(|value| {
        let value: f64 = (*value).into();
        value * value
    });
    squares.sum::<f64>().sqrt()
}
