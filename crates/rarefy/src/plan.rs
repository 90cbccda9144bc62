//! From a configuration to a [`Plan`]: all checks and defaults of a training run.

mod defaults;
mod refusals;
mod schedules;
mod warnings;

use crate::config::{BiasStart, Clip, Config, DecoderNorm, OptimizerKind};
use crate::data::Survey;
use crate::io_spec::IoSpec;
use crate::optim::LrShape;
use crate::variants::{self, Architecture, Batching, Info, Length, Options, ResolveContext};
use crate::{Error, Result};
pub(crate) use defaults::own_norm;
use defaults::{default_lr, default_tolerance, length, optimizer, wanted_batching};
use refusals::{
    bind, check_aids, check_holdout, check_norm, check_numbers, check_resampling, check_units,
    refuse_others_options,
};
#[doc(hidden)]
pub use schedules::{Schedules, UPDATES};
use warnings::{ignored, odd_scale, too_long};

/// All settings of one training run, checked, with every default filled in. Made from a [`Config`] by [`Plan::new`] or
/// [`Plan::of_stream`], and taken by [`Trainer::new`](crate::Trainer::new); [`Builder::fit`](crate::Builder::fit) makes
/// a plan itself.
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
    /// Configuration of the run with every default filled in, as the program saves to `config.toml`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Table line of the architecture.
    #[doc(hidden)]
    pub fn info(&self) -> &'static Info {
        self.info
    }

    /// Options of the architecture, resolved.
    #[doc(hidden)]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Architecture built from the options.
    #[doc(hidden)]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Number of training rows, held-out rows not counted; 2^40 for a stream, whose number is unknown.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Input and output columns of a preprocessed row.
    #[doc(hidden)]
    pub fn io(&self) -> &IoSpec {
        &self.io
    }

    /// Sum of the output columns' variances over all rows.
    #[doc(hidden)]
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// Number of latents of the model.
    pub fn d_sae(&self) -> usize {
        self.d_sae
    }

    /// Number of rows in a mini-batch, given or default; equal to [`n_rows`](Self::n_rows) for full-batch training.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Optimiser of the run, given or default.
    pub fn optimizer(&self) -> OptimizerKind {
        self.optimizer
    }

    /// Planned number of optimiser steps, also if the length was given in epochs. Training may converge earlier.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Base learning rate, given or default, before warm-up and decay; L-BFGS ignores this value.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Largest L2 norm of the whole gradient, to which longer gradients are scaled down; `None` if gradients are not
    /// clipped.
    pub fn clip(&self) -> Option<f64> {
        self.clip
    }

    /// Constraint on the length of each latent's decoder row, given or default: `Unit`, `Free` or `Rescale`.
    pub fn decoder_norm(&self) -> DecoderNorm {
        self.decoder_norm
    }

    /// Schedules of the learning rate, sparsity weight, k and p.
    #[doc(hidden)]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Relative decrease of the objective below which training stops early, over 5 iterations of L-BFGS or one epoch of
    /// other optimisers; 0 for never.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Short summary of the data, saved in checkpoints; resuming requires an equal one.
    #[doc(hidden)]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Refuses held-out rows that are too few to calibrate the model's threshold on.
    pub(crate) fn check_holdout(&self, rows: usize) -> Result<()> {
        check_holdout(&self.architecture, rows)
    }

    /// Plan with another data fingerprint, for data that cannot be surveyed as a whole.
    pub(crate) fn with_fingerprint(self, fingerprint: String) -> Self {
        Self {
            fingerprint,
            ..self
        }
    }

    /// Warnings for the caller to print before the run, one sentence each: settings without effect, data of an unusual
    /// scale. Empty if there are none; the library prints nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Number of rows that no batch exceeds, assumed where the data is unknown.
const MANY_ROWS: usize = 1 << 40;

/// Momentum of `signum`, as in sparsify.
const SIGNUM_MOMENTUM: f64 = 0.95;

