//! Chance that an association is an accident: p-values of Fisher's test and Student's test, and the false
//! discovery rate over many tests.

use libm::lgamma;

/// Two-sided p-value of a correlation r over n rows, by Student's test with n - 2 degrees of freedom.
///
/// ```text
/// t^2 = r^2 (n - 2) / (1 - r^2)        p = I(nu / (nu + t^2); nu / 2, 1 / 2), nu = n - 2
/// ```
pub(super) fn of_correlation(r: f64, n: f64) -> f64 {
    let freedom = n - 2.0;
    if freedom < 1.0 {
        return 1.0;
    }
    // nu / (nu + t^2) = 1 - r^2
    incomplete_beta((1.0 - r * r).max(0.0), freedom / 2.0, 0.5)
}

/// Regularised incomplete beta function I(x; a, b), by the continued fraction of DLMF 8.17.22.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return f64::from(u8::from(x >= 1.0));
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = lgamma(a + b) - lgamma(a) - lgamma(b) + a * x.ln() + b * (-x).ln_1p();
    front.exp() / (a * continued_fraction(x, a, b))
}

/// Value of `1 + d1 / (1 + d2 / (1 + ...))`, by Lentz's method.
fn continued_fraction(x: f64, a: f64, b: f64) -> f64 {
    const STEPS: usize = 500;
    const SMALL: f64 = 1e-300;
    let away_from_zero = |v: f64| if v.abs() < SMALL { SMALL } else { v };
    let (mut value, mut c, mut d) = (1.0, 1.0, 0.0);
    for step in 1..STEPS {
        let m = (step / 2) as f64;
        let numerator = if step % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / away_from_zero(1.0 + numerator * d);
        c = away_from_zero(1.0 + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// Chi-squared statistic of a table of counts `[[a, b], [c, d]]`, and p-value of Fisher's two-sided test.
///
/// ```text
/// chi^2 = n (a d - b c)^2 / ((a + b) (c + d) (a + c) (b + d))
/// ```
///
/// The p-values of Pearson's test are tens of orders too small where an association is strong, and could not stand beside those of
/// rare latents, which need the exact test.
pub(super) fn of_table([a, b, c, d]: [f64; 4]) -> (f64, f64) {
    let n = a + b + c + d;
    let (rows, columns) = ([a + b, c + d], [a + c, b + d]);
    let product: f64 = rows.iter().chain(&columns).product();
    if product <= 0.0 {
        return (0.0, 1.0);
    }
    let statistic = n * (a * d - b * c).powi(2) / product;
    (statistic, fisher(a, rows, columns))
}

/// Fisher's two-sided p-value: the sum of all tables with the same margins that are no likelier than this one. Their chances
/// fall on both sides of the most likely table, so that each side is summed from its inner end until it adds nothing.
fn fisher(a: f64, rows: [f64; 2], columns: [f64; 2]) -> f64 {
    let choose = |n: f64, k: f64| lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
    let all = choose(rows[0] + rows[1], columns[0]);
    let log_chance = |a: f64| choose(rows[0], a) + choose(rows[1], columns[0] - a) - all;
    let (least, most) = ((columns[0] - rows[1]).max(0.0), rows[0].min(columns[0]));
    let likeliest = ((rows[0] + 1.0) * (columns[0] + 1.0) / (rows[0] + rows[1] + 2.0)).floor();
    let likeliest = likeliest.clamp(least, most);
    // Tables as likely as this one count, whatever the rounding.
    let bound = log_chance(a) + 1e-7;
    if bound >= log_chance(likeliest) {
        return 1.0;
    }
    let below = last(likeliest - least, |step| {
        log_chance(likeliest - step) > bound
    }) + 1.0;
    let above = last(most - likeliest, |step| {
        log_chance(likeliest + step) > bound
    }) + 1.0;
    let lower = sum(likeliest - below, least, -1.0, &log_chance);
    let upper = sum(likeliest + above, most, 1.0, &log_chance);
    (lower + upper).min(1.0)
}

/// Largest whole number up to `most` for which a condition holds that holds at 0 and, once broken, stays so.
fn last(most: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, most + 1.0);
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Sum of falling chances from a number to the end of its side.
fn sum(first: f64, end: f64, step: f64, log_chance: &dyn Fn(f64) -> f64) -> f64 {
    let mut sum = 0.0;
    let mut at = first;
    while (end - at) * step >= 0.0 {
        let chance = log_chance(at).exp();
        sum += chance;
        if chance <= 1e-17 * sum {
            break;
        }
        at += step;
    }
    sum
}

/// False discovery rate of each test if it and all tests of smaller p-values are believed.
///
/// ```text
/// q_(i) = min over j >= i of p_(j) m / j, p-values in rising order
/// ```
///
/// # Source
/// Benjamini and Hochberg 1995.
pub(super) fn false_discovery_rates(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut rates = vec![1.0; p.len()];
    let mut least = 1.0_f64;
    for (place, &test) in order.iter().enumerate().rev() {
        least = least.min(p[test] * p.len() as f64 / (place + 1) as f64);
        rates[test] = least;
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(got: f64, expected: f64) {
        assert!(
            (got - expected).abs() <= 1e-9 * expected.abs(),
            "{got}, expected {expected}"
        );
    }

    /// Values of `scipy` (`tests/latents/make.py`).
    #[test]
    fn p_values_are_those_of_scipy() {
        for (r, n, p) in [
            (0.5, 10.0, 1.411_132_812_500_001e-01),
            (-0.5, 10.0, 1.411_132_812_500_001e-01),
            (0.01, 1000.0, 7.521_238_409_748_311e-01),
            (0.2, 300.0, 4.922_940_868_811_219e-04),
            (0.9, 50.0, 6.207_067_394_041_554e-19),
            (0.3, 5.0, 6.238_376_647_810_73e-1),
            (0.05, 100_000.0, 2.226_191_232_906_432e-56),
        ] {
            near(of_correlation(r, n), p);
        }
        for (table, statistic, p) in [
            (
                [30.0, 20.0, 10.0, 40.0],
                1.666_666_666_666_667e+01,
                8.308_658_706_239_148e-05,
            ),
            (
                [500.0, 300.0, 9000.0, 8000.0],
                2.805_214_666_716_4e1,
                1.113_226_936_303_267e-07,
            ),
            (
                [8.0, 2.0, 1.0, 5.0],
                6.112_169_312_169_312e+00,
                3.496_503_496_503_497e-02,
            ),
            (
                [3.0, 0.0, 2.0, 95.0],
                5.876_288_659_793_815e+01,
                6.184_291_898_577_614e-05,
            ),
            (
                [0.0, 7.0, 30.0, 40.0],
                4.914_893_617_021_277e+00,
                3.860_379_326_528_783e-02,
            ),
            (
                [46.0, 364.0, 14.0, 23_279.0],
                1.987_197_824_521_302e3,
                9.412_447_354_625_868e-70,
            ),
            (
                [1.0, 3.0, 40.0, 400.0],
                1.197_009_127_772_306e+00,
                3.222_213_132_299_062e-01,
            ),
        ] {
            let got = of_table(table);
            near(got.0, statistic);
            near(got.1, p);
        }
        let rates = false_discovery_rates(&[0.01, 0.04, 0.03, 0.005, 0.5]);
        for (got, expected) in rates.iter().zip([0.025, 0.05, 0.05, 0.025, 0.5]) {
            near(*got, expected);
        }
    }

    #[test]
    fn empty_margins_say_nothing() {
        assert_eq!(of_table([0.0, 0.0, 3.0, 4.0]), (0.0, 1.0));
        assert_eq!(of_correlation(0.9, 2.0), 1.0);
        assert_eq!(of_correlation(1.0, 10.0), 0.0);
        assert!(false_discovery_rates(&[]).is_empty());
    }
}
