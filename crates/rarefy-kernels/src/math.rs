//! Elementary functions that the compiler can vectorise: no branches, no calls.

/// `a * b + c`, fused where the instructions have it.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Below this, `exp` is no longer a normal f32.
const LOWEST: f32 = -87.3;

/// `exp(x)` for `x <= 0`, within 2 units in the last place down to -87.3; constant below.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, a Taylor polynomial of degree 7 in `r` (truncation
/// `0.35^8 / 8! = 5e-9`), and `2^n` put together from bits. ln 2 is split in two so that
/// `n ln 2` loses nothing.
#[inline(always)]
pub(crate) fn exp_nonpositive<const FMA: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(LOWEST);
    let n = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = fma::<FMA>(n, -LN2_LOW, fma::<FMA>(n, -LN2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    p = fma::<FMA>(p, r, 1.0 / 720.0);
    p = fma::<FMA>(p, r, 1.0 / 120.0);
    p = fma::<FMA>(p, r, 1.0 / 24.0);
    p = fma::<FMA>(p, r, 1.0 / 6.0);
    p = fma::<FMA>(p, r, 0.5);
    p = fma::<FMA>(p, r, 1.0);
    p = fma::<FMA>(p, r, 1.0);
    // SAFETY: n is a whole number in [-126, 0]; unlike `as`, this has no range check to vectorise.
    let n = unsafe { n.to_int_unchecked::<i32>() };
    #[expect(clippy::cast_sign_loss, reason = "n + 127 is in [1, 127]")]
    let scale = f32::from_bits(((n + 127) as u32) << 23);
    p * scale
}

/// `ln(1 + e)` for `e` in [0, 1], within 3 units in the last place.
///
/// `2 atanh(s)` with `s = e / (2 + e) <= 1/3`: the odd series to `s^13` leaves a relative
/// error of `9^-7 / 15 = 1.4e-8`, and tiny `e` keep their relative accuracy.
#[inline(always)]
pub(crate) fn ln_1p<const FMA: bool>(e: f32) -> f32 {
    let s = e / (2.0 + e);
    let q = s * s;
    let mut p = 1.0 / 13.0;
    p = fma::<FMA>(p, q, 1.0 / 11.0);
    p = fma::<FMA>(p, q, 1.0 / 9.0);
    p = fma::<FMA>(p, q, 1.0 / 7.0);
    p = fma::<FMA>(p, q, 1.0 / 5.0);
    p = fma::<FMA>(p, q, 1.0 / 3.0);
    p = fma::<FMA>(p, q, 1.0);
    2.0 * s * p
}

/// Logistic sigmoid of `z` as (sigma(z), sigma(-z)), both with full relative accuracy.
#[inline(always)]
pub(crate) fn sigmoid_pair<const FMA: bool>(z: f32) -> (f32, f32) {
    let e = exp_nonpositive::<FMA>(-z.abs());
    let large = 1.0 / (1.0 + e);
    let small = e * large;
    if z >= 0.0 {
        (large, small)
    } else {
        (small, large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(got: f32, want: f64) -> f64 {
        let ulp = f64::from(f32::EPSILON) * 2f64.powi((want.abs().log2().floor()) as i32);
        (f64::from(got) - want).abs() / ulp
    }

    #[test]
    fn exp_is_within_two_units() {
        for i in 0..=87_300 {
            let x = -(i as f32) / 1000.0;
            assert!(
                ulps(exp_nonpositive::<true>(x), f64::from(x).exp()) <= 2.0,
                "fma {x}"
            );
            assert!(
                ulps(exp_nonpositive::<false>(x), f64::from(x).exp()) <= 2.0,
                "plain {x}"
            );
        }
    }

    #[test]
    fn ln_1p_is_within_three_units() {
        for i in 1..=100_000 {
            let e = (i as f32 / 100_000.0).powi(4);
            assert!(ulps(ln_1p::<true>(e), f64::from(e).ln_1p()) <= 3.0, "{e}");
        }
        assert_eq!(ln_1p::<true>(0.0), 0.0);
    }

    #[test]
    fn both_sides_of_the_sigmoid_keep_their_accuracy() {
        for z in [-80.0f32, -20.0, -1.0, 0.0, 0.5, 17.0, 80.0] {
            let (h, rest) = sigmoid_pair::<true>(z);
            let exact = |z: f64| 1.0 / (1.0 + (-z).exp());
            assert!(
                ulps(h, exact(z.into())) <= 4.0 && ulps(rest, exact((-z).into())) <= 4.0,
                "{z}"
            );
        }
    }
}
