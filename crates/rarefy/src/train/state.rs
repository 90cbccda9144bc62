//! Everything a run needs to go on bit-equal, and its file.

use std::collections::HashMap;
use std::path::Path;

use rand::SeedableRng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::Moving;
use crate::config::OptimizerKind;
use crate::optim::descent::Rule;
use crate::optim::lbfgs::Pair;
use crate::optim::{Descent, Lbfgs};
use crate::params::Params;
use crate::plan::Plan;
use crate::variants::Estimate;
use crate::{Error, Result, Rng, atomic};

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
    /// The running estimate of the statistics, if the architecture trains by one.
    pub moving: Option<Moving>,
    /// The objective's last values, by which L-BFGS sees that it has converged.
    pub recent: Vec<f64>,
}

/// The optimiser's memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Optimizer {
    /// L-BFGS's pairs.
    Lbfgs(Lbfgs),
    /// Adam's or SGD's moments.
    Descent(Descent),
}

impl State {
    /// The state before the first step: parameters drawn from the seed, or `init` if given.
    ///
    /// # Errors
    /// [`Error::Shape`] if `init` has other blocks than the plan's architecture.
    pub fn new(plan: &Plan, init: Option<Params>) -> Result<Self> {
        let layout = plan.variant.layout(plan.d_in, plan.config.model.latents);
        let params = match init {
            Some(params) if *params.layout() == layout => params,
            Some(params) => {
                let sizes = |l: &crate::params::Layout| {
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
            None => plan
                .variant
                .init(&layout, &mut Rng::seed_from_u64(plan.config.train.seed)),
        };
        let optimizer = match plan.optimizer {
            OptimizerKind::Lbfgs => Optimizer::Lbfgs(Lbfgs::new(plan.config.train.history)),
            _ => Optimizer::Descent(Descent::new(rule(plan), layout.len())),
        };
        let moving = match plan.variant.estimate() {
            Estimate::Moving { decay } => Some(Moving::new(
                decay,
                plan.variant.statistics_len(plan.config.model.latents),
            )),
            Estimate::Exact | Estimate::Batch => None,
        };
        Ok(Self {
            step: 0,
            rows_seen: 0,
            params,
            optimizer,
            moving,
            recent: Vec::new(),
        })
    }

    /// Writes the state as one safetensors file, atomically.
    ///
    /// Tensors `params`, `lbfgs.s.N` and `lbfgs.y.N` (oldest first) or `moments.N`, `moving`
    /// and `recent` (f64); the metadata holds `step`, `rows_seen`, `arch` and `optimizer`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path, plan: &Plan) -> Result<()> {
        let mut tensors: Vec<(String, Dtype, Vec<u8>)> = Vec::new();
        let mut add = |name: String, values: &[f32]| {
            tensors.push((
                name,
                Dtype::F32,
                values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ));
        };
        add("params".into(), self.params.values());
        match &self.optimizer {
            Optimizer::Lbfgs(lbfgs) => {
                for (i, Pair { s, y }) in lbfgs.pairs().enumerate() {
                    add(format!("lbfgs.s.{i}"), s);
                    add(format!("lbfgs.y.{i}"), y);
                }
            }
            Optimizer::Descent(descent) => {
                for (i, moments) in descent.moments.iter().enumerate() {
                    add(format!("moments.{i}"), moments);
                }
            }
        }
        let mut add = |name: &str, values: &[f64]| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push((name.into(), Dtype::F64, bytes));
        };
        if let Some(moving) = &self.moving {
            add("moving", &moving.to_values());
        }
        if !self.recent.is_empty() {
            add("recent", &self.recent);
        }
        let views = tensors.iter().map(|(name, dtype, bytes)| {
            let length = bytes.len() / (dtype.bitsize() / 8);
            let view = TensorView::new(*dtype, vec![length], bytes)
                .expect("length times element size is the bytes");
            (name.clone(), view)
        });
        let metadata = HashMap::from([
            ("step".to_owned(), self.step.to_string()),
            ("rows_seen".to_owned(), self.rows_seen.to_string()),
            ("arch".to_owned(), plan.info.name.to_owned()),
            ("optimizer".to_owned(), format!("{:?}", plan.optimizer)),
        ]);
        let bytes = safetensors::serialize(views, Some(metadata))
            .map_err(|e| Error::format(path, e.to_string()))?;
        atomic::write(path, |out| out.write_all(&bytes))
    }

