//! Elementwise part of the dense decoder: bias, output unit, loss and its derivative in one sweep.

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};
use crate::math::{exp_nonpositive, ln_1p, sigmoid_pair};
use crate::strips::{Strip, rest, strips};

/// Output unit together with its reconstruction loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `x_hat = r`, loss `1/2 sum_j (x_hat_j - x_j)^2`.
    LinearSquared,
    /// `x_hat = sigma(r)`, loss `1/2 sum_j (x_hat_j - x_j)^2`.
    SigmoidSquared,
    /// `x_hat = sigma(r)`, loss `sum_j ln(1 + e^r_j) - x_j r_j`.
    SigmoidCrossEntropy,
}

/// Turns the decoder's products into the derivative of the loss by the logits; returns the loss.
///
/// ```text
/// r_ij = r_ij + c_j
/// linear, squared:         loss 1/2 (r - x)^2              d = r - x
/// sigmoid, squared:        loss 1/2 (s - x)^2              d = (s - x) s (1 - s),  s = sigma(r)
/// sigmoid, cross-entropy:  loss ln(1 + e^r) - x r          d = s - x
/// ```
///
/// # Shapes
/// `r`: `[n, d_in]`, overwritten with d; `x`: `[n, d_in]`; `bias`, `sums`: `[d_in]`. The column
/// sums of d are added to `sums`.
/// # Units
/// The loss is summed over inputs and rows; cross-entropy in nats.
/// # Numerics
/// Cross-entropy is computed from the logits, so `ln 0` cannot occur. Losses are summed in f32 over
/// at most 32 values; these partial sums are added in f64.
pub fn output_backward(
    output: Output,
    r: &mut [f32],
    x: &[f32],
    bias: &[f32],
    sums: &mut [f64],
) -> f64 {
    output_backward_on(crate::cpu::path(), output, r, x, bias, sums)
}

pub(crate) fn output_backward_on(
    path: crate::cpu::Path,
    output: Output,
    r: &mut [f32],
    x: &[f32],
    bias: &[f32],
    sums: &mut [f64],
) -> f64 {
    match output {
        Output::LinearSquared => linear_squared_on(path, r, x, bias, sums),
        Output::SigmoidSquared => sigmoid_squared_on(path, r, x, bias, sums),
        Output::SigmoidCrossEntropy => cross_entropy_on(path, r, x, bias, sums),
    }
}

kernel! {
    /// [`output_backward`] for [`Output::LinearSquared`].
    pub fn linear_squared / linear_squared_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = linear
}
kernel! {
    /// [`output_backward`] for [`Output::SigmoidSquared`].
    pub fn sigmoid_squared / sigmoid_squared_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = squared
}
kernel! {
    /// [`output_backward`] for [`Output::SigmoidCrossEntropy`].
    pub fn cross_entropy / cross_entropy_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = entropy
}

/// Loss and derivative of an output unit, for sixteen logits.
trait Unit {
    fn unit<L: Lanes>(r: V<L>, x: V<L>) -> (V<L>, V<L>);
}

struct LinearSquared;
struct SigmoidSquared;
struct SigmoidCrossEntropy;

impl Unit for LinearSquared {
    #[inline(always)]
    fn unit<L: Lanes>(r: V<L>, x: V<L>) -> (V<L>, V<L>) {
        let d = r - x;
        (V::splat(0.5) * d * d, d)
    }
}

impl Unit for SigmoidSquared {
    #[inline(always)]
    fn unit<L: Lanes>(r: V<L>, x: V<L>) -> (V<L>, V<L>) {
        let (s, rest) = sigmoid_pair(r);
        let d = s - x;
        (V::splat(0.5) * d * d, d * (s * rest))
    }
}

impl Unit for SigmoidCrossEntropy {
    #[inline(always)]
    fn unit<L: Lanes>(r: V<L>, x: V<L>) -> (V<L>, V<L>) {
        let zero = V::splat(0.0);
        let e = exp_nonpositive(zero - r.abs());
        let large = (V::splat(1.0) + e).reciprocal();
        let s = r.where_positive(large, e * large);
        // ln(1 + e^r) is r + ln(1 + e^-r) on the side where e^r is large.
        let loss = (zero - x).mul_add(r, r.where_positive(r, zero) + ln_1p(e));
        (loss, s - x)
    }
}

#[inline(always)]
fn linear<L: Lanes>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep::<L, LinearSquared>(r, x, bias, sums)
}

#[inline(always)]
fn squared<L: Lanes>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep::<L, SigmoidSquared>(r, x, bias, sums)
}

#[inline(always)]
fn entropy<L: Lanes>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep::<L, SigmoidCrossEntropy>(r, x, bias, sums)
}

#[inline(always)]
fn sweep<L: Lanes, U: Unit>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    let d_in = bias.len();
    assert!(r.len() == x.len() && r.len().is_multiple_of(d_in) && sums.len() == d_in);
    let n = r.len() / d_in;
    let mut total = 0.0;
    for strip in strips(n, d_in) {
        total += sweep_strip::<L, U>(strip, LANES, r, x, bias, sums);
    }
    for (strip, count) in rest(n, d_in) {
        total += sweep_strip::<L, U>(strip, count, r, x, bias, sums);
    }
    total
}

#[inline(always)]
fn sweep_strip<L: Lanes, U: Unit>(
    strip: Strip,
    count: usize,
    r: &mut [f32],
    x: &[f32],
    bias: &[f32],
    sums: &mut [f64],
) -> f64 {
    let bias = strip.take::<L>(bias);
    let (mut losses, mut sum) = (V::<L>::splat(0.0), L::zero_sums());
    for at in strip.places() {
        let (loss, d) = U::unit(V::load(r, at, count) + bias, V::load(x, at, count));
        losses = losses + loss;
        d.store(r, at, count);
        sum = L::add_to_sums(sum, d.0);
    }
    strip.add::<L>(sum, count, sums);
    let losses = &losses.to_array()[..count];
    losses.iter().map(|&loss| f64::from(loss)).sum()
}

kernel! {
    /// Adds the bias and applies the output unit, which gives the reconstruction.
    ///
    /// # Shapes
    /// `r`: `[n, d_in]`; `bias`: `[d_in]`.
    pub fn output_forward / output_forward_on(sigmoid: bool, r: &mut [f32], bias: &[f32]) = forward
}

#[inline(always)]
fn forward<L: Lanes>(sigmoid: bool, r: &mut [f32], bias: &[f32]) {
    let (n, k) = (r.len() / bias.len(), bias.len());
    for (strip, count) in strips(n, k).map(|strip| (strip, LANES)).chain(rest(n, k)) {
        let bias = strip.take::<L>(bias);
        for at in strip.places() {
            let logits = V::load(r, at, count) + bias;
            let x_hat = if sigmoid {
                sigmoid_pair(logits).0
            } else {
                logits
            };
            x_hat.store(r, at, count);
        }
    }
}
