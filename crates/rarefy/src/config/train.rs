//! Section `[train]` of the configuration: optimiser, schedules, length of a run.

use serde::{Deserialize, Serialize};

use super::Clip;
use crate::optim::LrShape;

/// Optimiser of a run, for [`Builder::optimizer`](crate::Builder::optimizer) or the configuration key
/// `train.optimizer`. Architecture `kl` takes `Lbfgs`, `Adam` or `Sgd`; all other architectures take `Adam`,
/// `ScheduleFree` or `Signum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// L-BFGS with a strong Wolfe line search, on all rows in every step; the default of `kl`.
    Lbfgs,
    /// Adam, the default of all architectures but `kl`.
    Adam,
    /// Stochastic gradient descent with momentum (`train.momentum`).
    Sgd,
    /// Schedule-free Adam: the saved weights are a running average over the steps.
    ScheduleFree,
    /// Schedule-free descent along signs of gradients.
    Signum,
}

/// Resampling recipe, configuration key `train.resample`: replaces the weights of dead latents every
/// `train.resample_every` steps. A latent counts as dead if silent for half of these steps. Default: `Anthropic`; but
/// `train.resample_every` is 0 by default, so nothing is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// Bricken et al. 2023: draws from many rows, in proportion to the square of their loss; directions of length 1.
    Anthropic,
    /// `dictionary_learning` 0.1.0: draws rows of the batch in proportion to their error norm; the encoder row is not
    /// normalised.
    DictionaryLearning,
}

/// Section `[train]` of a [`Config`](super::Config): optimiser, schedules of learning rate and sparsity, length of the
/// run, moving average of the weights, resampling of dead latents, seed, checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Kind of optimiser. If absent, L-BFGS for kl with full batches, else Adam.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerKind>,
    /// Number of optimiser steps (L-BFGS: iterations). If absent, `epochs` sets the length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Number of passes over the data; set this or `steps`. If both are absent, 20 epochs, or 400 iterations of L-BFGS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Rows in a mini-batch; if absent, the default of the architecture, or all rows where these are needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Base learning rate; the default of optimiser and architecture if absent. L-BFGS ignores this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps over which the learning rate rises from 0.
    pub lr_warmup: usize,
    /// Number of last steps over which the learning rate falls to 0.
    pub lr_decay: usize,
    /// Shape of the learning rate between warm-up and decay.
    pub lr_schedule: LrShape,
    /// Last learning rate of a cosine schedule; a tenth of the learning rate if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    /// Active latents of a row (k) at the start of the run, which then change linearly to `k`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k_start: Option<f64>,
    /// Steps over which k changes from `k_start` to `k`; half the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k_anneal: Option<usize>,
    /// Exponent p of the sparsity norm at the end of the run; constant if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_end: Option<f64>,
    /// Step at which p begins to decrease; half the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_from: Option<usize>,
    /// Steps over which the sparsity penalty rises from 0 to its weight; a tenth of the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity_warmup: Option<usize>,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Decay of Adam's mean gradient; 0.9 if absent (signum: 0.95).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Decay of Adam's mean squared gradient.
    pub beta2: f64,
    /// EMA decay per step. If set, the averaged weights are saved as the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Share of the values of a row that the encoder does not see in a step; the column's mean takes their place. If absent,
    /// up to 0.4 where the number of latents is a default too and there are fewer than 70 rows for each latent, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<f64>,
    /// Steps between two resamplings of dead latents; 0 for never.
    pub resample_every: usize,
    /// Recipe by which dead latents are resampled.
    pub resample: Recipe,
    /// Largest global norm of the gradient, or `none`; the default of the architecture if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// History size of L-BFGS: number of stored steps with their gradient changes.
    pub history: usize,
    /// Relative decrease of the objective below which training stops, over 5 iterations of L-BFGS or an epoch of
    /// other optimisers (0: never). If absent, 1e-9 for L-BFGS and 0 for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Seed of the initial weights and of the order of rows.
    pub seed: u64,
    /// Number of threads of the program; all cores if absent. The library itself takes no threads from this field and
    /// uses rayon's current pool. Results do not depend on the number of threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// If true, rows are shuffled again each epoch.
    pub shuffle: bool,
    /// Steps between checkpoints; 0 for none at fixed steps. One is written at the end, on Ctrl-C and after `checkpoint_minutes` in any case.
    pub checkpoint_every: usize,
    /// Minutes after which a checkpoint is written between two of those steps; 0 for never.
    pub checkpoint_minutes: f64,
    /// Number of the newest checkpoints that are kept.
    pub keep_checkpoints: usize,
    /// Steps whose multiples have a checkpoint that is kept for good; 0 for none.
    pub keep_every: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            optimizer: None,
            steps: None,
            epochs: None,
            batch: None,
            lr: None,
            lr_warmup: 0,
            lr_decay: 0,
            lr_schedule: LrShape::Constant,
            lr_end: None,
            k_start: None,
            k_anneal: None,
            p_end: None,
            p_from: None,
            sparsity_warmup: None,
            momentum: 0.9,
            beta1: None,
            beta2: 0.999,
            ema: None,
            mask: None,
            resample_every: 0,
            resample: Recipe::Anthropic,
            clip: None,
            history: 20,
            tolerance: None,
            seed: 0,
            threads: None,
            shuffle: true,
            checkpoint_every: 100,
            checkpoint_minutes: 5.0,
            keep_checkpoints: 2,
            keep_every: 0,
        }
    }
}

impl TrainConfig {
    /// Configuration with a value for each key, for the list of keys.
    pub(super) fn with_every_key() -> Self {
        Self {
            optimizer: Some(OptimizerKind::Lbfgs),
            steps: Some(1),
            epochs: Some(1),
            batch: Some(1),
            lr: Some(1.0),
            lr_end: Some(1.0),
            k_start: Some(1.0),
            k_anneal: Some(1),
            p_end: Some(1.0),
            p_from: Some(1),
            beta1: Some(0.0),
            ema: Some(0.0),
            mask: Some(0.0),
            clip: Some(Clip::None),
            sparsity_warmup: Some(1),
            tolerance: Some(1.0),
            threads: Some(1),
            ..Self::default()
        }
    }
}
