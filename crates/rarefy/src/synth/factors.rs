//! Features that a few common factors drive, in trees: the data of `SynthSAEBench`.
//!
//! ```text
//! feature f of row i fires if  w_f . z_i + sqrt(1 - |w_f|^2) e_if > threshold_f      z_i, e_if normal
//! a child fires only if its parent does, and of the children of a feature one at most
//! value of f = max(0, mean_f + deviation_f e)     times value / mean of its parent, for a child
//! ```
//!
//! The `factors` numbers `z_i` are common to all features of a row, so features fire together or apart by the angles of their rows
//! `w_f`. Thresholds follow from the rates: those of children are raised by the rate of their parent and by the chance that a sibling
//! takes their place, so that each feature fires about as often as its own rate says.
//!
//! Source: Chanin and Garriga-Alonso 2026, arXiv:2602.14687.

use std::ops::Range;

use rand::RngExt;
use rarefy_kernels::normal::{Events, RANDOM, ROWS, may_happen};
use rarefy_kernels::vector::dot;
use serde::{Deserialize, Serialize};

use super::random::{self, normals};
use super::{MOST_VALUES, count, within};
use crate::codes::Codes;
use crate::{Error, Result, Rng};

/// Number of rows drawn from one random generator. Changing it would change the rows of every seed.
pub(super) const BLOCK: usize = 64;

/// Largest number of values in a row.
const MOST_WIDTH: usize = 1 << 24;
/// Largest number of factors.
const MOST_FACTORS: usize = 1024;
/// Largest scale: a feature is nothing but its factors long before.
const MOST_SCALE: f64 = 1e6;

/// Specification of features that few factors drive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorSpec {
    /// Number of values in a row.
    pub d_in: usize,
    /// Number of features.
    pub features: usize,
    /// Exponent s of the firing rates: feature r (from 1) of n fires at the rate
    /// `least + (most - least) (r^-s - n^-s) / (1 - n^-s)`.
    pub zipf: f64,
    /// Rate of the first feature.
    pub most: f64,
    /// Rate of the last feature.
    pub least: f64,
    /// Number of trees. The first features are their tops, the next ones the children of the tops, and so on, level by level.
    pub trees: usize,
    /// Number of children of each feature above the lowest level.
    pub branch: usize,
    /// Number of levels below the top.
    pub depth: usize,
    /// Number of factors.
    pub factors: usize,
    /// Standard deviation of each number of `w_f`.
    pub scale: f64,
    /// Mean value of the first and of the last firing feature; those between lie on a line.
    pub mean: [f64; 2],
    /// Mean m and deviation s of the features' deviations, `|m + s e|`.
    pub deviation: [f64; 2],
    /// Steps of Adam that turn the directions away from each other.
    pub apart_steps: usize,
    /// Learning rate of these steps.
    pub apart_rate: f64,
    /// Length of the constant offset of all rows.
    pub centre: f64,
    /// Seed of directions, factors and rows.
    pub seed: u64,
}

impl FactorSpec {
    /// `SynthSAEBench-16k`: 16,384 features in 768 dimensions, of which 34 fire in a row.
    ///
    /// The distribution of the published data; the numbers drawn are other ones, because they come from another generator.
    pub fn synth_sae_bench_16k() -> Self {
        Self {
            d_in: 768,
            features: 16_384,
            zipf: 0.5,
            most: 0.4,
            least: 5e-4,
            trees: 128,
            branch: 4,
            depth: 3,
            factors: 25,
            scale: 0.1,
            mean: [5.0, 4.0],
            deviation: [0.5, 0.5],
            apart_steps: 100,
            apart_rate: 3e-4,
            centre: 0.5,
            seed: 0,
        }
    }

