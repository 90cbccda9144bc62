//! Metrics of a model against the known dictionary of synthetic data: recovered directions and firing.
//!
//! *Features* belong to the known dictionary, *latents* to the model. Their directions are compared in the space of
//! preprocessed rows.

use std::ops::Range;

use serde::Serialize;

use crate::model::Model;
use crate::synth::Truth;
use crate::{Error, Result};

mod assign;
mod firing;
mod mixed;
mod published;
mod recovery;

pub use assign::assign;
pub use firing::MatchedPair;
use mixed::Mixed;
pub use mixed::{ABOUT, mixing};
pub use published::SynthSaeBench;
use recovery::mean;
pub use recovery::{FOUND, Match, Recovery, Sign, compare};

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
    (
        "synth_sae_bench",
        "figures of SynthSAEBench under its definitions: each latent is a detector of the feature with the largest |cosine|, means are \
         over all latents; mcc: mean |cosine| of the best pairs; explained_variance: of raw rows",
    ),
];

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
    /// Figures under the names and definitions of `SynthSAEBench`.
    pub synth_sae_bench: SynthSaeBench,
    /// Firing statistics of each pair of `recovery.matches` whose feature fires in these rows (not serialised).
    #[serde(skip)]
    pub pairs: Vec<MatchedPair>,
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
    let width = truth.d_in();
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
    let either = compare(w_dec, &directions, model.d_in(), Sign::Either);
    let (firing, synth_sae_bench) =
        firing::measure(model, truth, &recovery.matches, (&mixed, &either), rows)?;
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
        synth_sae_bench,
        recovery,
        pairs: firing.pairs,
    })
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

#[cfg(test)]
mod tests;
