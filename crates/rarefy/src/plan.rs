//! From what the user said to what will be done: every check, every default, once.

mod refusals;
mod schedules;
mod warnings;

use crate::config::{BiasStart, Clip, Config, DecoderNorm, OptimizerKind, TrainConfig};
use crate::data::Survey;
use crate::io_spec::IoSpec;
use crate::optim::LrShape;
use crate::variants::{
    self, Architecture, Batching, Defaults, Info, Length, Options, ResolveContext,
};
use crate::{Error, Result};
use refusals::{
    bind, check_aids, check_holdout, check_norm, check_numbers, check_resampling, check_units,
    refuse_others_options,
};
pub use schedules::{Schedules, UPDATES};
use warnings::{ignored, odd_scale, too_long};

/// Checked settings of one training run, every value resolved.
///
/// The code below the plan takes these values without checking them again.
#[non_exhaustive]
pub struct Plan {
    config: Config,
    info: &'static Info,
    options: Options,
    architecture: Architecture,
    n_rows: usize,
    io: IoSpec,
    variance: f64,
    d_sae: usize,
    batch: usize,
    optimizer: OptimizerKind,
    steps: usize,
    lr: f64,
    clip: Option<f64>,
    decoder_norm: DecoderNorm,
    schedules: Schedules,
    tolerance: f64,
    fingerprint: String,
    warnings: Vec<String>,
}

impl Plan {
    /// Configuration with every value resolved, as written to `config.toml`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Table line of the architecture.
    pub fn info(&self) -> &'static Info {
        self.info
    }

    /// Options of the architecture, resolved.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Architecture built from the options.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Number of training rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Input and output columns of a preprocessed row.
    pub fn io(&self) -> &IoSpec {
        &self.io
    }

    /// Sum of the output columns' variances over all rows.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Number of latents.
    pub fn d_sae(&self) -> usize {
        self.d_sae
    }

    /// Rows in a batch; equal to [`n_rows`](Self::n_rows) for full-batch training.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Kind of the optimiser.
    pub fn optimizer(&self) -> OptimizerKind {
        self.optimizer
    }

    /// Number of optimiser steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Base learning rate, before warm-up and decay; L-BFGS ignores this value.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Largest global norm of the gradient, if gradients are clipped.
    pub fn clip(&self) -> Option<f64> {
        self.clip
    }

    /// Constraint on the norms of decoder rows.
    pub fn decoder_norm(&self) -> DecoderNorm {
        self.decoder_norm
    }

    /// Schedules of the learning rate, sparsity weight, k and p.
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Relative decrease of the objective below which training stops; 0 for never.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Short summary of the data, saved in checkpoints; resuming requires an equal one.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Plan with another data fingerprint, for data that cannot be surveyed as a whole.
    pub(crate) fn with_fingerprint(self, fingerprint: String) -> Self {
        Self {
            fingerprint,
            ..self
        }
    }

    /// Warnings to print before the run starts.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// What holds an architecture's decoder rows unless the user says otherwise.
pub(crate) fn own_norm(info: &Info) -> DecoderNorm {
    if info.defaults.unit_norm {
        DecoderNorm::Unit
    } else {
        DecoderNorm::Free
    }
}

/// As many rows as any batch may want.
const MANY_ROWS: usize = 1 << 40;

/// sparsify's, of signs without a schedule.
const SIGNUM_MOMENTUM: f64 = 0.95;

/// Iterations of L-BFGS, and epochs of Adam and SGD, unless the user says otherwise.
const DEFAULT_ITERATIONS: usize = 400;
const DEFAULT_EPOCHS: usize = 20;

