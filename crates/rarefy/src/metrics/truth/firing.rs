//! Firing statistics: rows in which a feature fires and rows in which its latent is active.

use std::ops::Range;

use super::mixed::{Mixed, is_about};
use super::published::{self, SynthSaeBench};
use super::{Match, Recovery, TAKEN_IN};
use crate::Result;
use crate::codes::Codes;
use crate::metrics::ACTIVE;
use crate::model::Model;
use crate::synth::{BLOCK, Truth};

/// Number of rows drawn and encoded at a time.
const ROWS: usize = 4 * BLOCK;

/// Firing statistics of a feature and its assigned latent.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedPair {
    /// Feature and latent of the pair.
    pub matched: Match,
    /// Number of rows in which the feature fires.
    pub fired: u64,
    /// Number of rows in which the latent is active.
    pub active: u64,
    /// Number of rows in which the feature fires and the latent is active.
    pub both: u64,
    /// Share of the rows with the feature firing in which its latent is silent, while the active latent of a firing
    /// child contains the feature. `None` if the feature has no children.
    pub absorbed: Option<f64>,
    moments: Moments,
}

impl MatchedPair {
    /// Precision: share of the rows with the latent active in which the feature fires; 0 if there are no such
    /// rows.
    pub fn precision(&self) -> f64 {
        share(self.both, self.active)
    }

    /// Recall: share of the rows with the feature firing in which the latent is active.
    pub fn recall(&self) -> f64 {
        share(self.both, self.fired)
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        share(2 * self.both, self.fired + self.active)
    }

    /// Correlation over rows between the strength of the feature and the activation of the latent.
    ///
    /// Both are 0 in rows without firing. The result is 0 if one of them is constant. A latent with a negative cosine
    /// counts with the opposite sign.
    pub fn correlation(&self) -> f64 {
        self.moments.correlation() * f64::from(self.matched.cosine.signum())
    }
}

/// Ratio of two counts; 0 for an empty whole.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// Result of [`measure`].
pub(super) struct Firing {
    /// Mean number of features that fire in a row.
    pub(super) true_l0: f64,
    /// Mean number of latents that are active in a row.
    pub(super) l0: f64,
    /// Statistics of each pair whose feature fires.
    pub(super) pairs: Vec<MatchedPair>,
}

/// Draws synthetic rows, encodes them, and compares firing features with active latents; and figures of `SynthSAEBench`, whose nearest
/// features are those of `either_sign`.
pub(super) fn measure(
    model: &Model,
    truth: &Truth,
    matches: &[Match],
    (mixed, either_sign): (&Mixed, &Recovery),
    rows: Range<usize>,
) -> Result<(Firing, SynthSaeBench)> {
    let mut published = published::Sums::new(either_sign, truth.d_in());
    let mut sums = Sums::new(model.d_sae(), truth, matches, mixed);
    let active = if model.architecture().dense().is_some() {
        ACTIVE
    } else {
        0.0
    };
    let (count, end) = (rows.len(), rows.end);
    for start in rows.step_by(ROWS) {
        let sample = truth.draw(start..end.min(start + ROWS));
        let codes = model.codes(&sample.x, active);
        sums.add(&sample.codes, &codes);
        let x_hat = model.reconstruct((&sample.x[..], truth.d_in()))?;
        published.add(&sample.x, &x_hat, &sample.codes, &codes);
    }
    Ok((sums.finish(count), published.finish(either_sign)))
}

/// Sums over rows for each feature.
struct Sums<'a> {
    parents: &'a [Option<usize>],
    matches: &'a [Match],
    /// Feature assigned to each latent.
    feature_of: Vec<Option<usize>>,
    /// True for each child feature whose latent contains a share of its parent above [`TAKEN_IN`].
    takes_in: Vec<bool>,
    /// True for each feature with children.
    has_children: Vec<bool>,
    features: Vec<FeatureSums>,
    fired: u64,
    active: u64,
    /// Activation of each feature's latent in the current row.
    activations: Vec<f32>,
}

#[derive(Clone, Default)]
struct FeatureSums {
    fired: u64,
    active: u64,
    both: u64,
    absorbed: u64,
    moments: Moments,
}

