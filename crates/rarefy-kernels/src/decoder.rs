//! The decoder's elementwise half: bias, output unit, loss and its derivative in one sweep.

use crate::cpu::kernel;
use crate::math::{exp_nonpositive, fma, ln_1p};

/// Output unit and loss together: what a row of logits becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// `x_hat = r`, loss `1/2 sum_j (x_hat_j - x_j)^2`.
    LinearSquared,
    /// `x_hat = sigma(r)`, loss `1/2 sum_j (x_hat_j - x_j)^2`.
    SigmoidSquared,
    /// `x_hat = sigma(r)`, loss `sum_j ln(1 + e^r_j) - x_j r_j`.
    SigmoidCrossEntropy,
}

/// Turns products into the derivative of the loss by the logits; returns the loss.
///
/// ```text
/// r_ij = r_ij + c_j
/// linear, squared:         loss 1/2 (r - x)^2              d = r - x
/// sigmoid, squared:        loss 1/2 (s - x)^2              d = (s - x) s (1 - s),  s = sigma(r)
/// sigmoid, cross-entropy:  loss ln(1 + e^r) - x r          d = s - x
/// ```
///
/// # Shapes
/// `r`: `[n, d_in]`, becomes d; `x`: `[n, d_in]`; `bias`, `sums`: `[d_in]`; `sums` gains the
/// column sums of d.
/// # Units
/// The loss is summed over inputs and rows; cross-entropy in nats.
/// # Numerics
/// Cross-entropy never sees `ln 0`: it is computed from logits. A row's loss is summed in f32
/// over 16 lanes, rows in f64.
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
    /// See [`output_backward`].
    pub fn linear_squared / linear_squared_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = linear
}
kernel! {
    /// See [`output_backward`].
    pub fn sigmoid_squared / sigmoid_squared_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = squared
}
kernel! {
    /// See [`output_backward`].
    pub fn cross_entropy / cross_entropy_on(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 = entropy
}

#[inline(always)]
fn linear<const FMA: bool>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep(r, x, bias, sums, |r, x| {
        let d = r - x;
        (0.5 * d * d, d)
    })
}

#[inline(always)]
fn squared<const FMA: bool>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep(r, x, bias, sums, |r, x| {
        let e = exp_nonpositive::<FMA>(-r.abs());
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let d = if r >= 0.0 { large } else { small } - x;
        (0.5 * d * d, d * (large * small))
    })
}

#[inline(always)]
fn entropy<const FMA: bool>(r: &mut [f32], x: &[f32], bias: &[f32], sums: &mut [f64]) -> f64 {
    sweep(r, x, bias, sums, |r, x| {
        let e = exp_nonpositive::<FMA>(-r.abs());
        let large = 1.0 / (1.0 + e);
        let s = if r >= 0.0 { large } else { e * large };
        let loss = fma::<FMA>(-x, r, r.max(0.0) + ln_1p::<FMA>(e));
        (loss, s - x)
    })
}

/// Lanes of the loss sum: one AVX-512 register; the compiler splits it for narrower ones.
const LANES: usize = 16;

#[inline(always)]
fn sweep(
    r: &mut [f32],
    x: &[f32],
    bias: &[f32],
    sums: &mut [f64],
    unit: impl Fn(f32, f32) -> (f32, f32),
) -> f64 {
    let d_in = bias.len();
    assert!(r.len() == x.len() && r.len().is_multiple_of(d_in) && sums.len() == d_in);
    let whole = d_in - d_in % LANES;
    let mut total = 0.0;
    for (r, x) in r.chunks_exact_mut(d_in).zip(x.chunks_exact(d_in)) {
        let mut lanes = [0.0f32; LANES];
        for start in (0..whole).step_by(LANES) {
            let r = &mut r[start..start + LANES];
            let x = &x[start..start + LANES];
            let bias = &bias[start..start + LANES];
            let sums = &mut sums[start..start + LANES];
            for j in 0..LANES {
                let (loss, d) = unit(r[j] + bias[j], x[j]);
                lanes[j] += loss;
                r[j] = d;
                sums[j] += f64::from(d);
            }
        }
        for j in whole..d_in {
            let (loss, d) = unit(r[j] + bias[j], x[j]);
            lanes[j - whole] += loss;
            r[j] = d;
            sums[j] += f64::from(d);
        }
        total += lanes.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    total
}

kernel! {
    /// Adds the bias and applies the output unit: logits become the reconstruction.
    ///
    /// # Shapes
    /// `r`: `[n, d_in]`; `bias`: `[d_in]`.
    pub fn output_forward / output_forward_on(sigmoid: bool, r: &mut [f32], bias: &[f32]) = forward
}

#[inline(always)]
fn forward<const FMA: bool>(sigmoid: bool, r: &mut [f32], bias: &[f32]) {
    for r in r.chunks_exact_mut(bias.len()) {
        if sigmoid {
            for (r, b) in r.iter_mut().zip(bias) {
                *r = crate::math::sigmoid_pair::<FMA>(*r + b).0;
            }
        } else {
            for (r, b) in r.iter_mut().zip(bias) {
                *r += b;
            }
        }
    }
}
