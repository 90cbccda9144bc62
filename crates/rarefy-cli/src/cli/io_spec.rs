//! The flags of what a model reads and what it writes, where these are not the same rows.

use clap::Args;
use rarefy::config;
use toml::{Table, Value};

use crate::configuration::step_list;

/// A target, further inputs, and what they change of the model.
#[derive(Args)]
pub struct IoArgs {
    /// What a transcoder is to predict from each row: other data of as many rows (`FILE::MEMBER` names a member).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub target: Option<String>,
    /// Preprocessing steps of the target [default: those of --preprocess].
    #[arg(long, value_name = "STEP,...", help_heading = "Data")]
    pub preprocess_target: Option<String>,
    /// A further input, row by row beside the data: a crosscoder reads and writes all of them (may be repeated).
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub with: Vec<String>,
    /// Predict the target also by a matrix from the input directly (a skip transcoder).
    #[arg(long, help_heading = "Model")]
    pub skip: bool,
    /// Whether the encoder takes the decoder's bias off its rows [default: true for sparse autoencoders, else false].
    #[arg(long, value_name = "BOOL", help_heading = "Model")]
    pub centre: Option<bool>,
}

impl IoArgs {
    /// Puts what was given into a layer of the configuration.
    pub fn put(&self, layer: &mut Table) {
        let with = self.with.iter().cloned().map(Value::String);
        for (key, value) in [
            ("data.target", self.target.clone().map(Value::String)),
            (
                "data.preprocess_target",
                self.preprocess_target.as_deref().map(step_list),
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
