//! Matching pursuit: one latent after the other, each on the residual of those before.
//!
//! ```text
//! r_0 = x - b_dec
//! j_t = the latent with the largest w_j . r_t > 0      v_t = w_j . r_t      r_{t+1} = r_t - v_t w_j
//! f_j = sum of v_t over the rounds that took j
//! ```
//!
//! for k rounds, or until the residual is short (below a millionth of the row's length it is rounding). There is
//! no encoder: `w_enc` is the decoder. While training, each round of a row keeps two vectors as long as the row.
//!
//! With many rows, the products of all latents with each other are computed first (`4 d_sae^2` bytes, 1 GiB at most). A round then moves
//! the products with the residual by one row of them; else it searches all latents again. Both take the same latents.
//!
//! Source: Costa et al. 2025, arXiv:2506.03093.

use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::pursuit::{above, move_products};
use rarefy_kernels::screen::{SPARE, pre_activations};
use rarefy_kernels::vector::{add_scaled, dot};
use rayon::prelude::*;

use super::{SaelensKind, Select};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, RowProducts, Selection};
use crate::objective::StepSchedule;
use crate::params::Params;

/// Selection of one latent after the other, each by its product with the residual.
#[derive(Debug, Clone, Copy)]
pub struct Pursuit {
    /// Largest number of rounds; a row ends early when it takes a latent a second time.
    pub k: usize,
    /// Length of the residual at which a row ends.
    pub residual: f64,
}

/// Share of the row's length below which a product is rounding: where all directions of the latents are used up,
/// the next latent would be drawn by chance.
const ROUNDING: f64 = 1e-6;

/// Row in the middle of its pursuit.
#[derive(Clone)]
struct Pursued {
    /// Length of the row at the start.
    length: f64,
    residual: Vec<f32>,
    taken: Vec<(u32, f32)>,
    done: bool,
}

impl Pursued {
    fn new(x: &[f32]) -> Self {
        Self {
            length: dot(x, x).sqrt(),
            residual: x.to_vec(),
            taken: Vec::new(),
            done: false,
        }
    }

    /// Takes the latent `best` with its exact product, if there is one; the row may be done then. Returns the length of the residual.
    fn take(&mut self, best: Option<(u32, f32)>, rows: &Centred, shortest: f64) -> f64 {
        let least = ROUNDING * self.length;
        let Some((latent, value)) = best.filter(|best| f64::from(best.1) > least) else {
            self.done = true;
            return 0.0;
        };
        let d = self.residual.len();
        let w = &rows.w_enc[latent as usize * d..][..d];
        add_scaled(&mut self.residual, -value, w);
        let length = dot(&self.residual, &self.residual).sqrt();
        self.done = length < shortest || self.taken.iter().any(|taken| taken.0 == latent);
        self.taken.push((latent, value));
        length
    }
}

/// Rows of one task of a pursuit by products.
const ROWS: usize = 256;

impl Pursuit {
    fn pursue(&self, encoder: &Encoder, rows: &Centred) -> Vec<Pursued> {
        let d = rows.w_enc.len() / rows.b_enc.len();
        let searches = rows.x.len() / d * self.k;
        let Some(products) = encoder.row_products(rows, searches) else {
            return self.pursue_by_searches(encoder, rows);
        };
        let tasks = rows.x.par_chunks(ROWS * d).with_max_len(1);
        let found = tasks.map(|x| self.pursue_by_products(&products, &Centred { x, ..*rows }));
        found.collect::<Vec<_>>().concat()
    }

