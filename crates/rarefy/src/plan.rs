//! From what the user said to what will be done: every check, every default, once.

use crate::config::{Config, DecoderNorm, OptimizerKind, TrainConfig};
use crate::data::Survey;
use crate::params::Layout;
use crate::variants::{self, Batching, Hyper, Info, Setting, Variant};
use crate::{Error, Result};

/// A run in which nothing can be wrong any more; code below the plan takes it as it is.
pub struct Plan {
    /// The configuration with every value resolved; written to `config.toml`.
    pub config: Config,
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options, resolved.
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
    /// Relative fall of the objective below which training stops; 0 for never.
    pub tolerance: f64,
    /// What tells these rows from others: a run is only resumed on the same.
    pub data: String,
    /// What the user should know before the run starts.
    pub warnings: Vec<String>,
}

/// Values in both matrices together, at most: 256 GiB of f32, more than any machine that this is
/// for, and far from where products of sizes overflow.
const MOST_PARAMETERS: usize = 1 << 36;

/// Iterations of L-BFGS, and epochs of Adam and SGD, unless the user says otherwise.
const DEFAULT_ITERATIONS: usize = 400;
const DEFAULT_EPOCHS: usize = 20;

impl Plan {
    /// Checks `config` against the (preprocessed) data and resolves what it leaves open.
    ///
    /// # Errors
    /// [`Error::Hyper`], [`Error::Unknown`] or [`Error::Conflict`] naming the setting.
    ///
    /// # Example
    /// ```
    /// use rarefy::config::Config;
    /// use rarefy::data::Survey;
    /// use rarefy::plan::Plan;
    /// let survey = Survey { rows: 1000, d_in: 2, min: 0.0, max: 1.0, mean: vec![0.5; 2], variance: vec![0.1; 2] };
    /// let plan = Plan::new(&Config::default(), &survey)?;
    /// assert_eq!((plan.batch, plan.hyper.text("rho_estimate")), (1000, "exact"));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn new(config: &Config, survey: &Survey) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        let mut hyper = Hyper::check(info.options, option_texts(&model.options))?;
        check_numbers(config, survey)?;
        let optimizer = train.optimizer.unwrap_or(if train.batch.is_some() {
            OptimizerKind::Adam
        } else {
            OptimizerKind::Lbfgs
        });
        let wanted = wanted_batching(config, optimizer, survey.rows)?;
        let resolved = (info.resolve)(
            &mut hyper,
            &Setting {
                survey,
                batching: wanted,
            },
        )?;
        let batch = match resolved.batching {
            Batching::Mini(batch) => batch,
            Batching::Full | Batching::Open => survey.rows,
        };
        let variant = (info.build)(&hyper)?;
        let layout = variant.layout(survey.d_in, model.latents);
        if model.decoder_norm == DecoderNorm::Unit {
            check_unit_norm(&layout, optimizer)?;
        }
        let steps = steps(config, optimizer, survey.rows, batch)?;
        let lr = train.lr.unwrap_or(if optimizer == OptimizerKind::Sgd {
            0.1
        } else {
            1e-3
        });

        let mut config = config.clone();
        config.model.options = hyper
            .iter()
            .map(|(k, v)| (k.to_owned(), as_toml(v)))
            .collect();
        config.train.optimizer = Some(optimizer);
        config.train.steps = Some(steps);
        config.train.epochs = None;
        if optimizer != OptimizerKind::Lbfgs {
            config.train.lr = Some(lr);
            config.train.batch = Some(batch);
        }
        let tolerance = train.tolerance.unwrap_or(default_tolerance(optimizer));
        config.train.tolerance = Some(tolerance);
        let mut warnings = resolved.warnings;
        warnings.extend(ignored(train, optimizer));
        Ok(Self {
            config,
            info,
            hyper,
            variant,
            rows: survey.rows,
            d_in: survey.d_in,
            batch,
            optimizer,
            steps,
            lr,
            tolerance,
            data: fingerprint(survey),
            warnings,
        })
    }
}

/// L-BFGS stops where f32 sees no more progress; mini-batches are too noisy to tell by themselves.
fn default_tolerance(optimizer: OptimizerKind) -> f64 {
    match optimizer {
        OptimizerKind::Lbfgs => 1e-9,
        OptimizerKind::Adam | OptimizerKind::Sgd => 0.0,
    }
}

/// What tells one set of prepared rows from another, for a run that is resumed.
fn fingerprint(survey: &Survey) -> String {
    format!(
        "{} rows of {} from {} to {}, mean {:.6e}",
        survey.rows,
        survey.d_in,
        survey.min,
        survey.max,
        survey.grand_mean()
    )
}

