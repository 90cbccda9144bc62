//! A map of the latents: places in the plane, near for similar decoder rows.
//!
//! The first places are the two principal components of the decoder rows, scaled to length 1. Neighbours then attract and
//! random pairs repel each other, as in `UMAP` with the curve `1 / (1 + d^2)`.

use rand::RngExt;
use rand::SeedableRng;
use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::neighbours::{Neighbour, unit_rows};
use crate::Rng;
use crate::model::Model;

/// Rounds of the power iteration for the principal components, and rows that it uses: the components only start the map.
const ROUNDS: usize = 30;
const SAMPLE: usize = 2048;
/// Rows that are summed by one task.
const BLOCK: usize = 256;
/// Sweeps over all pairs of neighbours: fewer, if there are more pairs than this in so many sweeps.
const SWEEPS: usize = 120;
const FEWEST_SWEEPS: usize = 40;
const PAIRS: usize = 8_000_000;
/// Random pairs for each pair of neighbours.
const RANDOM: usize = 4;
/// Longest step along an axis.
const LONGEST: f32 = 4.0;
/// Width of the first places.
const WIDTH: f32 = 10.0;

/// Place of each latent in the plane, each coordinate from 0 to 1: `[d_sae][2]`.
///
/// `nearest` are the neighbours of each latent, as from [`nearest`](super::nearest).
///
/// # Source
/// *UMAP: uniform manifold approximation and projection*, arXiv:1802.03426; for the curve, *Visualizing large-scale and
/// high-dimensional data*, arXiv:1602.00370.
pub fn map(model: &Model, nearest: &[Vec<Neighbour>]) -> Vec<[f32; 2]> {
    let mut rng = Rng::seed_from_u64(0);
    let mut places = principal(&unit_rows(model), model.d_sae(), &mut rng);
    let latents = places.len();
    let pairs: usize = nearest.iter().map(Vec::len).sum();
    let sweeps = (PAIRS / pairs.max(1)).clamp(FEWEST_SWEEPS, SWEEPS);
    for sweep in 0..sweeps {
        let rate = 1.0 - sweep as f32 / sweeps as f32;
        for latent in 0..latents {
            for near in &nearest[latent] {
                let weight = near.similarity as f32 * rate;
                let step = pull(places[latent], places[near.latent], |d| -2.0 / (1.0 + d));
                add(&mut places[latent], step, weight);
                add(&mut places[near.latent], step, -weight);
                // All from the same place, so that none waits for the one before.
                let from = places[latent];
                for _ in 0..RANDOM {
                    let other = places[rng.random_range(0..latents)];
                    let step = pull(from, other, |d| 2.0 / ((0.01 + d) * (1.0 + d)));
                    add(&mut places[latent], step, weight);
                }
            }
        }
    }
    scale(&mut places, 0.0, 1.0);
    places
}

/// Step of one place along the line to another, for a strength that depends on the squared distance.
fn pull(from: [f32; 2], to: [f32; 2], strength: impl Fn(f32) -> f32) -> [f32; 2] {
    let away = [from[0] - to[0], from[1] - to[1]];
    let strength = strength(away[0] * away[0] + away[1] * away[1]);
    // An array's `map` is not inlined here and took a fifth of the time.
    [
        (strength * away[0]).clamp(-LONGEST, LONGEST),
        (strength * away[1]).clamp(-LONGEST, LONGEST),
    ]
}

fn add(place: &mut [f32; 2], step: [f32; 2], weight: f32) {
    place[0] += weight * step[0];
    place[1] += weight * step[1];
}

/// The two principal components of the rows, by power iteration.
fn principal(rows: &[f32], count: usize, rng: &mut Rng) -> Vec<[f32; 2]> {
    let width = rows.len() / count.max(1);
    let every = count.div_ceil(SAMPLE).max(1);
    let sample: Vec<f32> = rows
        .chunks_exact(width)
        .step_by(every)
        .flatten()
        .copied()
        .collect();
    let share = width as f32 / sample.len().max(1) as f32;
    let mean = weighted_sum(&sample, width, |_| share);
    let mut places = vec![[0.0; 2]; count];
    let mut found: Vec<Vec<f32>> = Vec::new();
    for axis in 0..2.min(width) {
        let mut direction: Vec<f32> = (0..width).map(|_| rng.random::<f32>() - 0.5).collect();
        for _ in 0..ROUNDS {
            let shift = dot(&mean, &direction) as f32;
            // The deviations along the direction add up to 0: the mean need not be subtracted from the rows.
            let mut next = weighted_sum(&sample, width, |row| dot(row, &direction) as f32 - shift);
            for other in &found {
                let shared = dot(&next, other) as f32;
                add_scaled(&mut next, -shared, other);
            }
            let length = dot(&next, &next).sqrt() as f32;
            next.iter_mut()
                .for_each(|v| *v /= length.max(f32::MIN_POSITIVE));
            direction = next;
        }
        let shift = dot(&mean, &direction) as f32;
        for (place, row) in places.iter_mut().zip(rows.chunks_exact(width)) {
            place[axis] = dot(row, &direction) as f32 - shift;
        }
        found.push(direction);
    }
    scale(&mut places, -WIDTH / 2.0, WIDTH / 2.0);
    // Equal decoder rows would never part.
    for place in &mut places {
        place
            .iter_mut()
            .for_each(|v| *v += 0.01 * (rng.random::<f32>() - 0.5));
    }
    places
}

