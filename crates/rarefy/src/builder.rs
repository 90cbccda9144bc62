//! Training in one expression: an architecture, settings, rows.

use std::fmt::Display;
use std::path::Path;

use crate::config::{self, Config, OptimizerKind};
use crate::data::Rows;
use crate::io_spec::IoSpec;
use crate::model::Model;
use crate::recipe::{self, TrainingData};
use crate::train::{Observer, Silent};
use crate::trainer::{Trained, Trainer};
use crate::{Error, Result};

/// Settings of a model and its training run. Start from an architecture function such as [`topk`], chain setters, and
/// end with [`Builder::fit`] (rows at hand) or [`Builder::stream`] (batches pushed one by one).
///
/// Every setting that is left out takes the default of the architecture. A value that cannot work is refused by
/// [`Builder::fit`], naming the field.
///
/// # Example
/// ```
/// let digits = rarefy::data::open("sample:digits", &Default::default())?;
/// let model = rarefy::topk(8).latents(128).steps(60).batch(256).seed(1).fit(&digits)?;
/// assert_eq!(model.encode(&digits)?.d_sae, 128);
/// # Ok::<(), rarefy::Error>(())
/// ```
#[must_use = "a builder trains nothing before `fit` or `stream`"]
pub struct Builder<'o> {
    config: Config,
    observer: Option<&'o mut dyn Observer>,
    /// The first setting that could not be read.
    refused: Option<Error>,
}

/// Starts a [`Builder`] for the sigmoid autoencoder with a KL penalty, which pulls the mean activation of each latent
/// towards a small target, rho. Latents lie between 0 and 1. Sparsity is set by `.option("rho", 0.05)` and by the
/// weight of the penalty, `.option("beta", 1)`, shown with their defaults. The objective is half the squared error,
/// summed over the values of a preprocessed row, mean over rows, plus the weight times the KL divergences summed over
/// latents.
pub fn kl<'o>() -> Builder<'o> {
    architecture("kl")
}

/// Starts a [`Builder`] for the `ReLU` autoencoder: every positive pre-activation is kept, under an L1 penalty on the
/// latents. Sparsity is set by `.option("l1", weight)`: larger is sparser. The penalty of a row is `weight` times the
/// sum of its latents (each times the length of its decoder row, 1 by default). The squared error beside the penalty is
/// summed over the values of the preprocessed row; both are means over rows. Default weight: 0.2 times the square root
/// of the total variance, summed over the columns of the preprocessed rows.
pub fn relu<'o>() -> Builder<'o> {
    architecture("relu")
}

/// Starts a [`Builder`] for the `TopK` autoencoder: each row keeps its `k` largest positive pre-activations as latents,
/// or fewer if fewer are positive. Sparsity is set by `k` alone, from 1 to the number of latents; there is no penalty
/// to tune.
pub fn topk<'o>(k: usize) -> Builder<'o> {
    architecture("topk").option("k", k)
}

/// Starts a [`Builder`] for the `BatchTopK` autoencoder: the n rows of a batch together keep their `n k` largest
/// positive pre-activations, so `k` is the mean number of active latents in a row. The trained model keeps all
/// pre-activations above one threshold instead, so latents of a row do not depend on other rows. The threshold is
/// calibrated at the end of training, to a mean of `k`.
pub fn batch_topk<'o>(k: usize) -> Builder<'o> {
    architecture("batch-topk").option("k", k)
}

/// Starts a [`Builder`] for the `AbsTopK` autoencoder: each row keeps the `k` pre-activations of largest absolute
/// value, with their signs. Use for latents that may be negative, one concept on each side of 0; `k` sets the sparsity
/// as for [`topk`].
pub fn abs_topk<'o>(k: usize) -> Builder<'o> {
    architecture("abs-topk").option("k", k)
}

/// Starts a [`Builder`] for the `GroupMax` autoencoder: the latents are cut into `k` equal groups of consecutive
/// latents, and each row keeps the largest positive pre-activation of each group. At most `k` latents of a row are
/// active; `k` must divide the number of latents.
pub fn groupmax<'o>(k: usize) -> Builder<'o> {
    architecture("groupmax").option("k", k)
}

