//! Likely causes of a bad result: one function for each, with the field of the configuration to change.

use super::{Run, short};
use crate::config::OptimizerKind;
use crate::variants::Architecture;

/// Multiple of the default learning rate that is named as a cause.
const HIGH_LR: f64 = 10.0;

/// Root mean squares of the rows outside of which their scale is named as a cause.
const USUAL_SCALE: std::ops::RangeInclusive<f64> = 0.03..=30.0;

/// Weight of the KL penalty above which it is named as a cause; usual weights are 0.1 to 10.
const HEAVY: f64 = 100.0;

/// Steps below which the length of a run is named as a cause.
const FEW_STEPS: usize = 500;

/// Weight decays above this share of the variance of the latents times that of the rows keep the weights at 0.
const COLLAPSE: f64 = 0.1;

/// Root mean square of the values from which on sigmoid latents saturate.
const SATURATING: f64 = 3.0;

/// Steps of Adam below which the length of a run of kl is named as a cause.
const MANY_STEPS: usize = 10_000;

/// A row of length L gives a pre-activation of at most L with an encoder row of length 1.
pub(super) fn threshold_above_rows(run: &Run) -> Option<String> {
    let (threshold, length) = (
        run.plan.options().find_number("threshold")?,
        run.row_length(),
    );
    (threshold > length).then(|| {
        format!(
            "the threshold is too large: `model.options.threshold = {threshold}` is above the mean length of a row, \
             {length:.3}; decrease it"
        )
    })
}

/// A latent with a decoder row of length 1 reduces the squared error of a row of length L by at most `L^2`, and by at
/// most `2 L` for each unit of its value.
pub(super) fn hopeless_penalty(run: &Run) -> Option<String> {
    let length = run.row_length();
    let limits = [("l1", 2.0 * length), ("l0", length * length)];
    let options = run.plan.options();
    let (name, limit) = limits.into_iter().find(|(name, limit)| {
        options
            .find_number(name)
            .is_some_and(|weight| weight > *limit)
    })?;
    Some(format!(
        "the sparsity penalty is too large: `model.options.{name}` is {}, and above {} a latent costs more \
         than it can reduce the error; decrease it",
        options.text(name),
        short(limit)
    ))
}

/// A weight of the KL penalty that leaves little to the error. The default is in the single digits.
pub(super) fn large_beta(run: &Run) -> Option<String> {
    const LARGE: f64 = 100.0;
    let beta = run.plan.options().find_number("beta")?;
    (beta >= LARGE).then(|| {
        let beta = run.plan.options().text("beta");
        format!("the sparsity penalty outweighs the error; decrease `model.options.beta`, which is {beta}")
    })
}

pub(super) fn high_lr(run: &Run) -> Option<String> {
    let plan = run.plan;
    let usual = plan.default_lr();
    let times = plan.lr() / usual;
    (plan.optimizer() != OptimizerKind::Lbfgs && times >= HIGH_LR).then(|| {
        format!(
            "the learning rate is too high: `train.lr = {}` is {times:.0} times the default of {}; decrease it",
            plan.lr(),
            short(usual)
        )
    })
}

pub(super) fn penalty(run: &Run) -> Option<String> {
    let name = ["l1", "l0"]
        .into_iter()
        .find(|name| run.option(name).is_some())?;
    let value = run.option(name)?;
    Some(format!(
        "the sparsity penalty is too large; decrease `model.options.{name}`, which is {value}"
    ))
}

pub(super) fn small_k(run: &Run) -> Option<String> {
    let (k, all) = (run.option("k")?, run.plan.d_sae());
    Some(format!(
        "k is too small for the number of latents; increase `model.options.k`, which is {k}, decrease `model.latents`, \
         which is {all}, or resample dead latents with `train.resample_every`"
    ))
}

/// Dead latents of `kl` stay below half of rho, where the penalty should raise them.
pub(super) fn weak_kl_penalty(run: &Run) -> Option<String> {
    let (beta, rho) = (run.option("beta")?, run.option("rho")?);
    Some(format!(
        "the penalty does not hold their mean activation near rho; increase `model.options.beta`, which is {beta}, or \
         change `model.options.rho`, which is {rho}"
    ))
}

/// Sigmoid latents of rows far from 1 are 0 or 1, and the penalty has no slope to move them by.
pub(super) fn saturated(run: &Run) -> Option<String> {
    let scale = run.scale();
    (scale > SATURATING).then(|| {
        format!(
            "values with a root mean square of {} saturate the sigmoid; set `data.preprocess` to scale",
            short(scale)
        )
    })
}

