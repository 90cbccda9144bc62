//! Flags of the optimiser.

use clap::Args;
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::count;

/// Seed and number of threads of a run.
#[derive(Args)]
pub struct SeedArgs {
    /// Seed of the initial weights and of the order of rows [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 63), help_heading = "Training")]
    pub seed: Option<u64>,
    /// Number of threads; the result does not depend on it [default: all cores].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub threads: Option<usize>,
}

impl SeedArgs {
    /// Puts the given flags into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        let seed = self.seed.map(|seed| Value::Integer(seed as i64));
        for (key, value) in [("train.seed", seed), ("train.threads", count(self.threads))] {
            if let Some(value) = value {
                config::insert(layer, key, value);
            }
        }
    }
}

/// Optimiser, length of the run and settings of one step.
#[derive(Args)]
pub struct OptimizerArgs {
    /// Optimiser: lbfgs, adam, sgd, schedule-free or signum [default: lbfgs for kl without --batch, else adam].
    ///
    /// kl takes lbfgs, adam or sgd; sparse architectures take adam, schedule-free or signum. lbfgs uses all rows in each
    /// step; use adam for large data. schedule-free and signum save an average of the weights, so the learning rate
    /// needs no decay.
    #[arg(long, value_name = "NAME", value_parser = ["lbfgs", "adam", "sgd", "schedule-free", "signum"], help_heading = "Training", hide_possible_values = true)]
    pub optimizer: Option<String>,
    /// Number of optimiser steps [default: 400 for lbfgs, else 20 epochs, at least 1000 steps for sparse architectures and 3000 for kl].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<usize>,
    /// Number of passes over the data, in place of --steps; not for lbfgs.
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "steps",
        help_heading = "Training"
    )]
    pub epochs: Option<usize>,
    /// Number of rows in a mini-batch [default: all rows for lbfgs, else 256 for kl and 4096 for sparse architectures].
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub batch: Option<usize>,
    /// Learning rate [default: chosen by optimiser and number of latents].
    ///
    /// Default with adam: 0.001 for kl, 0.0002 sqrt(16384 / latents) for sparse architectures. With sgd: 0.1. With signum:
    /// 0.005 sqrt(16384 / latents). Lower it if the loss jumps or diverges. lbfgs does not use it.
    #[arg(long, value_name = "X", help_heading = "Training")]
    pub lr: Option<f64>,
    /// Largest norm of the gradient, or `none` for no clipping [default: none for kl, else 1].
    ///
    /// A longer gradient is scaled down to this norm. lbfgs does not use it.
    #[arg(
        long,
        value_name = "X|none",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub clip: Option<String>,
    /// Relative decrease of the objective below which training stops; 0 for never [default: 1e-9 for lbfgs, else 0].
    ///
    /// The decrease is measured over 5 iterations of lbfgs, or over an epoch of adam and sgd.
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub tolerance: Option<f64>,
    /// Decay of Adam's mean gradient, per step [default: 0.95 for signum, else 0.9].
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub beta1: Option<f64>,
    /// Decay of Adam's mean squared gradient, per step [default: 0.999].
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub beta2: Option<f64>,
    /// EMA decay of the weights per step; the averaged weights are saved as the model [default: no averaging].
    ///
    /// 0.999 averages over about the last 1000 steps.
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub ema: Option<f64>,
    /// Share of the values of a row that the encoder does not see in a step [default: 0; up to 0.4 for few rows without --latents].
    ///
    /// The mean of the column takes the place of a hidden value, and the decoder still reconstructs the whole row: the model
    /// learns fewer rows by heart. The default is up to 0.4 (the number of inputs over 400) with 40 rows for each latent, and
    /// falls to 0 at 70. For sparse architectures but matching-pursuit.
    #[arg(
        long,
        value_name = "X",
        help_heading = "Training",
        hide_short_help = true
    )]
    pub mask: Option<f64>,
    #[command(flatten)]
    pub seed: SeedArgs,
    /// Draw mini-batches in the order of the data; by default rows are shuffled each epoch.
    #[arg(long, help_heading = "Training", hide_short_help = true)]
    pub no_shuffle: bool,
}

impl OptimizerArgs {
    /// Puts the given flags into a layer of the configuration.
    ///
    /// # Errors
    /// [`rarefy::Error::Hyper`] if `clip` is neither a number nor `none`.
    pub fn put(&self, layer: &mut Table) -> rarefy::Result<()> {
        let number = |x: Option<f64>| x.map(Value::Float);
        for (key, value) in [
            ("train.optimizer", self.optimizer.clone().map(Value::String)),
            ("train.steps", count(self.steps)),
            ("train.epochs", count(self.epochs)),
            ("train.batch", count(self.batch)),
            ("train.lr", number(self.lr)),
            ("train.clip", self.clip()?),
            ("train.tolerance", number(self.tolerance)),
            ("train.beta1", number(self.beta1)),
            ("train.beta2", number(self.beta2)),
            ("train.ema", number(self.ema)),
            ("train.mask", number(self.mask)),
            (
                "train.shuffle",
                self.no_shuffle.then_some(Value::Boolean(false)),
            ),
        ] {
            if let Some(value) = value {
                config::insert(layer, key, value);
            }
        }
        self.seed.put(layer);
        Ok(())
    }

    fn clip(&self) -> rarefy::Result<Option<Value>> {
        let Some(clip) = self.clip.as_deref() else {
            return Ok(None);
        };
        match (clip, clip.parse()) {
            ("none", _) => Ok(Some(Value::String(clip.into()))),
            (_, Ok(norm)) => Ok(Some(Value::Float(norm))),
            _ => Err(rarefy::Error::hyper("train.clip", "a number or none", clip)),
        }
    }
}
