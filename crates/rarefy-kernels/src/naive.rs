//! Objective of the lecture in f64 with plain loops, written from its formulas: the oracle of the tests.
//!
//! The gradient is computed in three forms, which are also those of the fast code: all latents in
//! memory (with a penalty gradient that is safe under saturation), two passes over the data, one pass.

#![allow(
    clippy::needless_range_loop,
    reason = "the loops run over the indices of the written sums"
)]

use crate::decoder::Output;

/// Data and settings of one full-batch evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// Rows, `[n, d_in]`.
    pub x: &'a [f64],
    /// Values in a row.
    pub d_in: usize,
    /// Number of latents.
    pub d_sae: usize,
    /// Output unit and loss.
    pub output: Output,
    /// Sparsity penalty.
    pub penalty: Penalty<'a>,
    /// Coefficient of the penalty.
    pub beta: f64,
    /// Coefficient of `1/2 sum w^2` over the weights without the biases.
    pub weight_decay: f64,
}

/// Sparsity penalty, without its coefficient `beta`.
#[derive(Debug, Clone, Copy)]
pub enum Penalty<'a> {
    /// `sum_l KL(rho || rho_hat_l)` with the exact mean over the rows.
    Kl {
        /// Target of each latent's mean activation.
        rho: f64,
    },
    /// `sum_l s_l rho_hat_l` with constant `s`, as with a running estimate of `rho_hat`.
    Linear(&'a [f64]),
}

/// Parameters or their gradient. `w_dec` is empty if the decoder is tied to the encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Encoder, `[d_sae, d_in]`.
    pub w_enc: Vec<f64>,
    /// Encoder bias, `[d_sae]`.
    pub b_enc: Vec<f64>,
    /// Decoder, `[d_sae, d_in]`, or empty if tied.
    pub w_dec: Vec<f64>,
    /// Decoder bias, `[d_in]`.
    pub b_dec: Vec<f64>,
}

impl Weights {
    fn zeros_like(other: &Self) -> Self {
        Self {
            w_enc: vec![0.0; other.w_enc.len()],
            b_enc: vec![0.0; other.b_enc.len()],
            w_dec: vec![0.0; other.w_dec.len()],
            b_dec: vec![0.0; other.b_dec.len()],
        }
    }

    /// Decoder matrix, tied or not.
    pub fn decoder(&self) -> &[f64] {
        if self.w_dec.is_empty() {
            &self.w_enc
        } else {
            &self.w_dec
        }
    }

    fn decoder_mut(&mut self) -> &mut [f64] {
        if self.w_dec.is_empty() {
            &mut self.w_enc
        } else {
            &mut self.w_dec
        }
    }

    /// Iterator over all values in memory order.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        [&self.w_enc, &self.b_enc, &self.w_dec, &self.b_dec]
            .into_iter()
            .flatten()
            .copied()
    }

    /// Mutable iterator over all values in memory order.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        [
            &mut self.w_enc,
            &mut self.b_enc,
            &mut self.w_dec,
            &mut self.b_dec,
        ]
        .into_iter()
        .flatten()
    }
}

/// Order of computing the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientForm {
    /// All latents in memory; the penalty's gradient is a softmax over the rows, finite for each z.
    InMemory,
    /// First pass for the means, second pass over all rows with the final `s_l`.
    TwoPass,
    /// Each row once: sums `A = X^T (H o (1 - H))` beside the gradient, scaled by `s_l` at the end.
    OnePass,
}

/// Value of the objective with its terms and gradient.
#[derive(Debug, Clone)]
pub struct ObjectiveValue {
    /// Mean over rows of the reconstruction loss.
    pub reconstruction: f64,
    /// Penalty without `beta`.
    pub omega: f64,
    /// Weight decay term with its coefficient.
    pub weight_decay: f64,
    /// Objective `reconstruction + beta omega + weight_decay`.
    pub total: f64,
    /// Mean activation of each latent.
    pub rho_hat: Vec<f64>,
    /// Derivative by each parameter.
    pub gradient: Weights,
}

/// Logistic sigmoid without overflow.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        z.exp() / (1.0 + z.exp())
    }
}

/// Log-sigmoid `ln sigma(z)`, finite for each finite z.
pub fn ln_sigmoid(z: f64) -> f64 {
    z.min(0.0) - (-z.abs()).exp().ln_1p()
}

/// KL divergence `KL(rho || exp(ln_on))` of Bernoulli variables, from the logarithms of mean and 1 - mean.
pub fn kl_from_logs(rho: f64, ln_on: f64, ln_off: f64) -> f64 {
    rho * (rho.ln() - ln_on) + (1.0 - rho) * ((1.0 - rho).ln() - ln_off)
}

/// Log-sum-exp `ln sum_i exp(v_i)` without overflow.
pub fn ln_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + values.map(|v| (v - largest).exp()).sum::<f64>().ln()
}

