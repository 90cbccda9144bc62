//! The dead latents' part of a step: they explain what the others left over.

use rarefy_kernels::matmul::{Op, matmul};
use rayon::prelude::*;

use super::reading::Reading;
use super::step::Step;
use crate::codes::Codes;
use crate::engine::{Centred, Encoder, Screen, Selection};
use crate::params::Params;
use crate::variants::{Aux, AuxUnit, Rank};

/// Rows whose pre-activations of all dead latents are there together.
const ROWS: usize = 64;

impl Step {
    /// Their largest pre-activations, decoded without `b_dec`, against the residual, which counts as
    /// data here.
    pub(super) fn explain_rest(&mut self, params: &Params, n: usize) {
        let aux = self.sparse.aux();
        let levels = self.main.levels();
        let mut first = 0;
        for (at, reading) in self.rest.iter_mut().enumerate() {
            reading.clear();
            let level = if aux.by_level { at } else { levels.len() - 1 };
            let end = levels[level].end as u32;
            let past = self.dead.partition_point(|&j| j < end);
            let dead = &self.dead[first..past];
            first = past;
            if aux.coefficient > 0.0 && !dead.is_empty() {
                let rows = (&self.main, level, &self.centred[..]);
                explain(reading, &aux, dead, rows, params, n);
            }
            reading.group();
        }
    }
}

fn explain(
    reading: &mut Reading,
    aux: &Aux,
    dead: &[u32],
    (main, level, x): (&Reading, usize, &[f32]),
    params: &Params,
    n: usize,
) {
    let d_in = x.len() / n;
    let most = aux.k.unwrap_or(d_in / 2).max(1);
    let (w_enc, b_enc) = rows_of(params, dead, d_in);
    let rows = Centred {
        x,
        w_enc: &w_enc,
        b_enc: &b_enc,
    };
    let k = most.min(dead.len());
    let mut select = |selection| {
        let encoder = Encoder::with_screen(&w_enc, &b_enc, Screen::Products, d_in, dead.len());
        encoder.encode_centred(&rows, selection, &mut reading.codes);
    };
    match aux.rank {
        Rank::Positive => select(Selection::Row(k)),
        Rank::Magnitude => select(Selection::Magnitude(k)),
        Rank::Signed => largest_of_any_sign(&rows, d_in, k, &mut reading.codes),
    }
    for latent in &mut reading.codes.indices {
        *latent = dead[*latent as usize];
    }
    reading.pre.extend_from_slice(&reading.codes.values);
    let (d_out, levels) = (params.get("b_dec").len(), main.levels().len());
    let zeros = vec![0.0; d_out];
    reading.leave(params, |i| {
        (
            &zeros,
            &main.residual[(i * levels + level) * d_out..][..d_out],
        )
    });
    let unit = match aux.unit {
        AuxUnit::Residual => main.left[level].spread(n),
        AuxUnit::Absolute => n as f64 / (dead.len() as f64 / most as f64).min(1.0),
    };
    if unit > 0.0 {
        reading.scale = 2.0 * aux.coefficient / unit;
    }
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

/// Encoder rows and biases of some latents, side by side.
fn rows_of(params: &Params, latents: &[u32], d_in: usize) -> (Vec<f32>, Vec<f32>) {
    let (w_enc, b_enc) = (params.get("w_enc"), params.get("b_enc"));
    let mut rows = Vec::with_capacity(latents.len() * d_in);
    for &j in latents {
        rows.extend_from_slice(&w_enc[j as usize * d_in..][..d_in]);
    }
    (rows, latents.iter().map(|&j| b_enc[j as usize]).collect())
}
