//! The flags of what changes in the course of a run, and of what helps it along.

use clap::Args;
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::count;

/// Schedules, averages, new starts.
#[derive(Args)]
pub struct AidArgs {
    /// Steps over which the learning rate rises from 0 [default: 0].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub lr_warmup: Option<usize>,
    /// Last steps over which the learning rate falls to 0 [default: 0].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub lr_decay: Option<usize>,
    /// How the learning rate goes between these [default: constant].
    #[arg(long, value_name = "WORD", value_parser = ["constant", "cosine"], help_heading = "Schedules of the run")]
    pub lr_schedule: Option<String>,
    /// Learning rate that a cosine ends at [default: a tenth of --lr].
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub lr_end: Option<f64>,
    /// Steps over which the sparsity penalty rises from 0 [default: a tenth of the run].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub sparsity_warmup: Option<usize>,
    /// Latents that a row keeps at the start, of architectures that have a k to come down (or up) to.
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub k_start: Option<f64>,
    /// Steps over which it goes from --k-start to --k [default: half the run].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub k_anneal: Option<usize>,
    /// The p that relu's norm comes down to; its coefficient keeps the penalty as large as it was.
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub p_end: Option<f64>,
    /// Step from which p comes down, until the end [default: half the run].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub p_from: Option<usize>,
    /// Adam's decay of the mean gradient [default: 0.9; of signum 0.95].
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub beta1: Option<f64>,
    /// Adam's decay of the mean square [default: 0.999].
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub beta2: Option<f64>,
    /// The model is a moving average of the weights, of which a step keeps this much.
    #[arg(long, value_name = "X", help_heading = "Schedules of the run")]
    pub ema: Option<f64>,
    /// Give latents that have been silent for half as many steps a new start every N steps; 0 for never [default: 0].
    #[arg(long, value_name = "N", help_heading = "Schedules of the run")]
    pub resample_every: Option<usize>,
    /// How: by the square of the loss over many rows, or as in dictionary-learning [default: anthropic].
    #[arg(long, value_name = "RECIPE", value_parser = ["anthropic", "dictionary-learning"], help_heading = "Schedules of the run")]
    pub resample: Option<String>,
    /// What the decoder's bias starts from [default: median, the geometric one].
    #[arg(long, value_name = "WORD", value_parser = ["median", "mean", "zero"], help_heading = "Schedules of the run")]
    pub b_dec_start: Option<String>,
}

impl AidArgs {
    /// Puts what was given into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let number = |x: Option<f64>| x.map(Value::Float);
        for (key, value) in [
            ("train.lr_warmup", count(self.lr_warmup)),
            ("train.lr_decay", count(self.lr_decay)),
            ("train.lr_schedule", text(&self.lr_schedule)),
            ("train.lr_end", number(self.lr_end)),
            ("train.sparsity_warmup", count(self.sparsity_warmup)),
            ("train.k_start", number(self.k_start)),
            ("train.k_anneal", count(self.k_anneal)),
            ("train.p_end", number(self.p_end)),
            ("train.p_from", count(self.p_from)),
            ("train.beta1", number(self.beta1)),
            ("train.beta2", number(self.beta2)),
            ("train.ema", number(self.ema)),
            ("train.resample_every", count(self.resample_every)),
            ("train.resample", text(&self.resample)),
            ("model.b_dec_start", text(&self.b_dec_start)),
        ] {
            if let Some(value) = value {
                config::insert(layer, key, value);
            }
        }
    }
}
