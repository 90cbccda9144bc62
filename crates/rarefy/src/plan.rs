//! From a configuration to a [`Plan`]: all checks and defaults of a training run.

mod defaults;
mod record;
mod refusals;
mod said;
mod schedules;
mod warnings;

use crate::Result;
use crate::config::{BiasStart, Clip, Config, DecoderNorm, OptimizerKind};
use crate::data::Survey;
use crate::io_spec::IoSpec;
use crate::variants::{Architecture, Batching, Info, Options, ResolveContext};
pub(crate) use defaults::own_norm;
use defaults::{default_lr, default_mask, default_tolerance, wanted_batching};
use refusals::{bind, check_holdout, check_norm, check_numbers, check_resampling};
use said::{Said, name_field, one_each};
pub(crate) use said::{checked_options, said_io};
#[doc(hidden)]
pub use schedules::{Schedules, UPDATES};
use warnings::{constant, ignored, odd_scale, of_other_penalty, one_value, too_long};

/// All settings of one training run, checked, with every default filled in. Made from a [`Config`] by [`Plan::new`],
/// and taken by [`Trainer::new`](crate::Trainer::new). [`Builder::fit`](crate::Builder::fit) and
/// [`Builder::stream`](crate::Builder::stream) make a plan themselves.
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
    mask: f64,
    input_mean: Vec<f64>,
    tolerance: f64,
    fingerprint: String,
    warnings: Vec<String>,
}

impl Plan {
    /// Configuration of the run with every default filled in, as the command-line program `rarefy` saves to
    /// `config.toml`.
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

    /// Number of latents that the model will have, given or default.
    pub fn d_sae(&self) -> usize {
        self.d_sae
    }

    /// Number of rows in a mini-batch, given or default; equal to [`n_rows`](Self::n_rows) for full-batch training.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Steps of an epoch: whole batches of the training rows, at least one.
    pub(crate) fn steps_per_epoch(&self) -> usize {
        (self.n_rows / self.batch).max(1)
    }

    /// Size in bytes of weights, moments of the optimiser and averaged weights: the state that a step changes.
    #[doc(hidden)]
    pub fn state_bytes(&self) -> usize {
        let parameters = self.architecture.layout(&self.io, self.d_sae).len();
        let copies = match self.optimizer {
            OptimizerKind::Sgd | OptimizerKind::Signum => 2,
            OptimizerKind::Lbfgs => 2 * (1 + self.config.train.history),
            OptimizerKind::Adam | OptimizerKind::ScheduleFree => 3,
        };
        let copies = copies + usize::from(self.config.train.ema.is_some());
        parameters.saturating_mul(copies * size_of::<f32>())
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

    /// Default learning rate of the optimiser and architecture.
    pub(crate) fn default_lr(&self) -> f64 {
        default_lr(&self.info.defaults, self.optimizer, self.d_sae)
    }

    /// Threshold of clipping: the largest L2 norm of the gradient over all parameters together, to which longer
    /// gradients are scaled down. `None` if gradients are not clipped.
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

    /// Share of the values of a row that the encoder does not see in a step, given or default; 0 for none.
    #[doc(hidden)]
    pub fn mask(&self) -> f64 {
        self.mask
    }

    /// Mean of each input column over all rows.
    pub(crate) fn input_mean(&self) -> &[f64] {
        &self.input_mean
    }

    /// Relative decrease of the objective below which training stops early, measured over 5 iterations of L-BFGS or one
    /// epoch of other optimisers; 0 for never. Default: 1e-9 for L-BFGS, 0 for others.
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

    /// Warnings for the user, one sentence each: settings without effect, data of an unusual scale. An example is
    /// "`train.lr` has no effect" with L-BFGS. Empty if there are none. [`Builder::fit`](crate::Builder::fit) passes
    /// the warnings to [`Observer::message`](crate::Observer::message); the library prints nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Number of rows that no batch exceeds, assumed where the data is unknown.
const MANY_ROWS: usize = 1 << 40;

/// Momentum of `signum`, as in sparsify.
const SIGNUM_MOMENTUM: f64 = 0.95;

impl Plan {
    /// Checks a configuration without reading data, so that mistakes are reported at once. `known` is the number of
    /// training rows, with the widths of input and target in preprocessed rows. `None` if the data is not known yet:
    /// settings that depend on these numbers are then not fully checked.
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
    /// variances of the training rows, made by [`survey`](fn@crate::data::survey) from rows that the caller
    /// preprocessed. An `Err` names the setting that cannot work.
    ///
    /// # Errors
    /// [`Error::Hyper`](crate::Error::Hyper), [`Error::Unknown`](crate::Error::Unknown) or
    /// [`Error::Conflict`](crate::Error::Conflict) naming the setting.
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
        let (info, optimizer, length) = (said.info, said.optimizer, said.length);
        let defaults = &info.defaults;
        let (survey, row) = (&survey.of(io.target_start()..io.row_width()), survey);
        let inputs = &row.of(0..io.d_in());
        let io = bind(io, config, info)?;
        let d_sae = model.latents.unwrap_or_else(|| {
            let latents = |rows: usize| (defaults.latents)(io.d_in(), rows);
            // A k that was asked for leaves a choice, as the default k does.
            let of_k = said
                .options
                .find_number("k")
                .map_or(0, |k| (8.0 * k) as usize);
            latents(survey.rows).max(of_k).min(latents(usize::MAX))
        });
        check_numbers(config, survey.rows, &io, d_sae)?;
        let (options, batch, mut warnings) = resolve(config, said, (inputs, survey), d_sae)?;
        let architecture = info.build(&options)?;
        check_holdout(&architecture, config.data.holdout.unwrap_or(0))?;
        let decoder_norm = model.decoder_norm.unwrap_or(own_norm(info));
        check_norm(decoder_norm, (&architecture, &io, d_sae), train, optimizer)?;
        let steps = length.steps(survey.rows, batch);
        check_resampling(train.resample_every, steps)?;
        warnings.extend(ignored(config, info, optimizer));
        warnings.extend(too_long(train, optimizer, steps));
        warnings.extend(of_other_penalty(config, info, &options));
        warnings.extend(one_value(config, inputs));
        warnings.extend(constant(config, inputs));
        let lr = train
            .lr
            .unwrap_or_else(|| default_lr(defaults, optimizer, d_sae));
        let mask = train.mask.unwrap_or_else(|| match &architecture {
            Architecture::Sparse(sparse)
                if model.latents.is_none() && !io.has_target() && !sparse.pursues() =>
            {
                default_mask(io.d_in(), survey.rows, d_sae)
            }
            _ => 0.0,
        });
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
            mask,
            input_mean: inputs.mean.clone(),
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
}

/// Options, rows in a batch and warnings of a run on data with these statistics of inputs and outputs.
fn resolve(
    config: &Config,
    said: Said,
    (inputs, survey): (&Survey, &Survey),
    d_sae: usize,
) -> Result<(Options, usize, Vec<String>)> {
    let Said {
        info,
        mut options,
        optimizer,
        length,
    } = said;
    let context = ResolveContext {
        inputs,
        survey,
        batching: wanted_batching(&config.train, optimizer, survey.rows)?,
        d_sae,
        length,
    };
    let resolved = (info.resolve)(&mut options, &context)
        .map_err(|error| name_field(error, info, &config.model.options))?;
    let batch = match resolved.batching {
        Batching::Mini(batch) => batch,
        Batching::Full | Batching::Open => survey.rows,
    };
    Ok((options, batch, resolved.warnings))
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

#[cfg(test)]
mod tests;
