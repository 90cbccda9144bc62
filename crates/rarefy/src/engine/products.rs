//! Products of the encoder's rows with each other, by which a pursuit follows the residual of a row.
//!
//! A pursuit takes the latent with the largest product `w_j . r`, and the residual loses `v w_j`. All products then change by
//! `-v w_i . w_j`, one row of this matrix, instead of a new product with all latents (batch OMP, Rubinstein, Zibulevsky and Elad 2008,
//! for a pursuit without orthogonal steps). The products so kept are not exact: they only say which latents can have the largest
//! exact one.

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

/// Largest size of the matrix in bytes: 1 GiB, 16,384 latents.
const MOST_BYTES: usize = 1 << 30;
/// Searches of one row for each latent from which on the matrix saves time: it costs half a product of each two latents, and a search
/// by bytes about a third of one product with each latent.
const WORTH: usize = 2;
/// Rows of one task; fixed, because the rounding of products depends on the number.
const ROWS: usize = 256;

/// Products of the encoder's rows with each other.
#[derive(Debug)]
pub(crate) struct RowProducts {
    /// `w_i . w_j`, `[d_sae, d_sae]`.
    values: Vec<f32>,
    d_sae: usize,
    /// Length of the longest row.
    pub(crate) longest: f64,
}

impl RowProducts {
    /// True if `searches` searches of a row are worth the products of `d_sae` latents, and memory allows them.
    pub(super) fn is_worth_it(d_sae: usize, searches: usize) -> bool {
        let values = d_sae.saturating_mul(d_sae);
        values <= MOST_BYTES / size_of::<f32>() && searches >= WORTH * d_sae
    }

    pub(super) fn new(w_enc: &[f32], d_sae: usize) -> Self {
        let d_in = w_enc.len() / d_sae;
        let mut values = vec![0.0; d_sae * d_sae];
        // The matrix is symmetric: each task fills its rows from the diagonal on.
        values
            .par_chunks_mut(ROWS * d_sae)
            .zip(w_enc.par_chunks(ROWS * d_in))
            .enumerate()
            .with_max_len(1)
            .for_each(|(task, (values, w))| {
                let first = task * ROWS;
                let (count, others) = (w.len() / d_in, d_sae - first);
                let mut part = vec![0.0; count * others];
                let later = &w_enc[first * d_in..];
                matmul(
                    &mut part,
                    false,
                    (w, Op::N),
                    (later, Op::T),
                    [count, others, d_in],
                );
                for (to, from) in values
                    .chunks_exact_mut(d_sae)
                    .zip(part.chunks_exact(others))
                {
                    to[first..].copy_from_slice(from);
                }
            });
        mirror(&mut values, d_sae);
        let lengths = w_enc.par_chunks_exact(d_in).map(|w| dot(w, w).sqrt());
        Self {
            longest: lengths.reduce(|| 0.0, f64::max),
            values,
            d_sae,
        }
    }

    /// Products of row j with all rows.
    pub(crate) fn of(&self, j: usize) -> &[f32] {
        &self.values[j * self.d_sae..(j + 1) * self.d_sae]
    }
}

/// Copies the products right of the diagonal blocks to their places left of them.
fn mirror(values: &mut [f32], d_sae: usize) {
    let tasks = d_sae.div_ceil(ROWS);
    for task in 1..tasks {
        let first = task * ROWS;
        let end = (first + ROWS).min(d_sae);
        let (above, here) = values.split_at_mut(first * d_sae);
        let here = &mut here[..(end - first) * d_sae];
        here.par_chunks_exact_mut(d_sae)
            .enumerate()
            .with_min_len(16)
            .for_each(|(at, row)| {
                for (column, value) in row[..first].iter_mut().enumerate() {
                    *value = above[column * d_sae + first + at];
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_pairs_equal_plain_loops() {
        for (d_sae, d_in) in [(1, 3), (5, 2), (300, 7), (600, 4)] {
            let w: Vec<f32> = (0..d_sae * d_in)
                .map(|at| ((at * 7919) % 17) as f32 - 8.0)
                .collect();
            let products = RowProducts::new(&w, d_sae);
            for i in 0..d_sae {
                for j in 0..d_sae {
                    let [a, b] = [i, j].map(|j| &w[j * d_in..(j + 1) * d_in]);
                    let expected: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert_eq!(products.of(i)[j], expected, "{i} {j}");
                }
            }
        }
    }
}
