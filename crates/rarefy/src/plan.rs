//! From what the user said to what will be done: every check, every default, once.

use crate::config::{Clip, Config, DecoderNorm, OptimizerKind, TrainConfig};
use crate::data::Survey;
use crate::params::Layout;
use crate::variants::{
    self, Architecture, Batching, Defaults, Hyper, Info, Length, Setting, Threshold,
};
use crate::{Error, Result};

/// A run in which nothing can be wrong any more; code below the plan takes it as it is.
pub struct Plan {
    /// The configuration with every value resolved; written to `config.toml`.
    pub config: Config,
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options, resolved.
    pub hyper: Hyper,
    /// The architecture itself.
    pub architecture: Architecture,
    /// Rows to train on.
    pub rows: usize,
    /// Values in a (preprocessed) row.
    pub d_in: usize,
    /// Sum over inputs of their variance over rows.
    pub variance: f64,
    /// Number of latents.
    pub d_sae: usize,
    /// Rows in a batch; equal to `rows` for full-batch training.
    pub batch: usize,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Optimiser steps.
    pub steps: usize,
    /// Learning rate of Adam and SGD.
    pub lr: f64,
    /// Largest norm of Adam's and SGD's gradient.
    pub clip: Option<f64>,
    /// Whether decoder rows are kept at length 1.
    pub unit_norm: bool,
    /// Steps over which the sparsity penalty rises to its weight; 0 where there is none.
    pub sparsity_warmup: usize,
    /// Relative fall of the objective below which training stops; 0 for never.
    pub tolerance: f64,
    /// What tells these rows from others: a run is only resumed on the same.
    pub data: String,
    /// What the user should know before the run starts.
    pub warnings: Vec<String>,
}

/// Values in both matrices together, at most: 256 GiB of f32, more than any machine that this is
/// for, and far from where products of sizes overflow.
const MOST_PARAMETERS: usize = 1 << 36;

/// Iterations of L-BFGS, and epochs of Adam and SGD, unless the user says otherwise.
const DEFAULT_ITERATIONS: usize = 400;
const DEFAULT_EPOCHS: usize = 20;

