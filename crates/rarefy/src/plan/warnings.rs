//! What a plan warns about: it can be done, but hardly is what was meant.

use crate::config::{Clip, Config, OptimizerKind, Recipe};
use crate::data::Survey;
use crate::optim::Shape;
use crate::variants::{Architecture, Info};

/// Root mean squares of the data below and above which Adam's own scales show. At a thousandth, the
/// gradients of latents that fire on one row in a thousand are as small as its epsilon.
const TINY: f64 = 1e-3;
const HUGE: f64 = 1e3;

/// Adam's steps do not depend on the scale of the gradient, but the biases that they move are of the
/// data's scale, and so is what stands beside its epsilon.
pub(super) fn odd_scale(
    architecture: &Architecture,
    (what, survey): (&str, &Survey),
    lr: f64,
) -> Option<String> {
    let Architecture::Sparse(_) = architecture else {
        return None;
    };
    let means = survey.mean.iter().map(|mean| mean * mean);
    let squares: f64 = means.chain(survey.variance.iter().copied()).sum();
    let size = (squares / survey.d_in as f64).sqrt();
    let why = if size > 0.0 && size < TINY {
        "which is large beside it, and gradients are near Adam's epsilon of 1e-8"
    } else if size > HUGE {
        "which is nothing beside it"
    } else {
        return None;
    };
    Some(format!(
        "the {what} is of the size {size:.1e} (root mean square), and a step of Adam moves a bias by about {lr:.1e}, {why}; \
         `--preprocess scale` or `standardise` brings it near 1"
    ))
}

/// Settings that were given and do nothing.
pub(super) fn ignored(
    config: &Config,
    (info, optimizer): (&Info, OptimizerKind),
    steps: usize,
) -> Vec<String> {
    let (model, train) = (&config.model, &config.train);
    let dense = info.defaults.full_batch;
    let lbfgs = optimizer == OptimizerKind::Lbfgs;
    let adam = [OptimizerKind::Adam, OptimizerKind::ScheduleFree].contains(&optimizer);
    let groups = [
        (
            "optimizer lbfgs searches its own steps over all rows",
            vec![
                ("lr", lbfgs && train.lr.is_some()),
                ("clip", lbfgs && train.clip.and_then(Clip::norm).is_some()),
                ("lr_warmup", lbfgs && train.lr_warmup > 0),
                ("lr_decay", lbfgs && train.lr_decay > 0),
                ("lr_schedule", lbfgs && train.lr_schedule != Shape::Constant),
                ("no-shuffle", lbfgs && !train.shuffle),
            ],
        ),
        (
            "they are Adam's",
            vec![
                (
                    "beta1",
                    !adam && optimizer != OptimizerKind::Signum && train.beta1.is_some(),
                ),
                ("beta2", !adam && train.beta2 != 0.999),
            ],
        ),
        (
            "architecture kl starts b_dec from 0",
            vec![("b_dec_start", dense && model.b_dec_start.is_some())],
        ),
        (
            "nothing that the architecture pays for could rise",
            vec![(
                "sparsity_warmup",
                !info.defaults.penalised && train.sparsity_warmup.unwrap_or(0) > 0,
            )],
        ),
        (
            "nothing is resampled without resample_every",
            vec![(
                "resample",
                train.resample_every == 0 && train.resample != Recipe::Anthropic,
            )],
        ),
    ];
    let mut warnings: Vec<String> = Vec::new();
    for (why, given) in groups {
        let named: Vec<&str> = given
            .into_iter()
            .filter_map(|(name, given)| given.then_some(name))
            .collect();
        if !named.is_empty() {
            warnings.push(format!("{why}: {} without effect", named.join(", ")));
        }
    }
    if !lbfgs && train.lr_warmup.saturating_add(train.lr_decay) > steps {
        warnings.push(format!(
            "lr_warmup {} and lr_decay {} take more than the run's {steps} steps: the learning rate never is the one of lr",
            train.lr_warmup, train.lr_decay
        ));
    }
    if train.sparsity_warmup.is_some_and(|warmup| warmup > steps) {
        let warmup = train.sparsity_warmup.unwrap_or(0);
        warnings.push(format!(
            "sparsity_warmup {warmup} is more than the run's {steps} steps: the penalty never has its weight"
        ));
    }
    warnings
}
