//! Dead latents: their count, and the auxiliary loss by which they learn to explain the residual.

mod dense;

use rarefy_kernels::matmul::{Op, matmul};
use rayon::prelude::*;

use dense::{Explained, Helped};

use super::forward::Forward;
use super::model_view::ModelView;
use super::reconstruction::Reconstruction;
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Screen, Selection};
use crate::objective::{AuxK, AuxUnit, Objective, Rank};
use crate::params::Params;

/// Rows whose pre-activations of all dead latents are in memory together.
const ROWS: usize = 64;

/// Dead latents and their reconstructions of the residual.
pub(super) struct Auxiliary {
    /// Dead latents, in order.
    pub(super) dead: Vec<u32>,
    /// Reconstruction of the residual by dead latents: one, or one for each level.
    pub(super) reconstructions: Vec<Reconstruction>,
    /// Gradients of the reconstructions that dense products computed, which have no entries.
    helped: Vec<Option<Helped>>,
    /// Rows in which a latent is active, summed over latents.
    pub(super) active: usize,
}

impl Auxiliary {
    pub(super) fn new(objective: &Objective, d_sae: usize) -> Self {
        let count = if objective.aux_k().by_level {
            objective.levels(d_sae).len()
        } else {
            1
        };
        Self {
            dead: Vec::new(),
            reconstructions: (0..count)
                .map(|_| Reconstruction::single_level(d_sae))
                .collect(),
            helped: (0..count).map(|_| None).collect(),
            active: 0,
        }
    }

    /// Counts the rows since each latent fired, and lists the dead latents.
    ///
    /// Reduction point: the number of rows in which each latent is active is a sum over the batch. Counts are whole
    /// numbers, so their order does not matter.
    pub(super) fn count(&mut self, model: &ModelView, forward: &Forward, since_fired: &mut [u64]) {
        let after = model.objective.aux_k().dead_after();
        self.dead.clear();
        self.active = 0;
        for (j, since) in since_fired.iter_mut().enumerate() {
            let fired = forward.main.of(j).rows_with_value();
            self.active += fired;
            *since = match fired {
                0 => since.saturating_add(forward.n as u64),
                _ => 0,
            };
            if *since >= after {
                self.dead.push(j as u32);
            }
        }
    }

    /// Decodes the largest pre-activations of dead latents, without `b_dec`, against the residual, which is a
    /// constant.
    pub(super) fn explain_residual(&mut self, model: &ModelView, forward: &Forward) {
        let aux = model.objective.aux_k();
        let levels = forward.main.levels();
        let mut first = 0;
        let both = self.reconstructions.iter_mut().zip(&mut self.helped);
        for (at, (reconstruction, helped)) in both.enumerate() {
            reconstruction.clear();
            *helped = None;
            let level = if aux.by_level { at } else { levels.len() - 1 };
            let end = levels[level].end as u32;
            let past = self.dead.partition_point(|&j| j < end);
            let dead = &self.dead[first..past];
            first = past;
            if aux.coefficient > 0.0 && !dead.is_empty() {
                *helped = explain(reconstruction, aux, dead, (forward, level), model.weights);
            }
            reconstruction.group();
        }
    }

    /// Reconstruction that holds the dead latents of a level.
    pub(super) fn of_level(&self, level: usize) -> &Reconstruction {
        let several = self.reconstructions.len() > 1;
        &self.reconstructions[if several { level } else { 0 }]
    }

    /// Gradient of a dead latent that dense products computed, before the factor of the loss: by its decoder row, its encoder row, its
    /// bias.
    pub(super) fn helped(&self, level: usize, latent: usize) -> Option<(&[f32], &[f32], f64)> {
        let several = self.helped.len() > 1;
        let helped = self.helped[if several { level } else { 0 }].as_ref()?;
        helped.of(latent)
    }

    /// True if the latent is dead.
    pub(super) fn is_dead(&self, latent: usize) -> bool {
        self.dead.binary_search(&(latent as u32)).is_ok()
    }
}