/// Starts a [`Builder`] for the `JumpReLU` autoencoder: each latent keeps pre-activations above a threshold that it
/// learns, under a penalty on the number of active latents (L0). Sparsity is set by `.option("l0", weight)`: larger is
/// sparser. Each active latent of a row adds `weight` to the loss of the row, beside the squared error summed over the
/// values of the preprocessed row. Default weight: 0.006 times the total variance, summed over the columns of the
/// preprocessed rows.
pub fn jumprelu<'o>() -> Builder<'o> {
    architecture("jumprelu")
}

/// Starts a [`Builder`] for the gated autoencoder: one part of the encoder, the gate, decides if a latent is active,
/// and another part sets its value. The L1 penalty is on the positive pre-activations of the gate, so the penalty does
/// not shrink values. Sparsity is set by `.option("l1", weight)`, with unit and default as for [`relu`].
pub fn gated<'o>() -> Builder<'o> {
    architecture("gated")
}

/// Starts a [`Builder`] for the Matryoshka `BatchTopK` autoencoder: the first 1/16, 1/8, 1/4, 1/2 and all of the
/// latents must each reconstruct the rows by themselves, so general latents come first. `k` is the mean number of
/// active latents in a row, counted over all latents. The trained model keeps pre-activations above one threshold, as
/// for [`batch_topk`].
pub fn matryoshka<'o>(k: usize) -> Builder<'o> {
    architecture("matryoshka").option("k", k)
}

/// Starts a [`Builder`] for the matching pursuit autoencoder: each row chooses one latent a round, with the largest
/// product of decoder row and residual. The residual is the row minus its reconstruction so far. A row has at most `k`
/// rounds, so at most `k` active latents. A row ends early if no product is positive, a latent is chosen again or the
/// residual is 0. Choose this architecture for a small error at few active latents; encoding costs `k` passes over all
/// latents.
pub fn matching_pursuit<'o>(k: usize) -> Builder<'o> {
    architecture("matching-pursuit").option("k", k)
}

/// Starts a [`Builder`] for the architecture `name`: `kl`, `relu`, `topk`, `batch-topk`, `abs-topk`, `groupmax`,
/// `jumprelu`, `gated`, `matryoshka` or `matching-pursuit`. Use if the name is known only at run time. [`Builder::fit`]
/// reports an unknown name, and [`Builder::option`] sets options such as `k`.
pub fn architecture<'o>(name: &str) -> Builder<'o> {
    let mut config = Config::default();
    config.model.arch = name.into();
    Builder {
        config,
        observer: None,
        refused: None,
    }
}

impl<'o> Builder<'o> {
    /// Sets the number of latents, `d_sae`. Default: 8 for each value of a preprocessed row; 64 for [`kl`].
    pub fn latents(mut self, latents: usize) -> Self {
        self.config.model.latents = Some(latents);
        self
    }

    /// Sets the length of training in optimiser steps (iterations of L-BFGS). Default: 20 epochs and at least 1000
    /// steps; for [`kl`] 400 iterations of L-BFGS, or 20 epochs of Adam or SGD. Set steps or epochs, not both.
    pub fn steps(mut self, steps: usize) -> Self {
        self.config.train.steps = Some(steps);
        self
    }