/// Settings that the optimiser does not look at, as warnings.
fn ignored(train: &TrainConfig, optimizer: OptimizerKind) -> Vec<String> {
    let given = match optimizer {
        OptimizerKind::Lbfgs => vec![
            ("lr", train.lr.is_some()),
            ("clip", train.clip.is_some()),
            ("lr_warmup", train.lr_warmup > 0),
            ("lr_decay", train.lr_decay > 0),
            ("no-shuffle", !train.shuffle),
        ],
        OptimizerKind::Adam | OptimizerKind::Sgd => Vec::new(),
    };
    let named: Vec<&str> = given
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
    if named.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "optimizer lbfgs searches its own steps over all rows: {} without effect",
        named.join(", ")
    )]
}

fn check_unit_norm(layout: &Layout, optimizer: OptimizerKind) -> Result<()> {
    let why = if !layout.blocks().iter().any(|block| block.name == "w_dec") {
        "a tied decoder"
    } else if optimizer == OptimizerKind::Lbfgs {
        "L-BFGS, which knows no constraints"
    } else {
        return Ok(());
    };
    Err(Error::Conflict(format!(
        "decoder_norm unit cannot be combined with {why}"
    )))
}

/// Options as the texts that the option table checks.
pub(crate) fn option_texts(options: &toml::Table) -> impl Iterator<Item = (&str, String)> {
    options.iter().map(|(key, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (key.as_str(), text)
    })
}

fn as_toml(text: &str) -> toml::Value {
    let parsed = format!("v = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"));
    parsed.unwrap_or_else(|| toml::Value::String(text.into()))
}

fn check_numbers(config: &Config, survey: &Survey) -> Result<()> {
    let (model, train) = (&config.model, &config.train);
    let at_least_one = |name, value: Option<usize>| match value {
        Some(0) => Err(Error::hyper(name, "at least 1", 0)),
        _ => Ok(()),
    };
    at_least_one("latents", Some(model.latents))?;
    let most = MOST_PARAMETERS / (2 * survey.d_in);
    if model.latents > most {
        let expected = format!("at most {most} for rows of {}", survey.d_in);
        return Err(Error::hyper("latents", &expected, model.latents));
    }
    at_least_one("steps", train.steps)?;
    at_least_one("epochs", train.epochs)?;
    at_least_one("batch", train.batch)?;
    at_least_one("history", Some(train.history))?;
    at_least_one("threads", train.threads)?;
    if let Some(batch) = train.batch.filter(|batch| *batch > survey.rows) {
        return Err(Error::hyper(
            "batch",
            &format!("at most the data's {} rows", survey.rows),
            batch,
        ));
    }
    let positive = |name, value: Option<f64>| match value {
        Some(v) if !(v.is_finite() && v > 0.0) => {
            Err(Error::hyper(name, "a finite number above 0", v))
        }
        _ => Ok(()),
    };
    positive("lr", train.lr)?;
    positive("clip", train.clip)?;
    if !(0.0..1.0).contains(&train.momentum) {
        return Err(Error::hyper("momentum", "in [0, 1)", train.momentum));
    }
    let tolerance = train.tolerance.unwrap_or(0.0);
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::hyper(
            "tolerance",
            "a finite number not below 0",
            tolerance,
        ));
    }
    Ok(())
}

fn wanted_batching(config: &Config, optimizer: OptimizerKind, rows: usize) -> Result<Batching> {
    match (optimizer, config.train.batch) {
        (OptimizerKind::Lbfgs, Some(batch)) if batch < rows => Err(Error::Conflict(format!(
            "optimizer lbfgs works on full batches; leave out the batch of {batch} or use `--optimizer adam`"
        ))),
        (OptimizerKind::Lbfgs, _) => Ok(Batching::Full),
        (_, Some(batch)) => Ok(Batching::Mini(batch)),
        (_, None) => Ok(Batching::Open),
    }
}

