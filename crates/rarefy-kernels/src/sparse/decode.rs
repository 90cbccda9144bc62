//! Reconstruction and residual of one sample from its entries.

use super::rows::{Rows, TOGETHER, fetch_first};
use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

kernel! {
    /// Decodes one sample's entries.
    ///
    /// ```text
    /// x_hat = base + sum_j values_j W_dec[indices_j]
    /// ```
    ///
    /// # Shapes
    /// `x_hat`, `base`: `[d_in]`; `w_dec`: `[d_sae, d_in]`; `indices`, `values`: one for each entry, in
    /// any order; a latent may occur twice. `x_hat` is overwritten.
    /// # Panics
    /// If lengths differ or an index is `d_sae` or more.
    /// # Numerics
    /// f32 sums in the order of the entries.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::decode_row;
    ///
    /// let w_dec = [1.0, 0.0, 0.0, 1.0, 3.0, 4.0]; // three latents, two inputs
    /// let mut x_hat = [0.0; 2];
    /// decode_row(&mut x_hat, &[0.5, 0.25], &w_dec, &[2, 0], &[2.0, 1.0]);
    /// assert_eq!(x_hat, [0.5 + 6.0 + 1.0, 0.25 + 8.0]);
    /// ```
    pub fn decode_row / decode_row_on(
        x_hat: &mut [f32],
        base: &[f32],
        w_dec: &[f32],
        indices: &[u32],
        values: &[f32],
    ) = decode
}

#[inline(always)]
fn decode<L: Lanes>(
    x_hat: &mut [f32],
    base: &[f32],
    w_dec: &[f32],
    indices: &[u32],
    values: &[f32],
) {
    assert_eq!(x_hat.len(), base.len(), "x_hat and base have d_in values");
    fetch_first(w_dec, x_hat.len(), indices);
    x_hat.copy_from_slice(base);
    add_entries::<L>(x_hat, w_dec, indices, values);
}

kernel! {
    /// Residual of one sample; returns its squared norm.
    ///
    /// ```text
    /// r = base + sum_j values_j W_dec[indices_j] - x          returns |r|^2
    /// ```
    ///
    /// # Shapes
    /// `r`, `x`, `base`: `[d_in]`; the rest as for [`decode_row`]. `r` is overwritten.
    /// # Panics
    /// If lengths differ or an index is `d_sae` or more.
    /// # Numerics
    /// f32 sums in the order of the entries. Squares are rounded to f32 and added in f64: the relative
    /// error of the result is at most 1e-7.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::residual_row;
    ///
    /// let w_dec = [1.0, 0.0, 0.0, 1.0, 3.0, 4.0]; // three latents, two inputs
    /// let mut r = [0.0; 2];
    /// let square = residual_row(&mut r, &[3.0, 8.0], &[0.0, 1.0], &w_dec, &[2, 0], &[2.0, 1.0]);
    /// assert_eq!(r, [7.0 - 3.0, 9.0 - 8.0]);
    /// assert_eq!(square, 17.0);
    /// ```
    pub fn residual_row / residual_row_on(
        r: &mut [f32],
        x: &[f32],
        base: &[f32],
        w_dec: &[f32],
        indices: &[u32],
        values: &[f32],
    ) -> f64 = residual
}

#[inline(always)]
fn residual<L: Lanes>(
    r: &mut [f32],
    x: &[f32],
    base: &[f32],
    w_dec: &[f32],
    indices: &[u32],
    values: &[f32],
) -> f64 {
    let d = r.len();
    assert!(
        x.len() == d && base.len() == d,
        "r, x and base have d_in values"
    );
    fetch_first(w_dec, d, indices);
    for ((r, x), base) in r.iter_mut().zip(x).zip(base) {
        *r = base - x;
    }
    add_entries::<L>(r, w_dec, indices, values);
    sum_of_squares::<L>(r)
}

/// Adds the entries' decoder rows: `y += sum_j values_j W_dec[indices_j]`.
#[inline(always)]
pub(super) fn add_entries<L: Lanes>(y: &mut [f32], w_dec: &[f32], indices: &[u32], values: &[f32]) {
    assert_eq!(indices.len(), values.len(), "an entry has index and value");
    let d = y.len();
    let (fours, rest) = values.as_chunks::<TOGETHER>();
    for (four, values) in fours.iter().enumerate() {
        Rows::new(w_dec, d, indices, four * TOGETHER).add_to::<L>(y, *values);
    }
    for (at, value) in (fours.len() * TOGETHER..).zip(rest) {
        Rows::new(w_dec, d, indices, at).add_to::<L>(y, [*value]);
    }
}

/// Squared norm `|r|^2` of a row that is still in the L1 cache.
#[inline(always)]
fn sum_of_squares<L: Lanes>(r: &[f32]) -> f64 {
    let whole = r.len() / LANES * LANES;
    let mut sums = L::zero_sums();
    for at in (0..whole).step_by(LANES) {
        let r = V::<L>::load(r, at, LANES);
        sums = L::add_to_sums(sums, (r * r).0);
    }
    let rest = V::<L>::load(r, whole, r.len() - whole);
    L::sums(L::add_to_sums(sums, (rest * rest).0)).iter().sum()
}
