//! Matching pursuit: one latent after the other, each on the residual of those before.
//!
//! ```text
//! r_0 = x - b_dec
//! j_t = the latent with the largest w_j . r_t > 0      v_t = w_j . r_t      r_{t+1} = r_t - v_t w_j
//! f_j = sum of v_t over the rounds that took j
//! ```
//!
//! for k rounds, or until the residual is short (below a millionth of the row's length it is rounding). There is
//! no encoder: `w_enc` is the decoder. Each round searches all latents again, so k rounds cost k times an encoder.
//! While training, each round of a row keeps two vectors as long as the row.
//!
//! Source: Costa et al. 2025, arXiv:2506.03093.

use rarefy_kernels::vector::{add_scaled, dot};

use super::{SaelensKind, Select};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
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
struct Pursued {
    /// Length of the row at the start.
    length: f64,
    residual: Vec<f32>,
    taken: Vec<(u32, f32)>,
    done: bool,
}

impl Pursuit {
    fn pursue(&self, encoder: &Encoder, rows: &Centred) -> Vec<Pursued> {
        let d = rows.w_enc.len() / rows.b_enc.len();
        let mut pursued: Vec<Pursued> = rows
            .x
            .chunks_exact(d)
            .map(|x| Pursued {
                length: dot(x, x).sqrt(),
                residual: x.to_vec(),
                taken: Vec::new(),
                done: false,
            })
            .collect();
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
                row.done = match best.values.get(ends[0]..ends[1]) {
                    Some(&[value]) => f64::from(value) <= ROUNDING * row.length,
                    _ => true,
                };
                if row.done {
                    continue;
                }
                let (latent, value) = (best.indices[ends[0]], best.values[ends[0]]);
                let w = &rows.w_enc[latent as usize * d..][..d];
                add_scaled(&mut row.residual, -value, w);
                row.done = row.taken.iter().any(|taken| taken.0 == latent)
                    || dot(&row.residual, &row.residual).sqrt() < self.residual;
                row.taken.push((latent, value));
            }
        }
        pursued
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