impl Plan {
    /// Refuses what cannot work whatever the data holds: to be called before any is read, so that nobody waits
    /// for a refusal. With the rows' number and what a model reads and writes of them, where a file's header
    /// has told them, it sees more.
    ///
    /// # Errors
    /// As [`Plan::new`].
    ///
    /// # Example
    /// ```
    /// use rarefy::{config, plan::Plan};
    /// let config = config::merge(&["[model]\narch = 'topk'\nlatents = 8\noptions = { k = 9 }".parse().unwrap()])?;
    /// let error = Plan::check(&config, None).unwrap_err();
    /// assert_eq!(error.to_string(), "k must be at most the 8 latents, got 9");
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn check(config: &Config, known: Option<(usize, &IoSpec)>) -> Result<()> {
        let Some((rows, io)) = known else {
            let io = one_each(config)?;
            let said = Said::of(config)?;
            bind(io.clone(), config, said.info)?;
            // Without a number of latents most of the rest is open.
            return match config.model.latents {
                Some(_) => {
                    // A batch may be all rows; that one batch is all of them is never a fault.
                    let rows = config.train.batch.unwrap_or(MANY_ROWS);
                    Self::check(config, Some((rows, &io)))
                }
                None => Ok(()),
            };
        };
        let width = io.row_width();
        let anything = Survey {
            rows,
            d_in: width,
            min: 0.0,
            max: 1.0,
            mean: vec![0.5; width],
            variance: vec![0.1; width],
        };
        Self::bound(config, &anything, io.clone()).map(|_| ())
    }

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
    /// assert_eq!((plan.batch(), plan.options().text("rho_estimate")), (1000, "exact"));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn new(config: &Config, survey: &Survey) -> Result<Self> {
        Self::bound(config, survey, IoSpec::autoencoder(survey.d_in))
    }

    /// The same for rows that hold several inputs, or an input and a target.
    ///
    /// # Errors
    /// As [`Plan::new`].
    ///
    /// # Panics
    /// If the binding is of rows of another width.
    pub fn bound(config: &Config, survey: &Survey, io: IoSpec) -> Result<Self> {
        assert_eq!(survey.d_in, io.row_width(), "a survey of other rows");
        let (model, train) = (&config.model, &config.train);
        let said = Said::of(config)?;
        let (info, defaults) = (said.info, &said.info.defaults);
        let (mut options, optimizer, length) = (said.options, said.optimizer, said.length);
        let (survey, row) = (&survey.of(io.target_start()..io.row_width()), survey);
        let inputs = &row.of(0..io.d_in());
        let io = bind(io, config, info)?;
        let d_sae = model.latents.unwrap_or((defaults.latents)(io.d_in()));
        check_numbers(config, survey.rows, &io, d_sae)?;
        let resolved = (info.resolve)(
            &mut options,
            &ResolveContext {
                inputs,
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
        let architecture = info.build(&options)?;
        check_holdout(&architecture, config.data.holdout)?;
        let decoder_norm = model.decoder_norm.unwrap_or(own_norm(info));
        check_norm(decoder_norm, (&architecture, &io, d_sae), train, optimizer)?;
        let mut warnings = resolved.warnings;
        let steps = length.steps(survey.rows, batch);
        check_resampling(train.resample_every, steps)?;
        warnings.extend(ignored(config, info, optimizer));
        warnings.extend(too_long(train, optimizer, steps));
        let lr = train
            .lr
            .unwrap_or_else(|| default_lr(defaults, optimizer, d_sae));
        let schedules = Schedules::of(train, defaults, &architecture, (steps, lr, d_sae))?;
        let mut plan = Self {
            config: config.clone(),
            info,
            options,
            architecture,
            n_rows: survey.rows,
            io,
            variance: survey.variance.iter().sum(),
            d_sae,
            batch,
            optimizer,
            steps,
            lr,
            clip: train.clip.map_or(defaults.clip, Clip::norm),
            decoder_norm,
            schedules,
            tolerance: train.tolerance.unwrap_or(default_tolerance(optimizer)),
            fingerprint: fingerprint(row),
            warnings,
        };
        let target = plan.io.has_target().then_some(("target", survey));
        for (what, rows) in [("data", inputs)].into_iter().chain(target) {
            let odd = odd_scale(&plan.architecture, (what, rows), plan.lr);
            plan.warnings.extend(odd);
        }
        plan.record();
        Ok(plan)
    }

    /// Adam's decays.
    ///
    /// `dictionary_learning` takes a beta1 of 0 for jumprelu and gated. On `sample:words` with all defaults that
    /// explains 0.897 at an L0 of 16.4 for 0.934 at 18.8 (jumprelu), 0.930 at 31.4 for 0.927 at 26.6 (gated), 0.806 at
    /// 22.8 for 0.819 at 20.9 (relu) and 0.873 for 0.872 at 12 (topk): nothing to leave the usual for.
    pub fn betas(&self) -> (f64, f64) {
        let train = &self.config.train;
        let own = match self.optimizer {
            OptimizerKind::Signum => SIGNUM_MOMENTUM,
            _ => 0.9,
        };
        (train.beta1.unwrap_or(own), train.beta2)
    }

    /// What the decoder's bias starts from.
    pub fn b_dec_start(&self) -> BiasStart {
        self.config.model.b_dec_start.unwrap_or(BiasStart::Median)
    }

    /// Writes every resolved value into the configuration.
    fn record(&mut self) {
        let ((beta1, _), b_dec_start) = (self.betas(), self.b_dec_start());
        let (model, train) = (&mut self.config.model, &mut self.config.train);
        model.latents = Some(self.d_sae);
        if let Architecture::Sparse(_) = self.architecture {
            model.centre = Some(self.io.centre);
        }
        model.decoder_norm = Some(self.decoder_norm);
        model.options = self
            .options
            .iter()
            .map(|(k, v)| (k.to_owned(), crate::config::parse_value(v)))
            .collect();
        train.optimizer = Some(self.optimizer);
        train.steps = Some(self.steps);
        train.epochs = None;
        train.tolerance = Some(self.tolerance);
        // What L-BFGS does not look at stays as it was said.
        if self.optimizer != OptimizerKind::Lbfgs {
            train.lr = Some(self.lr);
            if self.info.defaults.penalised {
                train.sparsity_warmup = Some(self.schedules.sparsity_warmup);
            }
            if train.lr_schedule == LrShape::Cosine {
                train.lr_end = Some(self.lr * self.schedules.schedule.end);
            }
            if let Some((_, _, from)) = self.schedules.p {
                train.p_from = Some(from);
            }
            if train.k_start.is_some() {
                train.k_anneal = Some(self.schedules.k_anneal);
            }
            if let Architecture::Sparse(_) = self.architecture {
                train.beta1 = Some(beta1);
                model.b_dec_start = Some(b_dec_start);
            }
            train.batch = Some(self.batch);
            train.clip = Some(self.clip.into());
        }
    }
}

/// What a configuration binds, one value of each input and of the target.
fn one_each(config: &Config) -> Result<IoSpec> {
    let inputs = vec![1; 1 + config.data.with.len()];
    IoSpec::new(&inputs, config.data.target.as_ref().map(|_| 1))
}

/// What a configuration binds and says of it, without its data: the widths mean nothing.
pub(crate) fn said_io(config: &Config, info: &Info) -> Result<IoSpec> {
    bind(one_each(config)?, config, info)
}

/// What was said that needs no data to be checked.
struct Said {
    info: &'static Info,
    options: Options,
    optimizer: OptimizerKind,
    length: Length,
}

impl Said {
    fn of(config: &Config) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        refuse_others_options(info, &model.options)?;
        let optimizer = optimizer(info, train)?;
        let options = Options::check(info.options(), option_texts(&model.options))?;
        check_aids(train, &info.build(&options)?, optimizer)?;
        check_units(config, &options)?;
        Ok(Self {
            info,
            options,
            optimizer,
            length: length(train, optimizer, &info.defaults)?,
        })
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
        OptimizerKind::ScheduleFree | OptimizerKind::Signum if full_batch => {
            "optimizers schedule-free and signum are those of the sparse engine"
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
        // sparsify's.
        OptimizerKind::Signum => 5e-3 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
        OptimizerKind::Adam | OptimizerKind::ScheduleFree | OptimizerKind::Lbfgs => {
            (defaults.lr)(d_sae)
        }
    }
}

/// L-BFGS stops where f32 sees no more progress; mini-batches are too noisy to tell by themselves.
fn default_tolerance(optimizer: OptimizerKind) -> f64 {
    match optimizer {
        OptimizerKind::Lbfgs => 1e-9,
        _ => 0.0,
    }
}

/// A refusal of a value that nobody gave says that it is the default, and how to give another.
fn of_default(error: Error, info: &Info, given: &toml::Table) -> Error {
    let ours = |name: &str| info.options().iter().any(|option| option.name == name);
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

/// Options as the texts that the option table checks.
pub(crate) fn option_texts(options: &toml::Table) -> impl Iterator<Item = (&str, String)> {
    options.iter().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key.as_str(), text)
    })
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
