//! Rare events of normal numbers whose means differ, for many events and few rows at a time.

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};
use crate::math::exp_nonpositive;

/// Rows that are screened together: each coefficient is loaded once for all of them.
pub const ROWS: usize = 4;
/// One more than the largest random number of an event.
pub const RANDOM: i32 = 1 << 16;

/// Events of up to [`ROWS`] rows.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Numbers of the events, `[ROWS, room]`.
    numbers: Vec<u32>,
    counts: [usize; ROWS],
}

impl Events {
    /// Events of a row, in ascending order.
    pub fn of(&self, row: usize) -> &[u32] {
        &self.numbers[row * self.numbers.len() / ROWS..][..self.counts[row]]
    }
}

kernel! {
    /// Finds the events that may happen.
    ///
    /// ```text
    /// P(event e in row i) = Q(t_ie)      t_ie = thresholds_e + sum_r z_ir coefficients_re      Q(t) = 1/2 erfc(t / sqrt(2))
    /// ```
    ///
    /// An event happens if a number, uniform on [0, 1), is below its probability. The number's first 16 bits are `random`; event e
    /// is found in row i if `random_ie / 2^16` is below a bound of the probability, a hundred thousandth larger. So all events that
    /// happen are found, and few others, for which the caller computes the probability exactly.
    ///
    /// # Shapes
    /// `z`: `[ROWS, rank]`; `coefficients`: `[rank, width]`; `thresholds`: `[width]`, infinite for an event that never happens;
    /// `random`: `[ROWS, width]`, in `0..RANDOM`; width a multiple of 16.
    ///
    /// # Panics
    /// If sizes do not fit.
    ///
    /// # Source
    /// The approximation of Q, with an error of 7.5e-8: Abramowitz and Stegun 1964, 26.2.17.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::normal::{Events, RANDOM, ROWS, may_happen};
    /// let mut thresholds = [f32::INFINITY; 16];
    /// (thresholds[3], thresholds[5]) = (1.0, 1.0);
    /// // Event 5 has the probability Q(1 - 2) = 0.84 in a row with z = 2, else Q(1) = 0.16.
    /// let mut coefficients = [0.0; 16];
    /// coefficients[5] = -1.0;
    /// let random = [RANDOM / 2; 16 * ROWS];
    /// let mut found = Events::default();
    /// may_happen(&[0.0, 2.0, 0.0, 0.0], &coefficients, &thresholds, &random, &mut found);
    /// assert_eq!((found.of(0), found.of(1)), (&[][..], &[5][..]));
    /// ```
    pub fn may_happen / may_happen_on(
        z: &[f32],
        coefficients: &[f32],
        thresholds: &[f32],
        random: &[i32],
        found: &mut Events,
    ) = may_happen_body
}

#[inline(always)]
fn may_happen_body<L: Lanes>(
    z: &[f32],
    coefficients: &[f32],
    thresholds: &[f32],
    random: &[i32],
    found: &mut Events,
) {
    let (width, rank) = (thresholds.len(), z.len() / ROWS);
    assert!(
        width.is_multiple_of(LANES)
            && z.len() == rank * ROWS
            && coefficients.len() == rank * width
            && random.len() == ROWS * width,
        "sizes of events differ"
    );
    let room = width + LANES;
    found.numbers.resize(ROWS * room, 0);
    found.counts = [0; ROWS];
    for column in (0..width).step_by(LANES) {
        let mut t = [V::<L>::load(thresholds, column, LANES); ROWS];
        for (r, coefficients) in coefficients.chunks_exact(width).enumerate() {
            let coefficients = V::<L>::load(coefficients, column, LANES);
            for (i, t) in t.iter_mut().enumerate() {
                *t = V::splat(z[i * rank + r]).mul_add(coefficients, *t);
            }
        }
        for (i, t) in t.into_iter().enumerate() {
            let of_row = &random[i * width + column..];
            let random = L::from_i32(of_row.first_chunk().expect("sixteen"));
            let bound = tail_bound(t) * V::splat(RANDOM as f32);
            let mask = L::not_at_most(bound.0, random);
            if mask == 0 {
                continue;
            }
            let count = found.counts[i];
            let numbers = &mut found.numbers[i * room + count..];
            let numbers = numbers.first_chunk_mut().expect("room for sixteen");
            L::numbers(column as u32, mask, numbers);
            found.counts[i] = count + mask.count_ones() as usize;
        }
    }
}

