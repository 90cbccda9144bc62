//! Training objective of any sparse architecture in f64, composed of the twins of its building blocks.

mod auxiliary;
mod weights;

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::io_spec::IoSpec;
use crate::objective::{Dual, Objective, TwinBatch, TwinEntry};
use crate::params::Params;
use auxiliary::Helping;
use weights::Weights;
pub(super) use weights::wide;

/// Training step with its constants: selected entries, dead latents, residuals of the auxiliary loss.
pub(super) struct Problem<'a> {
    objective: &'a Objective,
    io: &'a IoSpec,
    /// Rows of inputs, then targets.
    x: &'a [f64],
    /// Rows whose inputs the encoder reads.
    seen: &'a [f64],
    /// Parameters at which entries were selected; their layout gives names and sizes.
    like: &'a Params,
    n: usize,
    d_out: usize,
    d_sae: usize,
    /// True with `decoder_norm = rescale`: pre-activations are multiplied by the length of decoder rows.
    rescaled: bool,
    /// Selected latents of each row.
    pub(super) kept: Vec<Vec<usize>>,
    pub(super) dead: Vec<bool>,
    /// Pre-activations at which entries were selected.
    held_pre: Vec<Vec<f64>>,
    /// Auxiliary loss by level: dead latents of each row, residuals, and factor of the squared error.
    helping: Vec<Helping>,
}

/// Value of the objective by part.
pub(super) struct Value {
    pub(super) reconstruction: Dual,
    pub(super) penalty: Dual,
    pub(super) auxiliary: Dual,
}

impl Value {
    pub(super) fn total(&self) -> Dual {
        self.reconstruction + self.penalty + self.auxiliary
    }
}

impl<'a> Problem<'a> {
    /// Selects entries at the parameters `like`; `since_fired` is the state before the step, `seen` are the rows as the
    /// encoder reads them.
    pub(super) fn new(
        (objective, io): (&'a Objective, &'a IoSpec),
        like: &'a Params,
        [seen, x]: [&'a [f64]; 2],
        since_fired: u64,
        rescaled: bool,
    ) -> Self {
        let (d_out, d_sae) = (like.get("b_dec").len(), like.get("b_enc").len());
        let mut problem = Self {
            objective,
            io,
            x,
            seen,
            like,
            n: x.len() / io.row_width(),
            d_out,
            d_sae,
            rescaled,
            kept: Vec::new(),
            dead: vec![false; d_sae],
            held_pre: Vec::new(),
            helping: Vec::new(),
        };
        let weights = problem.weights(&wide(like));
        let plain = |rows: Vec<Vec<Dual>>| -> Vec<Vec<f64>> {
            rows.iter()
                .map(|row| row.iter().map(|v| v.value).collect())
                .collect()
        };
        let (pre, per_latent) = (problem.pre(&weights), problem.per_latent(&weights));
        let pre = plain(pre);
        problem.kept = if objective.pursues() {
            problem.pursue(&weights)
        } else {
            objective.selection().twin(&pre, &plain(per_latent))
        };
        problem.held_pre.clone_from(&pre);
        problem.bury(&weights, since_fired);
        problem.helping = problem.helpers(&weights, &pre);
        problem
    }

    /// Effective weights of the parameters.
    fn weights(&self, values: &[Dual]) -> Weights<'a> {
        let mut weights = Weights {
            like: self.like,
            values: values.to_vec(),
        };
        if !self.rescaled {
            return weights;
        }
        let rows = weights.block("w_dec").chunks_exact(self.d_out);
        let square = |row: &[Dual]| row.iter().fold(Dual::default(), |sum, w| sum + w.square());
        let lengths: Vec<Dual> = rows.map(|row| square(row).sqrt()).collect();
        let one = Dual::constant(1.0);
        for (name, inverse) in [("w_enc", false), ("b_enc", false), ("w_dec", true)] {
            let range = weights.range(name);
            let rows =
                weights.values[range].chunks_exact_mut(self.like.get(name).len() / self.d_sae);
            for (row, &length) in rows.zip(&lengths) {
                let factor = if inverse { one / length } else { length };
                row.iter_mut().for_each(|w| *w = *w * factor);
            }
        }
        weights
    }

    /// Latents that a pursuit takes for each row; none for other selections.
    fn pursue(&self, w: &Weights) -> Vec<Vec<usize>> {
        let Some(pursuit) = self.objective.selection().pursuit() else {
            return vec![Vec::new(); self.n];
        };
        let plain = |values: &[Dual]| values.iter().map(|v| v.value).collect::<Vec<f64>>();
        let w_dec: Vec<Vec<f64>> = w
            .block("w_dec")
            .chunks_exact(self.d_out)
            .map(plain)
            .collect();
        let row = |i| plain(&self.centred(w, i));
        (0..self.n)
            .map(|i| pursuit.twin_row(row(i), &w_dec))
            .collect()
    }

