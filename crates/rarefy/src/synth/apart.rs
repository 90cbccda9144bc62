//! Directions turned away from each other, as far as more directions than dimensions can be.
//!
//! ```text
//! L = sum_i ( sum_{j != i} (d_i . d_j)^2 + n (|d_i|^2 - 1)^2 )        dL/dd_i = 4 (D^T D d_i - |d_i|^2 d_i) + 4 n (|d_i|^2 - 1) d_i
//! ```
//!
//! The product of all pairs of n directions in d dimensions is never formed: `D^T D` is `[d, d]`, so a step costs `4 n d^2` operations
//! instead of `4 n^2 d`. Steps are those of Adam; directions are scaled to length 1 at the end.
//!
//! Source: `orthogonalize_embeddings` of SAELens 6.54.

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

/// Rows of one task; fixed, because the rounding of products depends on the number.
const ROWS: usize = 512;
/// Decay rates of the moments of Adam, and the number that keeps its divisor from 0.
const ADAM: [f32; 3] = [0.9, 0.999, 1e-8];

/// Takes `steps` steps at the learning rate `rate` on unit vectors `[n, d]`.
pub(super) fn turn(directions: &mut [f32], d: usize, steps: usize, rate: f64) {
    let mut moments = vec![0.0f32; 2 * directions.len()];
    let (first, second) = moments.split_at_mut(directions.len());
    for step in 1..=steps {
        let products = products(directions, d);
        let n = (directions.len() / d) as f32;
        let [beta1, beta2, least] = ADAM;
        let unbiased = (1.0 - beta2.powi(step as i32)).sqrt();
        let rate = rate as f32 / (1.0 - beta1.powi(step as i32));
        directions
            .par_chunks_mut(ROWS * d)
            .zip(first.par_chunks_mut(ROWS * d))
            .zip(second.par_chunks_mut(ROWS * d))
            .for_each(|((rows, m), v)| {
                let mut gradient = vec![0.0; rows.len()];
                let count = rows.len() / d;
                matmul(
                    &mut gradient,
                    false,
                    (rows, Op::N),
                    (&products, Op::N),
                    [count, d, d],
                );
                for (at, row) in rows.chunks_exact_mut(d).enumerate() {
                    let square = dot(row, row) as f32;
                    let along = n * (square - 1.0) - square;
                    for (j, x) in row.iter_mut().enumerate() {
                        let at = at * d + j;
                        let g = 4.0 * (gradient[at] + along * *x);
                        m[at] = beta1 * m[at] + (1.0 - beta1) * g;
                        v[at] = beta2 * v[at] + (1.0 - beta2) * g * g;
                        *x -= rate * m[at] / (v[at].sqrt() / unbiased + least);
                    }
                }
            });
    }
    for row in directions.chunks_exact_mut(d) {
        let length = dot(row, row).sqrt() as f32;
        row.iter_mut().for_each(|x| *x /= length);
    }
}

/// `D^T D`, `[d, d]`: sums over the rows of each task, added in order.
fn products(directions: &[f32], d: usize) -> Vec<f32> {
    let of_rows = |rows: &[f32]| {
        let mut products = vec![0.0; d * d];
        let count = rows.len() / d;
        matmul(
            &mut products,
            false,
            (rows, Op::T),
            (rows, Op::N),
            [d, d, count],
        );
        products
    };
    let parts: Vec<Vec<f32>> = directions.par_chunks(ROWS * d).map(of_rows).collect();
    let mut sum = vec![0.0; d * d];
    for part in parts {
        sum.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss by all pairs, in `f64`.
    fn loss(directions: &[f64], d: usize) -> f64 {
        let rows: Vec<&[f64]> = directions.chunks_exact(d).collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut sum = 0.0;
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate() {
                sum += if i == j {
                    rows.len() as f64 * (product(a, a) - 1.0).powi(2)
                } else {
                    product(a, b).powi(2)
                };
            }
        }
        sum
    }

    /// The first step of Adam moves each number by the learning rate against the sign of its derivative, found here by central
    /// differences of all pairs.
    #[test]
    fn first_step_goes_against_the_derivative_of_the_loss_of_all_pairs() {
        let (d, n) = (3, 5);
        let mut directions: Vec<f32> = (0..n * d)
            .map(|at| ((at * 7919) % 13) as f32 - 6.0)
            .collect();
        for row in directions.chunks_exact_mut(d) {
            let length = dot(row, row).sqrt() as f32;
            row.iter_mut().for_each(|x| *x /= length);
        }
        let wide: Vec<f64> = directions.iter().map(|x| f64::from(*x)).collect();
        let slope = |at: usize| {
            let moved = |by: f64| {
                let mut moved = wide.clone();
                moved[at] += by;
                loss(&moved, d)
            };
            (moved(1e-5) - moved(-1e-5)) / 2e-5
        };
        let mut expected = wide.clone();
        (0..n * d).for_each(|at| expected[at] -= 1e-3 * slope(at).signum());
        for row in expected.chunks_exact_mut(d) {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
        turn(&mut directions, d, 1, 1e-3);
        for (at, (got, expected)) in directions.iter().zip(&expected).enumerate() {
            assert!(
                (f64::from(*got) - expected).abs() < 1e-6,
                "{at}: {got} for {expected}"
            );
        }
        turn(&mut directions, d, 200, 1e-2);
        let turned: Vec<f64> = directions.iter().map(|x| f64::from(*x)).collect();
        // Five unit vectors in three dimensions: the least sum of squares over pairs is 25 / 3 - 5.
        assert!(loss(&turned, d) < 0.5 * loss(&wide, d));
        assert!(
            loss(&turned, d) < 25.0 / 3.0 - 5.0 + 0.01,
            "{}",
            loss(&turned, d)
        );
    }
}
