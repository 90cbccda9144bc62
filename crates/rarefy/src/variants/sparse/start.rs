//! Initial parameters of a sparse architecture.

use std::sync::OnceLock;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::data::{Source, evenly_spaced_rows};
use crate::io_spec::IoSpec;
use crate::objective::Objective;
use crate::params::{Layout, Params};
use crate::variants::median::geometric_median;
use crate::{Result, Rng};

/// Initial value of the decoder bias `b_dec`, configuration key `model.b_dec_start`, from the preprocessed training
/// rows (of a transcoder: from the targets). Default: `Median`. Architecture `kl` ignores this setting: its `b_dec`
/// starts at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BiasStart {
    /// Geometric median of up to 32,768 rows and 16 million values, evenly over the data.
    Median,
    /// Mean of the same rows.
    Mean,
    /// Bias of 0.
    Zero,
}

/// Largest number of rows for the initial biases, evenly over the data.
const MEDIAN_ROWS: usize = 1 << 15;
/// Largest number of their values: 64 MB.
const MEDIAN_VALUES: usize = 1 << 24;

/// Rows from which initial weights follow. They are read once, and their median is computed once, for all models that start from them.
pub struct StartRows<'a> {
    rows: Box<dyn Source + 'a>,
    some: OnceLock<Vec<f32>>,
    /// Geometric median of the targets; of an autoencoder, of the inputs.
    median: OnceLock<Vec<f64>>,
}

impl<'a> StartRows<'a> {
    /// Preprocessed rows of which initial weights look at some.
    pub fn new(rows: Box<dyn Source + 'a>) -> Self {
        Self {
            rows,
            some: OnceLock::new(),
            median: OnceLock::new(),
        }
    }

    /// Evenly spaced rows.
    fn some(&self) -> Result<&[f32]> {
        if let Some(some) = self.some.get() {
            return Ok(some);
        }
        let most = MEDIAN_ROWS.min((MEDIAN_VALUES / self.rows.d_in()).max(1));
        let some = evenly_spaced_rows(self.rows.as_ref(), most)?;
        Ok(self.some.get_or_init(|| some))
    }
}

/// Decoder rows of length 1 in random directions, the encoder a copy of them, no encoder bias,
/// and the decoder bias by default at the geometric median of the rows (Gao et al. 2024, appendix A).
///
/// If the encoder does not subtract `b_dec` from its rows, the initial `b_enc` has the same effect. In a
/// transcoder, encoder and decoder start in independent random directions, and the encoder is scaled so that its
/// values have the scale of the targets. `W_skip` starts from 0.
pub(in crate::variants) fn init(
    objective: &Objective,
    (io, start): (&IoSpec, BiasStart),
    layout: &Layout,
    rows: &StartRows,
    rng: &mut Rng,
) -> Result<Params> {
    let mut params = Params::zeros(layout);
    let (d_in, d_out) = (io.d_in(), io.d_out());
    let (inputs, targets) = io.split(rows.some()?);
    let of_targets = match start {
        BiasStart::Median => {
            let median = rows
                .median
                .get_or_init(|| geometric_median(&targets, d_out));
            median.clone()
        }
        other => middle(other, &targets, d_out),
    };
    set(params.get_mut("b_dec"), &of_targets);
    directions(params.get_mut("w_dec"), d_out, rng);
    let d_sae = params.get("b_enc").len();
    let mut scale = objective.encoder_start(d_out, d_sae);
    if io.has_target() {
        directions(params.get_mut("w_enc"), d_in, rng);
        let from = deviation(&inputs, d_in);
        if from > 0.0 {
            scale *= (deviation(&targets, d_out) / from) as f32;
        }
    } else {
        let w_dec = params.get("w_dec").to_vec();
        params.get_mut("w_enc").copy_from_slice(&w_dec);
    }
    params.get_mut("w_enc").iter_mut().for_each(|w| *w *= scale);
    if !io.centre {
        let of_inputs = if io.has_target() {
            middle(start, &inputs, d_in)
        } else {
            of_targets
        };
        let bias = minus_products(params.get("w_enc"), &of_inputs);
        set(params.get_mut("b_enc"), &bias);
    }
    for (name, value) in objective.per_latent() {
        params.get_mut(name).fill(*value);
    }
    Ok(params)
}

/// Median, mean or zero point of the rows, for an initial bias.
fn middle(start: BiasStart, rows: &[f32], width: usize) -> Vec<f64> {
    let mut mean = vec![0.0; width];
    match start {
        BiasStart::Median => return geometric_median(rows, width),
        BiasStart::Mean => {
            let n = (rows.len() / width) as f64;
            for row in rows.chunks_exact(width) {
                let columns = mean.iter_mut().zip(row);
                columns.for_each(|(mean, x)| *mean += f64::from(*x) / n);
            }
        }
        BiasStart::Zero => {}
    }
    mean
}

fn set(block: &mut [f32], values: &[f64]) {
    let pairs = block.iter_mut().zip(values);
    pairs.for_each(|(b, v)| *b = *v as f32);
}

/// Rows of length 1 in random directions.
fn directions(rows: &mut [f32], width: usize, rng: &mut Rng) {
    for row in rows.chunks_exact_mut(width) {
        row.iter_mut()
            .for_each(|w| *w = (2.0 * rng.random::<f64>() - 1.0) as f32);
        let norm = rarefy_kernels::vector::dot(row, row).sqrt() as f32;
        row.iter_mut().for_each(|w| *w /= norm);
    }
}

/// Products `-W x`.
fn minus_products(w: &[f32], x: &[f64]) -> Vec<f64> {
    w.chunks_exact(x.len())
        .map(|row| {
            -row.iter()
                .zip(x)
                .map(|(w, x)| f64::from(*w) * x)
                .sum::<f64>()
        })
        .collect()
}

/// Standard deviation along one direction, over all directions.
fn deviation(rows: &[f32], width: usize) -> f64 {
    let n = (rows.len() / width) as f64;
    let mut sums = vec![(0.0, 0.0); width];
    for row in rows.chunks_exact(width) {
        for (sum, x) in sums.iter_mut().zip(row) {
            let x = f64::from(*x);
            *sum = (sum.0 + x, sum.1 + x * x);
        }
    }
    let variance = |(sum, square): &(f64, f64)| square / n - (sum / n).powi(2);
    (sums.iter().map(variance).sum::<f64>() / width as f64)
        .max(0.0)
        .sqrt()
}
