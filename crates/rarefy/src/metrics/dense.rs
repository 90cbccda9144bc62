//! Metrics of dense architectures, from every latent of every row.

use super::{
    ACTIVE, BINS, Evaluation, KlEvaluation, LatentStatus, LatentSummary, bin, count,
    explained_variance, hoyer, mean, offer,
};
use crate::Result;
use crate::data::{Source, chunks, survey};
use crate::model::Model;
use crate::preprocess::Prepared;
use crate::train::pass::Pass;
use crate::variants::{Parts, Variant};

/// Share of `rho_hat (1 - rho_hat)` (the largest possible variance of a latent with this mean) below which a latent
/// counts as collapsed.
const COLLAPSED_VARIANCE: f64 = 1e-3;

pub(super) fn evaluate(
    model: &Model,
    variant: &dyn Variant,
    prepared: &Prepared,
) -> Result<Evaluation> {
    let (parts, omega) = objective(model, variant, prepared)?;
    let sums = Sums::over(model, variant, prepared)?;
    let rows = prepared.rows();
    let m = rows as f64;
    let rho = variant.target_activation();
    // In an architecture without rho, a latent is dead if it never exceeds the active level.
    let target = rho.unwrap_or(2.0 * f64::from(ACTIVE));
    let latents: Vec<LatentSummary> = sums
        .latents
        .iter()
        .map(|latent| latent.summary(rows, target))
        .collect();
    let mse = sums.squared_error / m;
    let dead = count(&latents, LatentStatus::Dead);
    Ok(Evaluation {
        rows,
        mse,
        explained_variance: explained_variance(&survey(prepared)?.variance, mse),
        explained_variance_by_input: Vec::new(),
        l0: sums.latents.iter().map(|l| l.active as f64).sum::<f64>() / m,
        lifetime_sparsity: mean(latents.iter().map(|l| l.lifetime_sparsity)),
        population_sparsity: sums.population_sparsity / m,
        dead_latents: dead,
        dead_fraction: dead as f64 / model.d_sae() as f64,
        always_on_latents: count(&latents, LatentStatus::AlwaysOn),
        rare_latents: None,
        frequent_latents: None,
        collapsed_latents: Some(count(&latents, LatentStatus::Collapsed)),
        loss: parts.total(),
        reconstruction: parts.reconstruction,
        penalty: Some(parts.penalty),
        weight_decay: Some(parts.weight_decay),
        kl: rho.map(|rho| kl_evaluation(rho, omega, &latents)),
        latents,
        activation_histogram: sums.activations,
        population_histogram: sums.populations,
    })
}

/// Parts of the objective, and the penalty without its coefficient (0 if there is no penalty).
///
/// The pass computes the whole gradient although only the loss is needed. A loss without gradient would need
/// another method in every architecture, for a command that runs once.
fn objective(model: &Model, variant: &dyn Variant, prepared: &Prepared) -> Result<(Parts, f64)> {
    // With a coefficient of 1 the penalty is Omega itself, exact for saturated latents too. Dividing the penalty by
    // the model's coefficient would fail for a coefficient of 0.
    let plain = variant.with_plain_penalty();
    let coefficient = plain.as_ref().map_or(1.0, |(coefficient, _)| *coefficient);
    let variant = plain.as_ref().map_or(variant, |(_, plain)| plain.as_ref());
    let mut pass = Pass::new(variant, model.d_in(), model.d_sae());
    let form = pass.form(prepared);
    let mut parts = pass.evaluate(model.params(), prepared, form, &mut |batch| batch)?;
    let omega = parts.penalty;
    parts.penalty *= coefficient;
    Ok((parts, omega))
}

fn kl_evaluation(rho: f64, omega: f64, latents: &[LatentSummary]) -> KlEvaluation {
    let deviations = || latents.iter().map(|l| (l.rho_hat - rho).abs() / rho);
    KlEvaluation {
        rho,
        rho_hat_mean: mean(latents.iter().map(|l| l.rho_hat)),
        rho_hat_mean_deviation: mean(deviations()),
        rho_hat_max_deviation: deviations().fold(0.0, f64::max),
        omega,
    }
}

/// Sums over the rows of one lane.
pub(super) struct Sums {
    pub(super) squared_error: f64,
    pub(super) population_sparsity: f64,
    pub(super) latents: Vec<LatentSums>,
    pub(super) activations: Vec<u64>,
    pub(super) populations: Vec<u64>,
}

