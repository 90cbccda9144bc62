//! Metrics of sparse architectures, from the sparse codes alone.

use super::{
    BINS, Evaluation, FREQUENT, LatentStatus, LatentSummary, RARE, bin, count, explained_variance,
    hoyer, mean, offer,
};

use crate::Result;
use crate::codes::Codes;
use crate::data::{Source, survey};
use crate::io_spec::IoSpec;
use crate::model::Model;
use crate::preprocess::Prepared;
use crate::variants::Objective;

/// Number of rows encoded at a time. The engine splits them into tasks, and no sum depends on the number.
const ROWS: usize = 4096;

pub(super) fn evaluate(
    model: &Model,
    sparse: &Objective,
    prepared: &Prepared,
    mut work: impl FnMut(usize, &Codes),
) -> Result<Evaluation> {
    let mut sums = Sums::new(model);
    each_piece(model, sparse, prepared, |start, x, codes| {
        sums.add(model, x, codes);
        work(start, codes);
    })?;
    let io = model.io_spec();
    let variance = survey(prepared)?.variance;
    let variance = &variance[io.target_start()..];
    let rows = prepared.rows();
    let m = rows as f64;
    let latents: Vec<LatentSummary> = sums.latents.iter().map(|l| l.summary(rows)).collect();
    let mse = sums.squared_error.iter().sum::<f64>() / m;
    let dead = count(&latents, LatentStatus::Dead);
    Ok(Evaluation {
        rows,
        mse,
        explained_variance: explained_variance(variance, mse),
        explained_variance_by_input: if io.has_several_inputs() {
            sums.by_input(io, variance, m)
        } else {
            Vec::new()
        },
        l0: sums.latents.iter().map(|l| l.active as f64).sum::<f64>() / m,
        lifetime_sparsity: mean(latents.iter().map(|l| l.lifetime_sparsity)),
        population_sparsity: sums.population_sparsity / m,
        dead_latents: dead,
        dead_fraction: dead as f64 / model.d_sae() as f64,
        always_on_latents: count(&latents, LatentStatus::AlwaysOn),
        rare_latents: Some(
            latents
                .iter()
                .filter(|l| l.firing_rate > 0.0 && l.firing_rate < RARE)
                .count(),
        ),
        frequent_latents: Some(latents.iter().filter(|l| l.firing_rate > FREQUENT).count()),
        collapsed_latents: None,
        loss: mse,
        reconstruction: mse,
        penalty: None,
        weight_decay: None,
        kl: None,
        latents,
        activation_histogram: Vec::new(),
        population_histogram: sums.populations,
    })
}

pub(super) fn top_rows(
    model: &Model,
    sparse: &Objective,
    prepared: &Prepared,
    count: usize,
) -> Result<Vec<Vec<(usize, f32)>>> {
    let mut best = vec![Vec::new(); model.d_sae()];
    each_piece(model, sparse, prepared, |start, _, codes| {
        for (i, ends) in codes.offsets.windows(2).enumerate() {
            for at in ends[0]..ends[1] {
                let latent = &mut best[codes.indices[at] as usize];
                offer(latent, (start + i, codes.values[at]), count);
            }
        }
    })?;
    Ok(best)
}

/// Calls `work(first_row, rows, codes)` for consecutive pieces of [`ROWS`] rows, in order.
fn each_piece(
    model: &Model,
    sparse: &Objective,
    prepared: &Prepared,
    mut work: impl FnMut(usize, &[f32], &Codes),
) -> Result<()> {
    let (rows, d_in) = (prepared.rows(), prepared.d_in());
    let mut x = Vec::new();
    for start in (0..rows).step_by(ROWS) {
        x.resize(ROWS.min(rows - start) * d_in, 0.0);
        prepared.read(start, &mut x)?;
        let (inputs, _) = model.io_spec().split(&x);
        work(start, &x, &model.encode_sparse(sparse, &inputs));
    }
    Ok(())
}

/// Sums over all rows.
struct Sums {
    /// Sum of squared errors of each part of the output.
    squared_error: Vec<f64>,
    population_sparsity: f64,
    latents: Vec<LatentSums>,
    populations: Vec<u64>,
}

/// Sums over the rows on which a latent is active.
#[derive(Clone)]
struct LatentSums {
    sum: f64,
    /// Sum of absolute values.
    sizes: f64,
    squares: f64,
    min: f32,
    max: f32,
    active: u64,
}

impl Sums {
    fn new(model: &Model) -> Self {
        let latent = LatentSums {
            sum: 0.0,
            sizes: 0.0,
            squares: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            active: 0,
        };
        Self {
            squared_error: vec![0.0; model.io_spec().input_widths().len()],
            population_sparsity: 0.0,
            latents: vec![latent; model.d_sae()],
            populations: vec![0; BINS],
        }
    }

    fn add(&mut self, model: &Model, x: &[f32], codes: &Codes) {
        let io = model.io_spec();
        let (inputs, targets) = io.split(x);
        let x_hat = model.decode_sparse(codes, &inputs);
        let width = io.d_out();
        // Row by row, so that the order of the sum does not depend on the pieces.
        for (x, x_hat) in targets.chunks_exact(width).zip(x_hat.chunks_exact(width)) {
            let parts = io.decoder_parts(x).zip(io.decoder_parts(x_hat));
            for (sum, (x, x_hat)) in self.squared_error.iter_mut().zip(parts) {
                let errors = x.iter().zip(x_hat).map(|(x, y)| f64::from(x - y).powi(2));
                errors.for_each(|e| *sum += e);
            }
        }
        for ends in codes.offsets.windows(2) {
            let (mut l1, mut l2) = (0.0, 0.0);
            for at in ends[0]..ends[1] {
                let (latent, value) = (codes.indices[at] as usize, codes.values[at]);
                let wide = f64::from(value);
                self.latents[latent].add(value);
                l1 += wide.abs();
                l2 += wide * wide;
            }
            let sparsity = hoyer(codes.d_sae, l1, l2.sqrt());
            self.population_sparsity += sparsity;
            self.populations[bin(sparsity)] += 1;
        }
    }
}

impl Sums {
    /// Explained variance of each input. `variance` holds the variances of the columns of all inputs.
    fn by_input(&self, io: &IoSpec, variance: &[f64], m: f64) -> Vec<f64> {
        let mut rest = variance;
        let inputs = io.input_widths().iter().zip(&self.squared_error);
        inputs
            .map(|(&width, error)| {
                let (here, others) = rest.split_at(width);
                rest = others;
                explained_variance(here, error / m)
            })
            .collect()
    }
}

impl LatentSums {
    fn add(&mut self, value: f32) {
        let wide = f64::from(value);
        self.sum += wide;
        self.sizes += wide.abs();
        self.squares += wide * wide;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.active += 1;
    }

    fn summary(&self, rows: usize) -> LatentSummary {
        let m = rows as f64;
        let mean = self.sum / m;
        let always = self.active == rows as u64;
        LatentSummary {
            rho_hat: mean,
            firing_rate: self.active as f64 / m,
            variance: (self.squares / m - mean * mean).max(0.0),
            // On all other rows the activation is 0.
            min: f64::from(if always { self.min } else { self.min.min(0.0) }),
            max: f64::from(if always { self.max } else { self.max.max(0.0) }),
            lifetime_sparsity: hoyer(rows, self.sizes, self.squares.sqrt()),
            status: match self.active {
                0 => LatentStatus::Dead,
                _ if always => LatentStatus::AlwaysOn,
                _ => LatentStatus::Alive,
            },
        }
    }
}