    /// Encoder input of row i: `x_i - b_dec`, or `x_i` if not centred.
    fn centred(&self, w: &Weights, i: usize) -> Vec<Dual> {
        let x = self.input(i).iter().map(|x| Dual::from(*x));
        if !self.io.centre {
            return x.collect();
        }
        x.zip(w.block("b_dec")).map(|(x, b)| x - *b).collect()
    }

    fn input(&self, i: usize) -> &[f64] {
        &self.seen[i * self.io.row_width()..][..self.io.d_in()]
    }

    /// Target of row i: columns that the decoder reconstructs.
    fn target(&self, i: usize) -> &[f64] {
        &self.x[i * self.io.row_width() + self.io.target_start()..][..self.d_out]
    }

    /// Finds dead latents: latents silent for `dead_after` rows.
    fn bury(&mut self, weights: &Weights, since_fired: u64) {
        let batch = self.batch(weights);
        let after = self.objective.aux_k().dead_after();
        for j in 0..self.d_sae {
            let fires = |entry: &TwinEntry| entry.latent == j && entry.value.value != 0.0;
            let silent = !batch.rows.iter().flatten().any(fires);
            self.dead[j] = silent && since_fired + self.n as u64 >= after;
        }
    }

    /// The objective at weights near those that the sets were found at.
    ///
    /// ```text
    /// sum_l c_l 1/n sum_i |x_i - x_hat_il|^2 + 1/n sum_i |x_i - second_i|^2 + penalty
    ///   + sum over the auxiliary levels: share sum_i |left_i - sum_j a_ij w_dec_j|^2
    /// ```
    pub(super) fn value(&self, values: &[Dual]) -> Value {
        let weights = self.weights(values);
        let batch = self.batch(&weights);
        let mut value = Value {
            reconstruction: Dual::default(),
            penalty: self.objective.twin_penalty(&batch),
            auxiliary: Dual::default(),
        };
        let n = self.n as f64;
        for (i, row) in batch.rows.iter().enumerate() {
            for level in self.objective.levels(self.d_sae) {
                let out = self.decoded(&weights, row, level.end, Some(i));
                value.reconstruction += self.error(i, &out) * (level.weight / n);
            }
            if let Some(gate) = self.objective.pre_reconstruction() {
                let again: Vec<TwinEntry> = row
                    .iter()
                    .map(|entry| TwinEntry {
                        value: entry.pre,
                        ..*entry
                    })
                    .collect();
                let out = if gate.decoder_learns {
                    self.decoded(&weights, &again, self.d_sae, Some(i))
                } else {
                    let held = self.weights(&wide(self.like));
                    self.decoded(&held, &again, self.d_sae, Some(i))
                };
                value.auxiliary += self.error(i, &out) * (gate.weight / n);
            }
            for helping in &self.helping {
                value.auxiliary += self.auxiliary(&weights, &batch, helping, i);
            }
        }
        value
    }

    /// Reconstruction error of row i.
    fn error(&self, i: usize, out: &[Dual]) -> Dual {
        self.objective.error().twin(self.target(i), out)
    }

    /// Decodes entries with latents below `end`; adds bias and skip of row `on`, if given.
    fn decoded(&self, w: &Weights, row: &[TwinEntry], end: usize, on: Option<usize>) -> Vec<Dual> {
        let w_dec = w.block("w_dec");
        (0..self.d_out)
            .map(|t| {
                let mut sum = on.map_or(Dual::default(), |i| self.base(w, i, t));
                for entry in row.iter().filter(|entry| entry.latent < end) {
                    sum += entry.value * w_dec[entry.latent * self.d_out + t];
                }
                sum
            })
            .collect()
    }

    /// Output t of `b_dec + w_skip x_i`.
    fn base(&self, w: &Weights, i: usize, t: usize) -> Dual {
        let mut sum = w.block("b_dec")[t];
        if self.io.skip {
            let x = self.input(i);
            let row = &w.block("w_skip")[t * x.len()..];
            sum += x.iter().zip(row).map(|(x, w)| *w * *x).sum();
        }
        sum
    }

