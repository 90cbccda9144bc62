//! Orthogonality penalty: a cost for decoder rows of similar direction.
//!
//! ```text
//! latents are dealt into K = ceil(d_sae / chunk) chunks, again at each step
//! cos_j   = max over the other latents k of j's chunk: w_j . w_k / (|w_j| |w_k|)
//! penalty = weight/K sum over chunks: 1/(latents of the chunk) sum_j cos_j^2
//! ```
//!
//! The cosine has its sign, and the gradient reaches both rows of a pair. A chunk of C latents costs `C^2 d_out`
//! products, so the whole is linear in the number of latents.
//!
//! Source: Korznikov et al. 2025, *`OrtSAE`: Orthogonal sparse autoencoders uncover atomic features*, arXiv:2509.22033
//! (chunks of 8192 latents; weight 0.25).

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rarefy_kernels::matmul::{Op, matmul};
use rarefy_kernels::vector::dot;
use rayon::prelude::*;

use crate::Rng;
use crate::objective::formula::{LossPart, TermFormula, mean, times};
use crate::objective::{AddOn, BatchView, Dual, Prepared, Term, TwinBatch};
use crate::options::{Kind, OptionSet, Unit, option_set};

/// Table line of the add-on.
pub const ADD_ON: AddOn = AddOn {
    name: "orthogonality",
    summary: "Penalty on the largest cosine of each decoder row with others of its random chunk",
    source: "Korznikov et al. 2025, OrtSAE, arXiv:2509.22033",
    options: OrthogonalityOptions::TABLE,
    checks: &[
        &[("orthogonality", "0.7")],
        &[("orthogonality", "0.7"), ("orthogonality_chunk", "7")],
    ],
    applies: |_| true,
    add: |options, objective| {
        let options = OrthogonalityOptions::read(options);
        let weight = options.orthogonality;
        if weight == 0.0 {
            return objective;
        }
        objective.with_term(Orthogonality {
            weight,
            chunk: options.orthogonality_chunk,
        })
    },
};

option_set! {
    /// Options of the orthogonality penalty.
    pub struct OrthogonalityOptions {
        /// Weight of the penalty on decoder rows of similar direction, 0.25 in the paper; 0: none
        orthogonality: f64 = "0", Kind::AtLeast(0.0), Unit::weight_of_count;
        /// Largest number of latents whose decoder rows are compared with each other; larger makes a step slower
        orthogonality_chunk: usize = "8192", Kind::Count(2);
    }
}

/// Decoder rows whose products with a whole chunk are in memory together.
const ROWS: usize = 64;

/// Mean over chunks of the mean squared largest cosine.
#[derive(Debug, Clone, Copy)]
struct Orthogonality {
    weight: f64,
    chunk: usize,
}

/// Latent, the other latent of its chunk with the largest cosine, and that cosine.
type Pair = (u32, u32, f64);

impl Orthogonality {
    /// Latents of each chunk at a step: a random deal into chunks of nearly equal size.
    fn chunks(&self, d_sae: usize, step: usize) -> Vec<Vec<u32>> {
        let mut order: Vec<u32> = (0..d_sae as u32).collect();
        let seed = (step as u64 + 1).wrapping_mul(0x9E6C_63D0_876A_68EE);
        order.shuffle(&mut Rng::seed_from_u64(seed));
        let count = d_sae.div_ceil(self.chunk);
        let bound = |at: usize| at * d_sae / count;
        (0..count)
            .map(|at| order[bound(at)..bound(at + 1)].to_vec())
            .collect()
    }

    /// Factor of a squared cosine in a chunk of `latents` of `chunks` chunks.
    fn share(&self, latents: usize, chunks: usize) -> f64 {
        self.weight / (chunks as f64 * latents as f64)
    }
}

/// Largest cosine of each row of a chunk with another one; rows of length 0 have none.
fn pairs(w_dec: &[f32], norms: &[f64], chunk: &[u32]) -> Vec<Pair> {
    let d = w_dec.len() / norms.len();
    let mut units = Vec::with_capacity(chunk.len() * d);
    for &j in chunk {
        let (row, norm) = (&w_dec[j as usize * d..][..d], norms[j as usize]);
        let factor = if norm > 0.0 { (1.0 / norm) as f32 } else { 0.0 };
        units.extend(row.iter().map(|w| w * factor));
    }
    let of_piece = |(piece, rows): (usize, &[f32])| {
        let n = rows.len() / d;
        let mut products = vec![0.0; n * chunk.len()];
        let shape = [n, chunk.len(), d];
        matmul(&mut products, false, (rows, Op::N), (&units, Op::T), shape);
        let largest = |(i, products): (usize, &[f32])| {
            let at = piece * ROWS + i;
            let others = (0..chunk.len()).filter(|k| *k != at && norms[chunk[*k] as usize] > 0.0);
            let best = others.max_by(|a, b| products[*a].total_cmp(&products[*b]))?;
            let (j, k) = (chunk[at], chunk[best]);
            let (a, b) = (&w_dec[j as usize * d..][..d], &w_dec[k as usize * d..][..d]);
            let lengths = norms[j as usize] * norms[k as usize];
            (lengths > 0.0).then(|| (j, k, dot(a, b) / lengths))
        };
        let rows = products.chunks_exact(chunk.len()).enumerate();
        rows.filter_map(largest).collect::<Vec<Pair>>()
    };
    let pieces: Vec<Vec<Pair>> = units
        .par_chunks(ROWS * d)
        .enumerate()
        .map(of_piece)
        .collect();
    pieces.concat()
}

