//! Flags of schedules, and of the start and restart of parameters.

use clap::Args;
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::count;

/// Schedules of the learning rate and of sparsity, resampling, initial decoder bias.
#[derive(Args)]
pub struct ScheduleArgs {
    /// Number of first steps over which the learning rate rises linearly from 0 [default: 0].
    ///
    /// Set it if the loss jumps in the first steps.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub lr_warmup: Option<usize>,
    /// Number of last steps over which the learning rate falls linearly to 0 [default: 0].
    #[arg(
        long,
        value_name = "N",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub lr_decay: Option<usize>,
    /// Learning rate between warm-up and decay: constant, or falling along half a cosine [default: constant].
    #[arg(long, value_name = "WORD", value_parser = ["constant", "cosine"], help_heading = "Schedules", hide_short_help = true)]
    pub lr_schedule: Option<String>,
    /// Learning rate at the end of `--lr-schedule cosine` [default: a tenth of --lr].
    #[arg(
        long,
        value_name = "X",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub lr_end: Option<f64>,
    /// Number of first steps over which the sparsity penalty rises linearly from 0 [default: a tenth of the run].
    ///
    /// Has no effect on architectures without a sparsity penalty, such as topk. Raise it if many latents die early.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub sparsity_warmup: Option<usize>,
    /// Active latents per row at the start, for architectures with a k [default: the value of --k].
    ///
    /// k then goes to --k in equal steps. A start above --k can leave fewer dead latents.
    #[arg(
        long,
        value_name = "X",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub k_start: Option<f64>,
    /// Number of steps over which k goes from --k-start to --k [default: half the run].
    #[arg(
        long,
        value_name = "N",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub k_anneal: Option<usize>,
    /// Power p of relu's penalty at the end of the run [default: the value of --p, constant].
    ///
    /// A p below 1 spares large values. The coefficient is adapted so that the size of the penalty stays the same.
    #[arg(
        long,
        value_name = "X",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub p_end: Option<f64>,
    /// Step from which p falls to --p-end, until the end of the run [default: half the run].
    #[arg(
        long,
        value_name = "N",
        help_heading = "Schedules",
        hide_short_help = true
    )]
    pub p_from: Option<usize>,
    /// Number of steps between two resamplings of silent latents; 0 for never [default: 0].
    ///
    /// A latent is resampled if it was silent for half as many steps. Set it if many latents are dead at the end.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Dead latents",
        hide_short_help = true
    )]
    pub resample_every: Option<usize>,
    /// Recipe of resampling [default: anthropic].
    ///
    /// anthropic: new directions are rows drawn by their squared loss over many rows. dictionary-learning: rows of the
    /// batch drawn by the root of their squared error.
    #[arg(long, value_name = "RECIPE", value_parser = ["anthropic", "dictionary-learning"], help_heading = "Dead latents", hide_short_help = true)]
    pub resample: Option<String>,
    /// Initial decoder bias of sparse architectures: median, mean or zero [default: median].
    ///
    /// median is the geometric median of the training rows. kl starts at zero.
    #[arg(long, value_name = "WORD", value_parser = ["median", "mean", "zero"], help_heading = "Model", hide_short_help = true, hide_possible_values = true)]
    pub b_dec_start: Option<String>,
}

impl ScheduleArgs {
    /// Puts the given flags into a layer of the configuration.
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
