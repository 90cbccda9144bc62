//! Elementwise parts of the sigmoid encoder: bias, sigmoid and column sums in one sweep.

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};
use crate::math::sigmoid_pair;
use crate::strips::{Strip, rest, strips};

kernel! {
    /// Turns products `W_enc x` into sigmoid latents and sums each latent over the rows.
    ///
    /// ```text
    /// z_il      = z_il + b_l
    /// h_il      = 1 / (1 + exp(-z_il))
    /// slope_il  = h_il (1 - h_il)
    /// sum_on_l  += sum_i h_il          sum_off_l += sum_i (1 - h_il)
    /// ```
    ///
    /// # Shapes
    /// `z`, `slopes`: `[n, d_sae]`; `z` is overwritten with h; `bias`, `sum_on`, `sum_off`: `[d_sae]`.
    /// # Numerics
    /// `1 - h` is computed as `sigma(-z)`, never as a difference, so `slopes` and `sum_off` keep
    /// full relative accuracy where h rounds to 1. The sums are f64. Beyond `|z| = 87.3` the
    /// smaller of h and `1 - h` is constant (1e-38).
    pub fn sigmoid_latents / sigmoid_latents_on(
        z: &mut [f32],
        slopes: &mut [f32],
        bias: &[f32],
        sum_on: &mut [f64],
        sum_off: &mut [f64],
    ) = latents
}

#[inline(always)]
fn latents<L: Lanes>(
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
    let n = z.len() / k;
    for strip in strips(n, k) {
        latents_strip::<L>(strip, LANES, z, slopes, bias, sum_on, sum_off);
    }
    for (strip, count) in rest(n, k) {
        latents_strip::<L>(strip, count, z, slopes, bias, sum_on, sum_off);
    }
}

#[inline(always)]
fn latents_strip<L: Lanes>(
    strip: Strip,
    count: usize,
    z: &mut [f32],
    slopes: &mut [f32],
    bias: &[f32],
    sum_on: &mut [f64],
    sum_off: &mut [f64],
) {
    let bias = strip.take::<L>(bias);
    let (mut on, mut off) = (L::zero_sums(), L::zero_sums());
    for at in strip.places() {
        let (h, rest) = sigmoid_pair(V::load(z, at, count) + bias);
        h.store(z, at, count);
        (h * rest).store(slopes, at, count);
        on = L::add_to_sums(on, h.0);
        off = L::add_to_sums(off, rest.0);
    }
    strip.add::<L>(on, count, sum_on);
    strip.add::<L>(off, count, sum_off);
}

kernel! {
    /// Turns `d_latents` into `d_pre` and adds its column sums.
    ///
    /// ```text
    /// d_il   = (d_il + push_l) slope_il
    /// sum_l += sum_i d_il
    /// ```
    ///
    /// `push` is the penalty's derivative by a latent's value, equal for all samples (`beta s_l`). Pass
    /// zeros if the penalty is added later.
    ///
    /// # Shapes
    /// `d`, `slopes`: `[n, d_sae]`, `d` is overwritten; `push`, `sums`: `[d_sae]`.
    pub fn sigmoid_backward / sigmoid_backward_on(
        d: &mut [f32],
        slopes: &[f32],
        push: &[f32],
        sums: &mut [f64],
    ) = backward
}

#[inline(always)]
fn backward<L: Lanes>(d: &mut [f32], slopes: &[f32], push: &[f32], sums: &mut [f64]) {
    let k = push.len();
    assert!(d.len() == slopes.len() && d.len().is_multiple_of(k) && sums.len() == k);
    let n = d.len() / k;
    for strip in strips(n, k) {
        backward_strip::<L>(strip, LANES, d, slopes, push, sums);
    }
    for (strip, count) in rest(n, k) {
        backward_strip::<L>(strip, count, d, slopes, push, sums);
    }
}

#[inline(always)]
fn backward_strip<L: Lanes>(
    strip: Strip,
    count: usize,
    d: &mut [f32],
    slopes: &[f32],
    push: &[f32],
    sums: &mut [f64],
) {
    let push = strip.take::<L>(push);
    let mut sum = L::zero_sums();
    for at in strip.places() {
        let value = (V::load(d, at, count) + push) * V::load(slopes, at, count);
        value.store(d, at, count);
        sum = L::add_to_sums(sum, value.0);
    }
    strip.add::<L>(sum, count, sums);
}

kernel! {
    /// Adds the column sums of `values` (`[n, sums.len()]`) to `sums`.
    pub fn column_sums / column_sums_on(values: &[f32], sums: &mut [f64]) = sum_columns
}

#[inline(always)]
fn sum_columns<L: Lanes>(values: &[f32], sums: &mut [f64]) {
    let k = sums.len();
    let n = values.len() / k;
    for (strip, count) in strips(n, k).map(|strip| (strip, LANES)).chain(rest(n, k)) {
        let mut sum = L::zero_sums();
        for at in strip.places() {
            sum = L::add_to_sums(sum, V::<L>::load(values, at, count).0);
        }
        strip.add::<L>(sum, count, sums);
    }
}
