//! How much of a known dictionary a model has found: its directions, and when they fire.
//!
//! Features are the truth's, latents the model's. Both are compared in the space in which the model
//! works, behind its preprocessing.

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

/// A latent whose cosine with a feature is above this has found it.
pub const FOUND: f32 = 0.9;

/// A latent whose cosine with its feature is not above this is about something else, and what else is
/// mixed into it says nothing. Half of the feature and half of another make 0.71.
pub const ABOUT: f32 = 0.5;

/// A child's latent with more of the parent than this has taken the parent in ([`mixing`]). One that
/// has all of both has 0.71; one that is as far off as [`FOUND`] allows, in any direction of 16
/// dimensions, has 0.1.
pub const TAKEN_IN: f64 = 0.2;

/// The figures of `rarefy truth`, name and definition, in the order of its `--json`.
pub const METRICS: &[(&str, &str)] = &[
    ("features", "directions of the truth"),
    ("latents", "d_sae: decoder rows that they are compared with"),
    (
        "matched_cosine",
        "mean cosine of the pairs of feature and latent, one latent a feature, whose cosines have the largest sum",
    ),
    (
        "feature_cosine",
        "mean over features of the largest cosine that any latent has with it",
    ),
    (
        "latent_cosine",
        "mean over latents of the largest cosine that it has with any feature",
    ),
    (
        "recall",
        "share of the features with which some latent has a cosine above 0.9",
    ),
    (
        "latents_without_feature",
        "share of the latents that have a cosine above 0.9 with no feature",
    ),
    (
        "hedging",
        "mean over pairs with a cosine above 0.5 of the largest |b| / sqrt(a^2 + b^2) of a partner of the feature, with \
         a feature + b partner nearest to the latent; partners are the other features of its cluster, and its children",
    ),
    ("rows", "rows of the truth on which the others are measured"),
    ("true_l0", "mean number of features that fire in a row"),
    ("l0", "mean number of latents that are active in a row"),
    (
        "firing_precision",
        "mean over pairs: of the rows in which the latent is active, the share in which the feature fires; 0 if there are none",
    ),
    (
        "firing_recall",
        "mean over pairs: of the rows in which the feature fires, the share in which the latent is active",
    ),
    (
        "firing_f1",
        "mean over pairs of the harmonic mean of both: 2 rows with both / (rows with the one + rows with the other)",
    ),
    (
        "firing_correlation",
        "mean over pairs of the correlation over rows of the feature's and the latent's strength",
    ),
    (
        "absorption",
        "mean over parents: of the rows in which the parent fires, the share in which its own latent is silent and the \
         active latent of a child that fires has more than 0.2 of the parent in it (|b| as for hedging, cosine above 0.5)",
    ),
];

/// Which latents can stand for a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Those that point its way.
    Same,
    /// Those that point the other way too, as where latents may be negative.
    Either,
}

/// How near a model's directions are to those of the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recovery {
    /// Directions of the truth.
    pub features: usize,
    /// Decoder rows.
    pub latents: usize,
    /// Mean cosine of the best assignment of latents to features, over its `min(features, latents)`
    /// pairs.
    pub matched_cosine: f64,
    /// Mean over features of the largest cosine with a latent.
    pub feature_cosine: f64,
    /// Mean over latents of the largest cosine with a feature.
    pub latent_cosine: f64,
    /// Share of the features with which some latent has a cosine above [`FOUND`].
    pub recall: f64,
    /// Share of the latents that have a cosine above [`FOUND`] with no feature.
    pub latents_without_feature: f64,
    /// The assignment, in the order of the features (not in `--json`).
    #[serde(skip)]
    pub matches: Vec<Match>,
}

/// A feature and the latent that the assignment gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// The feature.
    pub feature: usize,
    /// Its latent.
    pub latent: usize,
    /// Their cosine; below 0 where the latent stands for the feature by [`Sign::Either`] and points
    /// the other way.
    pub cosine: f32,
}

/// Everything that can be said of a model whose data came of a [`Truth`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TruthEvaluation {
    /// Directions.
    #[serde(flatten)]
    pub recovery: Recovery,
    /// How much of their partners latents have in them; absent where no feature has a partner, or no
    /// latent is about one that has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedging: Option<f64>,
    /// Rows on which the rest was measured.
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
    /// Mean over parents of [`MatchedPair::absorbed`]; absent where no feature has children.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absorption: Option<f64>,
    /// One entry for each of `recovery.matches` whose feature fires in these rows (not in `--json`).
    #[serde(skip)]
    pub pairs: Vec<MatchedPair>,
}

/// Holds decoder rows against directions, whatever their lengths.
///
/// ```text
/// cos(f, j) = d_f . w_j / (|d_f| |w_j|), 0 where one of them is 0
/// ```
///
/// With [`Sign::Either`] it is |cos| that is compared and averaged.
///
/// # Shapes
/// `w_dec`: `[latents, d_in]`; `directions`: `[features, d_in]`.
///
/// # Panics
/// If one of them is no whole number of rows, or has none.
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

