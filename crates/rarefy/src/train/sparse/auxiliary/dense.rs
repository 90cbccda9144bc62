//! Reconstruction of a residual by dead latents, and its gradient, by dense products: where a row uses a good part of the dead latents,
//! products with zeros cost less than entries one by one.
//!
//! ```text
//! A = the k largest of x w_enc^T + b_enc in each row      E = A w_dec - r       loss = scale / 2 sum E^2
//! d_w_dec = scale A^T E        d_A = scale E w_dec^T where A has an entry       d_w_enc = d_A^T x
//! ```
//!
//! A step of 4096 rows at 768 -> 16384 with 1024 dead latents, of which a row uses 384, on 2 cores of Zen 4: auxiliary stage and gradients
//! take 197 + 37 ms, by entries 153 + 219.

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

use crate::objective::Rank;

/// Least share of the dead latents that a row uses, times this, is all of them: an entry costs about as much as six products.
const WORTH: usize = 6;
/// Parts of the rows whose gradients are added in order; fixed, so that no result depends on the number of threads.
const LANES: usize = 8;
/// Rows of one product.
const ROWS: usize = 512;
/// Largest number of values of all gradients together: 512 MiB.
const MOST_VALUES: usize = 1 << 27;

/// Dead latents of a level with their weights, side by side, and the rows whose residual they explain.
pub(super) struct Explained<'a> {
    pub(super) w_enc: &'a [f32],
    pub(super) b_enc: &'a [f32],
    pub(super) w_dec: &'a [f32],
    /// Inputs of the encoder, `[n, d_in]`.
    pub(super) x: &'a [f32],
    /// Residuals `x_hat - x` of all levels, `[n, levels, d_out]`, and the level.
    pub(super) residual: &'a [f32],
    pub(super) levels: usize,
    pub(super) level: usize,
    /// Number of dead latents that a row uses, and their order.
    pub(super) k: usize,
    pub(super) rank: Rank,
}

/// Gradient of half the squared error by the dead latents, and the squared error.
pub(in crate::train::sparse) struct Helped {
    dead: Vec<u32>,
    sums: Lane,
}

/// True if dense products cost less than entries.
pub(super) fn is_worth_it(dead: usize, k: usize, width: usize) -> bool {
    k.saturating_mul(WORTH) >= dead && LANES * dead * width <= MOST_VALUES
}

impl Explained<'_> {
    /// Computes the gradient for the latents `dead`.
    ///
    /// Reduction point: gradients are sums over eight parts of the rows, added in order.
    pub(super) fn gradient(&self, dead: &[u32]) -> Helped {
        let d_in = self.w_enc.len() / dead.len();
        let n = self.x.len() / d_in;
        let share = n.div_ceil(LANES).max(1);
        let lanes: Vec<Lane> = (0..n)
            .step_by(share)
            .collect::<Vec<_>>()
            .into_par_iter()
            .with_max_len(1)
            .map(|first| {
                let mut lane = Lane::new(self);
                let end = (first + share).min(n);
                for start in (first..end).step_by(ROWS) {
                    lane.add(self, start, end.min(start + ROWS));
                }
                lane
            })
            .collect();
        let mut sum = Lane::new(self);
        for lane in lanes {
            sum.square += lane.square;
            add(&mut sum.d_dec, &lane.d_dec);
            add(&mut sum.d_enc, &lane.d_enc);
            for (sum, part) in sum.d_pre.iter_mut().zip(&lane.d_pre) {
                *sum += part;
            }
        }
        Helped {
            dead: dead.to_vec(),
            sums: sum,
        }
    }
}

fn add(sum: &mut [f32], part: &[f32]) {
    /// Values of one task.
    const VALUES: usize = 1 << 16;
    sum.par_chunks_mut(VALUES)
        .zip(part.par_chunks(VALUES))
        .for_each(|(sum, part)| {
            for (sum, part) in sum.iter_mut().zip(part) {
                *sum += part;
            }
        });
}

impl Helped {
    /// Sum of the squared errors.
    pub(super) fn square(&self) -> f64 {
        self.sums.square
    }

    /// Gradient by the decoder row, the encoder row and the bias of a latent, before the factor of the loss; `None` if it is not dead.
    pub(in crate::train::sparse) fn of(&self, latent: usize) -> Option<(&[f32], &[f32], f64)> {
        let at = self.dead.binary_search(&(latent as u32)).ok()?;
        let Lane {
            d_dec,
            d_enc,
            d_pre,
            ..
        } = &self.sums;
        let [d_out, d_in] = [d_dec.len(), d_enc.len()].map(|values| values / self.dead.len());
        let dec = &d_dec[at * d_out..(at + 1) * d_out];
        let enc = &d_enc[at * d_in..(at + 1) * d_in];
        Some((dec, enc, d_pre[at]))
    }
}

/// Sums over a part of the rows.
struct Lane {
    d_dec: Vec<f32>,
    d_enc: Vec<f32>,
    /// Derivatives by the pre-activations of each latent.
    d_pre: Vec<f64>,
    /// Squared errors.
    square: f64,
}

impl Lane {
    fn new(of: &Explained) -> Self {
        Self {
            d_dec: vec![0.0; of.w_dec.len()],
            d_enc: vec![0.0; of.w_enc.len()],
            d_pre: vec![0.0; of.b_enc.len()],
            square: 0.0,
        }
    }

