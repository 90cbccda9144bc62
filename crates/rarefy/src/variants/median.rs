//! The geometric median: the point whose distances to all rows have the smallest sum.

use rayon::prelude::*;

/// Iterations at most.
const ITERATIONS: usize = 100;
/// Step at which the iteration ends, over the distance of the rows. Other libraries stop at a step of 1e-5 for any
/// data: at once, at the mean, for rows of tiny values, and never for huge ones.
const CLOSE: f64 = 1e-7;
/// Rows that one task adds up; fixed, so that the result does not depend on threads.
const ROWS: usize = 1024;

/// Weiszfeld's iteration from the mean on, in f64.
///
/// ```text
/// T(g) = sum_i x_i / |x_i - g|  /  sum_i 1 / |x_i - g|        over the rows that are not g
/// ```
///
/// Activations of language models have a few rows of huge norm, which would pull a mean away. A row equal to the
/// guess has no weight to divide by. Instead it holds the guess back as far as it outweighs the pull of the other
/// rows, so the iteration neither divides by zero nor sticks there. The iteration ends when a step is short
/// compared with the rows' distances (their harmonic mean, which a few huge rows do not change), so the median of
/// scaled rows is the scaled median.
///
/// # Source
/// Vardi and Zhang, *The multivariate L1-median and associated data depth*, PNAS 2000.
///
/// # Panics
/// If there is no row.
pub(super) fn geometric_median(rows: &[f32], d_in: usize) -> Vec<f64> {
    assert!(!rows.is_empty(), "a median needs a row");
    let n = (rows.len() / d_in) as f64;
    let mut guess = sum(rows, d_in, |row, sums| add(sums, row, 1.0)).point;
    guess.iter_mut().for_each(|g| *g /= n);
    for _ in 0..ITERATIONS {
        let (next, away) = step(rows, &guess);
        let change = distance(&next, guess.iter().copied());
        guess = next;
        if change <= CLOSE * away {
            break;
        }
    }
    guess
}

/// Next guess, and the distance of the rows from `guess`: the harmonic mean over rows that differ from the guess.
fn step(rows: &[f32], guess: &[f64]) -> (Vec<f64>, f64) {
    let sums = sum(rows, guess.len(), |row, sums| {
        let away = distance(guess, row.iter().map(|&x| f64::from(x)));
        if away > 0.0 {
            add(sums, row, 1.0 / away);
        } else {
            sums.equal += 1.0;
        }
    });
    if sums.weight == 0.0 {
        return (guess.to_vec(), 0.0);
    }
    let target: Vec<f64> = sums.point.iter().map(|p| p / sums.weight).collect();
    // The pull of the others is sum_i (x_i - g) / |x_i - g|, which is weight (T(g) - g).
    let pull = sums.weight * distance(&target, guess.iter().copied());
    let held = if pull > 0.0 {
        (sums.equal / pull).min(1.0)
    } else {
        1.0
    };
    let between = target.iter().zip(guess);
    let next = between.map(|(t, g)| (1.0 - held) * t + held * g).collect();
    let others = (rows.len() / guess.len()) as f64 - sums.equal;
    (next, others / sums.weight)
}

/// Sum of weighted rows, sum of weights, and number of rows equal to the guess.
struct Sums {
    point: Vec<f64>,
    weight: f64,
    equal: f64,
}

fn add(sums: &mut Sums, row: &[f32], weight: f64) {
    sums.weight += weight;
    let values = sums.point.iter_mut().zip(row);
    values.for_each(|(p, &x)| *p += weight * f64::from(x));
}

/// Adds up all rows in pieces, and the pieces in order.
fn sum(rows: &[f32], d_in: usize, each: impl Fn(&[f32], &mut Sums) + Sync) -> Sums {
    let empty = || Sums {
        point: vec![0.0; d_in],
        weight: 0.0,
        equal: 0.0,
    };
    let pieces: Vec<Sums> = rows
        .par_chunks(ROWS * d_in)
        .map(|piece| {
            let mut sums = empty();
            piece
                .chunks_exact(d_in)
                .for_each(|row| each(row, &mut sums));
            sums
        })
        .collect();
    pieces.iter().fold(empty(), |mut all, piece| {
        let values = all.point.iter_mut().zip(&piece.point);
        values.for_each(|(a, p)| *a += p);
        all.weight += piece.weight;
        all.equal += piece.equal;
        all
    })
}

fn distance(a: &[f64], b: impl Iterator<Item = f64>) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn near(rows: &[f32], expected: [f64; 2]) {
        let got = geometric_median(rows, 2);
        assert!(
            distance(&got, expected.into_iter()) < 1e-3,
            "{got:?} instead of {expected:?}"
        );
    }

    #[test]
    fn median_is_where_the_distances_have_the_smallest_sum() {
        // The Fermat point of an isosceles triangle with a base of 2 and a height of 3 lies
        // 1 / sqrt(3) above the base: from there all sides are seen at 120 degrees.
        near(&[-1.0, 0.0, 1.0, 0.0, 0.0, 3.0], [0.0, 1.0 / 3f64.sqrt()]);
        // Of five on a line it is the middle one, however far the last: the mean would be at 202.
        near(
            &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 1000.0, 0.0],
            [3.0, 0.0],
        );
    }

    #[test]
    fn a_row_equal_to_the_guess_gives_no_nan() {
        // The mean is a row, and the median too.
        near(&[-1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0]);
        // All rows are the mean.
        near(&[2.0, 3.0, 2.0, 3.0], [2.0, 3.0]);
        // The mean is a row, and the median is not: four rows near (1, 1) against one far away,
        // which puts the mean exactly on the row (0, 0).
        let rows = [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -4.0, -4.0];
        near(&rows, [1.0, 1.0]);
    }

    /// Three rows, and a crowd with a few that are far away; tiny, huge and as they are.
    #[test]
    fn the_median_of_scaled_rows_is_the_scaled_median() {
        let crowd: Vec<f32> = (0..500)
            .flat_map(|i| {
                let far = if i % 50 == 0 { 30.0 } else { 1.0 };
                [
                    far * (i as f32 * 0.7).sin(),
                    far * (i as f32 * 1.3).cos() + 2.0,
                ]
            })
            .collect();
        for rows in [vec![-1.0, 0.0, 1.0, 0.0, 0.0, 3.0], crowd] {
            let whole = geometric_median(&rows, 2);
            for scale in [1e-12, 1e-4, 1e4, 1e12] {
                let scaled: Vec<f32> = rows.iter().map(|x| scale * x).collect();
                let got = geometric_median(&scaled, 2);
                let got: Vec<f64> = got.iter().map(|g| g / f64::from(scale)).collect();
                let off = distance(&got, whole.iter().copied());
                assert!(off < 1e-6, "{scale}: {got:?} instead of {whole:?}");
            }
        }
    }

    #[test]
    fn pieces_are_put_together() {
        let rows: Vec<f32> = (0..3000)
            .flat_map(|i| [(i % 3) as f32, ((i * 7) % 11) as f32])
            .collect();
        let all = geometric_median(&rows, 2);
        let cost = |g: &[f64]| -> f64 {
            rows.chunks_exact(2)
                .map(|row| distance(g, row.iter().map(|&x| f64::from(x))))
                .sum()
        };
        for by in [[0.01, 0.0], [-0.01, 0.0], [0.0, 0.01], [0.0, -0.01]] {
            assert!(cost(&all) <= cost(&[all[0] + by[0], all[1] + by[1]]));
        }
    }
}