    /// `w_enc (x - b_dec) + b_enc` of all rows and latents.
    fn pre(&self, w: &Weights) -> Vec<Vec<Dual>> {
        let pursues = self.objective.pursues();
        let (w_enc, b_enc) = (
            w.block(if pursues { "w_dec" } else { "w_enc" }),
            w.block("b_enc"),
        );
        let of = |i: usize, j: usize| {
            let start = if pursues { Dual::default() } else { b_enc[j] };
            let x = self.centred(w, i);
            let pairs = x.iter().zip(&w_enc[j * x.len()..]);
            start + pairs.map(|(x, w)| *x * *w).sum()
        };
        (0..self.n)
            .map(|i| (0..self.d_sae).map(|j| of(i, j)).collect())
            .collect()
    }

    /// Per-latent parameters, `[d_sae]` by the objective's order.
    fn per_latent(&self, w: &Weights) -> Vec<Vec<Dual>> {
        let names = self.objective.per_latent();
        (0..self.d_sae)
            .map(|j| names.iter().map(|(name, _)| w.block(name)[j]).collect())
            .collect()
    }

    fn batch(&self, w: &Weights) -> TwinBatch {
        let (pre, per_latent) = (self.pre(w), self.per_latent(w));
        let (b_enc, w_dec) = (w.block("b_enc"), w.block("w_dec"));
        let rows = self.kept.iter().zip(&pre).enumerate();
        let rows = rows.map(|(i, (kept, pre))| {
            if self.objective.pursues() {
                return self.pursued(w, i, kept);
            }
            let entry = |&latent: &usize| TwinEntry {
                latent,
                pre: pre[latent],
                held_pre: self.held_pre[i][latent],
                value: pre[latent],
                step: Dual::constant(1.0),
            };
            let mut row: Vec<TwinEntry> = kept.iter().map(entry).collect();
            let activation = self.objective.activation();
            activation.twin(&mut row, b_enc, &per_latent);
            row
        });
        let rows = rows.collect();
        let w_dec = w_dec.chunks_exact(self.d_out);
        let held = self.weights(&wide(self.like));
        let held = held.block("w_dec");
        let plain = |row: &[Dual]| row.iter().map(|w| w.value).collect();
        TwinBatch {
            rows,
            pre,
            decoder_norms: w_dec.clone().map(|row| self.length(row)).collect(),
            w_dec: w_dec.map(<[Dual]>::to_vec).collect(),
            held_w_dec: held.chunks_exact(self.d_out).map(plain).collect(),
            per_latent,
            dead: self.dead.clone(),
        }
    }

    /// Sum of the lengths of a decoder row's parts, one for each input.
    fn length(&self, row: &[Dual]) -> Dual {
        let whole = [self.d_out];
        let widths = if self.io.has_several_inputs() {
            self.io.input_widths()
        } else {
            &whole
        };
        let mut rest = row;
        let lengths = widths.iter().map(|&width| {
            let (part, others) = rest.split_at(width);
            rest = others;
            part.iter().map(|w| w.square()).sum::<Dual>().sqrt()
        });
        lengths.sum()
    }

    /// Entries of a pursuit, each computed from the residual of the previous ones.
    fn pursued(&self, w: &Weights, i: usize, kept: &[usize]) -> Vec<TwinEntry> {
        let mut left = self.centred(w, i);
        kept.iter()
            .map(|&latent| {
                let row = &w.block("w_dec")[latent * self.d_out..(latent + 1) * self.d_out];
                let value: Dual = left.iter().zip(row).map(|(r, w)| *r * *w).sum();
                left.iter_mut()
                    .zip(row)
                    .for_each(|(r, w)| *r = *r - value * *w);
                TwinEntry {
                    latent,
                    pre: value,
                    held_pre: value.value,
                    value,
                    step: Dual::constant(1.0),
                }
            })
            .collect()
    }

    /// Number of active latents, summed over all rows.
    pub(super) fn active(&self) -> usize {
        let weights = self.weights(&wide(self.like));
        let of_row = |row: &Vec<TwinEntry>| {
            let with_value = row.iter().filter(|entry| entry.value.value != 0.0);
            with_value
                .map(|entry| entry.latent)
                .collect::<BTreeSet<_>>()
                .len()
        };
        self.batch(&weights).rows.iter().map(of_row).sum()
    }

    /// Gradient of the objective by all parameters.
    pub(super) fn gradient(&self) -> Vec<f64> {
        let values = wide(self.like);
        (0..values.len())
            .into_par_iter()
            .map(|at| {
                let mut values = values.clone();
                values[at].slope = 1.0;
                self.value(&values).total().slope
            })
            .collect()
    }
}
