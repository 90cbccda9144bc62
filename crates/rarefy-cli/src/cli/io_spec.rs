//! Flags of a model's inputs and outputs: target of a transcoder, further inputs of a crosscoder.

use clap::Args;
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::name_list;

/// Target, further inputs, and the settings of the model that go with them.
#[derive(Args)]
pub struct IoArgs {
    /// Train a transcoder that predicts this data from each row.
    ///
    /// The target must have as many rows as the data. `FILE::MEMBER` names one member of a file.
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub target: Option<String>,
    /// Preprocessing steps of the target, separated by commas [default: the steps of --preprocess].
    #[arg(
        long,
        value_name = "STEP,...",
        help_heading = "Data",
        hide_short_help = true
    )]
    pub preprocess_target: Option<String>,
    /// Train a crosscoder that also reads and reconstructs this data (repeat for each input).
    ///
    /// Each further input must have as many rows as the data; row i of all inputs belongs together.
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// Add a linear map from the input to the target (skip transcoder).
    #[arg(long, help_heading = "Model", hide_short_help = true)]
    pub skip: bool,
    /// True to subtract the decoder bias from the input before encoding.
    ///
    /// Default: true for sparse autoencoders; false for kl, transcoders and crosscoders.
    #[arg(
        long,
        value_name = "BOOL",
        help_heading = "Model",
        hide_short_help = true
    )]
    pub centre: Option<bool>,
}

impl IoArgs {
    /// Puts the given flags into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        let with = self.with.iter().cloned().map(Value::String);
        for (key, value) in [
            ("data.target", self.target.clone().map(Value::String)),
            (
                "data.preprocess_target",
                self.preprocess_target.as_deref().map(name_list),
            ),
            (
                "data.with",
                (!self.with.is_empty()).then(|| Value::Array(with.collect())),
            ),
            ("model.skip", self.skip.then_some(Value::Boolean(true))),
            ("model.centre", self.centre.map(Value::Boolean)),
        ] {
            if let Some(value) = value {
                config::insert(layer, key, value);
            }
        }
    }
}
