//! Random numbers of synthetic data: generators by (seed, block), normal numbers, directions, rare events.

use std::f64::consts::{FRAC_PI_2, TAU};

use rand::{RngExt, SeedableRng};

use super::{Directions, Magnitudes, Spec};
use crate::{Error, Result, Rng};

/// Salt that makes these random streams different from the streams of training. Both seeds are 0 by default. Without
/// the salt, the initial weights would be drawn from the same numbers as the directions of the dictionary.
const SALT: u64 = u64::from_be_bytes(*b"rf-synth");

/// Random generator of the directions and the centre.
pub(super) fn dictionary(seed: u64) -> Rng {
    stream(seed, 0)
}

/// Random generator of factors and deviations.
pub(super) fn factors(seed: u64) -> Rng {
    stream(seed, u64::MAX)
}

/// Random number of one of many things that share a key, uniform on [0, 1): it depends on nothing else, so that things that nobody asks
/// for need no number (the mixer of `SplitMix64`).
pub(super) fn hashed(key: u64, number: u64) -> f64 {
    let mut x = key ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Random generator of a block of rows.
pub(super) fn block(seed: u64, block: usize) -> Rng {
    stream(seed, block as u64 + 1)
}

/// Random generator number `number` of a seed.
fn stream(seed: u64, number: u64) -> Rng {
    Rng::seed_from_u64(seed ^ SALT ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Draws two independent standard normal numbers (Box and Muller 1958).
pub(super) fn normals(rng: &mut Rng) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sine, cosine) = (TAU * rng.random::<f64>()).sin_cos();
    [radius * cosine, radius * sine]
}

/// Adds normal noise of this standard deviation.
pub(super) fn add_noise(values: &mut [f32], deviation: f64, rng: &mut Rng) {
    for pair in values.chunks_mut(2) {
        let noise = normals(rng);
        pair.iter_mut()
            .zip(noise)
            .for_each(|(x, e)| *x += (deviation * e) as f32);
    }
}

/// Draws the magnitude of a firing feature. The result is never 0, because 0 means that the feature does not fire.
pub(super) fn magnitude(kind: Magnitudes, rng: &mut Rng) -> f32 {
    let size = match kind {
        Magnitudes::Constant => 1.0,
        Magnitudes::Uniform => 0.5 + rng.random::<f64>(),
        Magnitudes::HalfNormal => FRAC_PI_2.sqrt() * normals(rng)[0].abs(),
        Magnitudes::Exponential => -(1.0 - rng.random::<f64>()).ln(),
    };
    (size as f32).max(f32::MIN_POSITIVE)
}

/// Draws the successful ones of `count` trials, each with success probability p. Returns their numbers in ascending
/// order.
///
/// The number of failures before each success is drawn at once, as `floor(ln(1 - u) / ln(1 - p))`. So the cost is
/// proportional to the number of successes, not of trials.
pub(super) fn successes(p: f64, count: usize, rng: &mut Rng) -> Vec<u32> {
    let mut found = Vec::new();
    if p <= 0.0 {
        return found;
    }
    let per_failure = (-p).ln_1p();
    let mut next = 0usize;
    loop {
        let failures = (1.0 - rng.random::<f64>()).ln() / per_failure;
        next = next.saturating_add(failures as usize);
        if next >= count {
            return found;
        }
        found.push(next as u32);
        next += 1;
    }
}

/// Draws a unit vector, uniform on the sphere.
pub(super) fn unit(d: usize, rng: &mut Rng) -> Vec<f64> {
    let mut vector = Vec::with_capacity(d + 1);
    while vector.len() < d {
        vector.extend(normals(rng));
    }
    vector.truncate(d);
    normalise(&mut vector);
    vector
}

/// Draws the directions of a dictionary, `[features, d_in]`.
pub(super) fn directions(spec: &Spec, rng: &mut Rng) -> Result<Vec<f32>> {
    let random = (0..spec.features).map(|_| unit(spec.d_in, rng));
    match spec.directions {
        Directions::Random => Ok(random.flatten().map(|d| d as f32).collect()),
        Directions::Orthogonal => orthogonal(random),
    }
}

/// Orthonormal vectors by the Gram-Schmidt process. Each subtraction is done twice, because the first leaves a
/// rounding error along the other vectors.
fn orthogonal(random: impl Iterator<Item = Vec<f64>>) -> Result<Vec<f32>> {
    let mut done: Vec<Vec<f64>> = Vec::new();
    for mut vector in random {
        for _ in 0..2 {
            for other in &done {
                let along = dot(&vector, other);
                vector
                    .iter_mut()
                    .zip(other)
                    .for_each(|(v, o)| *v -= along * o);
            }
            if normalise(&mut vector) < 1e-9 {
                let why =
                    "the random directions of this `seed` are linearly dependent; use another seed";
                return Err(Error::Conflict(why.into()));
            }
        }
        done.push(vector);
    }
    Ok(done.into_iter().flatten().map(|d| d as f32).collect())
}

/// Scales a vector to length 1 and returns its former length.
fn normalise(vector: &mut [f64]) -> f64 {
    let length = dot(vector, vector).sqrt();
    vector.iter_mut().for_each(|v| *v /= length);
    length
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