impl<'a> Sums<'a> {
    fn new(d_sae: usize, truth: &'a Truth, matches: &'a [Match], mixed: &Mixed) -> Self {
        let (parents, features) = (truth.parents(), truth.features());
        let mut feature_of = vec![None; d_sae];
        let mut takes_in = vec![false; features];
        for pair in matches {
            feature_of[pair.latent] = Some(pair.feature);
            takes_in[pair.feature] = parents[pair.feature]
                .is_some_and(|parent| is_about(pair) && mixed.share(pair, parent) > TAKEN_IN);
        }
        let mut has_children = vec![false; features];
        parents
            .iter()
            .flatten()
            .for_each(|parent| has_children[*parent] = true);
        Self {
            parents,
            matches,
            feature_of,
            takes_in,
            has_children,
            features: vec![FeatureSums::default(); features],
            fired: 0,
            active: 0,
            activations: vec![0.0; features],
        }
    }

    fn add(&mut self, truth: &Codes, model: &Codes) {
        for row in 0..truth.rows() {
            let entries = |codes: &Codes| codes.offsets[row]..codes.offsets[row + 1];
            let (fires, active) = (entries(truth), entries(model));
            self.add_row(
                (&truth.indices[fires.clone()], &truth.values[fires]),
                (&model.indices[active.clone()], &model.values[active]),
            );
        }
    }

    /// Adds one row, given the firing features with their strengths and the active latents with their activations.
    fn add_row(&mut self, fires: (&[u32], &[f32]), latents: (&[u32], &[f32])) {
        self.fired += fires.0.len() as u64;
        self.active += latents.0.len() as u64;
        for (latent, &value) in latents.0.iter().zip(latents.1) {
            if let Some(f) = self.feature_of[*latent as usize] {
                self.activations[f] = value;
                self.features[f].active += 1;
                self.features[f].moments.add_y(value);
            }
        }
        // Features come before their children, so the parent of a child has already been counted.
        let mut absorbed = Vec::new();
        for (&f, &value) in fires.0.iter().zip(fires.1) {
            let (f, activation) = (f as usize, self.activations[f as usize]);
            let sums = &mut self.features[f];
            sums.fired += 1;
            sums.both += u64::from(activation != 0.0);
            sums.moments.add_x(value, activation);
            if let Some(parent) = self.parents[f].filter(|_| self.takes_in[f] && activation != 0.0)
                && self.activations[parent] == 0.0
                && !absorbed.contains(&parent)
            {
                absorbed.push(parent);
            }
        }
        absorbed
            .iter()
            .for_each(|parent| self.features[*parent].absorbed += 1);
        for latent in latents.0 {
            if let Some(f) = self.feature_of[*latent as usize] {
                self.activations[f] = 0.0;
            }
        }
    }

    fn finish(self, rows: usize) -> Firing {
        let pairs = self.matches.iter().filter_map(|matched| {
            let sums = &self.features[matched.feature];
            (sums.fired > 0).then(|| MatchedPair {
                matched: *matched,
                fired: sums.fired,
                active: sums.active,
                both: sums.both,
                absorbed: self.has_children[matched.feature]
                    .then(|| share(sums.absorbed, sums.fired)),
                moments: Moments {
                    rows: rows as f64,
                    ..sums.moments
                },
            })
        });
        let mean = |sum: u64| sum as f64 / (rows as f64).max(1.0);
        Firing {
            true_l0: mean(self.fired),
            l0: mean(self.active),
            pairs: pairs.collect(),
        }
    }
}