impl Plan {
    /// Checks `config` against the (preprocessed) data and resolves what it leaves open.
    ///
    /// # Errors
    /// [`Error::Hyper`], [`Error::Unknown`] or [`Error::Conflict`] naming the setting.
    ///
    /// # Example
    /// ```
    /// use rarefy::config::Config;
    /// use rarefy::data::Survey;
    /// use rarefy::plan::Plan;
    /// let survey = Survey { rows: 1000, d_in: 2, min: 0.0, max: 1.0, mean: vec![0.5; 2], variance: vec![0.1; 2] };
    /// let plan = Plan::new(&Config::default(), &survey)?;
    /// assert_eq!((plan.batch, plan.hyper.text("rho_estimate")), (1000, "exact"));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn new(config: &Config, survey: &Survey) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        let defaults = &info.defaults;
        refuse_others_options(info, &model.options)?;
        let mut hyper = Hyper::check(info.options, option_texts(&model.options))?;
        let d_sae = model.latents.unwrap_or((defaults.latents)(survey.d_in));
        check_numbers(config, survey, d_sae)?;
        let optimizer = optimizer(info, train)?;
        let length = length(train, optimizer, defaults)?;
        let resolved = (info.resolve)(
            &mut hyper,
            &Setting {
                survey,
                batching: wanted_batching(train, optimizer, survey.rows)?,
                d_sae,
                length,
            },
        )
        .map_err(|error| of_default(error, info, &model.options))?;
        let batch = match resolved.batching {
            Batching::Mini(batch) => batch,
            Batching::Full | Batching::Open => survey.rows,
        };
        let architecture = (info.build)(&hyper)?;
        check_holdout(&architecture, config.data.holdout)?;
        let unit_norm = model
            .decoder_norm
            .map_or(defaults.unit_norm, |norm| norm == DecoderNorm::Unit);
        if unit_norm {
            check_unit_norm(&architecture.layout(survey.d_in, d_sae), optimizer)?;
        }
        let mut warnings = resolved.warnings;
        warnings.extend(ignored(train, optimizer));
        let steps = length.steps(survey.rows, batch);
        let mut plan = Self {
            config: config.clone(),
            info,
            hyper,
            architecture,
            rows: survey.rows,
            d_in: survey.d_in,
            variance: survey.variance.iter().sum(),
            d_sae,
            batch,
            optimizer,
            steps,
            lr: train
                .lr
                .unwrap_or_else(|| default_lr(defaults, optimizer, d_sae)),
            clip: train.clip.map_or(defaults.clip, Clip::norm),
            unit_norm,
            sparsity_warmup: if defaults.penalised {
                train.sparsity_warmup.unwrap_or(steps / 10)
            } else {
                0
            },
            tolerance: train.tolerance.unwrap_or(default_tolerance(optimizer)),
            data: fingerprint(survey),
            warnings,
        };
        let odd = odd_scale(&plan.architecture, survey, plan.lr);
        plan.warnings.extend(odd);
        plan.record();
        Ok(plan)
    }

    /// Writes every resolved value into the configuration.
    fn record(&mut self) {
        let (model, train) = (&mut self.config.model, &mut self.config.train);
        model.latents = Some(self.d_sae);
        model.decoder_norm = Some(if self.unit_norm {
            DecoderNorm::Unit
        } else {
            DecoderNorm::Free
        });
        model.options = self
            .hyper
            .iter()
            .map(|(k, v)| (k.to_owned(), as_toml(v)))
            .collect();
        train.optimizer = Some(self.optimizer);
        train.steps = Some(self.steps);
        train.epochs = None;
        train.tolerance = Some(self.tolerance);
        // What L-BFGS does not look at stays as it was said.
        if self.optimizer != OptimizerKind::Lbfgs {
            train.lr = Some(self.lr);
            if self.info.defaults.penalised {
                train.sparsity_warmup = Some(self.sparsity_warmup);
            }
            train.batch = Some(self.batch);
            train.clip = Some(self.clip.into());
        }
    }
}

/// What was asked for, or what suits the architecture.
fn optimizer(info: &Info, train: &TrainConfig) -> Result<OptimizerKind> {
    let full_batch = info.defaults.full_batch;
    let optimizer = train
        .optimizer
        .unwrap_or(if full_batch && train.batch.is_none() {
            OptimizerKind::Lbfgs
        } else {
            OptimizerKind::Adam
        });
    let why = match optimizer {
        OptimizerKind::Lbfgs if !full_batch => {
            "optimizer lbfgs follows a smooth objective, and here it jumps where a row changes its latents"
        }
        OptimizerKind::Sgd if !info.defaults.sgd => {
            "optimizer sgd has one step length for all latents, and here some fire a thousand times as often as others"
        }
        _ => return Ok(optimizer),
    };
    let name = info.name;
    Err(Error::Conflict(format!(
        "{why}; architecture {name} is trained by `--optimizer adam`"
    )))
}

fn default_lr(defaults: &Defaults, optimizer: OptimizerKind, d_sae: usize) -> f64 {
    match optimizer {
        OptimizerKind::Sgd => 0.1,
        OptimizerKind::Adam | OptimizerKind::Lbfgs => (defaults.lr)(d_sae),
    }
}

/// L-BFGS stops where f32 sees no more progress; mini-batches are too noisy to tell by themselves.
fn default_tolerance(optimizer: OptimizerKind) -> f64 {
    match optimizer {
        OptimizerKind::Lbfgs => 1e-9,
        OptimizerKind::Adam | OptimizerKind::Sgd => 0.0,
    }
}