/// Value and gradient of the objective.
///
/// ```text
/// J = 1/m sum_i loss(x_i, x_hat_i) + beta Omega + weight_decay/2 (|W_enc|^2 + |W_dec|^2)
/// ```
///
/// The weight decay counts tied weights once.
pub fn objective(problem: &Problem, weights: &Weights, form: GradientForm) -> ObjectiveValue {
    let m = (problem.x.len() / problem.d_in) as f64;
    let z = pre_activations(problem, weights);
    let (reconstruction, mut gradient, d_latents) = reconstruction(problem, weights, &z);
    let (omega, rho_hat) = penalty_value(problem, &z);
    match form {
        GradientForm::InMemory => {
            let push = penalty_by_examples(problem, &z);
            let d_pre = hidden(&z, |i, _, slope| {
                d_latents[i] / m * slope + problem.beta * push[i]
            });
            encoder_gradient(problem, &d_pre, &mut gradient);
        }
        GradientForm::TwoPass => {
            let s = penalty_slopes(problem, &rho_hat, &z);
            let d_pre = hidden(&z, |i, l, slope| {
                (d_latents[i] + problem.beta * s[l]) / m * slope
            });
            encoder_gradient(problem, &d_pre, &mut gradient);
        }
        GradientForm::OnePass => one_pass(problem, &z, &d_latents, &rho_hat, &mut gradient),
    }
    let weight_decay = decay(problem, weights, &mut gradient);
    let total = reconstruction + problem.beta * omega + weight_decay;
    ObjectiveValue {
        reconstruction,
        omega,
        weight_decay,
        total,
        rho_hat,
        gradient,
    }
}

/// Pre-activations `z = W_enc x + b_enc`, `[n, d_sae]`.
pub fn pre_activations(problem: &Problem, weights: &Weights) -> Vec<f64> {
    let mut z = Vec::new();
    for x in problem.x.chunks_exact(problem.d_in) {
        for (w, b) in weights.w_enc.chunks_exact(problem.d_in).zip(&weights.b_enc) {
            z.push(b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>());
        }
    }
    z
}

/// Mean loss, its gradient by the decoder, and `d_latents` (summed over rows, not averaged).
fn reconstruction(problem: &Problem, weights: &Weights, z: &[f64]) -> (f64, Weights, Vec<f64>) {
    let (d_in, k) = (problem.d_in, problem.d_sae);
    let m = (problem.x.len() / d_in) as f64;
    let mut gradient = Weights::zeros_like(weights);
    let mut d_latents = vec![0.0; z.len()];
    let mut loss = 0.0;
    for (i, x) in problem.x.chunks_exact(d_in).enumerate() {
        let h: Vec<f64> = z[i * k..][..k].iter().map(|&z| sigmoid(z)).collect();
        for j in 0..d_in {
            let r = weights.b_dec[j]
                + (0..k)
                    .map(|l| h[l] * weights.decoder()[l * d_in + j])
                    .sum::<f64>();
            let (value, d) = unit(problem.output, r, x[j]);
            loss += value;
            gradient.b_dec[j] += d / m;
            for l in 0..k {
                gradient.decoder_mut()[l * d_in + j] += d * h[l] / m;
                d_latents[i * k + l] += d * weights.decoder()[l * d_in + j];
            }
        }
    }
    (loss / m, gradient, d_latents)
}

/// Loss of one output, and the derivative by its logit.
fn unit(output: Output, r: f64, x: f64) -> (f64, f64) {
    let s = sigmoid(r);
    match output {
        Output::LinearSquared => (0.5 * (r - x).powi(2), r - x),
        Output::SigmoidSquared => (0.5 * (s - x).powi(2), (s - x) * s * sigmoid(-r)),
        Output::SigmoidCrossEntropy => (r.max(0.0) + (-r.abs()).exp().ln_1p() - x * r, s - x),
    }
}

fn column(z: &[f64], k: usize, l: usize) -> impl Iterator<Item = f64> + Clone {
    z.iter().skip(l).step_by(k).copied()
}

fn penalty_value(problem: &Problem, z: &[f64]) -> (f64, Vec<f64>) {
    let k = problem.d_sae;
    let m = (z.len() / k) as f64;
    let rho_hat: Vec<f64> = (0..k)
        .map(|l| column(z, k, l).map(sigmoid).sum::<f64>() / m)
        .collect();
    let omega = match problem.penalty {
        Penalty::Linear(s) => s.iter().zip(&rho_hat).map(|(s, r)| s * r).sum(),
        Penalty::Kl { rho } => (0..k)
            .map(|l| {
                let ln_on = ln_sum_exp(column(z, k, l).map(ln_sigmoid)) - m.ln();
                let ln_off = ln_sum_exp(column(z, k, l).map(|z| ln_sigmoid(-z))) - m.ln();
                kl_from_logs(rho, ln_on, ln_off)
            })
            .sum(),
    };
    (omega, rho_hat)
}

