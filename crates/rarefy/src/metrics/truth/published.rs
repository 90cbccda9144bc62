//! Figures of `SynthSAEBench`, under its names and definitions.
//!
//! Each latent is a detector of its nearest feature: the one with the largest |cosine| with its decoder row, the first of equal ones. It
//! detects the feature in a row if it is active there.
//!
//! Source: Chanin and Garriga-Alonso 2026, arXiv:2602.14687; `eval_sae_on_synthetic_data` of SAELens 6.54.

use std::collections::BTreeSet;

use rarefy_kernels::vector::dot;
use serde::Serialize;

use super::recovery::{Recovery, mean};
use crate::codes::Codes;

/// Figures of `SynthSAEBench`. Means over latents count dead ones, whose precision, recall and F1 are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SynthSaeBench {
    /// Mean |cosine| over the `min(features, latents)` pairs with the largest sum.
    pub mcc: f64,
    /// Number of different nearest features over the number of latents.
    pub uniqueness: f64,
    /// Mean over latents of the harmonic mean of precision and recall.
    pub f1_score: f64,
    /// Mean over latents: share of the rows with the latent active in which its feature fires.
    pub precision: f64,
    /// Mean over latents: share of the rows with its feature firing in which the latent is active.
    pub recall: f64,
    /// Mean over latents: share of the rows in which the latent is active and its feature fires, or neither.
    pub accuracy: f64,
    /// `1 - sum |x - x_hat|^2 / sum |x - mean|^2` over raw rows.
    pub explained_variance: f64,
    /// Mean of `|x_hat| / |x|` over rows with `|x|` above 1e-6.
    pub shrinkage: f64,
    /// Mean number of active latents in a row.
    pub sae_l0: f64,
    /// Number of latents that are active in no row.
    pub dead_latents: usize,
}

/// Sums over rows.
pub(super) struct Sums {
    /// Nearest feature of each latent.
    nearest: Vec<u32>,
    /// Rows in which each feature fires.
    fired: Vec<u64>,
    /// Rows in which each latent is active, and those in which its feature fires too.
    active: Vec<u64>,
    both: Vec<u64>,
    rows: u64,
    columns: Vec<f64>,
    square: f64,
    residual: f64,
    ratio: f64,
    counted: u64,
}

/// Shortest row that counts for shrinkage.
const SHORTEST: f64 = 1e-6;

impl Sums {
    pub(super) fn new(either_sign: &Recovery, d_in: usize) -> Self {
        Self {
            nearest: either_sign.nearest.clone(),
            fired: vec![0; either_sign.features],
            active: vec![0; either_sign.latents],
            both: vec![0; either_sign.latents],
            rows: 0,
            columns: vec![0.0; d_in],
            square: 0.0,
            residual: 0.0,
            ratio: 0.0,
            counted: 0,
        }
    }

    /// Adds rows, their reconstructions, the values of their features and of the latents.
    pub(super) fn add(&mut self, x: &[f32], x_hat: &[f32], truth: &Codes, model: &Codes) {
        let d_in = self.columns.len();
        let mut residual = vec![0.0; d_in];
        for (row, (x, x_hat)) in x
            .chunks_exact(d_in)
            .zip(x_hat.chunks_exact(d_in))
            .enumerate()
        {
            for (r, (x, x_hat)) in residual.iter_mut().zip(x.iter().zip(x_hat)) {
                *r = x - x_hat;
            }
            let columns = self.columns.iter_mut().zip(x);
            columns.for_each(|(sum, x)| *sum += f64::from(*x));
            let square = dot(x, x);
            self.square += square;
            self.residual += dot(&residual, &residual);
            if square.sqrt() > SHORTEST {
                self.ratio += (dot(x_hat, x_hat) / square).sqrt();
                self.counted += 1;
            }
            let fires = &truth.indices[truth.offsets[row]..truth.offsets[row + 1]];
            fires.iter().for_each(|f| self.fired[*f as usize] += 1);
            for at in model.offsets[row]..model.offsets[row + 1] {
                let latent = model.indices[at] as usize;
                if model.values[at] != 0.0 {
                    self.active[latent] += 1;
                    let detected = fires.binary_search(&self.nearest[latent]).is_ok();
                    self.both[latent] += u64::from(detected);
                }
            }
            self.rows += 1;
        }
    }