/// Moments over rows of the strength x of a feature and the activation y of its latent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moments {
    rows: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Moments {
    /// Adds a row with strength x other than 0; y is the activation in the same row.
    fn add_x(&mut self, x: f32, y: f32) {
        let (x, y) = (f64::from(x), f64::from(y));
        self.x += x;
        self.xx += x * x;
        self.xy += x * y;
    }

    fn add_y(&mut self, y: f32) {
        let y = f64::from(y);
        self.y += y;
        self.yy += y * y;
    }

    fn correlation(&self) -> f64 {
        let n = self.rows;
        let spread = |sum: f64, square: f64| square - sum * sum / n;
        let (x, y) = (spread(self.x, self.xx), spread(self.y, self.yy));
        // A constant may have a spread other than 0 by rounding alone.
        if x <= 1e-12 * self.xx || y <= 1e-12 * self.yy {
            return 0.0;
        }
        (self.xy - self.x * self.y / n) / (x * y).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::truth::{Sign, compare};
    use crate::synth::{Directions, Hierarchy, Spec};

    /// Dictionary of a parent and two orthogonal children, and decoder rows in which the latent of the first child
    /// contains the parent.
    fn family() -> (Truth, Vec<f32>) {
        let truth = Truth::new(&Spec {
            d_in: 3,
            features: 3,
            l0: 0.5,
            hierarchy: Some(Hierarchy {
                depth: 1,
                branch: 2,
                children: 1.0,
                exclusive: false,
            }),
            directions: Directions::Orthogonal,
            ..Spec::default()
        })
        .unwrap();
        let d = truth.directions();
        let absorbing = (0..3).map(|t| d[3 + t] + 0.75 * d[t]);
        let w_dec = d[..3]
            .iter()
            .copied()
            .chain(absorbing)
            .chain(d[6..].to_vec());
        let w_dec = w_dec.collect();
        (truth, w_dec)
    }

    #[test]
    fn firing_statistics_match_five_hand_worked_rows() {
        let (truth, w_dec) = family();
        let matches = compare(&w_dec, truth.directions(), 3, Sign::Same).matches;
        assert!(matches.iter().all(|m| m.feature == m.latent));
        let mixed = Mixed {
            w_dec: &w_dec,
            directions: truth.directions(),
            d_in: 3,
        };
        let mut sums = Sums::new(3, &truth, &matches, &mixed);
        let (mut fires, mut active) = (Codes::new(3), Codes::new(3));
        // Row by row: the parent alone; its latent silent and absorbed by the first child's latent; its latent
        // silent and not absorbed, beside the second child; all features fire; a latent active without its feature.
        fires.push_nonzero(&[1.0, 0.0, 0.0]);
        active.push_nonzero(&[1.0, 0.0, 0.0]);
        fires.push_nonzero(&[1.0, 2.0, 0.0]);
        active.push_nonzero(&[0.0, 2.0, 0.0]);
        fires.push_nonzero(&[1.0, 0.0, 1.0]);
        active.push_nonzero(&[0.0, 0.0, 1.0]);
        fires.push_nonzero(&[1.0, 2.0, 1.0]);
        active.push_nonzero(&[1.0, 2.0, 1.0]);
        fires.push_nonzero(&[0.0, 0.0, 0.0]);
        active.push_nonzero(&[0.0, 0.0, 3.0]);
        sums.add(&fires, &active);
        let firing = sums.finish(5);
        assert_eq!((firing.true_l0, firing.l0), (8.0 / 5.0, 7.0 / 5.0));
        let [parent, first, second] = firing.pairs.try_into().unwrap();
        assert_eq!((parent.fired, parent.active, parent.both), (4, 2, 2));
        assert_eq!(parent.absorbed, Some(0.25));
        assert_eq!((first.absorbed, second.absorbed), (None, None));
        assert_eq!((parent.precision(), parent.recall()), (1.0, 0.5));
        assert_eq!(parent.f1(), 2.0 / 3.0);
        assert_eq!((second.precision(), second.recall()), (2.0 / 3.0, 1.0));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a}, {b}");
        // (1, 1, 1, 1, 0) and (1, 0, 0, 1, 0): 2 - 8/5 over the root of (4 - 16/5)(2 - 4/5).
        near(parent.correlation(), 0.4 / (0.8f64 * 1.2).sqrt());
        near(first.correlation(), 1.0);
        // (0, 0, 1, 1, 0) and (0, 0, 1, 1, 3): 2 - 10/5 is nothing.
        near(second.correlation(), 0.0);
    }

    /// Two children that absorb their parent in one row count once.
    #[test]
    fn row_with_two_absorbing_children_counts_once() {
        let (truth, _) = family();
        let d = truth.directions();
        let with_parent = |child: usize| (0..3).map(move |t| d[3 * child + t] + 0.5 * d[t]);
        let w_dec: Vec<f32> = d[..3]
            .iter()
            .copied()
            .chain(with_parent(1))
            .chain(with_parent(2))
            .collect();
        let matches = compare(&w_dec, d, 3, Sign::Same).matches;
        let mixed = Mixed {
            w_dec: &w_dec,
            directions: d,
            d_in: 3,
        };
        let mut sums = Sums::new(3, &truth, &matches, &mixed);
        sums.add_row((&[0, 1, 2], &[1.0; 3]), (&[1, 2], &[1.0; 2]));
        sums.add_row((&[0], &[1.0]), (&[0], &[1.0]));
        assert_eq!(sums.finish(2).pairs[0].absorbed, Some(0.5));
    }
}