    /// Reads what [`State::save`] wrote, for the same plan.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a damaged file; [`Error::Conflict`] if it belongs to
    /// another architecture, optimiser or size.
    pub fn load(path: &Path, plan: &Plan) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let damaged = |why: String| Error::format(path, format!("not a checkpoint: {why}"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let field = |key: &str| {
            metadata
                .get(key)
                .cloned()
                .ok_or_else(|| damaged(format!("no `{key}` in its header")))
        };
        let number = |key: &str| {
            field(key)?
                .parse::<u64>()
                .map_err(|_| damaged(format!("`{key}` is no number")))
        };
        let same = |what: &str, here: &str, there: &str| {
            let clash = || {
                format!(
                    "{}: the checkpoint is of {what} {there}, this run is of {here}",
                    path.display()
                )
            };
            if here == there {
                Ok(())
            } else {
                Err(Error::Conflict(clash()))
            }
        };
        same("architecture", plan.info.name, &field("arch")?)?;
        same(
            "optimizer",
            &format!("{:?}", plan.optimizer),
            &field("optimizer")?,
        )?;

        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let mut state = Self::new(plan, None)?;
        let length = state.params.values().len();
        let vector = |name: &str| -> Result<Option<Vec<f32>>> {
            let Ok(tensor) = file.tensor(name) else {
                return Ok(None);
            };
            let values = tensor
                .data()
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect::<Vec<_>>();
            if tensor.dtype() == Dtype::F32 && values.len() == length {
                Ok(Some(values))
            } else {
                let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
                Err(Error::Shape {
                    what: format!("{}: {name}", path.display()),
                    expected: format!("{length} f32"),
                    got,
                })
            }
        };
        let required =
            |name: &str| vector(name)?.ok_or_else(|| damaged(format!("no tensor `{name}`")));
        state
            .params
            .values_mut()
            .copy_from_slice(&required("params")?);
        state.step = number("step")? as usize;
        state.rows_seen = number("rows_seen")?;
        match &mut state.optimizer {
            Optimizer::Lbfgs(lbfgs) => {
                let mut pairs = Vec::new();
                while let Some(s) = vector(&format!("lbfgs.s.{}", pairs.len()))? {
                    let y = required(&format!("lbfgs.y.{}", pairs.len()))?;
                    pairs.push(Pair { s, y });
                }
                *lbfgs = Lbfgs::resume(plan.config.train.history, pairs);
            }
            Optimizer::Descent(descent) => {
                descent.steps = state.step;
                for (i, moments) in descent.moments.iter_mut().enumerate() {
                    *moments = required(&format!("moments.{i}"))?;
                }
            }
        }
        let wide = |name: &str| -> Result<Option<Vec<f64>>> {
            let Ok(tensor) = file.tensor(name) else {
                return Ok(None);
            };
            if tensor.dtype() != Dtype::F64 {
                return Err(damaged(format!("tensor `{name}` is not f64")));
            }
            let (eights, _) = tensor.data().as_chunks();
            Ok(Some(
                eights.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            ))
        };
        state.recent = wide("recent")?.unwrap_or_default();
        if let Some(moving) = &mut state.moving {
            let values = wide("moving")?.ok_or_else(|| damaged("no tensor `moving`".into()))?;
            *moving = Moving::from_values(&values)
                .filter(|m| m.to_values().len() == moving.to_values().len())
                .ok_or_else(|| damaged("tensor `moving` has another length".into()))?;
        }
        Ok(state)
    }
}

fn rule(plan: &Plan) -> Rule {
    match plan.optimizer {
        OptimizerKind::Sgd => Rule::Momentum(plan.config.train.momentum),
        _ => Rule::Adam,
    }
}