/// Upper bound of `Q(t)`, larger by a hundred thousandth at most, and by 2e-7.
#[inline(always)]
fn tail_bound<L: Lanes>(t: V<L>) -> V<L> {
    let c = V::<L>::splat;
    let size = t.abs();
    let k = c(1.0) / size.mul_add(c(0.231_641_9), c(1.0));
    let sum = c(1.330_274_4)
        .mul_add(k, c(-1.821_255_9))
        .mul_add(k, c(1.781_477_9))
        .mul_add(k, c(-0.356_563_78))
        .mul_add(k, c(0.319_381_53));
    let density = c(0.398_942_3) * exp_nonpositive(size * size * c(-0.5));
    let tail = sum * k * density;
    let tail = t.where_positive(tail, c(1.0) - tail);
    tail.mul_add(c(1.00001), c(2e-7))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;
    use crate::lanes::Portable;

    /// `Q(t)` by its continued fraction beyond 3, by its series else.
    fn tail(t: f64) -> f64 {
        if t < 0.0 {
            return 1.0 - tail(-t);
        }
        let density = (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if t > 3.0 {
            let fraction = (1..200).rev().fold(t, |below, n| t + f64::from(n) / below);
            return density / fraction;
        }
        let (mut term, mut sum) = (t, t);
        for n in 1..200 {
            term *= t * t / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 - density * sum
    }

    #[test]
    fn bound_is_above_the_tail_of_the_normal_distribution_and_near_it() {
        for at in -900..=900 {
            let t = f64::from(at) / 100.0;
            let bound = tail_bound(V::<Portable>::splat(t as f32)).to_array()[0];
            let (bound, exact) = (f64::from(bound), tail(t));
            assert!(bound > exact, "{t}: {bound} for {exact}");
            assert!(bound < exact * 1.00002 + 4e-7, "{t}: {bound} for {exact}");
        }
        let bound = |t: f32| tail_bound(V::<Portable>::splat(t)).to_array()[0];
        assert!(bound(f32::NEG_INFINITY) > 1.0 && bound(f32::INFINITY) < 1e-6);
    }

    #[test]
    fn every_event_that_happens_is_found_on_every_path_and_few_others() {
        let (rank, width) = (5, 48);
        let value = |at: usize| ((at * 7919) % 1000) as f32 / 500.0 - 1.0;
        let z: Vec<f32> = (0..ROWS * rank).map(|at| value(at + 11)).collect();
        let coefficients: Vec<f32> = (0..rank * width).map(|at| 0.4 * value(at)).collect();
        let mut thresholds: Vec<f32> = (0..width).map(|at| 1.5 + value(at + 5)).collect();
        thresholds[17] = f32::INFINITY;
        let p = |i: usize, e: usize| {
            let sum = (0..rank)
                .map(|r| f64::from(z[i * rank + r]) * f64::from(coefficients[r * width + e]));
            tail(f64::from(thresholds[e]) + sum.sum::<f64>())
        };
        let mut others = 0;
        for round in 0..200 {
            let random: Vec<i32> = (0..ROWS * width)
                .map(|at| ((at * 104_729 + round * 7_368_787) % RANDOM as usize) as i32)
                .collect();
            for &path in Path::available() {
                let mut found = Events::default();
                may_happen_on(path, &z, &coefficients, &thresholds, &random, &mut found);
                for i in 0..ROWS {
                    assert!(found.of(i).is_sorted());
                    for e in 0..width {
                        let happens =
                            f64::from(random[i * width + e]) < p(i, e) * f64::from(RANDOM);
                        let is_found = found.of(i).contains(&(e as u32));
                        assert!(is_found || !happens, "{path:?} row {i} event {e}");
                        others += usize::from(is_found && !happens);
                    }
                }
            }
        }
        assert!(others < 10, "{others}");
    }
}
