//! Metrics of a model against the known dictionary of synthetic data: recovered directions and firing.
//!
//! *Features* belong to the known dictionary, *latents* to the model. Their directions are compared in the space of
//! preprocessed rows.

use std::ops::Range;

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;
use serde::Serialize;

use crate::model::Model;
use crate::synth::Truth;
use crate::{Error, Result};

mod assign;
mod firing;

pub use assign::assign;
pub use firing::MatchedPair;

/// Cosine of latent and feature above which the feature counts as found.
pub const FOUND: f32 = 0.9;

/// Cosine of latent and feature above which the latent is about the feature. Mixing ([`mixing`]) is measured for
/// these pairs only. An equal mix of two orthogonal features has a cosine of 0.71 with both.
pub const ABOUT: f32 = 0.5;

/// Share of the parent in a child's latent ([`mixing`]) above which the latent counts as having absorbed the
/// parent. An equal mix has a share of 0.71. A latent with a random error of the size that [`FOUND`] allows, in 16
/// dimensions, has a share of 0.1.
pub const TAKEN_IN: f64 = 0.2;

/// Table of all metrics of [`TruthEvaluation`]: name and definition, in the order of the JSON output.
pub const METRICS: &[(&str, &str)] = &[
    (
        "features",
        "number of features: directions of the known dictionary",
    ),
    ("latents", "d_sae, the number of decoder rows"),
    (
        "matched_cosine",
        "mean cosine over the pairs of feature and latent (each in one pair at most) whose cosines have the largest sum",
    ),
    (
        "feature_cosine",
        "mean over features of the largest cosine with any latent",
    ),
    (
        "latent_cosine",
        "mean over latents of the largest cosine with any feature",
    ),
    (
        "recall",
        "share of the features with which some latent has a cosine above 0.9",
    ),
    (
        "latents_without_feature",
        "share of the latents whose cosines with all features are at most 0.9",
    ),
    (
        "hedging",
        "mean over pairs with a cosine above 0.5 of the largest |b| / sqrt(a^2 + b^2) over the partners of the feature, \
         where a feature + b partner is nearest to the latent; partners are the features of the same cluster and the \
         children of the feature",
    ),
    (
        "rows",
        "number of synthetic rows on which the following metrics are measured",
    ),
    ("true_l0", "mean number of features that fire in a row"),
    ("l0", "mean number of latents that are active in a row"),
    (
        "firing_precision",
        "mean over pairs: share of the rows with the latent active in which the feature fires; 0 if there are none",
    ),
    (
        "firing_recall",
        "mean over pairs: share of the rows with the feature firing in which the latent is active",
    ),
    (
        "firing_f1",
        "mean over pairs of the harmonic mean of precision and recall: 2 rows with both / (rows with the feature + rows with the latent)",
    ),
    (
        "firing_correlation",
        "mean over pairs of the correlation over rows between the strength of the feature and the activation of the latent",
    ),
    (
        "absorption",
        "mean over parents: share of the rows with the parent firing in which its latent is silent while the latent of \
         a firing child is active and contains a share of more than 0.2 of the parent (measured as for hedging)",
    ),
];

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

/// Metrics of a model whose data was drawn from a known dictionary ([`Truth`]).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TruthEvaluation {
    /// Recovery of the known directions.
    #[serde(flatten)]
    pub recovery: Recovery,
    /// Mean share of partners mixed into latents; `None` if no pair above [`ABOUT`] has a feature with partners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedging: Option<f64>,
    /// Number of rows on which the following metrics were measured.
    pub rows: usize,
    /// Mean number of features that fire in a row.
    pub true_l0: f64,
    /// Mean number of latents that are active in a row.
    pub l0: f64,
    /// Mean over pairs of [`MatchedPair::precision`].
    pub firing_precision: f64,
    /// Mean over pairs of [`MatchedPair::recall`].
    pub firing_recall: f64,
    /// Mean over pairs of [`MatchedPair::f1`].
    pub firing_f1: f64,
    /// Mean over pairs of [`MatchedPair::correlation`].
    pub firing_correlation: f64,
    /// Mean over parents of [`MatchedPair::absorbed`]; `None` if no feature has children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absorption: Option<f64>,
    /// Firing statistics of each pair of `recovery.matches` whose feature fires in these rows (not serialised).
    #[serde(skip)]
    pub pairs: Vec<MatchedPair>,
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
    for row in counted.chunks_exact(latents) {
        of_feature.push(row.iter().fold(f32::NEG_INFINITY, |most, c| most.max(*c)));
        of_latent
            .iter_mut()
            .zip(row)
            .for_each(|(most, c)| *most = most.max(*c));
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
    }
}

