//! From what the user said to what will be done: every check, every default, once.

use crate::config::{Config, OptimizerKind};
use crate::data::Survey;
use crate::variants::{Hyper, Info, Variant};
use crate::Result;

/// A run in which nothing can be wrong any more; code below the plan takes it as it is.
pub struct Plan {
    /// The configuration with every value resolved; written to `config.toml`.
    pub config: Config,
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options.
    pub hyper: Hyper,
    /// The architecture itself.
    pub variant: Box<dyn Variant>,
    /// Rows of the data.
    pub rows: usize,
    /// Values in a (preprocessed) row.
    pub d_in: usize,
    /// Rows in a batch; equal to `rows` for full-batch training.
    pub batch: usize,
    /// The optimiser.
    pub optimizer: OptimizerKind,
    /// Optimiser steps.
    pub steps: usize,
    /// Learning rate of Adam and SGD.
    pub lr: f64,
    /// What the user should know before the run starts.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Checks `config` against the (preprocessed) data and resolves what it leaves open.
    ///
    /// # Errors
    /// [`crate::Error::Hyper`], [`crate::Error::Unknown`] or [`crate::Error::Conflict`] naming the setting.
    pub fn new(config: &Config, survey: &Survey) -> Result<Self> {
        let _ = (config, survey);
        todo!()
    }
}