/// Sum over the rows, each times a number. The order of the sum depends on the number of rows alone.
fn weighted_sum(rows: &[f32], width: usize, weight: impl Fn(&[f32]) -> f32 + Sync) -> Vec<f32> {
    let of_block = |block: &[f32]| {
        let mut sum = vec![0.0_f32; width];
        for row in block.chunks_exact(width) {
            add_scaled(&mut sum, weight(row), row);
        }
        sum
    };
    let sums: Vec<_> = rows.par_chunks(BLOCK * width).map(of_block).collect();
    let mut all = vec![0.0_f32; width];
    sums.iter().for_each(|sum| add_scaled(&mut all, 1.0, sum));
    all
}

/// Scales both coordinates by the same factor and centres them: the wider one goes from `low` to `high`.
fn scale(places: &mut [[f32; 2]], low: f32, high: f32) {
    let range = |axis: usize| {
        let values = places.iter().map(|place| place[axis]);
        let ends = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
        (0.5 * (ends.0 + ends.1), ends.1 - ends.0)
    };
    let ranges = [range(0), range(1)];
    let widest = ranges[0].1.max(ranges[1].1).max(f32::MIN_POSITIVE);
    for place in places {
        for (value, (middle, _)) in place.iter_mut().zip(ranges) {
            let scaled = 0.5 * (low + high) + (*value - middle) / widest * (high - low);
            // Rounding may lead past the ends.
            *value = scaled.clamp(low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latents::nearest;
    use crate::params::{Layout, Params};
    use crate::preprocess::Pipeline;
    use crate::variants::{Options, find};

    /// Model with the given decoder rows of width 3.
    fn model(rows: &[[f32; 3]]) -> Model {
        let info = find("relu").unwrap();
        let options = Options::check(info.options(), []).unwrap();
        let n = rows.len();
        let blocks = [
            ("w_enc", n, 3),
            ("b_enc", 1, n),
            ("w_dec", n, 3),
            ("b_dec", 1, 3),
        ];
        let mut params = Params::zeros(&Layout::new(&blocks));
        params.get_mut("w_dec").copy_from_slice(rows.as_flattened());
        Model::autoencoder(info, options, params, Pipeline::identity(3)).unwrap()
    }

    /// Three groups of similar decoder rows lie apart: every latent is nearer to its own group than to any other.
    #[test]
    fn similar_latents_are_near_on_the_map() {
        let mut rng = Rng::seed_from_u64(1);
        let rows: Vec<[f32; 3]> = (0..30)
            .map(|i| {
                std::array::from_fn(|axis| {
                    0.1 * rng.random::<f32>() + f32::from(u8::from(axis == i % 3))
                })
            })
            .collect();
        let model = model(&rows);
        let places = map(&model, &nearest(&model, 8));
        let distance =
            |a: usize, b: usize| (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1]);
        for latent in 0..30 {
            let others = (0..30).filter(|other| *other != latent);
            let own = others
                .clone()
                .filter(|o| o % 3 == latent % 3)
                .map(|o| distance(latent, o));
            let strange = others
                .filter(|o| o % 3 != latent % 3)
                .map(|o| distance(latent, o));
            assert!(
                own.fold(0.0, f32::max) < strange.fold(f32::INFINITY, f32::min),
                "{latent}"
            );
        }
        assert_eq!(places, map(&model, &nearest(&model, 8)));
        assert!(
            places
                .as_flattened()
                .iter()
                .all(|v| (0.0..=1.0).contains(v))
        );
    }

    #[test]
    fn equal_decoder_rows_and_single_latents_have_finite_places() {
        for rows in [
            &[[1.0, 0.0, 0.0]; 4][..],
            &[[0.0; 3]; 3],
            &[[1.0, 2.0, 3.0]],
        ] {
            let model = model(rows);
            let places = map(&model, &nearest(&model, 3));
            assert!(
                places.as_flattened().iter().all(|v| v.is_finite()),
                "{rows:?}"
            );
        }
    }
}
