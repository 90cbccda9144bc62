//! Options, defaults and initialisation that the sparse architectures share.

mod options;
mod rescale;
mod start;

pub use options::{
    AuxOptions, BatchKOptions, L1Options, RowKOptions, ThresholdFrom, ThresholdOptions,
};
pub(super) use options::{
    DEFAULTS, K_DIAL, L1_DIAL, PENALISED, half_on, k_or_default, number, resolve,
};
pub use rescale::rescaled;
pub(crate) use rescale::{Latent, rescale, through};
pub(super) use start::init;
pub use start::{BiasStart, StartRows};

use std::sync::Arc;

use super::Architecture;
use crate::Result;
use crate::objective::Objective;

/// Architecture with a composed objective.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the table's functions may refuse options"
)]
pub(super) fn composed(objective: Objective) -> Result<Architecture> {
    Ok(Architecture::Sparse(Arc::new(objective)))
}
