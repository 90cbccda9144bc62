//! Elementary functions of sixteen values at once, without branches or calls.

use crate::lanes::{Lanes, V};

/// `a b + c`, fused if the path has fused multiply-add.
#[inline(always)]
pub(crate) fn fma<L: Lanes>(a: f32, b: f32, c: f32) -> f32 {
    if L::FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Smallest argument with a normal f32 as its `exp`.
const LOWEST: f32 = -87.3;

/// `exp(x)` for `x <= 0`, within 2 units in the last place down to -87.3; constant below; NaN for NaN.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, a polynomial of degree 6 in `r` (1 + r and the best fit of
/// the rest, relative error 5e-9 with these coefficients), and `2^n` put together from bits. ln 2 is
/// split in two so that `n ln 2` loses nothing.
#[inline(always)]
pub(crate) fn exp_nonpositive<L: Lanes>(x: V<L>) -> V<L> {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let c = V::<L>::splat;
    let x = V(L::at_least(L::splat(LOWEST), x.0));
    let shifted = x.mul_add(c(std::f32::consts::LOG2_E), c(ROUND));
    let n = shifted - c(ROUND);
    let r = n.mul_add(c(-LN2_LOW), n.mul_add(c(-LN2_HIGH), x));
    let p = c(0.001_381_446_7)
        .mul_add(r, c(0.008_368_781))
        .mul_add(r, c(0.041_668_393))
        .mul_add(r, c(0.166_665_2))
        .mul_add(r, c(0.499_999_94))
        .mul_add(r, c(1.0))
        .mul_add(r, c(1.0));
    // The bits of ROUND itself are shifted out; n stays, in the exponent's place.
    p * V(L::power_of_two(shifted.0))
}

/// `ln(1 + e)` for `e` in [0, 1], within 3 units in the last place.
///
/// `2 atanh(s)` with `s = e / (2 + e) <= 1/3`: the odd series to `s^13` leaves a relative
/// error of `9^-7 / 15 = 1.4e-8`, and tiny `e` keep their relative accuracy.
#[inline(always)]
pub(crate) fn ln_1p<L: Lanes>(e: V<L>) -> V<L> {
    let c = V::<L>::splat;
    let s = e / (c(2.0) + e);
    let q = s * s;
    let p = c(1.0 / 13.0)
        .mul_add(q, c(1.0 / 11.0))
        .mul_add(q, c(1.0 / 9.0))
        .mul_add(q, c(1.0 / 7.0))
        .mul_add(q, c(1.0 / 5.0))
        .mul_add(q, c(1.0 / 3.0))
        .mul_add(q, c(1.0));
    (s + s) * p
}

/// Logistic sigmoid of `z` as (sigma(z), sigma(-z)), both with full relative accuracy.
#[inline(always)]
pub(crate) fn sigmoid_pair<L: Lanes>(z: V<L>) -> (V<L>, V<L>) {
    let e = exp_nonpositive(V::splat(0.0) - z.abs());
    let large = (V::splat(1.0) + e).reciprocal();
    let small = e * large;
    (
        z.where_positive(large, small),
        z.where_positive(small, large),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{LANES, Portable};

    // `twins` compares the other paths with f64, kernel by kernel.
    type P = V<Portable>;

    fn ulps(got: f32, want: f64) -> f64 {
        let ulp = f64::from(f32::EPSILON) * 2f64.powi((want.abs().log2().floor()) as i32);
        (f64::from(got) - want).abs() / ulp
    }

    fn worst(
        values: impl Iterator<Item = f32>,
        f: impl Fn(P) -> P,
        exact: impl Fn(f64) -> f64,
    ) -> f64 {
        let values: Vec<f32> = values.collect();
        let error = |some: &[f32]| {
            let got = f(P::load(some, 0, some.len())).to_array();
            let each = some
                .iter()
                .zip(got)
                .map(|(x, got)| ulps(got, exact(f64::from(*x))));
            each.fold(0.0, f64::max)
        };
        values.chunks(LANES).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_units() {
        let error = worst(
            (0..=87_300).map(|i| -(i as f32) / 1000.0),
            exp_nonpositive,
            f64::exp,
        );
        assert!(error <= 2.0, "{error}");
    }

    #[test]
    fn ln_1p_is_within_three_units() {
        let error = worst(
            (1..=100_000).map(|i| (i as f32 / 100_000.0).powi(4)),
            ln_1p,
            f64::ln_1p,
        );
        assert!(error <= 3.0, "{error}");
        assert_eq!(ln_1p(P::splat(0.0)).to_array(), [0.0; LANES]);
    }

    #[test]
    fn sigmoid_and_its_complement_are_accurate_to_4_ulp() {
        let z = [-80.0f32, -20.0, -1.0, 0.0, 0.5, 17.0, 80.0];
        let exact = |z: f64| 1.0 / (1.0 + (-z).exp());
        let h = worst(z.into_iter(), |z| sigmoid_pair(z).0, exact);
        let rest = worst(z.into_iter(), |z| sigmoid_pair(z).1, |z| exact(-z));
        assert!(h <= 4.0 && rest <= 4.0, "{h} {rest}");
    }

    #[test]
    fn sigmoid_of_nan_is_nan() {
        let (h, rest) = sigmoid_pair(P::splat(f32::NAN));
        assert!(h.to_array()[3].is_nan() && rest.to_array()[3].is_nan());
    }
}