    /// Adds the rows from `start` to `end`.
    fn add(&mut self, of: &Explained, start: usize, end: usize) {
        let (dead, n) = (of.b_enc.len(), end - start);
        let (d_in, d_out) = (of.w_enc.len() / dead, of.w_dec.len() / dead);
        let x = &of.x[start * d_in..end * d_in];
        let mut a = vec![0.0; n * dead];
        matmul(
            &mut a,
            false,
            (x, Op::N),
            (of.w_enc, Op::T),
            [n, dead, d_in],
        );
        let mut keys = Vec::new();
        for row in a.chunks_exact_mut(dead) {
            row.iter_mut().zip(of.b_enc).for_each(|(a, b)| *a += b);
            keep_largest(row, of.k, of.rank, &mut keys);
        }
        let mut e = vec![0.0; n * d_out];
        matmul(
            &mut e,
            false,
            (&a, Op::N),
            (of.w_dec, Op::N),
            [n, d_out, dead],
        );
        for (i, e) in e.chunks_exact_mut(d_out).enumerate() {
            let r = &of.residual[((start + i) * of.levels + of.level) * d_out..][..d_out];
            // `x_hat - x`: the dead latents' reconstruction comes in the place of `x - x_hat`.
            e.iter_mut().zip(r).for_each(|(e, r)| *e += r);
            self.square += dot(e, e);
        }
        matmul(
            &mut self.d_dec,
            true,
            (&a, Op::T),
            (&e, Op::N),
            [dead, d_out, n],
        );
        let mut d_a = vec![0.0; n * dead];
        matmul(
            &mut d_a,
            false,
            (&e, Op::N),
            (of.w_dec, Op::T),
            [n, dead, d_out],
        );
        for (d, a) in d_a.chunks_exact_mut(dead).zip(a.chunks_exact(dead)) {
            for ((d, a), sum) in d.iter_mut().zip(a).zip(&mut self.d_pre) {
                *d = if *a == 0.0 { 0.0 } else { *d };
                *sum += f64::from(*d);
            }
        }
        matmul(
            &mut self.d_enc,
            true,
            (&d_a, Op::T),
            (x, Op::N),
            [dead, d_in, n],
        );
    }
}

/// Keeps the k largest values of a row in an order (ties go to earlier ones), and sets all others to 0. A kept 0 becomes the smallest
/// normal number, so that it still counts as kept.
fn keep_largest(row: &mut [f32], k: usize, rank: Rank, keys: &mut Vec<u32>) {
    keys.clear();
    keys.extend(row.iter().map(|value| key(*value, rank)));
    let (mut least, mut ties) = (1, usize::MAX);
    if let Some(others) = row.len().checked_sub(k).filter(|others| *others > 0) {
        let (_, &mut smallest, above) = keys.select_nth_unstable(others);
        if smallest > 0 {
            ties = 1 + above.iter().filter(|key| **key == smallest).count();
            least = smallest;
        }
    }
    for value in row {
        let key = key(*value, rank);
        let kept = key > least || (key == least && ties > 0);
        ties -= usize::from(kept && key == least && ties != usize::MAX);
        *value = match (kept, *value == 0.0) {
            (false, _) => 0.0,
            (true, false) => *value,
            (true, true) => f32::MIN_POSITIVE,
        };
    }
}

/// Whole number that rises with the place of a value in an order; 0 for a value that is never kept.
fn key(value: f32, rank: Rank) -> u32 {
    match rank {
        Rank::Positive => {
            if value > 0.0 {
                value.to_bits()
            } else {
                0
            }
        }
        Rank::Magnitude => value.abs().to_bits(),
        Rank::Signed => {
            let bits = value.to_bits();
            // Bits of negative numbers fall with the number.
            let key = if bits >> 31 == 1 {
                !bits
            } else {
                bits | 1 << 31
            };
            key.max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_values_are_kept_in_each_order_and_ties_go_to_earlier_ones() {
        let row = [3.0, -5.0, 0.0, 1.0, 3.0, -1.0, 3.0];
        let kept = |k, rank| {
            let mut row = row;
            keep_largest(&mut row, k, rank, &mut Vec::new());
            row
        };
        let none = f32::MIN_POSITIVE;
        assert_eq!(kept(2, Rank::Positive), [3.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
        assert_eq!(kept(5, Rank::Positive), [3.0, 0.0, 0.0, 1.0, 3.0, 0.0, 3.0]);
        assert_eq!(
            kept(3, Rank::Magnitude),
            [3.0, -5.0, 0.0, 0.0, 3.0, 0.0, 0.0]
        );
        assert_eq!(kept(9, Rank::Magnitude), row);
        assert_eq!(kept(5, Rank::Signed), [3.0, 0.0, none, 1.0, 3.0, 0.0, 3.0]);
        assert_eq!(kept(6, Rank::Signed), [3.0, 0.0, none, 1.0, 3.0, -1.0, 3.0]);
        assert_eq!(
            kept(7, Rank::Signed),
            [3.0, -5.0, none, 1.0, 3.0, -1.0, 3.0]
        );
    }
}