/// Root mean squares of the data below and above which Adam's own scales show. At a thousandth, the
/// gradients of latents that fire on one row in a thousand are as small as its epsilon.
const TINY: f64 = 1e-3;
const HUGE: f64 = 1e3;

/// Adam's steps do not depend on the scale of the gradient, but the biases that they move are of the
/// data's scale, and so is what stands beside its epsilon.
fn odd_scale(architecture: &Architecture, survey: &Survey, lr: f64) -> Option<String> {
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
        "the data is of the size {size:.1e} (root mean square), and a step of Adam moves a bias by about {lr:.1e}, {why}; \
         `--preprocess scale` or `standardise` brings the data near 1"
    ))
}

/// A refusal of a value that nobody gave says that it is the default, and how to give another.
fn of_default(error: Error, info: &Info, given: &toml::Table) -> Error {
    let ours = |name: &str| info.options.iter().any(|option| option.name == name);
    match error {
        Error::Hyper {
            name,
            expected,
            got,
        } if ours(&name) && !given.contains_key(&name) => {
            let flag = name.replace('_', "-");
            let or = if expected.contains("latents") {
                " or `--latents`"
            } else {
                ""
            };
            Error::Conflict(format!(
                "the default {name} of {got} must be {expected}; give `--{flag}`{or}"
            ))
        }
        other => other,
    }
}

/// What tells one set of prepared rows from another, for a run that is resumed.
fn fingerprint(survey: &Survey) -> String {
    format!(
        "{} rows of {} from {} to {}, mean {:.6e}",
        survey.rows,
        survey.d_in,
        survey.min,
        survey.max,
        survey.grand_mean()
    )
}

/// Settings that the optimiser does not look at, as warnings.
fn ignored(train: &TrainConfig, optimizer: OptimizerKind) -> Vec<String> {
    let given = match optimizer {
        OptimizerKind::Lbfgs => vec![
            ("lr", train.lr.is_some()),
            ("clip", train.clip.and_then(Clip::norm).is_some()),
            ("lr_warmup", train.lr_warmup > 0),
            ("lr_decay", train.lr_decay > 0),
            ("no-shuffle", !train.shuffle),
        ],
        OptimizerKind::Adam | OptimizerKind::Sgd => Vec::new(),
    };
    let named: Vec<&str> = given
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
    if named.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "optimizer lbfgs searches its own steps over all rows: {} without effect",
        named.join(", ")
    )]
}

fn check_unit_norm(layout: &Layout, optimizer: OptimizerKind) -> Result<()> {
    let why = if !layout.blocks().iter().any(|block| block.name == "w_dec") {
        "a tied decoder"
    } else if optimizer == OptimizerKind::Lbfgs {
        "L-BFGS, which knows no constraints"
    } else {
        return Ok(());
    };
    Err(Error::Conflict(format!(
        "decoder_norm unit cannot be combined with {why}"
    )))
}

/// A threshold that keeps `floor(holdout k)` latents of the held-out rows must keep one.
fn check_holdout(architecture: &Architecture, holdout: usize) -> Result<()> {
    let Architecture::Sparse(sparse) = architecture else {
        return Ok(());
    };
    match sparse.threshold() {
        Some(Threshold {
            k,
            calibrated: true,
            ..
        }) if holdout > 0 && holdout as f64 * k < 1.0 => Err(Error::Conflict(format!(
            "k {k} keeps no latent at all in {holdout} held-out rows; take a larger k or holdout"
        ))),
        _ => Ok(()),
    }
}

/// An option that only other architectures have, as when `--arch` was forgotten.
fn refuse_others_options(info: &Info, options: &toml::Table) -> Result<()> {
    let has = |info: &Info, key: &str| info.options.iter().any(|option| option.name == key);
    for key in options.keys().filter(|key| !has(info, key)) {
        let others = variants::VARIANTS.iter().filter(|other| has(other, key));
        let names: Vec<&str> = others.map(|other| other.name).collect();
        if !names.is_empty() {
            return Err(Error::Conflict(format!(
                "architecture {} has no option {key}; it is one of {}",
                info.name,
                names.join(", ")
            )));
        }
    }
    Ok(())
}