    /// Checks the ranges of all fields.
    pub(super) fn check(&self) -> Result<()> {
        count("d_in", self.d_in, 1)?;
        count("features", self.features, 2)?;
        count("branch", self.branch, 2)?;
        count("factors", self.factors, 1)?;
        if self.factors > MOST_FACTORS || self.branch > self.features {
            let why = format!(
                "`factors` must be at most {MOST_FACTORS} and `branch` at most the {} features, got {} and {}",
                self.features, self.factors, self.branch
            );
            return Err(Error::Conflict(why));
        }
        if self.d_in > MOST_WIDTH {
            let expected = format!("at most {MOST_WIDTH}");
            return Err(Error::hyper("d_in", &expected, self.d_in));
        }
        let most = MOST_VALUES / self.d_in;
        if self.features > most || self.trees > self.features {
            let expected = format!("at least the {} trees and at most {most}", self.trees);
            return Err(Error::hyper("features", &expected, self.features));
        }
        let rates = 0.0 < self.least && self.least < self.most && self.most < 1.0;
        if !rates || !(1e-3..=10.0).contains(&self.zipf) {
            let why = format!(
                "rates must rise from `least` to `most` between 0 and 1 by a `zipf` of 0.001 to 10, got {}, {} and {}",
                self.least, self.most, self.zipf
            );
            return Err(Error::Conflict(why));
        }
        within("scale", self.scale, MOST_SCALE)?;
        within("centre", self.centre, f64::MAX)?;
        within("apart_rate", self.apart_rate, f64::MAX)?;
        let [first, last] = self.mean;
        if first <= 0.0 || last <= 0.0 || !first.is_finite() || !last.is_finite() {
            return Err(Error::hyper(
                "mean",
                "two finite numbers above 0",
                format!("{first}, {last}"),
            ));
        }
        self.deviation
            .into_iter()
            .try_for_each(|value| within("deviation", value, MOST_SCALE))
    }
}

/// Everything that follows from a specification but the directions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Factors {
    pub(super) spec: FactorSpec,
    /// Firing rate of each feature.
    pub(super) rates: Vec<f64>,
    pub(super) parents: Vec<Option<usize>>,
    /// Children of each feature.
    children: Vec<Range<usize>>,
    /// Rows `w_f`, `[features, factors]`.
    weights: Vec<f32>,
    /// `sqrt(1 - |w_f|^2)`.
    own: Vec<f64>,
    thresholds: Vec<f64>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    screened: Screened,
}

/// Features without a parent, for the search of those that fire.
#[derive(Debug, Clone, PartialEq)]
struct Screened {
    features: Vec<u32>,
    /// Number of features, rounded up to whole registers.
    width: usize,
    /// `-w_f / own_f`, `[factors, width]`.
    coefficients: Vec<f32>,
    /// `threshold_f / own_f`, `[width]`.
    thresholds: Vec<f32>,
}

/// Smallest share of a feature's variance that no factor brings.
const LEAST_OWN: f64 = 0.01;

impl Factors {
    pub(super) fn new(spec: &FactorSpec) -> Result<Self> {
        spec.check()?;
        let n = spec.features;
        let mut rng = random::factors(spec.seed);
        let mut normal = || normals(&mut rng)[0];
        let mut weights: Vec<f32> = (0..n * spec.factors)
            .map(|_| (spec.scale * normal()) as f32)
            .collect();
        let own = weights.chunks_exact_mut(spec.factors).map(|w| {
            let square = dot(w, w);
            if 1.0 - square < LEAST_OWN {
                let shorter = ((1.0 - LEAST_OWN) / square).sqrt() as f32;
                w.iter_mut().for_each(|w| *w *= shorter);
            }
            (1.0 - square).max(LEAST_OWN).sqrt()
        });
        let own: Vec<f64> = own.collect();
        let [about, spread] = spec.deviation;
        let deviation = (0..n).map(|_| (about + spread * normal()).abs()).collect();
        let [first, last] = spec.mean;
        let mean = (0..n).map(|f| first + (last - first) * f as f64 / (n - 1) as f64);
        let children = children(spec);
        let mut parents = vec![None; n];
        for (parent, children) in children.iter().enumerate() {
            children
                .clone()
                .for_each(|child| parents[child] = Some(parent));
        }
        let rates = rates(spec);
        let raised = raised(&rates, &children);
        let thresholds: Vec<f64> = raised.iter().map(|p| quantile(*p)).collect();
        Ok(Self {
            screened: Screened::new(spec, &parents, &weights, &own, &thresholds),
            spec: spec.clone(),
            rates,
            parents,
            children,
            mean: mean.collect(),
            deviation,
            weights,
            own,
            thresholds,
        })
    }