pub(super) fn weak_l0_penalty(run: &Run) -> Option<String> {
    let (steps, l0) = (run.plan.steps(), run.option("l0")?);
    Some(format!(
        "increase `train.steps`, which is {steps}, or `model.options.l0`, which is {l0}"
    ))
}

pub(super) fn small_penalty(run: &Run) -> Option<String> {
    if let Some(wanted) = run.option("target_l0")
        && ["quadratic", "target"].contains(&run.option("penalty")?)
    {
        return Some(format!(
            "the penalty aims at so many; decrease `model.options.target_l0`, which is {wanted}, or increase `model.latents`"
        ));
    }
    let name = ["l1", "l0"]
        .into_iter()
        .find(|name| run.option(name).is_some())?;
    let (value, steps) = (run.option(name)?, run.plan.steps());
    Some(format!(
        "increase `model.options.{name}`, which is {value}, or `train.steps`, which is {steps}"
    ))
}

pub(super) fn weak_penalty(run: &Run) -> Option<String> {
    let (beta, steps) = (run.option("beta")?, run.plan.steps());
    if run.plan.options().find_number("beta") == Some(0.0) {
        return Some("the penalty has no weight; increase `model.options.beta`, which is 0".into());
    }
    Some(format!(
        "increase `model.options.beta`, which is {beta}, or `train.steps`, which is {steps}"
    ))
}

/// Adam and SGD need ten times the steps of L-BFGS.
pub(super) fn slow_optimizer(run: &Run) -> Option<String> {
    let steps = run.plan.steps();
    (run.plan.optimizer() != OptimizerKind::Lbfgs && steps < MANY_STEPS)
        .then(|| format!("{steps} steps are few; increase `train.steps`"))
}

pub(super) fn larger_rho(run: &Run) -> Option<String> {
    let (rho, all) = (run.option("rho")?, run.plan.d_sae());
    Some(format!(
        "increase `model.options.rho`, which is {rho}, or `model.latents`, which is {all}"
    ))
}

/// With weights near 0, the reconstruction gains at most `rho (1 - rho) variance` for each unit of weight decay.
pub(super) fn weight_decay(run: &Run) -> Option<String> {
    let options = run.plan.options();
    let (decay, rho) = (
        options.find_number("weight_decay")?,
        options.find_number("rho")?,
    );
    let most = COLLAPSE * rho * (1.0 - rho) * run.plan.variance();
    (decay > most).then(|| {
        format!(
            "the weight decay is too large and keeps the weights near 0; decrease `model.options.weight_decay`, which \
             is {decay}, below {}",
            short(most)
        )
    })
}

pub(super) fn kl_penalty(run: &Run) -> Option<String> {
    let (beta, decay) = (run.option("beta")?, run.option("weight_decay")?);
    let rho = run.option("rho")?;
    let is_heavy = run
        .plan
        .options()
        .find_number("beta")
        .is_some_and(|beta| beta > HEAVY);
    let cause = if is_heavy || run.plan.options().find_number("weight_decay") == Some(0.0) {
        format!("the sparsity penalty is too large; decrease `model.options.beta`, which is {beta}")
    } else {
        format!(
            "constant latents cost less than weights that reconstruct; decrease `model.options.weight_decay`, which is {decay}"
        )
    };
    Some(format!(
        "{cause}, or increase `model.options.rho`, which is {rho}"
    ))
}

pub(super) fn odd_scale(run: &Run) -> Option<String> {
    let scale = run.scale();
    let size = if scale < *USUAL_SCALE.start() {
        "small"
    } else {
        "large"
    };
    (!USUAL_SCALE.contains(&scale)).then(|| {
        format!(
            "the values are {size}, with a root mean square of {}; set the step scale or standardise in \
             `data.preprocess`",
            short(scale)
        )
    })
}

pub(super) fn few_steps(run: &Run) -> Option<String> {
    let steps = run.plan.steps();
    let sparse = matches!(run.plan.architecture(), Architecture::Sparse(_));
    (sparse && steps < FEW_STEPS)
        .then(|| format!("{steps} steps are few; increase `train.steps` or `train.epochs`"))
}

#[expect(clippy::unnecessary_wraps, reason = "an entry of the table of causes")]
pub(super) fn any(_: &Run) -> Option<String> {
    Some("increase `train.steps`, change `train.lr`, or set the step standardise in `data.preprocess`".into())
}