/// Compares the decoder rows of a model with directions in the space of raw rows.
///
/// The directions are first transformed by the linear part of the model's preprocessing. For example, `standardise`
/// divides each column of a direction by the deviation of the column.
///
/// # Shapes
/// `directions`: `[features, width]`.
/// # Errors
/// [`Error::Shape`] if `width` differs from the columns of the model's raw rows; [`Error::Conflict`] if the model is
/// a transcoder, or its preprocessing has a step that is not affine.
pub fn dictionary(model: &Model, directions: &[f32], width: usize) -> Result<Recovery> {
    let directions = prepared(model, directions, width)?;
    let w_dec = decoder(model)?;
    Ok(compare(w_dec, &directions, model.d_in(), sign(model)))
}

/// Evaluates a model against the known dictionary of its data: directions, and firing on the synthetic rows `rows`.
///
/// Rows beyond the ones written as training data are fresh test rows.
///
/// # Errors
/// Same as [`dictionary`].
pub fn evaluate(model: &Model, truth: &Truth, rows: Range<usize>) -> Result<TruthEvaluation> {
    let width = truth.spec().d_in;
    let directions = prepared(model, truth.directions(), width)?;
    let w_dec = decoder(model)?;
    let recovery = compare(w_dec, &directions, model.d_in(), sign(model));
    let mixed = Mixed {
        w_dec,
        directions: &directions,
        d_in: model.d_in(),
    };
    let hedging = mean(
        recovery
            .matches
            .iter()
            .filter_map(|m| mixed.hedging(truth, m)),
    );
    let count = rows.len();
    let firing = firing::measure(model, truth, &recovery.matches, &mixed, rows);
    let pairs = &firing.pairs;
    let over = |figure: fn(&MatchedPair) -> f64| mean(pairs.iter().map(figure)).unwrap_or(0.0);
    Ok(TruthEvaluation {
        hedging,
        rows: count,
        true_l0: firing.true_l0,
        l0: firing.l0,
        firing_precision: over(MatchedPair::precision),
        firing_recall: over(MatchedPair::recall),
        firing_f1: over(MatchedPair::f1),
        firing_correlation: over(MatchedPair::correlation),
        absorption: mean(pairs.iter().filter_map(|pair| pair.absorbed)),
        recovery,
        pairs: firing.pairs,
    })
}

/// Coefficients `[a, b]` of a feature and a partner in a latent: `a feature + b partner` is the nearest point to the
/// latent in their plane.
///
/// Unlike the cosine with the partner, b is 0 for a latent that equals the feature, even if feature and partner are
/// not orthogonal.
///
/// ```text
/// g = feature . partner      p = latent . feature      q = latent . partner
/// a = (p - g q) / (1 - g^2)  b = (q - g p) / (1 - g^2)
/// ```
///
/// The share of the partner is `|b| / sqrt(a^2 + b^2)`: 0 without the partner, 0.71 for equal parts, 1 without the
/// feature. Hedging (Chanin et al. 2025, arXiv:2505.11756) and absorption (Chanin et al. 2024, arXiv:2409.14507)
/// both give such a share. With absorption, the latent of the feature is also silent in those rows.
///
/// # Shapes
/// `latent`, `feature`, `partner`: `[d_in]`. The vectors are normalised first, so their lengths do not matter.
///
/// # Numerics
/// The result is `[p, 0]` if feature and partner are parallel to within 1e-6 (`1 - g^2`).
///
/// # Example
/// ```
/// use rarefy::metrics::truth::mixing;
/// // The axes: 0.6 of the one and 0.8 of the other.
/// let [a, b] = mixing(&[3.0, 4.0], &[1.0, 0.0], &[0.0, 1.0]);
/// assert!((a - 0.6).abs() < 1e-6 && (b - 0.8).abs() < 1e-6);
/// // The feature itself, beside a partner with which it has a cosine of 0.6.
/// let [a, b] = mixing(&[5.0, 0.0], &[1.0, 0.0], &[0.6, 0.8]);
/// assert!((a - 1.0).abs() < 1e-6 && b.abs() < 1e-6);
/// ```
pub fn mixing(latent: &[f32], feature: &[f32], partner: &[f32]) -> [f64; 2] {
    let cosine = |a: &[f32], b: &[f32]| {
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 {
            dot(a, b) / lengths
        } else {
            0.0
        }
    };
    let (g, p, q) = (
        cosine(feature, partner),
        cosine(latent, feature),
        cosine(latent, partner),
    );
    let rest = 1.0 - g * g;
    if rest < 1e-6 {
        return [p, 0.0];
    }
    [(p - g * q) / rest, (q - g * p) / rest]
}

