//! Faults of a result: one function for each, with its description if it is seen.

use super::{Run, short};
use crate::metrics::Evaluation;

/// Factor by which the mean activation may miss rho, and L0 its target.
const OFF: f64 = 1.5;

/// Share of the latents that are active on many rows from which on codes are called dense.
const DENSE: f64 = 0.5;

/// Share of collapsed latents from which on they are reported.
const MANY: f64 = 0.25;

/// Active latents per row below which a poor model of kl is reported.
const FAINT: f64 = 0.5;

pub(super) fn dead(run: &Run) -> Option<String> {
    let latents = run.most(run.result.dead_latents)?;
    Some(format!("{latents} are dead"))
}

pub(super) fn collapsed(run: &Run) -> Option<String> {
    let latents = run.most(run.result.collapsed_latents?)?;
    Some(format!("{latents} are collapsed to constants"))
}

pub(super) fn worse_than_mean(run: &Run) -> Option<String> {
    let bad = run.result.explained_variance < 0.0 || run.result.explained_variance.is_nan();
    bad.then(|| {
        "explained variance is negative, so the model is worse than predicting the mean".to_owned()
    })
}

/// L0 that is far from the one that the penalty aims at.
pub(super) fn off_l0(run: &Run) -> Option<String> {
    let aims = ["quadratic", "target"].contains(&run.option("penalty")?);
    let wanted = run
        .plan
        .options()
        .find_number("target_l0")
        .filter(|_| aims)?;
    let l0 = run.result.l0;
    (!(1.0 / OFF..=OFF).contains(&(l0 / wanted))).then(|| {
        format!(
            "{} latents are active per row, and the target is {wanted}",
            short(l0)
        )
    })
}

/// Codes of a penalised architecture that are not sparse.
pub(super) fn dense(run: &Run) -> Option<String> {
    let (frequent, all) = (run.result.frequent_latents?, run.plan.d_sae());
    let penalised = run.plan.info().defaults.penalised;
    (penalised && frequent as f64 > DENSE * all as f64).then(|| {
        format!(
            "{frequent} of {all} latents are active on more than 10 % of the rows, {} per row",
            short(run.result.l0)
        )
    })
}

/// Mean activations that are far from rho.
pub(super) fn off_target(run: &Run) -> Option<String> {
    let kl = run.result.kl.as_ref()?;
    let times = kl.rho_hat_mean / kl.rho;
    (!(1.0 / OFF..=OFF).contains(&times)).then(|| {
        format!(
            "the mean activation of the latents is {}, {} times rho",
            short(kl.rho_hat_mean),
            short(times)
        )
    })
}

pub(super) fn partly_collapsed(run: &Run) -> Option<String> {
    let (collapsed, all) = (run.result.collapsed_latents?, run.plan.d_sae());
    (collapsed as f64 >= MANY * all as f64)
        .then(|| format!("{collapsed} of {all} latents are collapsed to constants"))
}

/// So few active latents that the decoder has little to add up.
pub(super) fn faint(run: &Run) -> Option<String> {
    let Evaluation {
        kl,
        l0,
        explained_variance,
        ..
    } = run.result;
    (kl.is_some() && *l0 < FAINT && *explained_variance < 0.5).then(|| {
        format!(
            "{} latents are active per row, and {:.0} % of the variance is explained",
            short(*l0),
            100.0 * explained_variance
        )
    })
}