impl Term for Orthogonality {
    /// Penalty, and for each pair the derivative of its cosine by both rows:
    /// `d cos / d w_j = w_k / (|w_j| |w_k|) - cos w_j / |w_j|^2`.
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let w_dec = batch.params.get("w_dec");
        let d_sae = batch.params.get("b_enc").len();
        let rows = w_dec.par_chunks_exact(w_dec.len() / d_sae);
        let norms: Vec<f64> = rows.map(|row| dot(row, row).sqrt()).collect();
        let mut prepared = Prepared {
            decoder_mix: vec![Vec::new(); d_sae],
            ..Prepared::default()
        };
        let chunks = self.chunks(d_sae, batch.schedule.step);
        for chunk in &chunks {
            let share = self.share(chunk.len(), chunks.len());
            for (j, k, cos) in pairs(w_dec, &norms, chunk) {
                prepared.penalty += share * cos * cos;
                let slope = 2.0 * share * cos;
                let both = norms[j as usize] * norms[k as usize];
                for (one, other) in [(j, k), (k, j)] {
                    let along = -slope * cos / norms[one as usize].powi(2);
                    prepared.decoder_mix[one as usize]
                        .extend([(other, slope / both), (one, along)]);
                }
            }
        }
        prepared
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let cos = |j: u32, k: u32| {
            let (a, b) = (&batch.w_dec[j as usize], &batch.w_dec[k as usize]);
            let product =
                |a: &[Dual], b: &[Dual]| -> Dual { a.iter().zip(b).map(|(a, b)| *a * *b).sum() };
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        let held = |j: u32, k: u32| {
            let (a, b) = (&batch.held_w_dec[j as usize], &batch.held_w_dec[k as usize]);
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            product(a, b) / (product(a, a) * product(b, b)).sqrt()
        };
        let chunks = self.chunks(batch.w_dec.len(), 0);
        let mut sum = Dual::default();
        for chunk in &chunks {
            for &j in chunk {
                let others = chunk.iter().filter(|k| **k != j);
                let nearest = others.max_by(|a, b| held(j, **a).total_cmp(&held(j, **b)));
                let square = nearest.map_or(Dual::default(), |k| cos(j, *k).square());
                sum += square * self.share(chunk.len(), chunks.len());
            }
        }
        sum
    }

    fn formula(&self) -> TermFormula {
        let chunk = self.chunk;
        TermFormula {
            name: "orthogonality",
            numbers: vec![
                ("weight", self.weight.into()),
                ("chunk", (chunk as f64).into()),
            ],
            maths: times(
                &mean(self.weight),
                "sum_j max_k cos(w_j, w_k)^2",
                r"\sum_j \max_k \cos(w_j, w_k)^2",
            ),
            note: format!(
                "orthogonality; here m: latents of a chunk; k: other latents of j's chunk of at most {chunk}, drawn at random each step; mean over chunks"
            ),
            part: LossPart::Penalty,
            warms_up: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows (1, 0), (0, 2), (3, 3): the third has a cosine of `1/sqrt 2` with both others.
    #[test]
    fn largest_cosines_of_three_rows_are_those_worked_by_hand() {
        let w_dec = [1.0, 0.0, 0.0, 2.0, 3.0, 3.0];
        let found = pairs(&w_dec, &[1.0, 2.0, 18f64.sqrt()], &[0, 1, 2]);
        assert_eq!(found.len(), 3);
        for (_, _, cos) in &found {
            assert!((cos - 0.5f64.sqrt()).abs() < 1e-7, "{found:?}");
        }
        assert_eq!((found[0].1, found[1].1), (2, 2));
    }

    #[test]
    fn every_latent_is_in_one_chunk_and_steps_deal_anew() {
        let term = Orthogonality {
            weight: 1.0,
            chunk: 4,
        };
        let (first, second) = (term.chunks(10, 0), term.chunks(10, 1));
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 4]);
        let mut all = first.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<u32>>());
        assert_ne!(first, second);
    }
}