/// Decoder rows and feature directions in the space of preprocessed rows.
struct Mixed<'a> {
    w_dec: &'a [f32],
    directions: &'a [f32],
    d_in: usize,
}

impl Mixed<'_> {
    /// Share of a partner in the latent of a pair, by [`mixing`].
    fn share(&self, pair: &Match, partner: usize) -> f64 {
        let direction = |f: usize| &self.directions[f * self.d_in..][..self.d_in];
        let latent = &self.w_dec[pair.latent * self.d_in..][..self.d_in];
        let [a, b] = mixing(latent, direction(pair.feature), direction(partner));
        let both = a.hypot(b);
        if both > 0.0 { b.abs() / both } else { 0.0 }
    }

    /// Largest share of any partner; `None` if the feature has no partner or the cosine is at most [`ABOUT`].
    fn hedging(&self, truth: &Truth, pair: &Match) -> Option<f64> {
        let shares = truth
            .partners(pair.feature)
            .map(|partner| self.share(pair, partner));
        shares.reduce(f64::max).filter(|_| is_about(pair))
    }
}

/// True if the latent of the pair is about its feature.
fn is_about(pair: &Match) -> bool {
    pair.cosine.abs() > ABOUT
}

/// Decoder rows of a model, one direction per latent.
fn decoder(model: &Model) -> Result<&[f32]> {
    let params = model.params();
    // A tied decoder is the encoder.
    let w_dec = params.find("w_dec").unwrap_or_else(|| params.get("w_enc"));
    if model.io_spec().has_target() {
        let why = "a transcoder cannot be compared with a known dictionary: its decoder rows are directions of the \
                   target, not of the input; use an autoencoder";
        return Err(Error::Conflict(why.into()));
    }
    Ok(w_dec)
}

/// Treatment of signs for a model. Architectures with negative latents have one in their worked example.
fn sign(model: &Model) -> Sign {
    if model.info().example.latents.iter().any(|l| *l < 0.0) {
        Sign::Either
    } else {
        Sign::Same
    }
}

/// Names of preprocessing steps that are affine in the row.
const AFFINE: [&str; 5] = ["scale", "standardise", "row-mean", "pca", "zca"];

/// Directions transformed by the linear part of the model's preprocessing.
fn prepared(model: &Model, directions: &[f32], width: usize) -> Result<Vec<f32>> {
    let pipeline = model.pipeline();
    if width != model.raw_d_in() {
        return Err(Error::Shape {
            what: "values of a direction of the known dictionary".into(),
            expected: format!("{}, the columns of the model's data", model.raw_d_in()),
            got: width.to_string(),
        });
    }
    let kind = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let bent = pipeline
        .names()
        .iter()
        .find(|name| !AFFINE.contains(&kind(name).as_str()));
    if let Some(name) = bent {
        return Err(Error::Conflict(format!(
            "preprocessing {name} of the model is not linear, so directions cannot be transformed by it; \
             train without it to compare the model with a known dictionary"
        )));
    }
    if pipeline.is_identity() {
        return Ok(directions.to_vec());
    }
    let (moved, _) = pipeline.apply(directions);
    let (origin, _) = pipeline.apply(&vec![0.0; width]);
    Ok(moved
        .iter()
        .zip(origin.iter().cycle())
        .map(|(moved, origin)| moved - origin)
        .collect())
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
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests;