/// Holds a model's dictionary against directions in the space of raw rows, `[features, raw_width]`.
///
/// They are pushed through the linear part of the model's preprocessing: behind `standardise` a
/// feature points where the divided columns point.
///
/// # Errors
/// [`Error::Shape`] if the directions have another width than the model's rows, or the model gives
/// back other values than it takes; [`Error::Conflict`] if the preprocessing has a step under which a
/// direction is none any more.
pub fn dictionary(model: &Model, directions: &[f32], width: usize) -> Result<Recovery> {
    let directions = prepared(model, directions, width)?;
    let w_dec = decoder(model)?;
    Ok(compare(w_dec, &directions, model.io.d_in(), sign(model)))
}

/// Holds a model against the truth of its data: its dictionary, and its codes of some of the truth's
/// rows. Rows that were never written as data are rows that it has not seen.
///
/// # Errors
/// As [`dictionary`].
pub fn evaluate(model: &Model, truth: &Truth, rows: Range<usize>) -> Result<TruthEvaluation> {
    let width = truth.spec().d_in;
    let directions = prepared(model, truth.directions(), width)?;
    let w_dec = decoder(model)?;
    let recovery = compare(w_dec, &directions, model.io.d_in(), sign(model));
    let mixed = Mixed {
        w_dec,
        directions: &directions,
        d_in: model.io.d_in(),
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

/// How much of a feature and of a partner is in a latent: `a feature + b partner` is the point of
/// their plane that is nearest to it. Unlike a cosine, b is 0 for the feature itself even if its
/// partner points half the same way.
///
/// ```text
/// g = feature . partner      p = latent . feature      q = latent . partner
/// a = (p - g q) / (1 - g^2)  b = (q - g p) / (1 - g^2)
/// ```
///
/// The share of the partner is `|b| / sqrt(a^2 + b^2)`: 0 for none of it, 0.71 for as much of it as of
/// the feature, 1 for nothing else. Hedging (Chanin et al. 2025, arXiv:2505.11756) and absorption
/// (Chanin et al. 2024, arXiv:2409.14507) both leave such a share; which of them it is says whether
/// the feature's own latent keeps silent.
///
/// # Shapes
/// All three: `[d_in]`, of any length but 0. a and b are those of the unit vectors.
///
/// # Numerics
/// `[p, 0]` if feature and partner are the same direction to within 1e-6, where no plane is.
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

/// Decoder rows and directions in one space.
struct Mixed<'a> {
    w_dec: &'a [f32],
    directions: &'a [f32],
    d_in: usize,
}

impl Mixed<'_> {
    /// The share of a partner in a feature's latent.
    fn share(&self, pair: &Match, partner: usize) -> f64 {
        let direction = |f: usize| &self.directions[f * self.d_in..][..self.d_in];
        let latent = &self.w_dec[pair.latent * self.d_in..][..self.d_in];
        let [a, b] = mixing(latent, direction(pair.feature), direction(partner));
        let both = a.hypot(b);
        if both > 0.0 { b.abs() / both } else { 0.0 }
    }

    /// The largest share of a partner, if the latent is about the feature and there are partners.
    fn hedging(&self, truth: &Truth, pair: &Match) -> Option<f64> {
        let shares = truth
            .partners(pair.feature)
            .map(|partner| self.share(pair, partner));
        shares.reduce(f64::max).filter(|_| is_about(pair))
    }
}

fn is_about(pair: &Match) -> bool {
    pair.cosine.abs() > ABOUT
}

/// The rows of the decoder, each latent's direction.
fn decoder(model: &Model) -> Result<&[f32]> {
    let params = model.params();
    // A tied decoder is the encoder.
    let w_dec = params.find("w_dec").unwrap_or_else(|| params.get("w_enc"));
    if model.io.has_target() {
        let why = "a transcoder's latents give back something else than they are found in, so there is no dictionary of its rows in it";
        return Err(Error::Conflict(why.into()));
    }
    Ok(w_dec)
}

/// An architecture whose latents can be negative shows it in its worked example.
fn sign(model: &Model) -> Sign {
    if model.info.example.latents.iter().any(|l| *l < 0.0) {
        Sign::Either
    } else {
        Sign::Same
    }
}

/// Steps that add a constant to what is linear in the row.
const AFFINE: [&str; 5] = ["scale", "standardise", "row-mean", "pca", "zca"];

/// Directions as the encoder sees them.
fn prepared(model: &Model, directions: &[f32], width: usize) -> Result<Vec<f32>> {
    let pipeline = &model.pipeline;
    if width != model.raw_width() {
        return Err(Error::Shape {
            what: "values of a true direction".into(),
            expected: format!("{} as the model was trained on", model.raw_width()),
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
            "the model's preprocessing {name} is not linear: behind it a direction has no place; \
             train without it to hold the model against a truth"
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

/// Cosines of all rows of `a` with all rows of `b`, `[rows of a, rows of b]`.
fn cosines(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    /// Rows that one task takes; fixed, as it is part of how products round.
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
