//! Mini-batches (or full batches) with Adam or SGD.

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::pass::Pass;
use super::{Observer, Optimizer, Outcome, Progress, State, after_step, finish, refuse_diverged};
use crate::config::DecoderNorm;
use crate::data::{Memory, Source};
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
    let mut pass = Pass::new(plan.variant.as_ref(), plan.d_in, plan.config.model.latents);
    let mut batches = Batches::new(plan, data);
    while state.step < plan.steps {
        let rows = batches.at(state.step)?;
        let progress = step(plan, rows, &mut state, &mut pass)?;
        observer.step(&progress)?;
        let epoch_ends = state.step.is_multiple_of(batches.per_epoch);
        if (epoch_ends || state.step == plan.steps) && plan.variant.estimate() != Estimate::Exact {
            audit(plan, data, &state, &progress, &mut pass, observer)?;
        }
        if settled(plan, &mut state, progress.parts.total(), epoch_ends) {
            let reason = format!("converged after {} steps", state.step);
            return finish(state, reason, observer);
        }
        after_step(plan, &state, observer)?;
    }
    let reason = format!("all {} steps done", state.step);
    finish(state, reason, observer)
}

/// One step on these rows.
fn step(plan: &Plan, rows: &dyn Source, state: &mut State, pass: &mut Pass) -> Result<Progress> {
    let settings = &plan.config.train;
    let mut rho_hat_mean = None;
    let moving = &mut state.moving;
    let form = pass.form(rows);
    let parts = pass.evaluate(&state.params, rows, form, &mut |batch| {
        let batch = match moving {
            Some(moving) => moving.update(batch),
            None => batch,
        };
        rho_hat_mean = plan.variant.mean_activation(&batch);
        batch
    })?;
    let Optimizer::Descent(descent) = &mut state.optimizer else {
        unreachable!("a state for Adam or SGD was made or loaded by the plan")
    };
    let (warmup, decay) = (settings.lr_warmup, settings.lr_decay);
    let lr = plan.lr * schedule(state.step, plan.steps, warmup, decay);
    let (params, gradient) = (state.params.values_mut(), pass.gradient().values());
    let gradient_norm = descent.step(params, gradient, lr, settings.clip);
    refuse_diverged(state.step + 1, parts.total(), gradient_norm)?;
    if plan.config.model.decoder_norm == DecoderNorm::Unit {
        normalise_rows(&mut state.params, "w_dec", plan.d_in);
    }
    state.step += 1;
    state.rows_seen += rows.rows() as u64;
    Ok(Progress {
        step: state.step,
        steps: plan.steps,
        rows_seen: state.rows_seen,
        parts,
        gradient_norm,
        rho_hat_mean,
    })
}

/// Whether an epoch's mean objective has fallen by less than the tolerance since the one before.
/// `state.recent` holds the sum over this epoch so far and, from the second on, the mean of the last.
fn settled(plan: &Plan, state: &mut State, objective: f64, epoch_ends: bool) -> bool {
    if state.recent.is_empty() {
        state.recent.push(0.0);
    }
    state.recent[0] += objective;
    if !epoch_ends {
        return false;
    }
    let mean = state.recent[0] / (plan.rows / plan.batch).max(1) as f64;
    let before = state.recent.get(1).copied();
    state.recent = vec![0.0, mean];
    plan.tolerance > 0.0
        && before.is_some_and(|before| before - mean <= plan.tolerance * mean.abs())
}

/// Tells the exact mean activation over all rows beside the estimate that training uses.
fn audit(
    plan: &Plan,
    data: &dyn Source,
    state: &State,
    progress: &Progress,
    pass: &mut Pass,
    observer: &mut dyn Observer,
) -> Result<()> {
    let exact = pass.statistics(&state.params, data)?;
    let (Some(exact), Some(estimate)) =
        (plan.variant.mean_activation(&exact), progress.rho_hat_mean)
    else {
        return Ok(());
    };
    let name = match plan.variant.estimate() {
        Estimate::Moving { .. } => "running estimate",
        Estimate::Batch | Estimate::Exact => "last batch",
    };
    let epoch = state.step.div_ceil((plan.rows / plan.batch).max(1));
    observer.message(&format!(
        "epoch {epoch}: exact mean rho_hat {exact:.5}, {name} {estimate:.5}"
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
    /// The rows of a step, where they are not all rows.
    gathered: Memory,
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
            gathered: Memory::new("mini-batch", plan.d_in, vec![0.0; plan.batch * plan.d_in]),
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
        let rows = &self.order[first..first + self.batch];
        self.data.gather(rows, self.gathered.values_mut())?;
        Ok(&self.gathered)
    }
}

/// A generator for one epoch; the odd constant keeps (seed, epoch) pairs apart.
fn generator(seed: u64, epoch: usize) -> Rng {
    Rng::seed_from_u64(seed ^ (epoch as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