#[derive(Clone)]
pub(super) struct LatentSums {
    pub(super) sum: f64,
    pub(super) squares: f64,
    pub(super) min: f32,
    pub(super) max: f32,
    pub(super) active: u64,
}

impl Sums {
    pub(super) fn new(d_sae: usize) -> Self {
        let latent = LatentSums {
            sum: 0.0,
            squares: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            active: 0,
        };
        Self {
            squared_error: 0.0,
            population_sparsity: 0.0,
            latents: vec![latent; d_sae],
            activations: vec![0; BINS],
            populations: vec![0; BINS],
        }
    }

    fn over(model: &Model, variant: &dyn Variant, prepared: &Prepared) -> Result<Self> {
        let lanes = chunks::fold(
            prepared,
            model.d_sae(),
            || Self::new(model.d_sae()),
            |sums, _, x| sums.add(model, variant, x),
        )?;
        let mut sums = Self::new(model.d_sae());
        lanes.iter().for_each(|lane| sums.merge(lane));
        Ok(sums)
    }

    pub(super) fn add(&mut self, model: &Model, variant: &dyn Variant, x: &[f32]) {
        let (mut latents, mut x_hat) = (Vec::new(), Vec::new());
        variant.encode(model.params(), x, &mut latents);
        variant.decode(model.params(), &latents, &mut x_hat);
        self.squared_error += x
            .iter()
            .zip(&x_hat)
            .map(|(x, y)| f64::from(x - y).powi(2))
            .sum::<f64>();
        for row in latents.chunks_exact(model.d_sae()) {
            let (mut l1, mut l2) = (0.0, 0.0);
            for (&h, latent) in row.iter().zip(&mut self.latents) {
                let wide = f64::from(h);
                latent.sum += wide;
                latent.squares += wide * wide;
                latent.min = latent.min.min(h);
                latent.max = latent.max.max(h);
                latent.active += u64::from(h > ACTIVE);
                l1 += wide;
                l2 += wide * wide;
                self.activations[bin(wide)] += 1;
            }
            let sparsity = hoyer(model.d_sae(), l1, l2.sqrt());
            self.population_sparsity += sparsity;
            self.populations[bin(sparsity)] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.squared_error += other.squared_error;
        self.population_sparsity += other.population_sparsity;
        for (mine, theirs) in self.latents.iter_mut().zip(&other.latents) {
            mine.sum += theirs.sum;
            mine.squares += theirs.squares;
            mine.min = mine.min.min(theirs.min);
            mine.max = mine.max.max(theirs.max);
            mine.active += theirs.active;
        }
        self.activations
            .iter_mut()
            .zip(&other.activations)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.populations
            .iter_mut()
            .zip(&other.populations)
            .for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl LatentSums {
    pub(super) fn summary(&self, rows: usize, rho: f64) -> LatentSummary {
        let m = rows as f64;
        let mean = self.sum / m;
        let variance = (self.squares / m - mean * mean).max(0.0);
        let (min, max) = (f64::from(self.min), f64::from(self.max));
        let status = if max < rho / 2.0 {
            LatentStatus::Dead
        } else if self.min > ACTIVE {
            LatentStatus::AlwaysOn
        } else if variance < COLLAPSED_VARIANCE * mean * (1.0 - mean) {
            LatentStatus::Collapsed
        } else {
            LatentStatus::Alive
        };
        let lifetime_sparsity = hoyer(rows, self.sum, self.squares.sqrt());
        LatentSummary {
            rho_hat: mean,
            firing_rate: self.active as f64 / m,
            variance,
            min,
            max,
            lifetime_sparsity,
            status,
        }
    }
}

pub(super) fn top_rows(
    model: &Model,
    variant: &dyn Variant,
    prepared: &Prepared,
    count: usize,
) -> Result<Vec<Vec<(usize, f32)>>> {
    let empty = || vec![Vec::new(); model.d_sae()];
    let lanes = chunks::fold(
        prepared,
        model.d_sae(),
        empty,
        |best: &mut Vec<Vec<(usize, f32)>>, start, x| {
            let mut latents = Vec::new();
            variant.encode(model.params(), x, &mut latents);
            for (i, row) in latents.chunks_exact(model.d_sae()).enumerate() {
                for (best, &h) in best.iter_mut().zip(row) {
                    offer(best, (start + i, h), count);
                }
            }
        },
    )?;
    let mut all = empty();
    for lane in lanes {
        all.iter_mut()
            .zip(lane)
            .for_each(|(all, lane)| all.extend(lane));
    }
    Ok(all)
}
