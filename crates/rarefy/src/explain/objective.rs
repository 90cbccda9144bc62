//! Terms of the objective that a run minimises, as the architecture's own building blocks tell them.

use std::sync::Arc;

use crate::Error;
use crate::Result;
use crate::config::{Config, DecoderNorm};
use crate::io_spec::IoSpec;
use crate::objective::{Objective, Sizes, TermFormula};
use crate::plan::{self, Plan, option_texts};
use crate::variants::{self, Architecture, Info, Options};

/// Settings on which the objective depends. Without data some of them are open.
pub struct Setting {
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options.
    pub options: Options,
    /// The architecture.
    pub architecture: Architecture,
    /// What is read and written. Without data its widths mean nothing.
    pub io: IoSpec,
    /// Values in a row that is written.
    pub d_in: Option<usize>,
    /// Number of latents.
    pub d_sae: Option<usize>,
    /// RowStatistics in a batch.
    pub batch: Option<usize>,
    /// What holds decoder rows.
    pub decoder_norm: DecoderNorm,
    /// Steps over which the sparsity penalty rises.
    pub warmup: Option<usize>,
    /// The p that a norm comes down to, and the step from which it does.
    pub p_end: Option<(f64, Option<usize>)>,
    /// The k of a run's start, and the steps over which it goes to k.
    pub k_start: Option<(f64, Option<usize>)>,
}

impl Setting {
    /// All that a plan has decided.
    ///
    /// # Errors
    /// None that the plan has not met before.
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
        })
    }

    /// What a configuration says without its data. A run's own `config.toml` says nearly everything.
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
        let options = Options::check(info.options(), option_texts(&model.options))?;
        let architecture = info.build(&options)?;
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
        })
    }

    /// The architecture, if the sparse engine trains it.
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

    /// Refuses an option that the architecture does not have.
    pub(super) fn expect(&self, option: &str) -> Result<()> {
        if self.options.find(option).is_some() {
            return Ok(());
        }
        let has = |info: &&Info| info.options().iter().any(|other| other.name == option);
        let others = variants::VARIANTS.iter().filter(has).map(|info| info.name);
        let others: Vec<&str> = others.collect();
        Err(Error::Conflict(format!(
            "architecture {} has no option {option}; it is one of {} (`--arch`)",
            self.info.name,
            others.join(", ")
        )))
    }
}

/// Terms of the objective, whose sum it is, in the order in which they are printed.
pub fn terms(setting: &Setting) -> Vec<TermFormula> {
    match &setting.architecture {
        Architecture::Sparse(objective) => objective.formulas(&Sizes {
            d_sae: setting.d_sae,
        }),
        Architecture::Dense(variant) => variant.formulas(),
    }
}