    /// One search over all latents for each round, of all rows together.
    fn pursue_by_searches(&self, encoder: &Encoder, rows: &Centred) -> Vec<Pursued> {
        let d = rows.w_enc.len() / rows.b_enc.len();
        let mut pursued: Vec<Pursued> = rows.x.chunks_exact(d).map(Pursued::new).collect();
        for _ in 0..self.k {
            let mut going: Vec<&mut Pursued> = pursued.iter_mut().filter(|row| !row.done).collect();
            if going.is_empty() {
                break;
            }
            let x: Vec<f32> = going
                .iter()
                .flat_map(|row| &row.residual)
                .copied()
                .collect();
            let mut best = Codes::new(rows.b_enc.len());
            encoder.encode_centred(&Centred { x: &x, ..*rows }, Selection::Row(1), &mut best);
            for (row, ends) in going.iter_mut().zip(best.offsets.windows(2)) {
                let best =
                    (ends[0] < ends[1]).then(|| (best.indices[ends[0]], best.values[ends[0]]));
                row.take(best, rows, self.residual);
            }
        }
        pursued
    }

    /// One row of products for each round.
    ///
    /// With u = 2^-24, the products p of f32 arithmetic are within `(d + 16) u |w| |r|` of exact ones. Each round adds the error of one row
    /// of products and of the residual, `(d + 16) u (|v| |w|^2 + |w| |r|)` at most. So only latents within twice the sum of these errors of
    /// the largest product can have the largest exact one, and those are compared.
    fn pursue_by_products(&self, products: &RowProducts, rows: &Centred) -> Vec<Pursued> {
        let d_sae = rows.b_enc.len();
        let d = rows.w_enc.len() / d_sae;
        let rounding = (d + 16) as f64 / f64::from(1 << 24);
        let longest = products.longest;
        let n = rows.x.len() / d;
        let mut all = vec![0.0; n * d_sae];
        matmul(
            &mut all,
            false,
            (rows.x, Op::N),
            (rows.w_enc, Op::T),
            [n, d_sae, d],
        );
        let mut found = vec![0; d_sae + SPARE];
        let mut values = vec![0.0; d_sae];
        let of_row = |(x, p): (&[f32], &mut [f32])| {
            let mut row = Pursued::new(x);
            let mut largest = move_products(p, -1.0, rows.b_enc);
            let mut error = rounding * longest * row.length;
            let mut length = row.length;
            for _ in 0..self.k {
                let within = 2.0 * (error + rounding * longest * length);
                let floor = (f64::from(largest) - within) as f32;
                let count = above(p, floor.next_down(), &mut found);
                let (found, values) = (&found[..count], &mut values[..count]);
                pre_activations(&row.residual, rows.w_enc, rows.b_enc, found, values);
                let best = found.iter().copied().zip(values.iter().copied());
                let best = best
                    .filter(|best| best.1 > 0.0)
                    .reduce(|a, b| if b.1 > a.1 { b } else { a });
                let before = length;
                length = row.take(best, rows, self.residual);
                let Some((latent, value)) = best.filter(|_| !row.done) else {
                    break;
                };
                let value_size = f64::from(value.abs());
                error += rounding * longest * (value_size * longest + before.max(length));
                largest = move_products(p, value, products.of(latent as usize));
            }
            row
        };
        rows.x
            .chunks_exact(d)
            .zip(all.chunks_exact_mut(d_sae))
            .map(of_row)
            .collect()
    }

    /// Latents that the pursuit takes for one row less `b_dec`, in order, in the f64 twin.
    pub fn twin_row(&self, mut residual: Vec<f64>, w_dec: &[Vec<f64>]) -> Vec<usize> {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let least = ROUNDING * product(&residual, &residual).sqrt();
        let mut taken = Vec::new();
        for _ in 0..self.k {
            let values: Vec<f64> = w_dec.iter().map(|w| product(&residual, w)).collect();
            let best = (0..values.len())
                .fold(0, |best, j| if values[j] > values[best] { j } else { best });
            if values[best] <= least {
                break;
            }
            residual
                .iter_mut()
                .zip(&w_dec[best])
                .for_each(|(r, w)| *r -= values[best] * w);
            let again = taken.contains(&best);
            taken.push(best);
            if again || product(&residual, &residual).sqrt() < self.residual {
                break;
            }
        }
        taken
    }
}

