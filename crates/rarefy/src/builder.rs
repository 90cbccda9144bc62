//! Training in one expression: an architecture, settings, rows.

use std::fmt::Display;

use crate::config::{self, Config, OptimizerKind};
use crate::data::Rows;
use crate::io_spec::IoSpec;
use crate::model::Model;
use crate::recipe::TrainingData;
use crate::train::{Observer, Silent};
use crate::trainer::{Trained, Trainer};
use crate::{Result, variants};

/// Settings of a model and of its training; made by [`topk`] and its siblings, one for each architecture.
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
    refused: Option<crate::Error>,
}

/// Sigmoid autoencoder with a KL penalty on the mean activation of each latent.
pub fn kl<'o>() -> Builder<'o> {
    architecture("kl")
}

/// `ReLU` with an L1 penalty.
pub fn relu<'o>() -> Builder<'o> {
    architecture("relu")
}

/// `TopK`: the k largest latents of each row.
pub fn topk<'o>(k: usize) -> Builder<'o> {
    architecture("topk").option("k", k)
}

/// `BatchTopK`: the k largest latents a row on average over a batch.
pub fn batch_topk<'o>(k: usize) -> Builder<'o> {
    architecture("batch-topk").option("k", k)
}

/// `AbsTopK`: the k latents of each row whose values are farthest from 0, of either sign.
pub fn abs_topk<'o>(k: usize) -> Builder<'o> {
    architecture("abs-topk").option("k", k)
}

/// `GroupMax`: the largest latent of each of k groups.
pub fn groupmax<'o>(k: usize) -> Builder<'o> {
    architecture("groupmax").option("k", k)
}

/// `JumpReLU`: the latents above thresholds that are learned.
pub fn jumprelu<'o>() -> Builder<'o> {
    architecture("jumprelu")
}

/// Gated: one part of the encoder decides if a latent is active, another how strongly.
pub fn gated<'o>() -> Builder<'o> {
    architecture("gated")
}

/// Matryoshka `BatchTopK`: nested dictionaries, each of which reconstructs by itself.
pub fn matryoshka<'o>(k: usize) -> Builder<'o> {
    architecture("matryoshka").option("k", k)
}

/// Matching pursuit: k latents a row, each found in the residual of those before it.
pub fn matching_pursuit<'o>(k: usize) -> Builder<'o> {
    architecture("matching-pursuit").option("k", k)
}

/// An architecture by its name in [`VARIANTS`](crate::variants::VARIANTS).
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
    /// Sets the number of latents.
    pub fn latents(mut self, latents: usize) -> Self {
        self.config.model.latents = Some(latents);
        self
    }

    /// Sets the number of optimiser steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.config.train.steps = Some(steps);
        self
    }

    /// Sets the number of passes over the rows, in place of steps.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.config.train.epochs = Some(epochs);
        self
    }

    /// Sets the number of rows in a mini-batch.
    pub fn batch(mut self, rows: usize) -> Self {
        self.config.train.batch = Some(rows);
        self
    }

    /// Sets the learning rate.
    pub fn lr(mut self, lr: f64) -> Self {
        self.config.train.lr = Some(lr);
        self
    }

    /// Sets the optimiser.
    pub fn optimizer(mut self, optimizer: OptimizerKind) -> Self {
        self.config.train.optimizer = Some(optimizer);
        self
    }

    /// Sets the seed of initial weights and of the order of rows.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.train.seed = seed;
        self
    }

    /// Sets the number of rows, evenly over the data, that are never trained on.
    pub fn holdout(mut self, rows: usize) -> Self {
        self.config.data.holdout = rows;
        self
    }

    /// Sets the preprocessing steps, such as `["standardise"]`; the default of the data if left out.
    pub fn preprocess<S: Into<String>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        self.config.data.preprocess = Some(steps.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an option of the architecture, such as `("aux_coefficient", 0.1)`.
    pub fn option(mut self, name: &str, value: impl Display) -> Self {
        let text = value.to_string();
        let value = config::parse_value(&text);
        self.config.model.options.insert(name.into(), value);
        self
    }

    /// Sets any field of the configuration, such as `("train.ema", 0.999)`.
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        if let Err(error) = self.put(key, &value.to_string()) {
            self.refused.get_or_insert(error);
        }
        self
    }

    fn put(&mut self, key: &str, value: &str) -> Result<()> {
        let mut layer = toml::Table::new();
        config::set(&mut layer, key, value)?;
        let base = toml::Table::try_from(&self.config).expect("a config is a table");
        self.config = config::merge(&[base, layer])?;
        Ok(())
    }

    /// Replaces all settings by those of a configuration.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Reports progress and messages to an observer, which may also stop the run.
    pub fn observer(mut self, observer: &'o mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Trains on all rows and returns the model.
    ///
    /// # Errors
    /// [`Error::Hyper`](crate::Error::Hyper), [`Error::Unknown`](crate::Error::Unknown) or
    /// [`Error::Conflict`](crate::Error::Conflict) naming a field that cannot work; errors of reading the rows;
    /// [`Error::Diverged`](crate::Error::Diverged).
    pub fn fit<'a>(self, x: impl Into<Rows<'a>>) -> Result<Model> {
        Ok(self.train(x)?.model)
    }

    /// [`Builder::fit`], with the number of steps and the reason for the end.
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
        let config = resolve(self.config, self.refused, &x)?;
        let raw = IoSpec::autoencoder(x.source().d_in());
        let data = TrainingData::new(&config.data, x.source(), &raw)?;
        let trainer = data.trainer(data.plan(&config)?)?;
        data.train(trainer, observer)
    }

    /// A trainer for batches that the caller pushes; preprocessing and initial weights follow from `sample`, for
    /// example the first batch.
    ///
    /// # Errors
    /// As [`Trainer::stream`].
    pub fn stream<'a>(self, sample: impl Into<Rows<'a>>) -> Result<Trainer> {
        let sample = sample.into().check()?;
        let config = resolve(self.config, self.refused, &sample)?;
        Trainer::stream(&config, sample)
    }
}

/// The configuration with what a dataset says about itself.
fn resolve(mut config: Config, refused: Option<crate::Error>, x: &Rows) -> Result<Config> {
    if let Some(error) = refused {
        return Err(error);
    }
    variants::find(&config.model.arch)?;
    config.data.path = x.source().name().into();
    if let Some(dataset) = x.dataset() {
        let data = &mut config.data;
        let preprocess = &mut data.preprocess;
        preprocess.get_or_insert_with(|| dataset.default_preprocess.clone());
        data.image_shape = data.image_shape.or(dataset.image_shape);
    }
    Ok(config)
}