    /// Children of feature f.
    pub(super) fn children(&self, f: usize) -> Range<usize> {
        self.children[f].clone()
    }

    /// Draws the values of a block of rows. Changing the order of its random numbers would change the rows of every seed.
    pub(super) fn codes(&self, number: usize) -> Codes {
        let mut rng = random::block(self.spec.seed, number);
        let mut codes = Codes::new(self.spec.features);
        let (rank, width) = (self.spec.factors, self.screened.width);
        let mut events = Events::default();
        let mut random = vec![0; ROWS * width];
        let mut entries = Vec::new();
        for _ in (0..BLOCK).step_by(ROWS) {
            let pairs = (0..(ROWS * rank).div_ceil(2)).flat_map(|_| normals(&mut rng));
            let z: Vec<f64> = pairs.take(ROWS * rank).collect();
            let narrow: Vec<f32> = z.iter().map(|z| *z as f32).collect();
            let (fours, _) = random.as_chunks_mut::<4>();
            for four in fours {
                let bits: u64 = rng.random();
                for (at, random) in four.iter_mut().enumerate() {
                    *random = (bits >> (16 * at)) as i32 & (RANDOM - 1);
                }
            }
            let (coefficients, thresholds) =
                (&self.screened.coefficients, &self.screened.thresholds);
            may_happen(&narrow, coefficients, thresholds, &random, &mut events);
            for i in 0..ROWS {
                let row = Row {
                    factors: self,
                    z: &z[i * rank..(i + 1) * rank],
                    key: rng.random(),
                };
                entries.clear();
                row.draw(events.of(i), &random[i * width..], &mut rng, &mut entries);
                entries.sort_unstable_by_key(|entry| entry.0);
                codes.indices.extend(entries.iter().map(|entry| entry.0));
                codes.values.extend(entries.iter().map(|entry| entry.1));
                codes.offsets.push(codes.indices.len());
            }
        }
        codes
    }
}

/// One row: its factors, and the key of its random numbers.
struct Row<'a> {
    factors: &'a Factors,
    z: &'a [f64],
    key: u64,
}

impl Row<'_> {
    /// Appends the firing features with their values, in the order of their trees. `found` are the places of features without a parent
    /// that may fire, `random` the first bits of their random numbers.
    fn draw(&self, found: &[u32], random: &[i32], rng: &mut Rng, entries: &mut Vec<(u32, f32)>) {
        for &place in found {
            // Places beyond the last feature only fill the registers.
            let Some(&f) = self.factors.screened.features.get(place as usize) else {
                continue;
            };
            let first = f64::from(random[place as usize]);
            let number = (first + self.uniform(f as usize)) / f64::from(RANDOM);
            if number < self.probability(f as usize)
                && let Some(strength) = self.strength(f as usize, rng)
            {
                self.fire(f as usize, strength, 1.0, rng, entries);
            }
        }
    }

    /// Lets a feature of this strength fire, its value times `factor`; then at most one of its children.
    fn fire(
        &self,
        f: usize,
        strength: f64,
        factor: f64,
        rng: &mut Rng,
        entries: &mut Vec<(u32, f32)>,
    ) {
        let value = strength * factor;
        // A value that `f32` rounds to 0 is no firing.
        if value as f32 <= 0.0 {
            return;
        }
        entries.push((f as u32, value as f32));
        // Each of the children that would fire is chosen with equal probability.
        let (mut chosen, mut others) = (None, 1u32);
        for child in self.factors.children(f) {
            if self.uniform(child) < self.probability(child)
                && let Some(strength) = self.strength(child, rng)
            {
                if rng.random_range(0..others) == 0 {
                    chosen = Some((child, strength));
                }
                others += 1;
            }
        }
        if let Some((child, strength)) = chosen {
            let factor = value / self.factors.mean[f];
            self.fire(child, strength, factor, rng, entries);
        }
    }

    /// Value of a feature that fires, before that of its parent counts; `None` if the feature is silent after all.
    fn strength(&self, f: usize, rng: &mut Rng) -> Option<f64> {
        let strength = self.factors.mean[f] + self.factors.deviation[f] * normals(rng)[0];
        (strength > 0.0).then_some(strength)
    }

    /// Probability that a feature fires, given the factors of the row.
    fn probability(&self, f: usize) -> f64 {
        let factors = self.factors;
        let weights = &factors.weights[f * self.z.len()..][..self.z.len()];
        let common = product(weights, self.z);
        tail((factors.thresholds[f] - common) / factors.own[f])
    }

    /// Random number of a feature, uniform on [0, 1).
    fn uniform(&self, f: usize) -> f64 {
        random::hashed(self.key, f as u64)
    }
}