/// Derivative of the penalty by the means:
/// `dOmega/drho_hat_l = (rho_hat_l - rho) / (rho_hat_l (1 - rho_hat_l))`.
fn penalty_slopes(problem: &Problem, rho_hat: &[f64], z: &[f64]) -> Vec<f64> {
    let k = problem.d_sae;
    match problem.penalty {
        Penalty::Linear(s) => s.to_vec(),
        Penalty::Kl { rho } => (0..k)
            .map(|l| {
                let off = column(z, k, l).map(|z| sigmoid(-z)).sum::<f64>() / (z.len() / k) as f64;
                (rho_hat[l] - rho) / (rho_hat[l] * off)
            })
            .collect(),
    }
}

/// Derivative of the penalty by each pre-activation, bounded by 1 for each z.
///
/// `dOmega/dz_il = -rho p_il (1 - h_il) + (1 - rho) q_il h_il`, with p and q the softmaxes of `ln h` and
/// `ln (1 - h)` over the rows.
fn penalty_by_examples(problem: &Problem, z: &[f64]) -> Vec<f64> {
    let k = problem.d_sae;
    let m = (z.len() / k) as f64;
    let mut d = vec![0.0; z.len()];
    for l in 0..k {
        let ln_on = ln_sum_exp(column(z, k, l).map(ln_sigmoid));
        let ln_off = ln_sum_exp(column(z, k, l).map(|z| ln_sigmoid(-z)));
        for (i, z) in column(z, k, l).enumerate() {
            let (h, rest) = (sigmoid(z), sigmoid(-z));
            d[i * k + l] = match problem.penalty {
                Penalty::Linear(s) => s[l] * h * rest / m,
                Penalty::Kl { rho } => {
                    -rho * (ln_sigmoid(z) - ln_on).exp() * rest
                        + (1.0 - rho) * (ln_sigmoid(-z) - ln_off).exp() * h
                }
            };
        }
    }
    d
}

fn hidden(
    z: &[f64],
    value: impl Fn(usize, usize, f64) -> f64,
) -> impl Fn(usize, usize, usize) -> f64 {
    move |i, l, k| {
        let z = z[i * k + l];
        value(i * k + l, l, sigmoid(z) * sigmoid(-z))
    }
}

fn encoder_gradient(
    problem: &Problem,
    d_pre: &impl Fn(usize, usize, usize) -> f64,
    gradient: &mut Weights,
) {
    let (d_in, k) = (problem.d_in, problem.d_sae);
    for (i, x) in problem.x.chunks_exact(d_in).enumerate() {
        for l in 0..k {
            let d = d_pre(i, l, k);
            gradient.b_enc[l] += d;
            for j in 0..d_in {
                gradient.w_enc[l * d_in + j] += d * x[j];
            }
        }
    }
}

/// Gradient in one pass, by the lecture's factorisation: `s_l` scales only column l of `A`, so the sum
/// over rows needs no `s_l`.
fn one_pass(
    problem: &Problem,
    z: &[f64],
    d_latents: &[f64],
    rho_hat: &[f64],
    gradient: &mut Weights,
) {
    let (d_in, k) = (problem.d_in, problem.d_sae);
    let m = (z.len() / k) as f64;
    let mut a = Weights {
        w_enc: vec![0.0; k * d_in],
        b_enc: vec![0.0; k],
        w_dec: Vec::new(),
        b_dec: Vec::new(),
    };
    let mut off = vec![0.0; k];
    for (i, x) in problem.x.chunks_exact(d_in).enumerate() {
        for l in 0..k {
            let z = z[i * k + l];
            let slope = sigmoid(z) * sigmoid(-z);
            let d = d_latents[i * k + l] * slope;
            off[l] += sigmoid(-z);
            gradient.b_enc[l] += d / m;
            a.b_enc[l] += slope;
            for j in 0..d_in {
                gradient.w_enc[l * d_in + j] += d * x[j] / m;
                a.w_enc[l * d_in + j] += slope * x[j];
            }
        }
    }
    for l in 0..k {
        let s = match problem.penalty {
            Penalty::Linear(s) => s[l],
            Penalty::Kl { rho } => (rho_hat[l] - rho) / (rho_hat[l] * (off[l] / m)),
        };
        gradient.b_enc[l] += problem.beta * s / m * a.b_enc[l];
        for j in 0..d_in {
            gradient.w_enc[l * d_in + j] += problem.beta * s / m * a.w_enc[l * d_in + j];
        }
    }
}

fn decay(problem: &Problem, weights: &Weights, gradient: &mut Weights) -> f64 {
    let lambda = problem.weight_decay;
    for (g, w) in gradient.w_enc.iter_mut().zip(&weights.w_enc) {
        *g += lambda * w;
    }
    for (g, w) in gradient.w_dec.iter_mut().zip(&weights.w_dec) {
        *g += lambda * w;
    }
    lambda / 2.0
        * weights
            .w_enc
            .iter()
            .chain(&weights.w_dec)
            .map(|w| w * w)
            .sum::<f64>()
}

#[cfg(test)]
mod tests;
