//! Terms of the objective of a run, as given by the architecture's building blocks.

use std::sync::Arc;

use crate::Error;
use crate::Result;
use crate::config::{Config, DecoderNorm};
use crate::io_spec::IoSpec;
use crate::objective::{Objective, Sizes, TermFormula};
use crate::plan::{self, Plan};
use crate::variants::{self, Architecture, Info, Options};

/// Settings on which the objective depends. Without data some are unknown.
pub struct Setting {
    /// Table line of the architecture.
    pub info: &'static Info,
    /// Options of the architecture.
    pub options: Options,
    /// Architecture built from the options.
    pub architecture: Architecture,
    /// Input and output columns. Without data the widths are placeholders.
    pub io: IoSpec,
    /// Number of output columns.
    pub d_in: Option<usize>,
    /// Number of latents.
    pub d_sae: Option<usize>,
    /// Rows in a batch.
    pub batch: Option<usize>,
    /// Constraint on decoder rows.
    pub decoder_norm: DecoderNorm,
    /// Steps over which the sparsity weight rises from 0.
    pub warmup: Option<usize>,
    /// Last value of an annealed p, and the step at which p begins to decrease.
    pub p_end: Option<(f64, Option<usize>)>,
    /// Initial k of an annealed run, and the steps over which the initial value changes to k.
    pub k_start: Option<(f64, Option<usize>)>,
    /// Share of the values of a row that the encoder does not see in a step.
    pub mask: f64,
}

impl Setting {
    /// Settings of a plan.
    ///
    /// # Errors
    /// Only errors that [`Plan::new`] returns for the same options.
    pub fn of(plan: &Plan) -> Result<Self> {
        Ok(Self {
            info: plan.info(),
            options: plan.options().clone(),
            architecture: plan.info().build(plan.options())?,
            io: plan.io().clone(),
            d_in: Some(plan.io().d_out()),
            d_sae: Some(plan.d_sae()),
            batch: Some(plan.batch()),
            decoder_norm: plan.decoder_norm(),
            warmup: Some(plan.schedules().sparsity_warmup),
            p_end: plan.schedules().p.map(|(_, end, from)| (end, Some(from))),
            k_start: plan
                .config()
                .train
                .k_start
                .map(|k| (k, Some(plan.schedules().k_anneal))),
            mask: plan.mask(),
        })
    }

    /// Settings of a configuration without its data. A run's `config.toml` holds nearly all of them.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Hyper`] or [`Error::Conflict`] naming the setting.
    ///
    /// # Example
    /// ```
    /// use rarefy::config;
    /// use rarefy::explain::{Setting, terms};
    /// let config = config::merge(&["[model]\narch = 'relu'\noptions = { l1 = 0.5 }".parse().unwrap()])?;
    /// let setting = Setting::without_data(&config)?;
    /// let l1 = &terms(&setting)[1];
    /// assert_eq!((setting.d_in, l1.name, l1.number("weight")), (None, "l1_norm", Some(0.5)));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn without_data(config: &Config) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        let (options, architecture) = plan::checked_options(info, &model.options)?;
        Ok(Self {
            info,
            architecture,
            io: plan::said_io(config, info)?,
            options,
            d_in: None,
            d_sae: model.latents,
            batch: train.batch,
            decoder_norm: model.decoder_norm.unwrap_or(plan::own_norm(info)),
            warmup: train.sparsity_warmup,
            p_end: train.p_end.map(|end| (end, train.p_from)),
            k_start: train.k_start.map(|k| (k, train.k_anneal)),
            mask: train.mask.unwrap_or(0.0),
        })
    }

    /// Objective of a sparse architecture; `None` for a dense one.
    pub fn sparse(&self) -> Option<&Arc<Objective>> {
        match &self.architecture {
            Architecture::Sparse(sparse) => Some(sparse),
            Architecture::Dense(_) => None,
        }
    }

    /// Value of a number option, if the architecture has it and it is known.
    pub(super) fn known(&self, option: &str) -> Option<f64> {
        self.options.find_number(option)
    }

    /// Returns an error if the architecture does not have the option.
    pub(super) fn expect(&self, option: &str) -> Result<()> {
        if self.options.find(option).is_some() {
            return Ok(());
        }
        let has = |info: &&Info| info.options().iter().any(|other| other.name == option);
        let others = variants::VARIANTS.iter().filter(has).map(|info| info.name);
        let others: Vec<&str> = others.collect();
        Err(Error::Conflict(format!(
            "architecture {} has no option `{option}`; set `model.arch` to an architecture that has it: {}",
            self.info.name,
            others.join(", ")
        )))
    }
}

/// Terms of the objective in printing order; the objective is their sum.
pub fn terms(setting: &Setting) -> Vec<TermFormula> {
    match &setting.architecture {
        Architecture::Sparse(objective) => objective.formulas(&Sizes {
            d_sae: setting.d_sae,
        }),
        Architecture::Dense(variant) => variant.formulas(),
    }
}
