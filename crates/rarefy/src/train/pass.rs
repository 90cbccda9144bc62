//! One evaluation of objective and gradient over a batch, shared out over threads.
//!
//! Chunks and lanes are those of `data::chunks`, so the result is the same for any number of
//! threads.
//!
//! The two reductions of a step (statistics, then gradients) can be had in three ways, all exact:
//!
//! | form | rows are read | latents are computed | kept |
//! |---|---|---|---|
//! | cached | twice, from memory | once | latents and slopes of all rows |
//! | recomputed | twice | twice | nothing |
//! | deferred | once | once | one more accumulator of the encoder's size |

use std::ops::Deref;

use rayon::prelude::*;

use crate::Result;
use crate::data::Source;
use crate::data::chunks::Chunking;
use crate::params::{Layout, Params};
use crate::variants::{Batch, Chunk, Gradient, Parts, Scratch, Variant};

/// Latents of all rows are kept between the two halves of a step up to this size.
const CACHE_BYTES: usize = 512 << 20;

/// Evaluation form of a full batch; public so that tests can compare the three forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Latents are computed once and kept.
    Cached,
    /// Latents are computed for the statistics and again for the gradient.
    Recomputed,
    /// One pass: factors that depend on the statistics are applied at the end.
    Deferred,
}

/// Buffers for evaluating one architecture at one size; reused from step to step.
///
/// `V` points to the architecture: a reference, or an `Arc` for a pass that lives as long as its owner wants.
pub struct Pass<V> {
    variant: V,
    d_in: usize,
    d_sae: usize,
    lanes: Vec<Lane>,
}

struct Lane {
    x: Vec<f32>,
    statistics: Vec<f64>,
    chunks: Vec<Chunk>,
    scratch: Scratch,
    gradient: Gradient,
}

