//! Saturated latents: activations so close to 0 or 1 on every row that f32 sums cannot tell the difference.
//!
//! The mean of such a latent rounds to 0 or 1, where the textbook slope is infinite. Other programs clamp the mean;
//! then the latent gets no gradient and never comes back. The soft-max form over rows is finite for every
//! pre-activation:
//!
//! ```text
//! dOmega/dz_il = -rho p_il (1 - h_il) + (1 - rho) q_il h_il
//! p_il = h_il / sum_i' h_i'l        q_il = (1 - h_il) / sum_i' (1 - h_i'l)
//! ```
//!
//! computed in f64 from logarithms, in two more visits of the rows, for these latents only.

use rarefy_kernels::naive::{ln_sigmoid, sigmoid};

use super::super::Visit;
use crate::Result;
use crate::params::Params;
use crate::penalty::{kl_from_logs, not_below_zero};

/// Mean below which the terms of an f32 sum come near the smallest normal number (1e-38).
const TINY: f64 = 1e-30;

/// Latents whose mean of h or of 1 - h is too small for the fast form.
pub(super) fn latents(on: &[f64], off: &[f64]) -> Vec<usize> {
    (0..on.len())
        .filter(|&l| on[l] < TINY || off[l] < TINY)
        .collect()
}

/// Adds the penalty's exact gradient of these latents (as sums over rows) and returns their Omega.
pub(super) fn finish(
    rho: f64,
    beta: f64,
    params: &Params,
    latents: &[usize],
    rows: &Visit,
    gradient: &mut Params,
) -> Result<f64> {
    let d_in = params.get("b_dec").len();
    let mut on = vec![LnSum::default(); latents.len()];
    let mut off = on.clone();
    let mut m = 0.0;
    rows(&mut |x| {
        for x in x.chunks_exact(d_in) {
            m += 1.0;
            for (at, &l) in latents.iter().enumerate() {
                let z = pre_activation(params, l, x);
                on[at].add(ln_sigmoid(z));
                off[at].add(ln_sigmoid(-z));
            }
        }
    })?;
    let mut d_w = vec![0.0; latents.len() * d_in];
    let mut d_b = vec![0.0; latents.len()];
    rows(&mut |x| {
        for x in x.chunks_exact(d_in) {
            for (at, &l) in latents.iter().enumerate() {
                let z = pre_activation(params, l, x);
                let p = (ln_sigmoid(z) - on[at].ln()).exp();
                let q = (ln_sigmoid(-z) - off[at].ln()).exp();
                let d = -rho * p * sigmoid(-z) + (1.0 - rho) * q * sigmoid(z);
                d_b[at] += d;
                for (g, x) in d_w[at * d_in..][..d_in].iter_mut().zip(x) {
                    *g += d * f64::from(*x);
                }
            }
        }
    })?;
    // The gradient at this point is a sum over rows, divided by m later; d is already a mean.
    let scale = beta * m;
    for (at, &l) in latents.iter().enumerate() {
        gradient.get_mut("b_enc")[l] += (scale * d_b[at]) as f32;
        let d_w = &d_w[at * d_in..][..d_in];
        for (g, d) in gradient.get_mut("w_enc")[l * d_in..][..d_in]
            .iter_mut()
            .zip(d_w)
        {
            *g += (scale * d) as f32;
        }
    }
    let omega = |(on, off): (&LnSum, &LnSum)| {
        not_below_zero(kl_from_logs(rho, on.ln() - m.ln(), off.ln() - m.ln()))
    };
    Ok(on.iter().zip(&off).map(omega).sum())
}

fn pre_activation(params: &Params, l: usize, x: &[f32]) -> f64 {
    let w = &params.get("w_enc")[l * x.len()..][..x.len()];
    let product: f64 = w
        .iter()
        .zip(x)
        .map(|(w, x)| f64::from(*w) * f64::from(*x))
        .sum();
    f64::from(params.get("b_enc")[l]) + product
}

/// `ln sum exp` of a stream of values, without overflow.
#[derive(Debug, Clone)]
struct LnSum {
    largest: f64,
    sum: f64,
}

impl Default for LnSum {
    fn default() -> Self {
        Self {
            largest: f64::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl LnSum {
    fn add(&mut self, value: f64) {
        if value > self.largest {
            self.sum = self.sum * (self.largest - value).exp() + 1.0;
            self.largest = value;
        } else {
            self.sum += (value - self.largest).exp();
        }
    }

    fn ln(&self) -> f64 {
        self.largest + self.sum.ln()
    }
}