fn steps(config: &Config, optimizer: OptimizerKind, rows: usize, batch: usize) -> Result<usize> {
    let per_epoch = (rows / batch).max(1);
    match (config.train.steps, config.train.epochs, optimizer) {
        (Some(_), Some(_), _) => Err(Error::Conflict("give steps or epochs, not both".into())),
        (Some(steps), None, _) => Ok(steps),
        (None, Some(_), OptimizerKind::Lbfgs) => Err(Error::Conflict(
            "optimizer lbfgs counts iterations: give `--steps`, not epochs".into(),
        )),
        (None, None, OptimizerKind::Lbfgs) => Ok(DEFAULT_ITERATIONS),
        (None, epochs, _) => Ok(epochs.unwrap_or(DEFAULT_EPOCHS).saturating_mul(per_epoch)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn survey(min: f32, max: f32) -> Survey {
        Survey {
            rows: 1000,
            d_in: 2,
            min,
            max,
            mean: vec![0.0; 2],
            variance: vec![1.0; 2],
        }
    }

    fn plan(text: &str, survey: &Survey) -> Result<Plan> {
        Plan::new(&config::merge(&[text.parse().unwrap()])?, survey)
    }

    fn refusal(text: &str) -> String {
        plan(text, &survey(-1.0, 2.0))
            .err()
            .expect("it is refused")
            .to_string()
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        for (text, words) in [
            ("[model]\nlatents = 0", "latents must be at least 1, got 0"),
            (
                "[model.options]\nrho = 1.0",
                "rho must be a number in (0, 1), got 1",
            ),
            (
                "[model.options]\nloss = 'cross-entropy'",
                "the data spans [-1, 2]",
            ),
            (
                "[model.options]\nloss = 'cross-entropy'\ndecoder = 'linear'",
                "cross-entropy",
            ),
            ("[train]\noptimizer = 'lbfgs'\nbatch = 10", "full batches"),
            (
                "[train]\nbatch = 10\n[model.options]\nrho_estimate = 'exact'",
                "all 1000 examples",
            ),
            (
                "[train]\nbatch = 2000",
                "at most the data's 1000 rows, got 2000",
            ),
            ("[train]\nsteps = 1\nepochs = 1", "not both"),
            ("[train]\nlr = -1.0", "lr must be a finite number above 0"),
            ("[model]\ndecoder_norm = 'unit'", "L-BFGS"),
            (
                "[model]\nlatents = 99999999999999999",
                "latents must be at most",
            ),
            ("[model]\narch = 'kI'", "did you mean `kl`"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }

    #[test]
    fn the_data_decides_the_decoder_and_the_batch_the_estimate() {
        let of = |text: &str, s: &Survey| {
            let plan = plan(text, s).unwrap();
            (
                plan.hyper.text("decoder").to_owned(),
                plan.hyper.text("rho_estimate").to_owned(),
                plan.batch,
            )
        };
        assert_eq!(
            of("", &survey(0.0, 1.0)),
            ("sigmoid".into(), "exact".into(), 1000)
        );
        assert_eq!(
            of("[train]\nbatch = 100", &survey(-2.0, 1.0)),
            ("linear".into(), "moving".into(), 100)
        );
        let adam_exact = "[train]\noptimizer = 'adam'\n[model.options]\nrho_estimate = 'exact'";
        assert_eq!(of(adam_exact, &survey(-2.0, 1.0)).2, 1000);
        // One batch that is all rows knows rho_hat, whether it was asked for or there are so few.
        let few = Survey {
            rows: 40,
            ..survey(0.0, 1.0)
        };
        for text in ["[train]\nbatch = 40", "[train]\noptimizer = 'adam'"] {
            assert_eq!(of(text, &few), ("sigmoid".into(), "exact".into(), 40));
        }
    }

    #[test]
    fn a_coarse_batch_mean_is_warned_about() {
        let coarse = plan(
            "[train]\nbatch = 90\n[model.options]\nrho_estimate = 'batch'",
            &survey(0.0, 1.0),
        )
        .unwrap();
        assert!(
            coarse.warnings[0].contains("rho * batch = 4.50"),
            "{:?}",
            coarse.warnings
        );
        let fine = plan(
            "[train]\nbatch = 100\n[model.options]\nrho_estimate = 'batch'",
            &survey(0.0, 1.0),
        )
        .unwrap();
        assert!(fine.warnings.is_empty());
    }

    #[test]
    fn a_resolved_config_gives_the_same_plan_again() {
        let s = survey(0.0, 1.0);
        let few = Survey {
            rows: 40,
            ..s.clone()
        };
        for (text, survey) in [
            ("[train]\nbatch = 100", &s),
            ("", &s),
            ("[train]\noptimizer = 'adam'", &few),
            (
                "[train]\noptimizer = 'sgd'\n[model.options]\nrho_estimate = 'moving'",
                &few,
            ),
            ("[train]\nbatch = 40", &few),
        ] {
            let first = plan(text, survey).unwrap().config;
            assert_eq!(Plan::new(&first, survey).unwrap().config, first, "{text}");
        }
    }
}