/// Fills in one reconstruction of the residual of a level by the dead latents; returns its gradient if dense products computed it.
fn explain(
    reconstruction: &mut Reconstruction,
    aux: &AuxK,
    dead: &[u32],
    (forward, level): (&Forward, usize),
    params: &Params,
) -> Option<Helped> {
    let (main, x, n) = (&forward.main, &forward.inputs[..], forward.n);
    let (d_in, d_out) = (x.len() / n, params.get("b_dec").len());
    let most = aux.most(d_in);
    let unit = match aux.unit {
        AuxUnit::Residual => main.sums[level].spread(n),
        AuxUnit::Absolute => n as f64 / (dead.len() as f64 / most as f64).min(1.0),
    };
    if unit > 0.0 {
        reconstruction.scale = 2.0 * aux.coefficient / unit;
    }
    let (k, levels) = (most.min(dead.len()), main.levels().len());
    let (w_enc, b_enc) = (
        rows_of(params, "w_enc", dead),
        rows_of(params, "b_enc", dead),
    );
    if dense::is_worth_it(dead.len(), k, d_in + d_out) {
        let explained = Explained {
            w_enc: &w_enc,
            b_enc: &b_enc,
            w_dec: &rows_of(params, "w_dec", dead),
            x,
            residual: &main.residual,
            levels,
            level,
            k,
            rank: aux.rank,
        };
        let helped = explained.gradient(dead);
        reconstruction.error = helped.square();
        return Some(helped);
    }
    let rows = Centred {
        x,
        w_enc: &w_enc,
        b_enc: &b_enc,
    };
    let mut select = |selection| {
        let encoder = Encoder::with_screen(&w_enc, &b_enc, Screen::Products, d_in, dead.len());
        encoder.encode_centred(&rows, selection, &mut reconstruction.codes);
    };
    match aux.rank {
        Rank::Positive => select(Selection::Row(k)),
        Rank::Magnitude => select(Selection::Magnitude(k)),
        Rank::Signed => largest_of_any_sign(&rows, d_in, k, &mut reconstruction.codes),
    }
    for latent in &mut reconstruction.codes.indices {
        *latent = dead[*latent as usize];
    }
    reconstruction
        .pre
        .extend_from_slice(&reconstruction.codes.values);
    let zeros = vec![0.0; d_out];
    reconstruction.fill_residuals(params, |i| {
        (
            &zeros,
            &main.residual[(i * levels + level) * d_out..][..d_out],
        )
    });
    None
}

/// The k largest pre-activations of every row, below 0 or not.
fn largest_of_any_sign(rows: &Centred, d_in: usize, k: usize, codes: &mut Codes) {
    let latents = rows.b_enc.len();
    let pieces: Vec<Vec<(u32, f32)>> = rows
        .x
        .par_chunks(ROWS * d_in)
        .map(|x| {
            let n = x.len() / d_in;
            let mut pre = vec![0.0; n * latents];
            let shape = [n, latents, d_in];
            matmul(&mut pre, false, (x, Op::N), (rows.w_enc, Op::T), shape);
            let mut found = Vec::with_capacity(n * k);
            for pre in pre.chunks_exact_mut(latents) {
                pre.iter_mut().zip(rows.b_enc).for_each(|(p, b)| *p += b);
                let mut order: Vec<u32> = (0..latents as u32).collect();
                let value = |j: u32| pre[j as usize];
                if k < latents {
                    order.select_nth_unstable_by(k, |&a, &b| {
                        value(b).total_cmp(&value(a)).then(a.cmp(&b))
                    });
                }
                order.truncate(k);
                order.sort_unstable();
                found.extend(order.into_iter().map(|j| (j, value(j))));
            }
            found
        })
        .collect();
    for row in pieces.iter().flat_map(|piece| piece.chunks_exact(k)) {
        codes.indices.extend(row.iter().map(|entry| entry.0));
        codes.values.extend(row.iter().map(|entry| entry.1));
        codes.offsets.push(codes.indices.len());
    }
}

/// Values of some latents in a block of parameters, side by side.
fn rows_of(params: &Params, block: &str, latents: &[u32]) -> Vec<f32> {
    let values = params.get(block);
    let width = values.len() / params.get("b_enc").len();
    let mut rows = Vec::with_capacity(latents.len() * width);
    for &j in latents {
        rows.extend_from_slice(&values[j as usize * width..][..width]);
    }
    rows
}
