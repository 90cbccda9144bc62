//! What a run minimises, term by term, as data: printed by `maths`, and worked out in plain numbers and held
//! against a training step by `tests/explain.rs`.

use std::sync::Arc;

use crate::config::{Config, DecoderNorm};
use crate::io_spec::IoSpec;
use crate::plan::{self, Plan, option_texts};
use crate::variants::{self, Architecture, AuxUnit, Hyper, Info, Rank, Sparse};
use crate::{Error, Result};

/// A number of the objective.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// It is known.
    Known(f64),
    /// It follows from the data, under the option's name.
    Open(&'static str),
}

impl Number {
    fn of(hyper: &Hyper, option: &'static str) -> Self {
        let number = hyper.text(option).parse();
        number.map_or(Self::Open(option), Self::Known)
    }

    /// The number, if it is known.
    pub fn known(self) -> Option<f64> {
        match self {
            Self::Known(number) => Some(number),
            Self::Open(_) => None,
        }
    }
}

/// One term of the objective; means are over the m rows of a batch, `w_j` is row j of the decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Term {
    /// `weight/m sum_i |x_i - x_hat_i|^2`, where `x_hat` has some of the latents alone.
    Squares {
        /// Its weight.
        weight: f64,
        /// Which.
        reach: Reach,
    },
    /// `1/m sum_i |x_i - (W_dec^T max(0, pre_i) + b_dec)|^2`.
    GateSquares {
        /// Whether the decoder learns from it.
        decoder_learns: bool,
    },
    /// `weight/m sum_i (sum_j (f_ij |w_j|)^p)^(1/p)`, or the sum itself.
    Norm {
        /// The coefficient.
        weight: Number,
        /// The power.
        p: f64,
        /// Whether its root is taken.
        root: bool,
    },
    /// `weight/m sum_i sum_j max(0, pre_ij) |w_j|`.
    Gate {
        /// The coefficient.
        weight: Number,
    },
    /// `weight/m sum_i L0_i`.
    Step {
        /// The coefficient.
        weight: Number,
    },
    /// `weight/m sum_i sum_j tanh(scale f_ij |w_j|)`.
    Tanh {
        /// The coefficient.
        weight: Number,
        /// The steepness.
        scale: f64,
    },
    /// `weight/m sum_i 2/target (L0_i - target)^2`.
    Quadratic {
        /// The coefficient.
        weight: Number,
        /// The latents of a row that it aims at.
        target: f64,
    },
    /// `weight (mean L0 / target - 1)^2`.
    Target {
        /// The coefficient.
        weight: Number,
        /// The latents of a row that it aims at.
        target: f64,
    },
    /// `weight/m sum_i sum_(j dead) max(0, theta_j - pre_ij) |w_j|`.
    Lift {
        /// The coefficient.
        weight: f64,
    },
    /// `AuxK`: `coefficient sum_i |r_i - W_dec^T a_i|^2 / unit`, r what is left over, a the largest entries of
    /// dead latents.
    Rest {
        /// The coefficient.
        coefficient: f64,
        /// The most entries of a row.
        k: Number,
        /// RowStatistics without firing after which a latent is dead.
        dead_after: Number,
        /// What the error is measured in.
        unit: AuxUnit,
        /// Which entries are the largest.
        rank: Rank,
        /// The latents of one level, if each level has its own.
        level: Option<(usize, usize)>,
    },
    /// `1/m sum_i 1/2 |x_i - x_hat_i|^2`.
    HalfSquares,
    /// `1/m sum_i` of the cross-entropy, summed over inputs.
    CrossEntropy,
    /// `beta sum_l KL(rho || rho_hat_l)`.
    Kl {
        /// The coefficient.
        beta: f64,
        /// The target.
        rho: f64,
    },
    /// `weight/2` times the sum of squared weights.
    Decay {
        /// The coefficient.
        weight: f64,
        /// Whether there is one matrix for both halves.
        tied: bool,
    },
}

/// The latents that a reconstruction has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those below this.
    Below(usize),
    /// Those of the first so many levels; how many these are is open.
    Level(usize),
}

/// Which part of the objective's value a term counts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPart {
    /// How well rows are reconstructed.
    Reconstruction,
    /// What sparsity costs.
    Penalty,
    /// What teaches gates and dead latents.
    Auxiliary,
    /// Weight decay.
    WeightDecay,
}

impl Term {
    /// Where its value is counted.
    pub fn part(&self) -> LossPart {
        match self {
            Self::Squares { .. } | Self::HalfSquares | Self::CrossEntropy => {
                LossPart::Reconstruction
            }
            Self::GateSquares { .. } | Self::Rest { .. } => LossPart::Auxiliary,
            Self::Decay { .. } => LossPart::WeightDecay,
            _ => LossPart::Penalty,
        }
    }

    /// Whether it rises in the course of a run, with `train.sparsity_warmup`.
    pub fn warms_up(&self) -> bool {
        let fixed = matches!(self, Self::Lift { .. } | Self::Kl { .. });
        self.part() == LossPart::Penalty && !fixed
    }
}

