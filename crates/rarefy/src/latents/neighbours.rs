//! Latents that write in similar directions.

use rarefy_kernels::matmul::{Op, matmul};
use rayon::prelude::*;
use serde::Serialize;

use crate::model::Model;

/// Number of latents whose similarities are computed at a time.
const BLOCK: usize = 128;

/// A latent near another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Neighbour {
    /// Number of the latent, from 0.
    pub latent: usize,
    /// Similarity: 1 for the same, 0 for nothing in common.
    pub similarity: f64,
}

/// The `count` latents with the most similar decoder rows, for each latent: the largest cosines, the largest first.
///
/// # Shapes
/// The result: `[d_sae][at most count]`.
pub fn nearest(model: &Model, count: usize) -> Vec<Vec<Neighbour>> {
    let rows = unit_rows(model);
    let d_sae = model.d_sae();
    let width = rows.len() / d_sae;
    let blocks = rows.par_chunks(BLOCK * width).enumerate();
    let found = blocks.map(|(block, part)| {
        let n = part.len() / width;
        let mut cosines = vec![0.0; n * d_sae];
        matmul(
            &mut cosines,
            false,
            (part, Op::N),
            (&rows, Op::T),
            [n, d_sae, width],
        );
        let of_latent = |(at, cosines): (usize, &[f32])| {
            let own = block * BLOCK + at;
            let others = cosines.iter().copied().enumerate();
            strongest(others.filter(|(other, _)| *other != own), count)
        };
        cosines
            .chunks_exact(d_sae)
            .enumerate()
            .map(of_latent)
            .collect::<Vec<_>>()
    });
    found.collect::<Vec<_>>().concat()
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

/// The `count` largest values above 0, with their latents; ties go to the first.
pub(super) fn strongest(
    values: impl Iterator<Item = (usize, f32)>,
    count: usize,
) -> Vec<Neighbour> {
    let mut best: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
    for (latent, value) in values {
        let weakest = best.last().filter(|_| best.len() == count);
        if count == 0 || value <= 0.0 || weakest.is_some_and(|w| value <= w.1) {
            continue;
        }
        let place = best.partition_point(|(_, other)| *other >= value);
        best.insert(place, (latent, value));
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
        let found: Vec<_> = found.iter().map(|n| n.latent).collect();
        assert_eq!(found, [1, 0, 3]);
        assert!(strongest(others, 0).is_empty());
    }
}