impl Screened {
    fn new(
        spec: &FactorSpec,
        parents: &[Option<usize>],
        weights: &[f32],
        own: &[f64],
        thresholds: &[f64],
    ) -> Self {
        let features = (0..spec.features).filter(|f| parents[*f].is_none());
        let features: Vec<u32> = features.map(|f| f as u32).collect();
        let width = features.len().next_multiple_of(16);
        let mut screened = Self {
            coefficients: vec![0.0; spec.factors * width],
            thresholds: vec![f32::INFINITY; width],
            width,
            features,
        };
        for (place, &f) in screened.features.iter().enumerate() {
            let f = f as usize;
            screened.thresholds[place] = (thresholds[f] / own[f]) as f32;
            for r in 0..spec.factors {
                let w = weights[f * spec.factors + r];
                screened.coefficients[r * width + place] = (-f64::from(w) / own[f]) as f32;
            }
        }
        screened
    }
}

/// Children of each feature: levels one after the other, cut off after the last feature.
fn children(spec: &FactorSpec) -> Vec<Range<usize>> {
    let mut children = vec![0..0; spec.features];
    let (mut level, mut next) = (0..spec.trees, spec.trees);
    for _ in 0..spec.depth {
        if level.start >= spec.features {
            break;
        }
        let first = next;
        for parent in level {
            let end = (next + spec.branch).min(spec.features);
            if parent < spec.features {
                children[parent] = next..end;
            }
            next = end;
        }
        level = first..next;
    }
    children
}

/// Firing rates of all features, in descending order.
fn rates(spec: &FactorSpec) -> Vec<f64> {
    let of = |rank: usize| (rank as f64).powf(-spec.zipf);
    let last = of(spec.features);
    let share = |rank: usize| (of(rank) - last) / (1.0 - last);
    (1..=spec.features)
        .map(|rank| spec.least + (spec.most - spec.least) * share(rank))
        .collect()
}

/// Rates of children given that their parent fires, raised for the siblings that take their place: with rates p of the child, q of its
/// parent and P of all siblings, `p / q (1 + (P - p) / q)`, at most 1.
fn raised(rates: &[f64], children: &[Range<usize>]) -> Vec<f64> {
    let mut raised = rates.to_vec();
    for (parent, children) in children.iter().enumerate() {
        let all: f64 = children.clone().map(|child| rates[child]).sum();
        for child in children.clone() {
            let (p, q) = (rates[child], rates[parent]);
            let competing = if children.len() > 1 {
                (all - p) / q
            } else {
                0.0
            };
            raised[child] = (p / q * (1.0 + competing)).min(1.0);
        }
    }
    raised
}

/// Inner product in `f64`, in four sums that do not wait for each other.
fn product(weights: &[f32], z: &[f64]) -> f64 {
    let ((weights, last), (z, z_last)) = (weights.as_chunks::<4>(), z.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for at in 0..weights.len() {
        for j in 0..4 {
            sums[j] += f64::from(weights[at][j]) * z[at][j];
        }
    }
    for at in 0..last.len() {
        sums[at] += f64::from(last[at]) * z_last[at];
    }
    sums[0] + sums[2] + (sums[1] + sums[3])
}

/// `P(e > t)` of a normal number e.
fn tail(t: f64) -> f64 {
    0.5 * libm::erfc(t * std::f64::consts::FRAC_1_SQRT_2)
}

/// The t with `P(e > t) = p`; minus infinity for 1.
fn quantile(p: f64) -> f64 {
    if p >= 1.0 {
        return f64::NEG_INFINITY;
    }
    // The tail falls with t, and no rate is below 1e-300.
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if tail(middle) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests;
