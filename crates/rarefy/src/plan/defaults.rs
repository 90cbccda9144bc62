//! Optimiser, batch and length of a run: the values of the configuration or their defaults.

use crate::config::{DecoderNorm, OptimizerKind, TrainConfig};
use crate::variants::{Batching, Defaults, Info, Length};
use crate::{Error, Result};

/// Default length of a run: iterations of L-BFGS, epochs of other optimisers.
const DEFAULT_ITERATIONS: usize = 400;
const DEFAULT_EPOCHS: usize = 20;

/// Default constraint on an architecture's decoder rows.
pub(crate) fn own_norm(info: &Info) -> DecoderNorm {
    if info.defaults.unit_norm {
        DecoderNorm::Unit
    } else {
        DecoderNorm::Free
    }
}

/// Optimiser of the configuration, or the architecture's default.
pub(super) fn optimizer(info: &Info, train: &TrainConfig) -> Result<OptimizerKind> {
    let full_batch = info.defaults.full_batch;
    let optimizer = train
        .optimizer
        .unwrap_or(if full_batch && train.batch.is_none() {
            OptimizerKind::Lbfgs
        } else {
            OptimizerKind::Adam
        });
    let name = info.name;
    let why = match optimizer {
        OptimizerKind::Lbfgs if !full_batch => {
            format!("L-BFGS needs a smooth objective, which {name} does not have")
        }
        OptimizerKind::Sgd if !info.defaults.sgd => format!(
            "SGD has one learning rate for all latents, but some latents of {name} fire a thousand times as often as others"
        ),
        OptimizerKind::ScheduleFree | OptimizerKind::Signum if full_batch => format!(
            "optimizers schedule-free and signum need a sparse architecture, and {name} is dense"
        ),
        _ => return Ok(optimizer),
    };
    Err(Error::Conflict(format!(
        "{why}; set `train.optimizer` to adam"
    )))
}

/// Default learning rate of an optimiser and architecture.
pub(super) fn default_lr(defaults: &Defaults, optimizer: OptimizerKind, d_sae: usize) -> f64 {
    match optimizer {
        OptimizerKind::Sgd => 0.1,
        // As in sparsify.
        OptimizerKind::Signum => 5e-3 / (d_sae as f64 / f64::from(1 << 14)).sqrt(),
        OptimizerKind::Adam | OptimizerKind::ScheduleFree | OptimizerKind::Lbfgs => {
            (defaults.lr)(d_sae)
        }
    }
}

/// Rows for each latent up to which the mask is largest, and from which on nothing is hidden from the encoder.
const FEW_ROWS: f64 = 40.0;
const ENOUGH_ROWS: f64 = 70.0;

/// Default of `train.mask`, where the number of latents is a default too: few rows are learned by heart otherwise.
///
/// Share of variance explained of 1,500 other rows, by rows and mask (topk with these latents, k an eighth of them, both former
/// defaults; embeddings of sentences with 384 values, word vectors with 50):
///
/// | rows | latents | 0 | 0.15 | 0.3 | 0.45 |
/// |---|---|---|---|---|---|
/// | 500 x 384 | 42 | 0.170 | 0.219 | 0.224 | 0.234 |
/// | 1,500 x 384 | 78 | 0.322 | 0.369 | 0.375 | 0.372 |
/// | 5,000 x 384 | 160 | 0.533 | 0.565 | 0.563 | 0.549 |
/// | 15,000 x 384 | 310 | 0.676 | 0.689 | 0.676 | 0.652 |
/// | 50,000 x 384 | 640 | 0.734 | 0.740 | 0.725 | 0.699 |
/// | 500 x 50 | 42 | 0.312 | 0.404 | 0.392 | 0.355 |
/// | 5,000 x 50 | 160 | 0.729 | 0.732 | 0.687 | 0.616 |
/// | 50,000 x 50 | 400 | 0.767 | 0.760 | 0.718 | 0.648 |
///
/// Of a row of few values, each hidden one is missed more. A larger mask than the best of its line brings held-out rows nearer to
/// the rows of training, at a point of variance or two.
pub(super) fn default_mask(d_in: usize, rows: usize, d_sae: usize) -> f64 {
    let each = rows as f64 / d_sae as f64;
    let few = ((ENOUGH_ROWS - each) / (ENOUGH_ROWS - FEW_ROWS)).clamp(0.0, 1.0);
    let mask = few * (d_in as f64 / 400.0).min(0.4);
    (mask * 100.0).round() / 100.0
}

/// Default of `train.tolerance`: L-BFGS stops at the precision of f32, mini-batches are too noisy to tell.
pub(super) fn default_tolerance(optimizer: OptimizerKind) -> f64 {
    match optimizer {
        OptimizerKind::Lbfgs => 1e-9,
        _ => 0.0,
    }
}

/// Batch size of the configuration, checked against the optimiser.
pub(super) fn wanted_batching(
    train: &TrainConfig,
    optimizer: OptimizerKind,
    rows: usize,
) -> Result<Batching> {
    match (optimizer, train.batch) {
        (OptimizerKind::Lbfgs, Some(batch)) if batch < rows => Err(Error::Conflict(format!(
            "L-BFGS needs full batches, got a batch of {batch}; remove `train.batch` or set `train.optimizer` to adam"
        ))),
        (OptimizerKind::Lbfgs, _) => Ok(Batching::Full),
        (_, Some(batch)) => Ok(Batching::Mini(batch)),
        (_, None) => Ok(Batching::Open),
    }
}

/// Length of the run in steps or epochs, or the default.
pub(super) fn length(
    train: &TrainConfig,
    optimizer: OptimizerKind,
    defaults: &Defaults,
) -> Result<Length> {
    match (train.steps, train.epochs, optimizer) {
        (Some(_), Some(_), _) => Err(Error::Conflict(
            "set `train.steps` or `train.epochs`, not both".into(),
        )),
        (Some(steps), None, _) => Ok(Length::Steps(steps)),
        (None, Some(_), OptimizerKind::Lbfgs) => Err(Error::Conflict(
            "L-BFGS counts iterations, not epochs: set `train.steps` and remove `train.epochs`"
                .into(),
        )),
        (None, None, OptimizerKind::Lbfgs) => Ok(Length::Steps(DEFAULT_ITERATIONS)),
        (None, Some(epochs), _) => Ok(Length::Epochs(epochs, 1)),
        (None, None, _) => Ok(Length::Epochs(DEFAULT_EPOCHS, defaults.fewest_steps)),
    }
}
