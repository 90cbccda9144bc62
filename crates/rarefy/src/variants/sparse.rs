//! Options, defaults and initialisation that the sparse architectures share.

mod options;
mod rescale;
mod start;

pub(super) use options::{
    AUX_COEFFICIENT, AUX_K, AUX_UNIT, BATCH_K, DEAD_AFTER, DEFAULTS, K_DIAL, L1, L1_DIAL,
    PENALISED, ROW_K, THRESHOLD_DECAY, THRESHOLD_FROM, aux_k, half_on, k, number, resolve,
    threshold,
};
pub use rescale::rescaled;
pub(crate) use rescale::{Latent, rescale, through};
pub use start::BiasStart;
pub(super) use start::init;

use std::sync::Arc;

use super::Architecture;
use crate::Result;
use crate::objective::Objective;

/// Architecture of a composed objective.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the table's functions may refuse options"
)]
pub(super) fn composed(objective: Objective) -> Result<Architecture> {
    Ok(Architecture::Sparse(Arc::new(objective)))
}
