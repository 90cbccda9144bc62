//! `[train]`: how a model is trained.

use serde::{Deserialize, Serialize};

use super::Clip;
use crate::optim::LrShape;

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Full-batch L-BFGS with a strong Wolfe line search.
    Lbfgs,
    /// Adam.
    Adam,
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam without a schedule: the model is the average of the points that it goes through.
    ScheduleFree,
    /// The same with signs of gradients in place of Adam's steps.
    Signum,
}

/// How silent latents are given a new start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// Bricken et al. 2023: rows by the square of their loss, over many rows; directions of length 1.
    Anthropic,
    /// `dictionary_learning` 0.1.0: rows of the batch by the root of their squared error; the encoder takes the row as it is.
    DictionaryLearning,
}

/// `[train]`: how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// L-BFGS for full batches, Adam with `batch` and for what L-BFGS cannot train, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerKind>,
    /// Optimiser steps (L-BFGS: iterations).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Passes over the data instead of steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Rows in a mini-batch; all rows if absent and the optimiser or estimate needs them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Learning rate of Adam and SGD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps over which the learning rate rises from 0.
    pub lr_warmup: usize,
    /// Last steps over which the learning rate falls to 0.
    pub lr_decay: usize,
    /// How it goes between these.
    pub lr_schedule: LrShape,
    /// Where a cosine ends; a tenth of the learning rate if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    /// Latents that a row keeps at the start of the run; from there it goes to `k` in equal steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k_start: Option<f64>,
    /// Steps over which it does; half the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k_anneal: Option<usize>,
    /// The p that an annealed norm ends with; p stays if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_end: Option<f64>,
    /// The step from which p comes down; half the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_from: Option<usize>,
    /// Steps over which the sparsity penalty rises from 0 to its weight; a tenth of the run if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity_warmup: Option<usize>,
    /// SGD's momentum.
    pub momentum: f64,
    /// Adam's decay of the mean gradient; the architecture's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Adam's decay of the mean square.
    pub beta2: f64,
    /// What a step keeps of a moving average of the weights, which the model is then; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Steps between two resamplings of the latents that have long been silent; 0 for never.
    pub resample_every: usize,
    /// How latents are resampled.
    pub resample: Recipe,
    /// Largest global norm of the gradient, or `none`; the architecture's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Pairs of steps that L-BFGS remembers.
    pub history: usize,
    /// Stop when the objective falls by less than this share of it over 5 iterations of L-BFGS or an
    /// epoch of Adam and SGD (0: never); 1e-9 and 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Seed of initial weights and of the order of rows.
    pub seed: u64,
    /// Threads; all cores if absent. Results do not depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Whether mini-batches are drawn in a new order each epoch.
    pub shuffle: bool,
    /// Steps between checkpoints (0: only at the end and on Ctrl-C).
    pub checkpoint_every: usize,
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
            resample_every: 0,
            resample: Recipe::Anthropic,
            clip: None,
            history: 20,
            tolerance: None,
            seed: 0,
            threads: None,
            shuffle: true,
            checkpoint_every: 100,
        }
    }
}

impl TrainConfig {
    /// Each key with some value, for the list of keys.
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
            clip: Some(Clip::None),
            sparsity_warmup: Some(1),
            tolerance: Some(1.0),
            threads: Some(1),
            ..Self::default()
        }
    }
}
