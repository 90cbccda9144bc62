//! Pipelines side by side: each prepares columns of its own.
//!
//! What a step keeps of a row has no place here (a row has one mean, not one for each part), so a pipeline with
//! such a step comes back without it; whoever puts sources side by side refuses those steps where it matters.

use super::{Pipeline, RowContext};

/// Raw rows prepared part by part.
pub(super) fn apply(parts: &[Pipeline], rows: &[f32]) -> Vec<f32> {
    each(parts, rows, Pipeline::d_in, |part, rows| part.apply(rows).0)
}

/// Raw rows back from prepared ones.
pub(super) fn invert(parts: &[Pipeline], rows: &[f32]) -> Vec<f32> {
    let none = RowContext::default();
    each(parts, rows, Pipeline::d_out, |part, rows| {
        part.invert(rows, &none)
    })
}

/// Raw directions of prepared ones.
pub(super) fn invert_directions(parts: &[Pipeline], rows: &[f32]) -> Vec<f32> {
    each(parts, rows, Pipeline::d_out, Pipeline::invert_directions)
}

/// The raw-space direction of one prepared direction.
pub(super) fn pull_back(parts: &[Pipeline], weights: &[f32]) -> Vec<f32> {
    each(parts, weights, Pipeline::d_out, |part, weights| {
        part.pull_back(weights)
    })
}

/// Cuts rows into parts of these widths, lets each part do its work, and puts the results side by side.
fn each(
    parts: &[Pipeline],
    rows: &[f32],
    width: impl Fn(&Pipeline) -> usize,
    work: impl Fn(&Pipeline, &[f32]) -> Vec<f32>,
) -> Vec<f32> {
    let wide: usize = parts.iter().map(&width).sum();
    let n = rows.len() / wide;
    let mut start = 0;
    let done: Vec<Vec<f32>> = parts
        .iter()
        .map(|part| {
            let columns = start..start + width(part);
            start = columns.end;
            let cut = rows
                .chunks_exact(wide)
                .flat_map(|row| &row[columns.clone()]);
            work(part, &cut.copied().collect::<Vec<f32>>())
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