impl<V, T> Pass<V>
where
    V: Deref<Target = T> + Sync,
    T: Variant + ?Sized,
{
    /// Buffers for the architecture; nothing large is allocated before the first evaluation.
    pub fn new(variant: V, d_in: usize, d_sae: usize) -> Self {
        Self {
            variant,
            d_in,
            d_sae,
            lanes: Vec::new(),
        }
    }

    /// The form that suits these rows: cached if they and their latents fit in memory, else one
    /// pass if the architecture has that form, else two.
    pub fn form(&self, rows: &dyn Source) -> Form {
        let latents = rows.rows() * self.d_sae * 2 * size_of::<f32>();
        if rows.as_slice().is_some() && latents <= CACHE_BYTES {
            Form::Cached
        } else if self
            .variant
            .deferred_layout(self.d_in, self.d_sae)
            .is_some()
        {
            Form::Deferred
        } else {
            Form::Recomputed
        }
    }

    /// Value by part and finished gradient of the objective over all `rows`.
    ///
    /// `estimate` may replace the batch's statistics (a running mean); it sees them once.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub fn evaluate(
        &mut self,
        params: &Params,
        rows: &dyn Source,
        form: Form,
        estimate: &mut dyn FnMut(Batch) -> Batch,
    ) -> Result<Parts> {
        let cut = Chunking::new(rows.rows(), self.d_in, self.d_sae);
        self.evaluate_cut(params, rows, cut, form, estimate)
    }

    fn evaluate_cut(
        &mut self,
        params: &Params,
        rows: &dyn Source,
        cut: Chunking,
        form: Form,
        estimate: &mut dyn FnMut(Batch) -> Batch,
    ) -> Result<Parts> {
        self.prepare(params.layout(), cut.lanes, form);
        let statistics = self.variant.statistics_len(self.d_sae);
        let batch = match form {
            Form::Cached | Form::Recomputed => {
                self.forward(params, rows, cut, form == Form::Cached)?;
                let batch = estimate(self.reduce_statistics(rows.rows()));
                let variant = &*self.variant;
                each_chunk(&mut self.lanes, rows, cut, |lane, at, x| {
                    let Lane {
                        chunks,
                        scratch,
                        gradient,
                        ..
                    } = lane;
                    if form == Form::Recomputed {
                        let mut unused = vec![0.0; statistics];
                        variant.forward(params, x, &mut chunks[0], &mut unused);
                    }
                    let chunk = if form == Form::Cached {
                        &chunks[at]
                    } else {
                        &chunks[0]
                    };
                    variant.backward(params, x, chunk, Some(&batch), scratch, gradient);
                })?;
                batch
            }
            Form::Deferred => {
                let variant = &*self.variant;
                each_chunk(&mut self.lanes, rows, cut, |lane, _, x| {
                    let Lane {
                        statistics,
                        chunks,
                        scratch,
                        gradient,
                        ..
                    } = lane;
                    variant.forward(params, x, &mut chunks[0], statistics);
                    variant.backward(params, x, &chunks[0], None, scratch, gradient);
                })?;
                estimate(self.reduce_statistics(rows.rows()))
            }
        };
        self.reduce_gradients();
        let visit = |f: &mut dyn FnMut(&[f32])| cut.visit(rows, f);
        self.variant
            .finish(params, &batch, &visit, &mut self.lanes[0].gradient)
    }

    /// The gradient of the last evaluation.
    ///
    /// # Panics
    /// If there was none.
    pub fn gradient(&self) -> &Params {
        &self.lanes[0].gradient.params
    }

    /// The exact statistics of all rows: the first half of a step alone.
    ///
    /// # Errors
    /// Errors of reading the rows.
    pub fn statistics(&mut self, params: &Params, rows: &dyn Source) -> Result<Batch> {
        let cut = Chunking::new(rows.rows(), self.d_in, self.d_sae);
        self.prepare(params.layout(), cut.lanes, Form::Recomputed);
        self.forward(params, rows, cut, false)?;
        Ok(self.reduce_statistics(rows.rows()))
    }

    fn forward(
        &mut self,
        params: &Params,
        rows: &dyn Source,
        cut: Chunking,
        keep: bool,
    ) -> Result<()> {
        let variant = &*self.variant;
        each_chunk(&mut self.lanes, rows, cut, |lane, at, x| {
            let at = if keep { at } else { 0 };
            if lane.chunks.len() <= at {
                lane.chunks.resize_with(at + 1, Chunk::default);
            }
            variant.forward(params, x, &mut lane.chunks[at], &mut lane.statistics);
        })
    }

    fn prepare(&mut self, layout: &Layout, lanes: usize, form: Form) {
        let deferred = self
            .variant
            .deferred_layout(self.d_in, self.d_sae)
            .filter(|_| form == Form::Deferred);
        let statistics = self.variant.statistics_len(self.d_sae);
        self.lanes.resize_with(lanes, || Lane {
            x: Vec::new(),
            statistics: vec![0.0; statistics],
            chunks: vec![Chunk::default()],
            scratch: Scratch::default(),
            gradient: Gradient {
                params: Params::zeros(layout),
                deferred: None,
                reconstruction: 0.0,
            },
        });
        self.lanes.par_iter_mut().for_each(|lane| {
            lane.statistics.fill(0.0);
            lane.gradient.params.values_mut().fill(0.0);
            lane.gradient.deferred = deferred.as_ref().map(Params::zeros);
            lane.gradient.reconstruction = 0.0;
        });
    }

    fn reduce_statistics(&self, rows: usize) -> Batch {
        let mut statistics = self.lanes[0].statistics.clone();
        for lane in &self.lanes[1..] {
            statistics
                .iter_mut()
                .zip(&lane.statistics)
                .for_each(|(sum, lane)| *sum += lane);
        }
        Batch { rows, statistics }
    }

    fn reduce_gradients(&mut self) {
        let (first, others) = self.lanes.split_first_mut().expect("there is a lane");
        first.gradient.reconstruction += others
            .iter()
            .map(|lane| lane.gradient.reconstruction)
            .sum::<f64>();
        let lanes: Vec<&[f32]> = others
            .iter()
            .map(|lane| lane.gradient.params.values())
            .collect();
        add_lanes(first.gradient.params.values_mut(), &lanes);
        if let Some(deferred) = &mut first.gradient.deferred {
            let lanes: Vec<&[f32]> = others
                .iter()
                .filter_map(|l| l.gradient.deferred.as_ref())
                .map(Params::values)
                .collect();
            add_lanes(deferred.values_mut(), &lanes);
        }
    }
}

/// Runs `work` on every chunk of every lane as (lane, index of the chunk in the lane, rows).
fn each_chunk(
    lanes: &mut [Lane],
    rows: &dyn Source,
    cut: Chunking,
    work: impl Fn(&mut Lane, usize, &[f32]) + Sync,
) -> Result<()> {
    let results: Vec<Result<()>> = lanes
        .par_iter_mut()
        .enumerate()
        .map(|(lane_index, lane)| {
            let mut buffer = std::mem::take(&mut lane.x);
            for (at, chunk) in (lane_index..cut.chunks).step_by(cut.lanes).enumerate() {
                work(lane, at, cut.rows_of(chunk, rows, &mut buffer)?);
            }
            lane.x = buffer;
            Ok(())
        })
        .collect();
    results.into_iter().collect()
}

/// Adds lanes to the first, each value in the order of the lanes.
fn add_lanes(first: &mut [f32], others: &[&[f32]]) {
    const PIECE: usize = 1 << 14;
    first
        .par_chunks_mut(PIECE)
        .enumerate()
        .for_each(|(piece, sum)| {
            for lane in others {
                rarefy_kernels::vector::add(sum, &lane[piece * PIECE..][..sum.len()]);
            }
        });
}

#[cfg(test)]
mod tests;
