//! Mini-batches (or full batches) of a dense architecture with Adam or SGD.

use std::sync::Arc;

use super::epoch::rate;
use super::pass::Pass;
use super::{Observer, Progress, State, refuse_diverged};
use crate::Result;
use crate::config::DecoderNorm;
use crate::data::Source;
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::{Estimate, Variant};

/// Number of comparisons of the estimate of the mean activation with the exact one in a run, about.
const MESSAGES: usize = 10;

/// Buffers of the dense engine.
pub(super) type DensePass = Pass<Arc<dyn Variant>>;

/// One step on these rows.
pub(super) fn step(
    plan: &Plan,
    variant: &dyn Variant,
    rows: &dyn Source,
    state: &mut State,
    pass: &mut DensePass,
) -> Result<Progress> {
    let mut rho_hat_mean = None;
    let moving = &mut state.moving;
    let form = pass.form(rows);
    let parts = pass.evaluate(&state.params, rows, form, &mut |batch| {
        let batch = match moving {
            Some(moving) => moving.update(batch),
            None => batch,
        };
        rho_hat_mean = variant.mean_activation(&batch);
        batch
    })?;
    let lr = rate(plan, state.step);
    let (descent, params) = (state.optimizer.descent(), state.params.values_mut());
    let gradient_norm = descent.step(params, pass.gradient().values(), lr, plan.clip());
    refuse_diverged(state.step + 1, parts.total(), gradient_norm)?;
    if plan.decoder_norm() == DecoderNorm::Unit {
        normalise_rows(&mut state.params, "w_dec", plan.io().d_out());
    }
    state.step += 1;
    state.rows_seen += rows.rows() as u64;
    Ok(Progress {
        step: state.step,
        steps: plan.steps(),
        rows_seen: state.rows_seen,
        parts,
        gradient_norm,
        rho_hat_mean,
        sparse: None,
    })
}

/// Reports the exact mean activation over all rows beside the estimate that training uses, at the
/// end of each epoch.
pub(super) fn audit(
    plan: &Plan,
    variant: &dyn Variant,
    data: &dyn Source,
    (state, progress): (&State, &Progress),
    pass: &mut DensePass,
    observer: &mut dyn Observer,
) -> Result<()> {
    let per_epoch = plan.steps_per_epoch();
    // Each comparison costs a pass over the rows: about ten of them show whether the estimate is right.
    let epochs = plan.steps().div_ceil(per_epoch);
    let every = per_epoch * epochs.div_ceil(MESSAGES);
    let due = state.step.is_multiple_of(every) || state.step == plan.steps();
    if !due || variant.estimate() == Estimate::Exact {
        return Ok(());
    }
    let exact = pass.statistics(&state.params, data)?;
    let (Some(exact), Some(estimate)) = (variant.mean_activation(&exact), progress.rho_hat_mean)
    else {
        return Ok(());
    };
    let name = match variant.estimate() {
        Estimate::Moving { .. } => "running estimate",
        Estimate::Batch | Estimate::Exact => "last batch",
    };
    let epoch = state.step.div_ceil(per_epoch);
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