    pub(super) fn finish(self, either_sign: &Recovery) -> SynthSaeBench {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let latents = self.active.len();
        let of = |figure: &dyn Fn(u64, u64, u64) -> f64| {
            let each = (0..latents).map(|j| {
                let fired = self.fired[self.nearest[j] as usize];
                figure(self.both[j], self.active[j], fired)
            });
            mean(each).unwrap_or(0.0)
        };
        let different: BTreeSet<u32> = self.nearest.iter().copied().collect();
        let rows = self.rows as f64;
        let of_mean: f64 = self.columns.iter().map(|sum| sum * sum).sum::<f64>() / rows;
        SynthSaeBench {
            mcc: either_sign.matched_cosine,
            uniqueness: different.len() as f64 / latents as f64,
            f1_score: of(&|both, active, fired| share(2 * both, active + fired)),
            precision: of(&|both, active, _| share(both, active)),
            recall: of(&|both, _, fired| share(both, fired)),
            accuracy: of(&|both, active, fired| {
                share(self.rows + 2 * both - active - fired, self.rows)
            }),
            explained_variance: 1.0 - self.residual / (self.square - of_mean),
            shrinkage: self.ratio / (self.counted as f64).max(1.0),
            sae_l0: self.active.iter().sum::<u64>() as f64 / rows,
            dead_latents: self.active.iter().filter(|active| **active == 0).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sign, compare};
    use super::*;
    use crate::tensors::Reader;
    use std::path::Path;

    fn codes(dense: &[f32], width: usize) -> Codes {
        let mut codes = Codes::new(width);
        for row in dense.chunks_exact(width) {
            for (j, value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                codes.indices.push(j as u32);
                codes.values.push(*value);
            }
            codes.offsets.push(codes.indices.len());
        }
        codes
    }

    /// Decoder, rows and values were given to SAELens by `tests/golden/synth_sae_bench_metrics.py`.
    #[test]
    fn figures_equal_those_of_saelens() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/synth_sae_bench_metrics.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let file = Reader::new(&path, &bytes).unwrap();
        let read = |name: &str| -> Vec<f32> { file.vector(name).unwrap() };
        let (d_in, features, latents) = (6, 40, 24);
        let either = compare(&read("decoder"), &read("features"), d_in, Sign::Either);
        let mut sums = Sums::new(&either, d_in);
        let (x, x_hat) = (read("x"), read("x_hat"));
        let (truth, model) = (read("feature_values"), read("latents"));
        // In two batches.
        for rows in [0..70, 70..200] {
            let part =
                |all: &[f32], width: usize| all[rows.start * width..rows.end * width].to_vec();
            sums.add(
                &part(&x, d_in),
                &part(&x_hat, d_in),
                &codes(&part(&truth, features), features),
                &codes(&part(&model, latents), latents),
            );
        }
        let found = serde_json::to_value(sums.finish(&either)).unwrap();
        let json = include_str!("../../../tests/golden/synth_sae_bench_metrics.json");
        let theirs: serde_json::Value = serde_json::from_str(json).unwrap();
        for (name, theirs) in theirs.as_object().unwrap() {
            let (ours, theirs) = (found[name].as_f64().unwrap(), theirs.as_f64().unwrap());
            assert!(
                (ours - theirs).abs() < 2e-6,
                "{name}: {ours}, SAELens {theirs}"
            );
        }
        assert_eq!(
            theirs.as_object().unwrap().len(),
            found.as_object().unwrap().len()
        );
    }
}
