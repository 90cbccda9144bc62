//! State of a run: a resumed run continues from it bit for bit. Its file is a checkpoint.

use std::path::Path;

use rand::SeedableRng;

use super::sparse::anneal::Annealing;
use super::{Moving, Reservoir};
use crate::config::{DecoderNorm, OptimizerKind};
use crate::data::Source;
use crate::optim::descent::Rule;
use crate::optim::lbfgs::CurvaturePair;
use crate::optim::{Descent, Lbfgs};
use crate::params::{Layout, Params};
use crate::plan::Plan;
use crate::tensors::{Reader, Writer};
use crate::variants::{Architecture, Estimate, StartRows};
use crate::{Error, Result, Rng};

/// Parameters, optimiser and position in the data after some step.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps done.
    pub step: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// The parameters.
    pub params: Params,
    /// The optimiser's memory.
    pub optimizer: Optimizer,
    /// Running mean over mini-batches: of the statistics (`rho_estimate = moving`), or of the smallest active
    /// value (a trained model with a threshold).
    pub moving: Option<Moving>,
    /// Number of rows since each latent was last active; empty for dense architectures.
    pub since_fired: Vec<u64>,
    /// Position of the annealed p, if p is annealed.
    pub annealing: Option<Annealing>,
    /// Moving average of the parameters; `None` without `train.ema`.
    pub ema: Option<Vec<f32>>,
    /// Objective values for the convergence test. L-BFGS: the last values. Adam and SGD: the sum over this
    /// epoch so far, and the mean of the last epoch.
    pub recent: Vec<f64>,
    /// Sample of the pushed rows, if rows are pushed by the caller and a threshold or resampling needs them.
    pub reservoir: Option<Reservoir>,
}

/// The optimiser's memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Optimizer {
    /// L-BFGS's pairs.
    Lbfgs(Lbfgs),
    /// Adam's or SGD's moments.
    Descent(Descent),
}

impl Optimizer {
    /// State of Adam or SGD.
    pub(super) fn descent(&mut self) -> &mut Descent {
        match self {
            Self::Descent(descent) => descent,
            Self::Lbfgs(_) => unreachable!("the plan made or loaded a state for Adam or SGD"),
        }
    }
}

impl State {
    /// State before the first step: the parameters `init`, or random ones drawn from the seed. Some architectures
    /// also use statistics of the prepared `rows`.
    ///
    /// # Errors
    /// [`Error::Shape`] if `init` has other blocks than the plan's architecture; errors of reading the rows are
    /// passed on.
    pub fn new(plan: &Plan, rows: &dyn Source, init: Option<Params>) -> Result<Self> {
        Self::from_start(plan, &StartRows::new(Box::new(rows)), init)
    }

    /// [`State::new`] with rows that several models start from.
    ///
    /// # Errors
    /// As [`State::new`].
    pub(crate) fn from_start(plan: &Plan, rows: &StartRows, init: Option<Params>) -> Result<Self> {
        let layout = plan.architecture().layout(plan.io(), plan.d_sae());
        let params = match init {
            Some(params) if *params.layout() == layout => params,
            Some(params) => {
                let sizes = |l: &Layout| {
                    l.blocks()
                        .iter()
                        .map(|b| format!("{} {}x{}", b.name, b.rows, b.cols))
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                return Err(Error::Shape {
                    what: "initial weights".into(),
                    expected: sizes(&layout),
                    got: sizes(params.layout()),
                });
            }
            None => {
                let mut rng = Rng::seed_from_u64(plan.config().train.seed);
                let (io, d_sae) = (plan.io(), plan.d_sae());
                let bound = (io, plan.b_dec_start());
                plan.architecture().init(bound, d_sae, rows, &mut rng)?
            }
        };
        Ok(Self::at_start(plan, params))
    }

    /// State at step 0 with these parameters.
    fn at_start(plan: &Plan, params: Params) -> Self {
        let length = params.values().len();
        let optimizer = match plan.optimizer() {
            OptimizerKind::Lbfgs => Optimizer::Lbfgs(Lbfgs::new(plan.config().train.history)),
            _ => Optimizer::Descent(Descent::new(rule(plan), params.values())),
        };
        let (moving, since_fired) = match plan.architecture() {
            Architecture::Dense(variant) => {
                let moving = match variant.estimate() {
                    Estimate::Moving { decay } => {
                        Some(Moving::new(decay, variant.statistics_len(plan.d_sae())))
                    }
                    Estimate::Exact | Estimate::Batch => None,
                };
                (moving, Vec::new())
            }
            Architecture::Sparse(sparse) => {
                let moving = sparse
                    .threshold()
                    .map(|threshold| Moving::new(threshold.decay, 1));
                (moving, vec![0; plan.d_sae()])
            }
        };
        Self {
            step: 0,
            rows_seen: 0,
            params,
            optimizer,
            moving,
            since_fired,
            annealing: plan.schedules().p.map(|(start, ..)| Annealing::new(start)),
            ema: plan.config().train.ema.map(|_| vec![0.0; length]),
            recent: Vec::new(),
            reservoir: None,
        }
    }

    /// Writes the state as one safetensors file, atomically.
    ///
    /// Tensors: `params`, `lbfgs.s.N` and `lbfgs.y.N` (oldest first) or `moments.N`, `ema`, `moving`, `annealing`,
    /// `averaged` and `recent` (f64), `since_fired` (u64), `reservoir` (pushed rows). Header: `step`, `rows_seen`,
    /// `arch`, `computes` (kind of model), `optimizer`, `data`, `crc32` (checksum) and, with a reservoir, `pushed`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path, plan: &Plan) -> Result<()> {
        let mut file = Writer::default();
        file.vector("params", self.params.values());
        match &self.optimizer {
            Optimizer::Lbfgs(lbfgs) => {
                for (i, CurvaturePair { s, y }) in lbfgs.pairs().enumerate() {
                    file.vector(format!("lbfgs.s.{i}"), s);
                    file.vector(format!("lbfgs.y.{i}"), y);
                }
            }
            Optimizer::Descent(descent) => {
                for (i, moments) in descent.moments.iter().enumerate() {
                    file.vector(format!("moments.{i}"), moments);
                }
                if descent.averaged != [0.0; 2] {
                    file.vector("averaged", descent.averaged);
                }
            }
        }
        if let Some(moving) = &self.moving {
            file.vector("moving", moving.to_values());
        }
        if !self.since_fired.is_empty() {
            file.vector("since_fired", &self.since_fired);
        }
        if let Some(annealing) = &self.annealing {
            file.vector("annealing", annealing.to_values());
        }
        if let Some(ema) = &self.ema {
            file.vector("ema", ema);
        }
        if !self.recent.is_empty() {
            file.vector("recent", &self.recent);
        }
        if let Some(reservoir) = &self.reservoir {
            file.vector("reservoir", reservoir.values());
            file.text("pushed", &reservoir.pushed());
        }
        file.text("step", &self.step);
        file.text("rows_seen", &self.rows_seen);
        file.text("arch", &plan.info().name);
        file.text("optimizer", &format!("{:?}", plan.optimizer()));
        file.text("data", &plan.fingerprint());
        file.text("computes", &computes(plan));
        file.checksum();
        file.write(path)
    }