/// What of a plan the objective depends on. Without data some of it is open.
pub struct Setting {
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options.
    pub hyper: Hyper,
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
            info: plan.info,
            hyper: plan.hyper.clone(),
            architecture: (plan.info.build)(&plan.hyper)?,
            io: plan.io.clone(),
            d_in: Some(plan.io.d_out()),
            d_sae: Some(plan.d_sae),
            batch: Some(plan.batch),
            decoder_norm: plan.decoder_norm,
            warmup: Some(plan.schedules.sparsity_warmup),
            p_end: plan.schedules.p.map(|(_, end, from)| (end, Some(from))),
            k_start: plan
                .config
                .train
                .k_start
                .map(|k| (k, Some(plan.schedules.k_anneal))),
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
    /// use rarefy::explain::{Number, Setting, Term, terms};
    /// let config = config::merge(&["[model]\narch = 'relu'\noptions = { l1 = 0.5 }".parse().unwrap()])?;
    /// let setting = Setting::without_data(&config)?;
    /// let l1 = Term::Norm { weight: Number::Known(0.5), p: 1.0, root: true };
    /// assert_eq!((setting.d_in, terms(&setting)[1]), (None, l1));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn without_data(config: &Config) -> Result<Self> {
        let (model, train) = (&config.model, &config.train);
        let info = variants::find(&model.arch)?;
        let hyper = Hyper::check(info.options, option_texts(&model.options))?;
        let architecture = (info.build)(&hyper)?;
        Ok(Self {
            info,
            architecture,
            io: plan::said_io(config, info)?,
            hyper,
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
    pub fn sparse(&self) -> Option<&Arc<dyn Sparse>> {
        match &self.architecture {
            Architecture::Sparse(sparse) => Some(sparse),
            Architecture::Dense(_) => None,
        }
    }

    /// The value of an option, which must be one of the architecture's.
    pub(super) fn known(&self, option: &str) -> Option<f64> {
        self.hyper.find(option)?.parse().ok()
    }

    /// Refuses an option that the architecture does not have.
    pub(super) fn expect(&self, option: &str) -> Result<()> {
        if self.hyper.find(option).is_some() {
            return Ok(());
        }
        let has = |info: &&Info| info.options.iter().any(|other| other.name == option);
        let others = variants::VARIANTS.iter().filter(has).map(|info| info.name);
        let others: Vec<&str> = others.collect();
        Err(Error::Conflict(format!(
            "architecture {} has no option {option}; it is one of {} (`--arch`)",
            self.info.name,
            others.join(", ")
        )))
    }
}

/// The terms of the objective, whose sum it is, in the order in which they are printed.
pub fn terms(setting: &Setting) -> Vec<Term> {
    match setting.sparse() {
        Some(sparse) => {
            let mut terms = reconstruction(sparse.as_ref(), setting.d_sae);
            terms.extend(penalties(&setting.hyper));
            terms.extend(rest(setting, sparse.as_ref()));
            terms
        }
        None => dense(&setting.hyper),
    }
}

fn dense(hyper: &Hyper) -> Vec<Term> {
    let mut terms = vec![match hyper.text("loss") {
        "cross-entropy" => Term::CrossEntropy,
        _ => Term::HalfSquares,
    }];
    terms.push(Term::Kl {
        beta: hyper.number("beta"),
        rho: hyper.number("rho"),
    });
    let weight = hyper.number("weight_decay");
    if weight > 0.0 {
        let tied = hyper.flag("tied");
        terms.push(Term::Decay { weight, tied });
    }
    terms
}

/// One term for each level. Where a level ends is open as long as the number of latents is.
fn reconstruction(sparse: &dyn Sparse, d_sae: Option<usize>) -> Vec<Term> {
    let levels = sparse.levels(d_sae.unwrap_or(1 << 20));
    let reach = |at: usize, end| match (levels.len(), d_sae) {
        (1, _) => Reach::All,
        (_, Some(_)) => Reach::Below(end),
        (_, None) => Reach::Level(at + 1),
    };
    let level = |(at, level): (usize, &variants::Level)| Term::Squares {
        weight: level.weight,
        reach: reach(at, level.end),
    };
    let mut terms: Vec<Term> = levels.iter().enumerate().map(level).collect();
    terms.extend(sparse.second_reading().map(|second| Term::GateSquares {
        decoder_learns: second.decoder_learns,
    }));
    terms
}

fn penalties(hyper: &Hyper) -> Vec<Term> {
    let mut terms = Vec::new();
    if hyper.find("l1").is_some() {
        let weight = Number::of(hyper, "l1");
        terms.push(match hyper.find("p") {
            Some(_) => Term::Norm {
                weight,
                p: hyper.number("p"),
                root: hyper.flag("p_root"),
            },
            None => Term::Gate { weight },
        });
    }
    if let Some(penalty) = hyper.find("penalty") {
        let weight = Number::of(hyper, "l0");
        let target = hyper.number("target_l0");
        terms.push(match penalty {
            "tanh" => Term::Tanh {
                weight,
                scale: hyper.number("tanh_scale"),
            },
            "quadratic" => Term::Quadratic { weight, target },
            "target" => Term::Target { weight, target },
            _ => Term::Step { weight },
        });
    }
    let weight = hyper.find("pre_act").map(|_| hyper.number("pre_act"));
    terms.extend(
        weight
            .filter(|w| *w > 0.0)
            .map(|weight| Term::Lift { weight }),
    );
    terms
}

fn rest(setting: &Setting, sparse: &dyn Sparse) -> Vec<Term> {
    let aux = sparse.aux();
    if aux.coefficient == 0.0 {
        return Vec::new();
    }
    let term = |level| Term::Rest {
        coefficient: aux.coefficient,
        k: Number::of(&setting.hyper, "aux_k"),
        dead_after: Number::of(&setting.hyper, "dead_after"),
        unit: aux.unit,
        rank: aux.rank,
        level,
    };
    match setting.d_sae.filter(|_| aux.by_level) {
        None => vec![term(None)],
        Some(d_sae) => {
            let ends: Vec<usize> = sparse.levels(d_sae).iter().map(|level| level.end).collect();
            let starts = [0].into_iter().chain(ends.iter().copied());
            starts
                .zip(&ends)
                .map(|(start, end)| term(Some((start, *end))))
                .collect()
        }
    }
}
