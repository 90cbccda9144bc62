//! Gradient of one latent, from the samples in which the latent is active.

use super::decode::add_entries;
use super::rows::{Rows, TOGETHER, fetch_first};
use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

kernel! {
    /// Adds a latent's decoder gradient, and writes `d_values`, the derivatives by its entries' values.
    ///
    /// ```text
    /// for each entry (i = rows_e, z = values_e):
    ///     d_values_e = scale r_i . W_dec[l]
    ///     d_dec     += scale z r_i
    /// ```
    ///
    /// # Shapes
    /// `d_dec`, `w_dec_row`: `[d_out]`; `r` (`x_hat - x`): `[n, d_out]`; `d_values` (overwritten), `rows`,
    /// `values`: one for each entry.
    /// # Panics
    /// If lengths differ or an entry's row is n or more.
    /// # Numerics
    /// f32 sums in the order of the entries; a dot product is sixteen f32 sums, added pairwise.
    /// # Source
    /// Gao et al. 2024, arXiv:2406.04093.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::decoder_gradient;
    ///
    /// let r = [9.0, 9.0, 1.0, -1.0]; // two samples, two outputs
    /// let (mut d_dec, mut d_values) = ([1.0, 1.0], [0.0]);
    /// // Active in sample 1 only, with value 3; decoder row (4, 2): d_value = 0.5 (4 - 2) = 1.
    /// decoder_gradient(&mut d_dec, &mut d_values, &[4.0, 2.0], &r, &[1], &[3.0], 0.5);
    /// assert_eq!(d_values, [1.0]);
    /// assert_eq!(d_dec, [1.0 + 1.5, 1.0 - 1.5]);
    /// ```
    pub fn decoder_gradient / decoder_gradient_on(
        d_dec: &mut [f32],
        d_values: &mut [f32],
        w_dec_row: &[f32],
        r: &[f32],
        rows: &[u32],
        values: &[f32],
        scale: f32,
    ) = decoder
}

#[inline(always)]
fn decoder<L: Lanes>(
    d_dec: &mut [f32],
    d_values: &mut [f32],
    w_dec_row: &[f32],
    r: &[f32],
    rows: &[u32],
    values: &[f32],
    scale: f32,
) {
    let d = w_dec_row.len();
    assert_eq!(d_dec.len(), d, "gradient and direction have d_out values");
    assert!(
        rows.len() == values.len() && d_values.len() == values.len(),
        "an entry has row, value and derivative"
    );
    fetch_first(r, d, rows);
    let mut latent = Latent {
        d_dec,
        w_dec_row,
        scale,
    };
    let (fours, rest) = values.as_chunks::<TOGETHER>();
    let (d_fours, d_rest) = d_values.as_chunks_mut::<TOGETHER>();
    for (four, (values, d_values)) in fours.iter().zip(d_fours).enumerate() {
        *d_values = latent.add::<L, TOGETHER>(Rows::new(r, d, rows, four * TOGETHER), values);
    }
    let singles = rest.iter().zip(d_rest);
    for (at, (value, d_values)) in (fours.len() * TOGETHER..).zip(singles) {
        [*d_values] = latent.add::<L, 1>(Rows::new(r, d, rows, at), &[*value]);
    }
}

/// Decoder row of a latent and the gradient that its entries add to.
struct Latent<'a> {
    d_dec: &'a mut [f32],
    w_dec_row: &'a [f32],
    scale: f32,
}

impl Latent<'_> {
    /// Adds `sum_g scale values_g r_g` to `d_dec` and returns each `scale r_g . W_dec[l]`. Each residual is
    /// read once.
    #[inline(always)]
    fn add<L: Lanes, const G: usize>(&mut self, r: Rows<G>, values: &[f32; G]) -> [f32; G] {
        // Loops, because a closure is not compiled for the kernel's instructions.
        let mut factors = [V::<L>::splat(0.0); G];
        for (factor, value) in factors.iter_mut().zip(values) {
            *factor = V::splat(self.scale * value);
        }
        let mut products = [V::splat(0.0); G];
        let d = self.w_dec_row.len();
        let whole = d / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            self.add_at(&r, factors, &mut products, at, LANES);
        }
        if whole < d {
            self.add_at(&r, factors, &mut products, whole, d - whole);
        }
        let mut vectors = [L::splat(0.0); TOGETHER];
        for (vector, product) in vectors.iter_mut().zip(products) {
            *vector = product.0;
        }
        let mut d_values = [0.0; G];
        for (d_value, sum) in d_values.iter_mut().zip(L::four_sums(vectors)) {
            *d_value = self.scale * sum;
        }
        d_values
    }

    #[inline(always)]
    fn add_at<L: Lanes, const G: usize>(
        &mut self,
        r: &Rows<G>,
        factors: [V<L>; G],
        products: &mut [V<L>; G],
        at: usize,
        count: usize,
    ) {
        let direction = V::load(self.w_dec_row, at, count);
        let mut sum = V::load(self.d_dec, at, count);
        for g in 0..G {
            let r = r.load(g, at, count);
            products[g] = r.mul_add(direction, products[g]);
            sum = factors[g].mul_add(r, sum);
        }
        sum.store(self.d_dec, at, count);
    }
}

kernel! {
    /// Adds weighted rows of a matrix.
    ///
    /// ```text
    /// y += sum_e factors_e M[rows_e]
    /// ```
    ///
    /// With the encoder's inputs as the matrix and a latent's `d_pre` as factors, the result is the
    /// latent's encoder gradient.
    ///
    /// # Shapes
    /// `y`: `[d]`; `matrix`: `[n, d]`; `rows`, `factors`: one for each entry; a row may occur twice.
    /// # Panics
    /// If lengths differ or a row is n or more.
    /// # Numerics
    /// f32 sums in the order of the entries.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::add_rows;
    ///
    /// let mut y = [1.0, 0.0];
    /// add_rows(&mut y, &[1.0, 2.0, 5.0, 7.0], &[1, 0], &[2.0, -1.0]);
    /// assert_eq!(y, [1.0 + 10.0 - 1.0, 14.0 - 2.0]);
    /// ```
    pub fn add_rows / add_rows_on(y: &mut [f32], matrix: &[f32], rows: &[u32], factors: &[f32]) = add
}

#[inline(always)]
fn add<L: Lanes>(y: &mut [f32], matrix: &[f32], rows: &[u32], factors: &[f32]) {
    fetch_first(matrix, y.len(), rows);
    add_entries::<L>(y, matrix, rows, factors);
}