    /// Reads a file of [`State::save`] for the same plan.
    ///
    /// # Errors
    /// - [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is damaged.
    /// - [`Error::Conflict`] for another architecture, kind of model, optimiser or data; if a tensor that the plan
    ///   needs is missing.
    /// - [`Error::Hyper`] if the checkpoint has more steps than the plan.
    /// - [`Error::Shape`] for another number of parameters.
    pub fn load(path: &Path, plan: &Plan) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let file = Reader::new(path, &bytes)?;
        refuse_other_runs(path, &file, plan)?;
        file.verify()?;
        let layout = plan.architecture().layout(plan.io(), plan.d_sae());
        let mut state = Self::at_start(plan, Params::zeros(&layout));
        let checkpoint = Checkpoint {
            path,
            file,
            length: state.params.values().len(),
        };
        let params = checkpoint.vector("params")?;
        state.params.values_mut().copy_from_slice(&params);
        state.step = checkpoint.number("step")? as usize;
        state.rows_seen = checkpoint.number("rows_seen")?;
        match &mut state.optimizer {
            Optimizer::Lbfgs(lbfgs) => {
                *lbfgs = Lbfgs::resume(plan.config().train.history, checkpoint.pairs()?);
            }
            Optimizer::Descent(descent) => {
                descent.steps = state.step;
                checkpoint.restore_descent(descent)?;
            }
        }
        if state.step > plan.steps() {
            let expected = format!("at least {0}, since {0} steps are done", state.step);
            return Err(Error::hyper("train.steps", &expected, plan.steps()));
        }
        checkpoint.restore_schedules(&mut state)?;
        checkpoint.restore_rows(&mut state, plan)?;
        Ok(state)
    }
}

/// File of a state, of a run with `length` parameters.
struct Checkpoint<'a> {
    path: &'a Path,
    file: Reader<'a>,
    length: usize,
}