/// Options as the texts that the option table checks.
pub(crate) fn option_texts(options: &toml::Table) -> impl Iterator<Item = (&str, String)> {
    options.iter().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key.as_str(), text)
    })
}

fn as_toml(text: &str) -> toml::Value {
    let parsed = format!("v = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| toml::Value::String(text.into()))
}

fn check_numbers(config: &Config, survey: &Survey, d_sae: usize) -> Result<()> {
    let train = &config.train;
    let at_least_one = |name, value: Option<usize>| match value {
        Some(0) => Err(Error::hyper(name, "at least 1", 0)),
        _ => Ok(()),
    };
    at_least_one("latents", Some(d_sae))?;
    let most = MOST_PARAMETERS / (2 * survey.d_in);
    if d_sae > most {
        let expected = format!("at most {most} for rows of {}", survey.d_in);
        return Err(Error::hyper("latents", &expected, d_sae));
    }
    at_least_one("steps", train.steps)?;
    at_least_one("epochs", train.epochs)?;
    at_least_one("batch", train.batch)?;
    at_least_one("history", Some(train.history))?;
    at_least_one("threads", train.threads)?;
    if let Some(batch) = train.batch.filter(|batch| *batch > survey.rows) {
        let expected = match config.data.holdout {
            0 => format!("at most the data's {} rows", survey.rows),
            held => format!(
                "at most the {} rows beside the {held} held out",
                survey.rows
            ),
        };
        return Err(Error::hyper("batch", &expected, batch));
    }
    let positive = |name, value: Option<f64>| match value {
        Some(v) if !(v.is_finite() && v > 0.0) => {
            Err(Error::hyper(name, "a finite number above 0", v))
        }
        _ => Ok(()),
    };
    positive("lr", train.lr)?;
    positive("clip", train.clip.and_then(Clip::norm))?;
    if !(0.0..1.0).contains(&train.momentum) {
        return Err(Error::hyper("momentum", "in [0, 1)", train.momentum));
    }
    let tolerance = train.tolerance.unwrap_or(0.0);
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::hyper(
            "tolerance",
            "a finite number not below 0",
            tolerance,
        ));
    }
    Ok(())
}

fn wanted_batching(train: &TrainConfig, optimizer: OptimizerKind, rows: usize) -> Result<Batching> {
    match (optimizer, train.batch) {
        (OptimizerKind::Lbfgs, Some(batch)) if batch < rows => Err(Error::Conflict(format!(
            "optimizer lbfgs works on full batches; leave out the batch of {batch} or use `--optimizer adam`"
        ))),
        (OptimizerKind::Lbfgs, _) => Ok(Batching::Full),
        (_, Some(batch)) => Ok(Batching::Mini(batch)),
        (_, None) => Ok(Batching::Open),
    }
}

fn length(train: &TrainConfig, optimizer: OptimizerKind, defaults: &Defaults) -> Result<Length> {
    match (train.steps, train.epochs, optimizer) {
        (Some(_), Some(_), _) => Err(Error::Conflict("give steps or epochs, not both".into())),
        (Some(steps), None, _) => Ok(Length::Steps(steps)),
        (None, Some(_), OptimizerKind::Lbfgs) => Err(Error::Conflict(
            "optimizer lbfgs counts iterations: give `--steps`, not epochs".into(),
        )),
        (None, None, OptimizerKind::Lbfgs) => Ok(Length::Steps(DEFAULT_ITERATIONS)),
        (None, Some(epochs), _) => Ok(Length::Epochs(epochs, 1)),
        (None, None, _) => Ok(Length::Epochs(DEFAULT_EPOCHS, defaults.fewest_steps)),
    }
}

#[cfg(test)]
mod tests;
