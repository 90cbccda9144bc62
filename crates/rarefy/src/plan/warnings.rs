//! What a plan warns about: it can be done, but hardly is what was meant.

use crate::config::{Clip, Config, OptimizerKind, Recipe, TrainConfig};
use crate::data::Survey;
use crate::optim::LrShape;
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

/// What was given, and to whom.
struct Given<'a> {
    config: &'a Config,
    info: &'a Info,
    optimizer: OptimizerKind,
}

impl Given<'_> {
    fn lbfgs(&self) -> bool {
        self.optimizer == OptimizerKind::Lbfgs
    }

    fn is_one_of(&self, optimizers: &[OptimizerKind]) -> bool {
        optimizers.contains(&self.optimizer)
    }
}

/// A setting, and whether it was given to one that does not look at it.
type Idle = (&'static str, fn(&Given) -> bool);

/// Settings that do nothing, by the reason.
const IDLE: &[(&str, &[Idle])] = &[
    (
        "optimizer lbfgs searches its own steps over all rows",
        &[
            ("lr", |g| g.lbfgs() && g.config.train.lr.is_some()),
            ("clip", |g| {
                g.lbfgs() && g.config.train.clip.and_then(Clip::norm).is_some()
            }),
            ("lr_warmup", |g| g.lbfgs() && g.config.train.lr_warmup > 0),
            ("lr_decay", |g| g.lbfgs() && g.config.train.lr_decay > 0),
            ("lr_schedule", |g| {
                g.lbfgs() && g.config.train.lr_schedule != LrShape::Constant
            }),
            ("no-shuffle", |g| g.lbfgs() && !g.config.train.shuffle),
        ],
    ),
    (
        "they are Adam's",
        &[
            ("beta1", |g| {
                use OptimizerKind::{Lbfgs, Sgd};
                g.is_one_of(&[Lbfgs, Sgd]) && g.config.train.beta1.is_some()
            }),
            ("beta2", |g| {
                use OptimizerKind::{Lbfgs, Sgd, Signum};
                g.is_one_of(&[Lbfgs, Sgd, Signum]) && g.config.train.beta2 != 0.999
            }),
        ],
    ),
    (
        "architecture kl starts b_dec from 0",
        &[("b_dec_start", |g| {
            g.info.defaults.full_batch && g.config.model.b_dec_start.is_some()
        })],
    ),
    (
        "nothing that the architecture pays for could rise",
        &[("sparsity_warmup", |g| {
            !g.info.defaults.penalised && g.config.train.sparsity_warmup.is_some_and(|n| n > 0)
        })],
    ),
    (
        "nothing is resampled without resample_every",
        &[("resample", |g| {
            let train = &g.config.train;
            train.resample_every == 0 && train.resample != Recipe::Anthropic
        })],
    ),
];

/// Settings that were given and do nothing.
pub(super) fn ignored(config: &Config, info: &Info, optimizer: OptimizerKind) -> Vec<String> {
    let given = Given {
        config,
        info,
        optimizer,
    };
    let told = IDLE.iter().filter_map(|(why, settings)| {
        let idle = settings.iter().filter(|(_, idle)| idle(&given));
        let names: Vec<&str> = idle.map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| format!("{why}: {} without effect", names.join(", ")))
    });
    told.collect()
}

/// What takes longer than the run.
pub(super) fn too_long(train: &TrainConfig, optimizer: OptimizerKind, steps: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let (rise, fall) = (train.lr_warmup, train.lr_decay);
    if optimizer != OptimizerKind::Lbfgs && rise.saturating_add(fall) > steps {
        warnings.push(format!(
            "lr_warmup {rise} and lr_decay {fall} take more than the run's {steps} steps: the learning rate never is the one of lr"
        ));
    }
    if let Some(warmup) = train.sparsity_warmup.filter(|warmup| *warmup > steps) {
        warnings.push(format!(
            "sparsity_warmup {warmup} is more than the run's {steps} steps: the penalty never has its weight"
        ));
    }
    warnings
}