impl Checkpoint<'_> {
    /// Vector as long as the parameters.
    fn vector(&self, name: &str) -> Result<Vec<f32>> {
        fitting(self.path, &self.file, name, self.length)
    }

    /// Whole number of the header.
    fn number(&self, key: &str) -> Result<u64> {
        let number = self.file.text(key)?.parse::<u64>();
        let bad = |_| {
            self.file
                .bad(format!("`{key}`: expected a number in the header"))
        };
        number.map_err(bad)
    }

    /// Refuses to take up what the run did not begin with.
    fn begun_with(&self, name: &str, tensor: &str) -> Result<()> {
        if self.file.has(tensor) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "`train.{name}` cannot be added to a run that was started without it: remove it, or start a new run"
        )))
    }

    /// Pairs of L-BFGS, oldest first.
    fn pairs(&self) -> Result<Vec<CurvaturePair>> {
        let mut pairs = Vec::new();
        while self.file.has(&format!("lbfgs.s.{}", pairs.len())) {
            let s = self.vector(&format!("lbfgs.s.{}", pairs.len()))?;
            let y = self.vector(&format!("lbfgs.y.{}", pairs.len()))?;
            pairs.push(CurvaturePair { s, y });
        }
        Ok(pairs)
    }

    /// Reads the moments of Adam and its relatives.
    fn restore_descent(&self, descent: &mut Descent) -> Result<()> {
        for (i, moments) in descent.moments.iter_mut().enumerate() {
            *moments = self.vector(&format!("moments.{i}"))?;
        }
        if self.file.has("averaged") {
            let values: Vec<f64> = self.file.vector("averaged")?;
            descent.averaged = values
                .try_into()
                .map_err(|_| self.file.bad("tensor `averaged` has another length"))?;
        }
        Ok(())
    }

    /// Reads the annealed p, the average of the weights and recent objective values.
    fn restore_schedules(&self, state: &mut State) -> Result<()> {
        let file = &self.file;
        if let Some(annealing) = &mut state.annealing {
            self.begun_with("p_end", "annealing")?;
            *annealing = Annealing::from_values(&file.vector::<f64>("annealing")?)
                .ok_or_else(|| file.bad("tensor `annealing` has another length"))?;
        }
        if state.ema.is_some() {
            self.begun_with("ema", "ema")?;
            state.ema = Some(self.vector("ema")?);
        }
        if file.has("recent") {
            state.recent = file.vector("recent")?;
        }
        Ok(())
    }

    /// Reads the statistics of latents over rows, and the sample of pushed rows.
    fn restore_rows(&self, state: &mut State, plan: &Plan) -> Result<()> {
        let file = &self.file;
        if !state.since_fired.is_empty() {
            let values = file.vector("since_fired")?;
            if values.len() != state.since_fired.len() {
                return Err(file.bad("tensor `since_fired` has another length"));
            }
            state.since_fired = values;
        }
        if file.has("reservoir") {
            let empty = Reservoir::new(plan.io().row_width(), plan.config().train.seed);
            let reservoir = empty.restored(file.finite("reservoir")?, self.number("pushed")?);
            let bad = || file.bad("tensor `reservoir` holds no whole rows, or too many");
            state.reservoir = Some(reservoir.ok_or_else(bad)?);
        }
        if let Some(moving) = &mut state.moving {
            let values = file.finite("moving")?;
            *moving = Moving::from_values(&values)
                .filter(|m| m.to_values().len() == moving.to_values().len())
                .ok_or_else(|| file.bad("tensor `moving` has another length"))?;
        }
        Ok(())
    }
}

/// Refuses a checkpoint of another architecture, optimiser, data or model.
fn refuse_other_runs(path: &Path, file: &Reader, plan: &Plan) -> Result<()> {
    let optimizer = format!("{:?}", plan.optimizer());
    refuse_another(path, "architecture", file.text("arch")?, plan.info().name)?;
    refuse_another(path, "optimizer", file.text("optimizer")?, &optimizer)?;
    refuse_another(path, "data with", file.text("data")?, plan.fingerprint())?;
    refuse_another(path, "the model", file.text("computes")?, &computes(plan))
}

/// Kind of model. Two kinds may have parameters of equal shape but compute different functions.
fn computes(plan: &Plan) -> String {
    let io = plan.io();
    let target = io
        .target_width()
        .map_or(String::new(), |t| format!(" to {t}"));
    let rescaled = plan.decoder_norm() == DecoderNorm::Rescale;
    format!(
        "{} of {:?}{target} with centre {}{}",
        io.name(),
        io.input_widths(),
        io.centre,
        if rescaled {
            " and decoder_norm rescale"
        } else {
            ""
        }
    )
}

fn refuse_another(path: &Path, what: &str, there: &str, here: &str) -> Result<()> {
    if here == there {
        return Ok(());
    }
    let path = path.display();
    let clash = format!("{path}: the checkpoint has {what} {there}, this run has {here}");
    Err(Error::Conflict(clash))
}

/// Tensor of the file with as many values as there are parameters.
fn fitting(path: &Path, file: &Reader, name: &str, length: usize) -> Result<Vec<f32>> {
    let values = file.finite(name)?;
    if values.len() == length {
        return Ok(values);
    }
    Err(Error::Shape {
        what: format!("{}: {name}", path.display()),
        expected: format!("{length} f32"),
        got: format!("{} f32", values.len()),
    })
}

fn rule(plan: &Plan) -> Rule {
    let (beta1, beta2) = plan.betas();
    match plan.optimizer() {
        OptimizerKind::Sgd => Rule::Momentum(plan.config().train.momentum),
        OptimizerKind::ScheduleFree => Rule::FreeAdam { beta1, beta2 },
        OptimizerKind::Signum => Rule::FreeSign { beta1 },
        OptimizerKind::Adam | OptimizerKind::Lbfgs => Rule::Adam { beta1, beta2 },
    }
}