impl Select for Pursuit {
    /// Rounds of each row in their order; a latent may come up twice.
    fn encode(
        &self,
        _: StepSchedule,
        _: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        for row in self.pursue(encoder, rows) {
            codes.indices.extend(row.taken.iter().map(|taken| taken.0));
            codes.values.extend(row.taken.iter().map(|taken| taken.1));
            codes.offsets.push(codes.indices.len());
        }
    }

    fn encode_trained(&self, _: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes) {
        for mut row in self.pursue(encoder, rows) {
            row.taken.sort_by_key(|taken| taken.0);
            row.taken.dedup_by(|again, first| {
                let same = again.0 == first.0;
                first.1 += if same { again.1 } else { 0.0 };
                same
            });
            codes.indices.extend(row.taken.iter().map(|taken| taken.0));
            codes.values.extend(row.taken.iter().map(|taken| taken.1));
            codes.offsets.push(codes.indices.len());
        }
    }

    /// Nothing: the twin of a pursuit is [`Pursuit::twin_row`].
    fn twin(&self, _: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        Vec::new()
    }

    fn note(&self, _: &str) -> String {
        String::new()
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Pursuit {
            k: self.k,
            residual: self.residual,
        }
    }

    fn pursuit(&self) -> Option<&Pursuit> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows and unit latents, of which each third is nearly the one before it and each seventh is it exactly.
    fn hard(n: usize, d_sae: usize, d: usize) -> (Vec<f32>, Vec<f32>) {
        let value = |at: usize| ((at * 7919 + at * at % 613) % 1009) as f32 / 504.5 - 1.0;
        let mut w: Vec<f32> = (0..d_sae * d).map(value).collect();
        for j in 1..d_sae {
            for at in j * d..(j + 1) * d {
                if j % 7 == 0 {
                    w[at] = w[at - d];
                } else if j % 3 == 0 {
                    w[at] = w[at - d] * (1.0 + 1e-6 * value(at + 5));
                }
            }
        }
        for w in w.chunks_exact_mut(d) {
            let length = dot(w, w).sqrt() as f32;
            w.iter_mut().for_each(|w| *w /= length);
        }
        let mut x: Vec<f32> = (0..n * d).map(|at| 3.0 * value(at * 31 + 7)).collect();
        // A row of zeros, and one along a latent.
        x[..d].fill(0.0);
        x[d..2 * d].copy_from_slice(&w[5 * d..6 * d]);
        (x, w)
    }

    #[test]
    fn products_and_searches_take_the_same_latents_with_the_same_values() {
        for (n, d_sae, d, k) in [(40, 50, 8, 6), (300, 333, 24, 12), (20, 700, 40, 40)] {
            let (x, w_enc) = hard(n, d_sae, d);
            let b_enc = vec![0.0; d_sae];
            let mut params = Params::zeros(&crate::params::Layout::new(&[
                ("w_enc", d_sae, d),
                ("b_enc", 1, d_sae),
            ]));
            params.get_mut("w_enc").copy_from_slice(&w_enc);
            let encoder = Encoder::new(&params);
            let rows = Centred {
                x: &x,
                w_enc: &w_enc,
                b_enc: &b_enc,
            };
            for residual in [0.0, 0.5] {
                let pursuit = Pursuit { k, residual };
                let searched = pursuit.pursue_by_searches(&encoder, &rows);
                let products = encoder.row_products(&rows, usize::MAX).unwrap();
                let followed = pursuit.pursue_by_products(&products, &rows);
                assert!(searched[0].taken.is_empty() && searched[1].taken.len() == 1);
                assert!(searched.iter().any(|row| row.taken.len() > k / 2));
                for (row, (a, b)) in searched.iter().zip(&followed).enumerate() {
                    assert_eq!(a.taken, b.taken, "row {row} of {n}");
                    assert_eq!(a.residual, b.residual, "row {row} of {n}");
                }
            }
        }
    }
}
