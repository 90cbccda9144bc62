//! Pipelines joined column by column: each prepares a range of columns.
//!
//! A row context has no place here: it stores one mean per row, not one for each part. The inverse of a
//! step such as `row-mean` therefore restores no means. [`super::FittedPipelines::fit`] refuses such steps
//! if the means are needed.

use super::{Pipeline, RowContext};
use crate::data::Value;

/// Prepares raw rows, part by part.
pub(super) fn apply<V: Value>(parts: &[Pipeline], rows: &[V]) -> Vec<V> {
    each(parts, rows, Pipeline::d_in, |part, rows| {
        part.apply_in(rows).0
    })
}

/// Converts prepared rows back to raw rows, part by part.
pub(super) fn invert(parts: &[Pipeline], rows: &[f32]) -> Vec<f32> {
    let none = RowContext::default();
    each(parts, rows, Pipeline::d_out, |part, rows| {
        part.invert(rows, &none)
    })
}

/// Converts prepared directions to raw directions, part by part.
pub(super) fn invert_directions(parts: &[Pipeline], rows: &[f32]) -> Vec<f32> {
    each(parts, rows, Pipeline::d_out, Pipeline::invert_directions)
}

/// Pulls the weights of a linear function back to raw rows, part by part.
pub(super) fn pull_back(parts: &[Pipeline], weights: &[f32]) -> Vec<f32> {
    each(parts, weights, Pipeline::d_out, |part, weights| {
        part.pull_back(weights)
    })
}

/// Splits rows into parts of the widths that `width` returns, applies `work` to each part, and joins the
/// results column by column.
fn each<V: Value>(
    parts: &[Pipeline],
    rows: &[V],
    width: impl Fn(&Pipeline) -> usize,
    work: impl Fn(&Pipeline, &[V]) -> Vec<V>,
) -> Vec<V> {
    let wide: usize = parts.iter().map(&width).sum();
    let n = rows.len() / wide;
    let mut start = 0;
    let done: Vec<Vec<V>> = parts
        .iter()
        .map(|part| {
            let columns = start..start + width(part);
            start = columns.end;
            let cut = rows
                .chunks_exact(wide)
                .flat_map(|row| &row[columns.clone()]);
            work(part, &cut.copied().collect::<Vec<V>>())
        })
        .collect();
    let mut joined = Vec::with_capacity(done.iter().map(Vec::len).sum());
    for i in 0..n {
        for values in &done {
            let width = values.len() / n;
            joined.extend_from_slice(&values[i * width..(i + 1) * width]);
        }
    }
    joined
}
