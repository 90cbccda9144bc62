//! Recovery of known directions: cosines between decoder rows and features, and their best assignment.

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;
use serde::Serialize;

use super::assign::assign;

/// Cosine of latent and feature above which the feature counts as found.
pub const FOUND: f32 = 0.9;

/// Treatment of negative cosines between latents and features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Cosines count with their signs: a latent must point in the direction of the feature.
    Same,
    /// Cosines count by absolute value, for architectures with negative latents.
    Either,
}

/// Recovery of the known directions by the decoder rows of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recovery {
    /// Number of features.
    pub features: usize,
    /// Number of latents (decoder rows).
    pub latents: usize,
    /// Mean cosine over the `min(features, latents)` pairs of the best assignment of latents to features.
    pub matched_cosine: f64,
    /// Mean over features of the largest cosine with a latent.
    pub feature_cosine: f64,
    /// Mean over latents of the largest cosine with a feature.
    pub latent_cosine: f64,
    /// Share of the features with which some latent has a cosine above [`FOUND`].
    pub recall: f64,
    /// Share of the latents whose cosines with all features are at most [`FOUND`].
    pub latents_without_feature: f64,
    /// Pairs of the best assignment, in the order of the features (not serialised).
    #[serde(skip)]
    pub matches: Vec<Match>,
    /// Feature with the largest cosine with each latent, `[latents]`, the first of equal ones (not serialised).
    #[serde(skip)]
    pub nearest: Vec<u32>,
}

/// Pair of a feature and its assigned latent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Number of the feature.
    pub feature: usize,
    /// Number of the latent.
    pub latent: usize,
    /// Cosine of feature and latent; with [`Sign::Either`] possibly negative.
    pub cosine: f32,
}

/// Compares decoder rows with known directions by their cosines.
///
/// ```text
/// cos(f, j) = d_f . w_j / (|d_f| |w_j|), 0 where one of them is 0
/// ```
///
/// With [`Sign::Either`], |cos| is compared and averaged.
///
/// # Shapes
/// `w_dec`: `[latents, d_in]`; `directions`: `[features, d_in]`.
///
/// # Panics
/// If `w_dec` or `directions` is empty, or its length is not a multiple of `d_in`.
///
/// # Source
/// The mean of the largest cosines: Sharkey, Braun and Millidge 2022, *Taking features out of
/// superposition with sparse autoencoders*.
///
/// # Example
/// ```
/// use rarefy::metrics::truth::{Sign, compare};
/// // Cosines with the first axis: 0.6 and 0; with the second: 0.8 and -1.
/// let found = compare(&[3.0, 4.0, 0.0, -2.0], &[1.0, 0.0, 0.0, 1.0], 2, Sign::Same);
/// let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
/// assert!(near(found.feature_cosine, (0.6 + 0.8) / 2.0) && near(found.latent_cosine, (0.8 + 0.0) / 2.0));
/// // 0 + 0.8 is more than 0.6 - 1.
/// assert!(near(found.matched_cosine, 0.4) && found.matches[0].latent == 1);
/// assert_eq!((found.recall, found.latents_without_feature), (0.0, 1.0));
/// let found = compare(&[3.0, 4.0, 0.0, -2.0], &[1.0, 0.0, 0.0, 1.0], 2, Sign::Either);
/// assert!(near(found.matched_cosine, (0.6 + 1.0) / 2.0) && found.matches[1].cosine == -1.0);
/// assert_eq!((found.recall, found.latents_without_feature), (0.5, 0.5));
/// ```
#[track_caller]
pub fn compare(w_dec: &[f32], directions: &[f32], d_in: usize, sign: Sign) -> Recovery {
    for values in [w_dec, directions] {
        assert!(
            d_in > 0 && !values.is_empty() && values.len().is_multiple_of(d_in),
            "{} values are not rows of {d_in}",
            values.len()
        );
    }
    let (features, latents) = (directions.len() / d_in, w_dec.len() / d_in);
    let signed = cosines(directions, w_dec, d_in);
    let either: Vec<f32>;
    let counted = match sign {
        Sign::Same => &signed,
        Sign::Either => {
            either = signed.iter().map(|c| c.abs()).collect();
            &either
        }
    };
    let (mut of_feature, mut of_latent) = (Vec::new(), vec![f32::NEG_INFINITY; latents]);
    let mut nearest = vec![0; latents];
    for (feature, row) in counted.chunks_exact(latents).enumerate() {
        of_feature.push(row.iter().fold(f32::NEG_INFINITY, |most, c| most.max(*c)));
        for ((most, nearest), c) in of_latent.iter_mut().zip(&mut nearest).zip(row) {
            if c > most {
                (*most, *nearest) = (*c, feature as u32);
            }
        }
    }
    let matches: Vec<Match> = assign(counted, latents)
        .iter()
        .enumerate()
        .filter_map(|(feature, latent)| {
            let latent = (*latent)?;
            Some(Match {
                feature,
                latent,
                cosine: signed[feature * latents + latent],
            })
        })
        .collect();
    let pairs = matches
        .iter()
        .map(|m| counted[m.feature * latents + m.latent]);
    let found =
        |best: &[f32]| best.iter().filter(|c| **c > FOUND).count() as f64 / best.len() as f64;
    Recovery {
        features,
        latents,
        matched_cosine: mean(pairs.map(f64::from)).unwrap_or(0.0),
        feature_cosine: mean(of_feature.iter().map(|c| f64::from(*c))).unwrap_or(0.0),
        latent_cosine: mean(of_latent.iter().map(|c| f64::from(*c))).unwrap_or(0.0),
        recall: found(&of_feature),
        latents_without_feature: 1.0 - found(&of_latent),
        matches,
        nearest,
    }
}

/// Cosines between all rows of `a` and all rows of `b`, `[rows of a, rows of b]`.
fn cosines(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    /// Number of rows in one task; fixed, because the rounding of products depends on the number.
    const ROWS: usize = 64;
    let (a, b) = (unit_rows(a, width), unit_rows(b, width));
    let columns = b.len() / width;
    let mut out = vec![0.0; a.len() / width * columns];
    out.par_chunks_mut(ROWS * columns)
        .zip(a.par_chunks(ROWS * width))
        .for_each(|(out, a)| {
            let sizes = [a.len() / width, columns, width];
            matmul(out, false, (a, Op::N), (&b, Op::T), sizes);
        });
    out
}

/// Rows scaled to length 1; rows of zeros stay.
fn unit_rows(values: &[f32], width: usize) -> Vec<f32> {
    let mut unit = values.to_vec();
    for row in unit.chunks_exact_mut(width) {
        let length = dot(row, row).sqrt();
        if length > 0.0 {
            row.iter_mut()
                .for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    unit
}

/// Mean of the values; `None` if there are none.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}
