//! Warnings of a plan: settings without effect and data of an unusual scale.

use crate::config::{Clip, Config, OptimizerKind, Recipe, TrainConfig};
use crate::data::Survey;
use crate::optim::LrShape;
use crate::variants::{Architecture, Info, Options};

/// Root mean squares of the data below and above which a warning is given. At 1e-3, the gradients of latents
/// that fire on one row in a thousand are as small as Adam's epsilon.
const TINY: f64 = 1e-3;
const HUGE: f64 = 1e3;

/// Warning about data much smaller or larger than 1.
///
/// Adam's steps do not depend on the scale of the gradient, but the biases have the scale of the data. So does the
/// gradient that is compared with Adam's epsilon.
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
        "which is large in comparison, and gradients are close to Adam's epsilon of 1e-8"
    } else if size > HUGE {
        "which is negligible in comparison"
    } else {
        return None;
    };
    Some(format!(
        "the {what} has a root mean square of {size:.1e}, and a step of Adam moves a bias by about {lr:.1e}, {why}; \
         the step scale or standardise in `data.preprocess` brings it near 1"
    ))
}

/// Configuration with its architecture and optimiser.
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

/// Field of the configuration, and a test that is true if the field was set but is not used.
type Idle = (&'static str, fn(&Given) -> bool);

/// Reason of a group of settings without effect.
type Reason = fn(&Given) -> String;

/// Settings without effect, grouped by the reason.
const IDLE: &[(Reason, &[Idle])] = &[
    (
        |_| "L-BFGS searches the length of its steps over all rows".into(),
        &[
            ("train.lr", |g| g.lbfgs() && g.config.train.lr.is_some()),
            ("train.clip", |g| {
                g.lbfgs() && g.config.train.clip.and_then(Clip::norm).is_some()
            }),
            ("train.lr_warmup", |g| {
                g.lbfgs() && g.config.train.lr_warmup > 0
            }),
            ("train.lr_decay", |g| {
                g.lbfgs() && g.config.train.lr_decay > 0
            }),
            ("train.lr_schedule", |g| {
                g.lbfgs() && g.config.train.lr_schedule != LrShape::Constant
            }),
            ("train.shuffle", |g| g.lbfgs() && !g.config.train.shuffle),
        ],
    ),
    (
        |_| "the optimizer does not use this decay of Adam".into(),
        &[
            ("train.beta1", |g| {
                use OptimizerKind::{Lbfgs, Sgd};
                g.is_one_of(&[Lbfgs, Sgd]) && g.config.train.beta1.is_some()
            }),
            ("train.beta2", |g| {
                use OptimizerKind::{Lbfgs, Sgd, Signum};
                g.is_one_of(&[Lbfgs, Sgd, Signum]) && g.config.train.beta2 != 0.999
            }),
        ],
    ),
    (
        |g| format!("architecture {} starts with a b_dec of 0", g.info.name),
        &[("model.b_dec_start", |g| {
            g.info.defaults.full_batch && g.config.model.b_dec_start.is_some()
        })],
    ),
    (
        |g| format!("`{}` has no sparsity penalty", g.info.name),
        &[("train.sparsity_warmup", |g| {
            !g.info.defaults.penalised && g.config.train.sparsity_warmup.is_some_and(|n| n > 0)
        })],
    ),
    (
        |_| "nothing is resampled if `train.resample_every` is 0".into(),
        &[("train.resample", |g| {
            let train = &g.config.train;
            train.resample_every == 0 && train.resample != Recipe::Anthropic
        })],
    ),
];

/// Options that only some words of the option `penalty` use, with these words.
const OF_PENALTIES: [(&str, &[&str]); 2] = [
    ("target_l0", &["quadratic", "target"]),
    ("tanh_scale", &["tanh"]),
];

/// Warnings about options that were given for another penalty than the one that is trained.
pub(super) fn of_other_penalty(config: &Config, info: &Info, options: &Options) -> Vec<String> {
    let Some(penalty) = options.find("penalty") else {
        return Vec::new();
    };
    let default_of = |name: &str| {
        let found = info.options().iter().find(|option| option.name == name);
        found.map_or("", |option| option.default)
    };
    let idle = |(name, words): &&(&str, &[&str])| {
        // A recorded configuration has the defaults of all options.
        let given = config
            .model
            .options
            .get(*name)
            .map(|value| match value.as_str() {
                Some(text) => text.to_owned(),
                None => value.to_string(),
            });
        let is_own = given.is_some_and(|text| text != default_of(name));
        is_own && !words.contains(&penalty)
    };
    let said = |(name, words): &(&str, &[&str])| {
        format!(
            "`model.options.{name}` has no effect with the penalty {penalty}: set `model.options.penalty` to {}",
            words.join(" or ")
        )
    };
    OF_PENALTIES.iter().filter(idle).map(said).collect()
}

/// Warning about rows that are all the same.
pub(super) fn constant(config: &Config, inputs: &Survey) -> Option<String> {
    let varies = inputs.variance.iter().any(|variance| *variance > 0.0);
    (!varies && inputs.rows > 1).then(|| {
        format!(
            "all rows of {} are the same: there is nothing to take apart",
            config.data.path
        )
    })
}

/// Warning about rows with a single value, such as a table's only column of numbers.
pub(super) fn one_value(config: &Config, inputs: &Survey) -> Option<String> {
    (inputs.d_in == 1).then(|| {
        format!(
            "the rows of {} have one value each: a sparse autoencoder takes vectors apart, such as embeddings of texts; set \
             `data.columns` if a table has others",
            config.data.path
        )
    })
}

/// Warnings about settings that were given and have no effect.
pub(super) fn ignored(config: &Config, info: &Info, optimizer: OptimizerKind) -> Vec<String> {
    let given = Given {
        config,
        info,
        optimizer,
    };
    let told = IDLE.iter().filter_map(|(why, settings)| {
        let idle = settings.iter().filter(|(_, idle)| idle(&given));
        let names: Vec<&str> = idle.map(|(name, _)| *name).collect();
        let verb = if names.len() == 1 { "has" } else { "have" };
        (!names.is_empty())
            .then(|| format!("`{}` {verb} no effect: {}", names.join("`, `"), why(&given)))
    });
    told.collect()
}

/// Warnings about warm-ups and decays that are longer than the run.
pub(super) fn too_long(train: &TrainConfig, optimizer: OptimizerKind, steps: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let (rise, fall) = (train.lr_warmup, train.lr_decay);
    if optimizer != OptimizerKind::Lbfgs && rise.saturating_add(fall) > steps {
        warnings.push(format!(
            "`train.lr_warmup` {rise} and `train.lr_decay` {fall} are together longer than the run of {steps} steps: the learning rate never reaches `train.lr`"
        ));
    }
    if let Some(warmup) = train.sparsity_warmup.filter(|warmup| *warmup > steps) {
        warnings.push(format!(
            "`train.sparsity_warmup` {warmup} is longer than the run of {steps} steps: the penalty never reaches its weight"
        ));
    }
    warnings
}
