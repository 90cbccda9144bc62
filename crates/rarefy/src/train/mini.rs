//! Mini-batches (or full batches) with Adam or SGD.

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::pass::{Form, Pass};
use super::{Observer, Optimizer, Outcome, Progress, State, after_step, finish};
use crate::config::DecoderNorm;
use crate::data::Source;
use crate::optim::schedule;
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::Estimate;
use crate::{Result, Rng};

pub(super) fn train(
    plan: &Plan,
    data: &dyn Source,
    mut state: State,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let settings = &plan.config.train;
    let mut pass = Pass::new(plan.variant.as_ref(), plan.d_in, plan.config.model.latents);
    let mut batches = Batches::new(plan, data);
    while state.step < plan.steps {
        let rows = batches.at(state.step)?;
        let form = if rows.as_slice().is_some() {
            Form::Cached
        } else {
            pass.form(rows)
        };
        let mut mean = None;
        let moving = &mut state.moving;
        let parts = pass.evaluate(&state.params, rows, form, &mut |batch| {
            let batch = match moving {
                Some(moving) => moving.update(batch),
                None => batch,
            };
            mean = plan.variant.mean_activation(&batch);
            batch
        })?;
        let Optimizer::Descent(descent) = &mut state.optimizer else {
            unreachable!("a state for Adam or SGD was made or loaded by the plan")
        };
        let lr = plan.lr
            * schedule(
                state.step,
                plan.steps,
                settings.lr_warmup,
                settings.lr_decay,
            );
        let gradient_norm = descent.step(
            state.params.values_mut(),
            pass.gradient().values(),
            lr,
            settings.clip,
        );
        if plan.config.model.decoder_norm == DecoderNorm::Unit {
            normalise_rows(&mut state.params, "w_dec", plan.d_in);
        }
        state.step += 1;
        state.rows_seen += rows.rows() as u64;
        let progress = Progress {
            step: state.step,
            steps: plan.steps,
            rows_seen: state.rows_seen,
            parts,
            gradient_norm,
            rho_hat_mean: mean,
        };
        observer.step(&progress)?;
        if state.step.is_multiple_of(batches.per_epoch)
            && plan.variant.estimate() != Estimate::Exact
        {
            audit(plan, data, &state, &mut pass, observer)?;
        }
        after_step(plan, &state, observer)?;
    }
    let reason = format!("all {} steps done", state.step);
    finish(state, reason, observer)
}

/// Tells the exact mean activation over all rows beside the estimate that training uses.
fn audit(
    plan: &Plan,
    data: &dyn Source,
    state: &State,
    pass: &mut Pass,
    observer: &mut dyn Observer,
) -> Result<()> {
    let exact = pass.statistics(&state.params, data)?;
    let Some(exact) = plan.variant.mean_activation(&exact) else {
        return Ok(());
    };
    let estimate = state.moving.as_ref().and_then(super::Moving::estimate);
    let estimate = estimate.and_then(|batch| plan.variant.mean_activation(&batch));
    let beside = estimate.map_or_else(String::new, |e| format!(", running estimate {e:.5}"));
    let epoch = state.step / (plan.rows / plan.batch).max(1);
    observer.message(&format!(
        "epoch {epoch}: exact mean rho_hat {exact:.5}{beside}"
    ));
    Ok(())
}

/// Every decoder row at length 1; a zero row stays.
fn normalise_rows(params: &mut Params, block: &str, width: usize) {
    for row in params.get_mut(block).chunks_exact_mut(width) {
        let norm = rarefy_kernels::vector::dot(row, row).sqrt() as f32;
        if norm > 0.0 {
            row.iter_mut().for_each(|w| *w /= norm);
        }
    }
}

/// The rows of each step. An epoch visits `rows / batch` whole batches in an order drawn from
/// (seed, epoch) alone, so a resumed run needs no generator state; what is left over by an
/// epoch's order comes up in another.
struct Batches<'a> {
    data: &'a dyn Source,
    batch: usize,
    per_epoch: usize,
    seed: u64,
    shuffle: bool,
    epoch: Option<usize>,
    order: Vec<usize>,
    rows: Rows,
}

impl<'a> Batches<'a> {
    fn new(plan: &Plan, data: &'a dyn Source) -> Self {
        Self {
            data,
            batch: plan.batch,
            per_epoch: (plan.rows / plan.batch).max(1),
            seed: plan.config.train.seed,
            shuffle: plan.config.train.shuffle,
            epoch: None,
            order: Vec::new(),
            rows: Rows {
                d_in: plan.d_in,
                values: Vec::new(),
            },
        }
    }

    fn at(&mut self, step: usize) -> Result<&dyn Source> {
        if self.batch == self.data.rows() {
            return Ok(self.data);
        }
        let epoch = step / self.per_epoch;
        if self.epoch != Some(epoch) {
            self.order = (0..self.data.rows()).collect();
            if self.shuffle {
                self.order.shuffle(&mut generator(self.seed, epoch));
            }
            self.epoch = Some(epoch);
        }
        let first = step % self.per_epoch * self.batch;
        self.rows.values.resize(self.batch * self.rows.d_in, 0.0);
        self.data.gather(
            &self.order[first..first + self.batch],
            &mut self.rows.values,
        )?;
        Ok(&self.rows)
    }
}

/// A generator for one epoch; the odd constant keeps (seed, epoch) pairs apart.
fn generator(seed: u64, epoch: usize) -> Rng {
    Rng::seed_from_u64(seed ^ (epoch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// A gathered mini-batch.
struct Rows {
    d_in: usize,
    values: Vec<f32>,
}

impl Source for Rows {
    fn name(&self) -> &'static str {
        "mini-batch"
    }
    fn rows(&self) -> usize {
        self.values.len() / self.d_in
    }
    fn d_in(&self) -> usize {
        self.d_in
    }
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&self.values[start * self.d_in..][..out.len()]);
        Ok(())
    }
    fn as_slice(&self) -> Option<&[f32]> {
        Some(&self.values)
    }
}
