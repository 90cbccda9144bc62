//! The backward half: one latent's share of the gradient from the samples that it is active in.

use super::rows::{Rows, TOGETHER, fetch_first};
use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

kernel! {
    /// Adds one latent's gradient over its entries; returns its bias's.
    ///
    /// ```text
    /// for each entry (i = rows_e, z = values_e):
    ///     dp     = scale r_i . W_dec[l]
    ///     d_dec += scale z r_i
    ///     d_enc += dp x_i                      returns sum_e dp
    /// ```
    ///
    /// # Shapes
    /// `d_enc`, `d_dec`, `w_dec_row`: `[d_in]`; `x` (less what the encoder subtracts) and `r`
    /// (reconstruction less sample): `[n, d_in]`; `rows`, `values`: one for each entry.
    /// # Panics
    /// If lengths differ or an entry's row is n or more.
    /// # Numerics
    /// f32 sums in the order of the entries; a scalar product is sixteen f32 sums, added up in f64; the
    /// sum of dp is f64.
    /// # Source
    /// Gao et al. 2024, arXiv:2406.04093.
    /// # Example
    /// ```
    /// use rarefy_kernels::sparse::latent_gradient;
    ///
    /// let (x, r) = ([1.0, 2.0, 5.0, 7.0], [9.0, 9.0, 1.0, -1.0]); // two samples, two inputs
    /// let (mut d_enc, mut d_dec) = ([0.0; 2], [1.0, 1.0]);
    /// // Active in sample 1 only, at 3; its direction is (4, 2): dp = 0.5 (4 - 2) = 1.
    /// let sum = latent_gradient(&mut d_enc, &mut d_dec, &[4.0, 2.0], &x, &r, &[1], &[3.0], 0.5);
    /// assert_eq!(sum, 1.0);
    /// assert_eq!(d_enc, [5.0, 7.0]);
    /// assert_eq!(d_dec, [1.0 + 1.5, 1.0 - 1.5]);
    /// ```
    pub fn latent_gradient / latent_gradient_on(
        d_enc: &mut [f32],
        d_dec: &mut [f32],
        w_dec_row: &[f32],
        x: &[f32],
        r: &[f32],
        rows: &[u32],
        values: &[f32],
        scale: f32,
    ) -> f64 = gradient
}

#[allow(clippy::too_many_arguments, reason = "as the kernel")]
#[inline(always)]
fn gradient<L: Lanes>(
    d_enc: &mut [f32],
    d_dec: &mut [f32],
    w_dec_row: &[f32],
    x: &[f32],
    r: &[f32],
    rows: &[u32],
    values: &[f32],
    scale: f32,
) -> f64 {
    let d = w_dec_row.len();
    assert!(
        d_enc.len() == d && d_dec.len() == d,
        "gradients and direction have d_in values"
    );
    assert_eq!(rows.len(), values.len(), "an entry has row and value");
    fetch_first(r, d, rows);
    fetch_first(x, d, rows);
    let mut latent = Latent {
        d_enc,
        d_dec,
        w_dec_row,
        scale,
        sum: 0.0,
    };
    let (fours, rest) = values.as_chunks::<TOGETHER>();
    for (four, values) in fours.iter().enumerate() {
        let at = four * TOGETHER;
        latent.add::<L, TOGETHER>(Rows::new(r, d, rows, at), Rows::new(x, d, rows, at), values);
    }
    for (at, value) in (fours.len() * TOGETHER..).zip(rest) {
        latent.add::<L, 1>(
            Rows::new(r, d, rows, at),
            Rows::new(x, d, rows, at),
            &[*value],
        );
    }
    latent.sum
}

/// A latent's direction and what its entries add up to.
struct Latent<'a> {
    d_enc: &'a mut [f32],
    d_dec: &'a mut [f32],
    w_dec_row: &'a [f32],
    scale: f32,
    /// Of dp.
    sum: f64,
}

impl Latent<'_> {
    /// Adds some entries: one walk over the residuals, which gives dp, and one over the inputs.
    #[inline(always)]
    fn add<L: Lanes, const G: usize>(&mut self, r: Rows<G>, x: Rows<G>, values: &[f32; G]) {
        let mut dp = [0.0; G];
        let products = self.residuals::<L, G>(r, values);
        for (dp, product) in dp.iter_mut().zip(products) {
            let wide = f64::from(self.scale) * product;
            self.sum += wide;
            *dp = wide as f32;
        }
        x.add_to::<L>(self.d_enc, dp);
    }

    /// `d_dec += sum_g scale values_g r_g`; returns each `r_g . W_dec[l]`. A residual is read once.
    #[inline(always)]
    fn residuals<L: Lanes, const G: usize>(&mut self, r: Rows<G>, values: &[f32; G]) -> [f64; G] {
        let factors = values.map(|value| V::<L>::splat(self.scale * value));
        let mut products = [V::splat(0.0); G];
        let d = self.w_dec_row.len();
        let whole = d / LANES * LANES;
        for at in (0..whole).step_by(LANES) {
            self.residuals_at(&r, factors, &mut products, at, LANES);
        }
        if whole < d {
            self.residuals_at(&r, factors, &mut products, whole, d - whole);
        }
        let mut sums = [0.0; G];
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum = product.to_array().into_iter().map(f64::from).sum();
        }
        sums
    }

    #[inline(always)]
    fn residuals_at<L: Lanes, const G: usize>(
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
