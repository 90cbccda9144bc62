//! The sigmoid encoder's elementwise halves: bias, sigmoid and column sums in one sweep.

use crate::cpu::kernel;
use crate::math::sigmoid_pair;

kernel! {
    /// Turns products into sigmoid latents and adds up each latent's activity.
    ///
    /// ```text
    /// z_il      = z_il + b_l
    /// h_il      = 1 / (1 + exp(-z_il))
    /// slope_il  = h_il (1 - h_il)
    /// sum_on_l  += sum_i h_il          sum_off_l += sum_i (1 - h_il)
    /// ```
    ///
    /// # Shapes
    /// `z`, `slopes`: `[n, d_sae]`, `z` becomes h; `bias`, `sum_on`, `sum_off`: `[d_sae]`.
    /// # Numerics
    /// `1 - h` is computed as `sigma(-z)`, never as a difference, so `slopes` and `sum_off` keep
    /// full relative accuracy where h rounds to 1. The sums are f64. Beyond `|z| = 87.3` the
    /// small side stays at its value there (1e-38).
    pub fn sigmoid_latents / sigmoid_latents_on(
        z: &mut [f32],
        slopes: &mut [f32],
        bias: &[f32],
        sum_on: &mut [f64],
        sum_off: &mut [f64],
    ) = latents
}

#[inline(always)]
fn latents<const FMA: bool>(
    z: &mut [f32],
    slopes: &mut [f32],
    bias: &[f32],
    sum_on: &mut [f64],
    sum_off: &mut [f64],
) {
    let k = bias.len();
    assert!(
        z.len() == slopes.len()
            && z.len().is_multiple_of(k)
            && sum_on.len() == k
            && sum_off.len() == k
    );
    for (z, slopes) in z.chunks_exact_mut(k).zip(slopes.chunks_exact_mut(k)) {
        for l in 0..k {
            let (h, rest) = sigmoid_pair::<FMA>(z[l] + bias[l]);
            z[l] = h;
            slopes[l] = h * rest;
            sum_on[l] += f64::from(h);
            sum_off[l] += f64::from(rest);
        }
    }
}

kernel! {
    /// Derivative by the pre-activations from the derivative by the latents, with column sums.
    ///
    /// ```text
    /// d_il   = (d_il + push_l) slope_il
    /// sum_l += sum_i d_il
    /// ```
    ///
    /// `push` is what the penalty adds to every sample of a latent (`beta s_l`); zeros if the
    /// penalty is added later.
    ///
    /// # Shapes
    /// `d`, `slopes`: `[n, d_sae]`; `push`, `sums`: `[d_sae]`.
    pub fn sigmoid_backward / sigmoid_backward_on(
        d: &mut [f32],
        slopes: &[f32],
        push: &[f32],
        sums: &mut [f64],
    ) = backward
}

#[inline(always)]
fn backward<const FMA: bool>(d: &mut [f32], slopes: &[f32], push: &[f32], sums: &mut [f64]) {
    let k = push.len();
    assert!(d.len() == slopes.len() && d.len().is_multiple_of(k) && sums.len() == k);
    for (d, slopes) in d.chunks_exact_mut(k).zip(slopes.chunks_exact(k)) {
        for l in 0..k {
            let value = (d[l] + push[l]) * slopes[l];
            d[l] = value;
            sums[l] += f64::from(value);
        }
    }
}

kernel! {
    /// Adds the column sums of `values` (`[n, sums.len()]`) to `sums`.
    pub fn column_sums / column_sums_on(values: &[f32], sums: &mut [f64]) = sum_columns
}

#[inline(always)]
fn sum_columns<const FMA: bool>(values: &[f32], sums: &mut [f64]) {
    let k = sums.len();
    for row in values.chunks_exact(k) {
        for l in 0..k {
            sums[l] += f64::from(row[l]);
        }
    }
}