    /// Sets the length of training in passes over the training rows, in place of [`Builder::steps`]; [`Builder::fit`]
    /// refuses both together. An epoch takes `rows / batch` whole batches, by default in a new random order; remaining
    /// rows are skipped in that epoch. L-BFGS and [`Builder::stream`] need steps instead.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.config.train.epochs = Some(epochs);
        self
    }

    /// Sets the number of rows in a mini-batch. Default: 4096 (256 for [`kl`] with Adam or SGD), or all training rows
    /// if there are fewer. [`kl`] with neither batch size nor optimiser set trains by L-BFGS on all rows.
    pub fn batch(mut self, rows: usize) -> Self {
        self.config.train.batch = Some(rows);
        self
    }

    /// Sets the base learning rate, before warm-up and decay (none by default). Default of Adam:
    /// `2e-4 / sqrt(d_sae / 16384)`, twice that for [`relu`], [`jumprelu`] and [`gated`], and 1e-3 for [`kl`]. L-BFGS
    /// does not use a learning rate.
    ///
    /// Defaults of other optimisers: 0.1 for SGD, `5e-3 / sqrt(d_sae / 16384)` for signum, as Adam for schedule-free.
    /// Warm-up and decay are set by [`Builder::set`], such as `("train.lr_warmup", 500)`.
    pub fn lr(mut self, lr: f64) -> Self {
        self.config.train.lr = Some(lr);
        self
    }

    /// Sets the optimiser. Default: Adam; for [`kl`] without a batch size, L-BFGS on all rows. SGD and L-BFGS train
    /// `kl` only. Schedule-free Adam and signum (steps along signs of gradients) train all architectures but `kl`.
    /// Choose one of the two if training may end at any step: both return an average of past weights.
    pub fn optimizer(mut self, optimizer: OptimizerKind) -> Self {
        self.config.train.optimizer = Some(optimizer);
        self
    }

    /// Sets the seed of the initial weights and of the order of rows; default 0. On one machine, the same seed,
    /// settings and rows give the same model, for any number of threads.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.train.seed = seed;
        self
    }

    /// Withholds this many rows, evenly spaced over the data, from training and from fitting the preprocessing; default
    /// 0. At the end of training, [`batch_topk`] and [`matryoshka`] calibrate the threshold of the trained model on the
    /// withheld rows. The caller can evaluate on the same rows.
    ///
    /// Of n rows, the withheld ones are rows `floor(i * n / rows)` for `i` from 0 to `rows - 1`. [`Builder::stream`]
    /// refuses this setting.
    pub fn holdout(mut self, rows: usize) -> Self {
        self.config.data.holdout = Some(rows);
        self
    }

    /// Sets the preprocessing steps, applied in this order. `["row-mean", "scale"]` subtracts the mean of each row,
    /// then maps all values linearly to 0 to 1; `["none"]` turns preprocessing off. All steps: `scale`, `standardise`,
    /// `row-mean`, `norm-average`, `norm-square`, `norm-row`, `layer-norm`, `clip-sd`, `pca`, `zca`. Default: no step,
    /// or [`Dataset::default_preprocess`](crate::data::Dataset::default_preprocess) if the rows are a `Dataset`, which
    /// [`open`](crate::data::open) returns.
    ///
    /// The command `rarefy list preprocessing` defines the steps. Steps are fitted to the training rows and saved in
    /// the model, which applies the steps in [`Model::encode`] and inverts them in [`Model::decode`].
    pub fn preprocess<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.config.data.preprocess = Some(steps.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an option of the architecture, such as `("aux_coefficient", 0.1)`; options left out have defaults. The
    /// command `rarefy list architectures` prints names, defaults and meanings. [`Builder::fit`] reports an unknown
    /// name or a bad value.
    pub fn option(mut self, name: &str, value: impl Display) -> Self {
        let text = value.to_string();
        let value = config::parse_value(&text);
        self.config.model.options.insert(name.into(), value);
        self
    }

    /// Sets any field of [`Config`] by its dotted key, such as `("train.ema", 0.999)`, for settings without a method
    /// here. The value is read as TOML and, where that fails, as a string. [`Builder::fit`] reports the first unknown
    /// key or value of a wrong type.
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        if let Err(error) = self.put(key, &value.to_string()) {
            self.refused.get_or_insert(error);
        }
        self
    }

    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        let mut layer = toml::Table::new();
        config::set(&mut layer, key, value)?;
        let base = toml::Table::try_from(&self.config).map_err(|error| {
            let why = format!(
                "the settings so far cannot be written as TOML, so `{key}` cannot be added: {error}"
            );
            Error::Conflict(why)
        })?;
        self.config = config::merge(&[base, layer])?;
        Ok(())
    }

    /// Replaces all settings, the architecture included, by `config`, for example one read from a TOML file by
    /// [`config::merge`]. Later calls change single settings. The rows passed to [`Builder::fit`] replace `data.path`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sets an [`Observer`] that receives progress, messages and checkpoints in [`Builder::fit`] and
    /// [`Builder::train`], and may stop the run. Default: none, so training is silent. [`Builder::stream`] refuses an
    /// observer; pass one to [`Trainer::step_with`].
    pub fn observer(mut self, observer: &'o mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains on the raw rows `x`, except withheld ones ([`Builder::holdout`]), and returns the model. Preprocessing is
    /// fitted to the training rows and applied here. Pass a `&Dataset`, a `&dyn Source` or `(&values, d_in)`, as
    /// [`Rows`] describes.
    ///
    /// # Errors
    /// [`Error::Hyper`], [`Error::Unknown`] or
    /// [`Error::Conflict`] naming a field that cannot work; errors of reading the rows;
    /// [`Error::Diverged`].
    pub fn fit<'a>(self, x: impl Into<Rows<'a>>) -> Result<Model> {
        Ok(self.train(x)?.model)
    }

    /// Trains like [`Builder::fit`], and returns a [`Trained`]: the model, the number of steps, the rows seen, and the
    /// reason for the end of training, such as `all 200 steps done`.
    ///
    /// # Errors
    /// As [`Builder::fit`].
    pub fn train<'a>(mut self, x: impl Into<Rows<'a>>) -> Result<Trained> {
        let x = x.into().check()?;
        let mut silent = Silent;
        let observer: &mut dyn Observer = match self.observer.take() {
            Some(observer) => observer,
            None => &mut silent,
        };
        let config = self.refused.map_or(Ok(self.config), Err)?;
        let config = recipe::of_given_rows(config, &x)?;
        let raw = IoSpec::autoencoder(x.source().d_in());
        let data = TrainingData::new(&config.data, x.source(), &raw)?;
        let plan = data.plan(&config)?;
        let warnings = data.warnings(&plan)?;
        warnings.iter().for_each(|text| observer.message(text));
        data.train(data.trainer(plan)?, observer)
    }

    /// Makes a [`Trainer`] for raw batches that arrive one by one, such as activations of a running language model.
    /// `sample`, for example the first batch, holds raw rows to which preprocessing and initial weights are fitted. No
    /// step is taken on `sample`. [`Trainer::step`] then takes raw batches and preprocesses them.
    ///
    /// [`Builder::steps`] and [`Builder::batch`] must be set, because the total number of rows is unknown.
    ///
    /// # Errors
    /// As [`Trainer::stream`].
    pub fn stream<'a>(self, sample: impl Into<Rows<'a>>) -> Result<Trainer> {
        Trainer::stream(&self.of_stream()?, sample)
    }

    /// Makes the [`Trainer`] of [`Builder::stream`] again and continues from a checkpoint file of
    /// [`Trainer::checkpoint`]. Settings and `sample` must be those of the first trainer, because preprocessing is
    /// fitted to `sample` again.
    ///
    /// # Errors
    /// As [`Trainer::resume_stream`].
    ///
    /// # Example
    /// ```
    /// let batch = |step: usize| -> Vec<f32> { (0..640).map(|i| ((step * 640 + i) as f32 * 0.7).sin()).collect() };
    /// let builder = || rarefy::topk(3).latents(16).steps(8).batch(64).preprocess(["standardise"]);
    /// let sample = batch(0);
    /// let mut trainer = builder().stream((&sample, 10))?;
    /// (0..5).try_for_each(|step| trainer.step(&batch(step)).map(drop))?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("checkpoint.safetensors");
    /// trainer.checkpoint(&path)?;
    /// let mut resumed = builder().resume_stream((&sample, 10), &path)?;
    /// assert_eq!(resumed.steps_done(), 5);
    /// for step in 5..8 {
    ///     trainer.step(&batch(step))?;
    ///     resumed.step(&batch(step))?;
    /// }
    /// let (model, again) = (trainer.finish()?, resumed.finish()?);
    /// assert_eq!(again.encode((&sample, 10))?, model.encode((&sample, 10))?);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn resume_stream<'a>(
        self,
        sample: impl Into<Rows<'a>>,
        checkpoint: &Path,
    ) -> Result<Trainer> {
        Trainer::resume_stream(&self.of_stream()?, sample, checkpoint)
    }

    /// The configuration of a stream.
    fn of_stream(self) -> Result<Config> {
        let config = self.refused.map_or(Ok(self.config), Err)?;
        if self.observer.is_some() {
            let why = "a trainer of pushed rows keeps no observer: give the observer to `Trainer::step_with`";
            return Err(Error::Conflict(why.into()));
        }
        Ok(config)
    }
}
