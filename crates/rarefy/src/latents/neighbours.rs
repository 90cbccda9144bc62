//! Latents that write in similar directions.

use serde::Serialize;

use crate::codes::Codes;
use crate::engine::{Encoder, Selection};
use crate::model::Model;
use crate::params::{Layout, Params};

/// A latent near another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour {
    /// Number of the latent, from 0.
    pub latent: usize,
    /// Similarity: 1 for the same, 0 for nothing in common.
    pub similarity: f64,
}

/// The `count` latents with the most similar decoder rows, for each latent: the largest cosines above 0, the largest first;
/// ties go to lower numbers.
///
/// The encoder of a `TopK` model finds them: with decoder rows of length 1 as its weights and as its input, pre-activations are
/// the cosines, and it computes few of them exactly.
///
/// # Shapes
/// The result: `[d_sae][at most count]`.
pub fn nearest(model: &Model, count: usize) -> Vec<Vec<Neighbour>> {
    let (rows, d_sae) = (unit_rows(model), model.d_sae());
    let blocks = [("w_enc", d_sae, rows.len() / d_sae), ("b_enc", 1, d_sae)];
    let mut params = Params::zeros(&Layout::new(&blocks));
    params.get_mut("w_enc").copy_from_slice(&rows);
    let mut cosines = Codes::new(d_sae);
    // One more, because each latent finds itself.
    Encoder::new(&params).encode_as_is(&params, &rows, Selection::Row(count + 1), &mut cosines);
    let of_latent = |(own, ends): (usize, &[usize])| {
        let found = (ends[0]..ends[1]).map(|at| (cosines.indices[at] as usize, cosines.values[at]));
        strongest(found.filter(|(other, _)| *other != own), count)
    };
    cosines
        .offsets
        .windows(2)
        .enumerate()
        .map(of_latent)
        .collect()
}

/// Decoder rows scaled to length 1; rows of zeros stay.
pub(super) fn unit_rows(model: &Model) -> Vec<f32> {
    // A tied decoder is the encoder.
    let params = model.params();
    let mut rows = params
        .find("w_dec")
        .unwrap_or_else(|| params.get("w_enc"))
        .to_vec();
    let width = rows.len() / model.d_sae();
    for row in rows.chunks_exact_mut(width) {
        let length = rarefy_kernels::vector::dot(row, row).sqrt() as f32;
        if length > 0.0 {
            row.iter_mut().for_each(|v| *v /= length);
        }
    }
    rows
}

/// The `count` largest values above 0, with their latents; ties go to lower numbers.
pub(super) fn strongest(
    values: impl Iterator<Item = (usize, f32)>,
    count: usize,
) -> Vec<Neighbour> {
    let before = |a: &(usize, f32), b: &(usize, f32)| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0);
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
    for found in values {
        let weakest = best.last().filter(|_| best.len() == count);
        if count == 0 || found.1 <= 0.0 || weakest.is_some_and(|w| !before(&found, w)) {
            continue;
        }
        let place = best.partition_point(|other| before(other, &found));
        best.insert(place, found);
        best.truncate(count);
    }
    let neighbour = |(latent, value): (usize, f32)| Neighbour {
        latent,
        similarity: f64::from(value),
    };
    best.into_iter().map(neighbour).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strongest_values_come_first_and_ties_go_to_lower_numbers() {
        let values = [0.5, 0.9, -1.0, 0.5, 0.9, 0.1].into_iter().enumerate();
        let others = values.filter(|(latent, _)| *latent != 4);
        let found = strongest(others.clone(), 3);
        let numbers = |found: &[Neighbour]| found.iter().map(|n| n.latent).collect::<Vec<_>>();
        assert_eq!(numbers(&found), [1, 0, 3]);
        // In any order.
        let backwards: Vec<_> = others.clone().collect();
        let found = strongest(backwards.into_iter().rev(), 2);
        assert_eq!(numbers(&found), [1, 0]);
        assert!(strongest(others, 0).is_empty());
    }
}