impl Plan {
    /// Checks a configuration without reading data, so that mistakes are reported at once. `known` holds the number of
    /// training rows and the columns of preprocessed rows, for stricter checks; `None` if unknown.
    ///
    /// # Errors
    /// As [`Plan::new`].
    ///
    /// # Example
    /// ```
    /// use rarefy::{config, plan::Plan};
    /// let config = config::merge(&["[model]\narch = 'topk'\nlatents = 8\noptions = { k = 9 }".parse().unwrap()])?;
    /// let error = Plan::check(&config, None).unwrap_err();
    /// assert_eq!(error.to_string(), "`model.options.k` must be at most the 8 latents, got 9");
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn check(config: &Config, known: Option<(usize, &IoSpec)>) -> Result<()> {
        let Some((rows, io)) = known else {
            let io = one_each(config)?;
            let said = Said::of(config)?;
            bind(io.clone(), config, said.info)?;
            // Most further checks need the number of latents.
            return match config.model.latents {
                Some(_) => {
                    // A batch of all rows is always allowed.
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

    /// Checks `config` for an autoencoder and fills in every default. `survey` holds the number, range, means and
    /// variances of the preprocessed training rows, made by [`survey`](fn@crate::data::survey). An `Err` names the
    /// setting that cannot work.
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

    /// Plan for rows with several inputs, or with an input and a target; else as [`Plan::new`].
    ///
    /// # Errors
    /// As [`Plan::new`].
    ///
    /// # Panics
    /// If `io` describes rows of another width than the survey.
    #[doc(hidden)]
    pub fn bound(config: &Config, survey: &Survey, io: IoSpec) -> Result<Self> {
        assert_eq!(
            survey.d_in,
            io.row_width(),
            "the survey and the IoSpec describe rows of different widths"
        );
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
        .map_err(|error| name_field(error, info, &model.options))?;
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

    /// Decay rates of Adam: beta1 and beta2.
    ///
    /// `dictionary_learning` uses a beta1 of 0 for jumprelu and gated. The default here is 0.9, since 0 was not better
    /// on `sample:words` with all defaults (explained variance at L0):
    ///
    /// | architecture | beta1 0 | beta1 0.9 |
    /// |---|---|---|
    /// | jumprelu | 0.897 at 16.4 | 0.934 at 18.8 |
    /// | gated | 0.930 at 31.4 | 0.927 at 26.6 |
    /// | relu | 0.806 at 22.8 | 0.819 at 20.9 |
    /// | topk | 0.873 at 12 | 0.872 at 12 |
    #[doc(hidden)]
    pub fn betas(&self) -> (f64, f64) {
        let train = &self.config.train;
        let own = match self.optimizer {
            OptimizerKind::Signum => SIGNUM_MOMENTUM,
            _ => 0.9,
        };
        (train.beta1.unwrap_or(own), train.beta2)
    }

    /// Start value of the decoder's bias.
    #[doc(hidden)]
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
        // Fields that L-BFGS does not use stay as given.
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

/// Input and output columns of a configuration, with a width of 1 for each input and the target.
fn one_each(config: &Config) -> Result<IoSpec> {
    let inputs = vec![1; 1 + config.data.with.len()];
    IoSpec::new(&inputs, config.data.target.as_ref().map(|_| 1))
}

/// Input and output columns of a configuration without its data; only the layout counts, not the widths.
pub(crate) fn said_io(config: &Config, info: &Info) -> Result<IoSpec> {
    bind(one_each(config)?, config, info)
}

/// Settings that were checked without data.
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
        let (options, architecture) = checked_options(info, &model.options)?;
        check_aids(train, &architecture, optimizer)?;
        check_units(config, &options)?;
        Ok(Self {
            info,
            options,
            optimizer,
            length: length(train, optimizer, &info.defaults)?,
        })
    }
}

/// Options of an architecture, checked, and the architecture that they describe.
pub(crate) fn checked_options(info: &Info, given: &toml::Table) -> Result<(Options, Architecture)> {
    let named = |error| name_field(error, info, given);
    let options = Options::check(info.options(), option_texts(given)).map_err(named)?;
    let architecture = info.build(&options).map_err(named)?;
    Ok((options, architecture))
}

/// Names an option in an error by its field, and says so if the value is a default.
fn name_field(error: Error, info: &Info, given: &toml::Table) -> Error {
    let ours = |name: &str| info.options().iter().any(|option| option.name == name);
    match error {
        Error::Hyper {
            name,
            expected,
            got,
        } if ours(&name) && !given.contains_key(&name) => {
            let or = if expected.contains("latents") {
                " or `model.latents`"
            } else {
                ""
            };
            Error::Conflict(format!(
                "the default {name} of {got} must be {expected}; set `model.options.{name}`{or}"
            ))
        }
        Error::Hyper {
            name,
            expected,
            got,
        } if ours(&name) => Error::Hyper {
            name: format!("model.options.{name}"),
            expected,
            got,
        },
        other => other,
    }
}

/// Fingerprint of preprocessed rows, by which a resumed run recognises its data.
pub(crate) fn fingerprint(survey: &Survey) -> String {
    format!(
        "{} rows of {} from {} to {}, mean {:.6e}",
        survey.rows,
        survey.d_in,
        survey.min,
        survey.max,
        survey.grand_mean()
    )
}

/// Names and texts of options, as the option table checks them.
fn option_texts(options: &toml::Table) -> impl Iterator<Item = (&str, String)> {
    options.iter().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key.as_str(), text)
    })
}

#[cfg(test)]
mod tests;
