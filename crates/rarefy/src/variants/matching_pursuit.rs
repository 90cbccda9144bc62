//! Matching pursuit: one latent after the other, each on what those before it left over.
//!
//! ```text
//! r_0 = x - b_dec
//! j_t = the latent with the largest w_j . r_t > 0      v_t = w_j . r_t      r_{t+1} = r_t - v_t w_j
//! f_j = sum of v_t over the rounds that took j
//! ```
//!
//! for k rounds, or until little is left (what is below a millionth of the row is rounding). There is no
//! encoder: `w_enc` is the decoder. Each round searches all latents anew, so k rounds cost k times what an
//! encoder costs. While training, each of a row's rounds keeps two vectors as long as the row.

use std::sync::Arc;

use super::sparse::{self, Aux, SaelensKind, Sparse, StepSchedule, Twin};
use super::{Architecture, Example, Info, Kind, OptionInfo};
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Selection};
use crate::params::Params;
use rarefy_kernels::vector::{add_scaled, dot};

/// The architecture's line in the table.
pub const INFO: Info = Info {
    name: "matching-pursuit",
    summary: "Takes one latent after the other, each by what those before it left over",
    source: "Costa et al. 2025, From flat to hierarchical: extracting sparse representations with matching pursuit, arXiv:2506.03093",
    options: OPTIONS,
    example: Example {
        options: &[("k", "2")],
        pre: [0.5, -1.0, 2.0, 1.0],
        latents: [0.0, 0.0, 2.0, 1.0],
    },
    defaults: sparse::DEFAULTS,
    dial: Some(sparse::K_DIAL),
    checks: &[
        &[("k", "1")],
        &[("k", "3")],
        &[("k", "3"), ("residual", "0.7")],
    ],
    resolve: sparse::resolve,
    build: |hyper| {
        Ok(Architecture::Sparse(Arc::new(MatchingPursuit {
            k: sparse::k(hyper) as usize,
            residual: hyper.number("residual"),
            aux: sparse::aux(hyper),
        })))
    },
};

const OPTIONS: &[OptionInfo] = &[
    OptionInfo {
        name: "k",
        help: "Rounds at most; a row ends early when it takes a latent that it has; auto takes 32, or a quarter of the inputs if that is less",
        kind: Kind::AutoCount(1),
        default: "auto",
    },
    OptionInfo {
        name: "residual",
        help: "A row ends when what is left of it is no longer than this",
        kind: Kind::AtLeast(0.0),
        default: "0",
    },
    sparse::AUX_K,
    sparse::AUX_COEFFICIENT,
    sparse::AUX_UNIT,
    sparse::DEAD_AFTER,
];

/// Its objective.
#[derive(Debug, Clone)]
struct MatchingPursuit {
    k: usize,
    residual: f64,
    aux: Aux,
}

/// What a latent takes of a row, as a share of the row's length, that is rounding and no more: where all
/// directions of the latents are used up, the next would be drawn by chance.
const ROUNDING: f64 = 1e-6;

/// A row on its way.
struct Pursued {
    /// Its length at the start.
    length: f64,
    left: Vec<f32>,
    taken: Vec<(u32, f32)>,
    done: bool,
}

impl MatchingPursuit {
    fn pursue(&self, encoder: &Encoder, rows: &Centred) -> Vec<Pursued> {
        let d = rows.w_enc.len() / rows.b_enc.len();
        let mut pursued: Vec<Pursued> = rows
            .x
            .chunks_exact(d)
            .map(|x| Pursued {
                length: dot(x, x).sqrt(),
                left: x.to_vec(),
                taken: Vec::new(),
                done: false,
            })
            .collect();
        for _ in 0..self.k {
            let mut going: Vec<&mut Pursued> = pursued.iter_mut().filter(|row| !row.done).collect();
            if going.is_empty() {
                break;
            }
            let x: Vec<f32> = going.iter().flat_map(|row| &row.left).copied().collect();
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
                add_scaled(&mut row.left, -value, w);
                row.done = row.taken.iter().any(|taken| taken.0 == latent)
                    || dot(&row.left, &row.left).sqrt() < self.residual;
                row.taken.push((latent, value));
            }
        }
        pursued
    }
}

impl Sparse for MatchingPursuit {
    fn aux(&self) -> Aux {
        self.aux
    }

    fn saelens_kind(&self) -> SaelensKind {
        SaelensKind::Pursuit {
            k: self.k,
            residual: self.residual,
        }
    }

    fn pursues(&self) -> bool {
        true
    }

    /// The rounds of each row in their order; a latent may come up twice.
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
}

impl Twin for MatchingPursuit {
    fn keep(&self, _: &[Vec<f64>], _: &[Vec<f64>]) -> Vec<Vec<usize>> {
        Vec::new()
    }

    fn pursue(&self, mut left: Vec<f64>, w_dec: &[Vec<f64>]) -> Vec<usize> {
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let least = ROUNDING * product(&left, &left).sqrt();
        let mut taken = Vec::new();
        for _ in 0..self.k {
            let values: Vec<f64> = w_dec.iter().map(|w| product(&left, w)).collect();
            let best = (0..values.len())
                .fold(0, |best, j| if values[j] > values[best] { j } else { best });
            if values[best] <= least {
                break;
            }
            left.iter_mut()
                .zip(&w_dec[best])
                .for_each(|(r, w)| *r -= values[best] * w);
            let again = taken.contains(&best);
            taken.push(best);
            if again || product(&left, &left).sqrt() < self.residual {
                break;
            }
        }
        taken
    }
}
