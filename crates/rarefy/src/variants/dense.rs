//! Interface of architectures that are trained by dense sums over rows.

use std::sync::Arc;

use crate::objective::{Conversions, Maths, TermFormula};
use crate::params::{Layout, Params};
use crate::{Result, Rng};

/// Latents and slopes of one chunk of rows, kept from [`Variant::forward`] to [`Variant::backward`].
///
/// The buffers are reused from chunk to chunk. A full-batch pass over data in memory keeps one for each chunk, so
/// that the backward half of a step need not compute the latents again.
#[derive(Default)]
pub struct Chunk {
    /// Latents after the nonlinearity, `[n, d_sae]`.
    pub latents: Vec<f32>,
    /// Derivative of each latent by its pre-activation, `[n, d_sae]`.
    pub slopes: Vec<f32>,
}

/// Buffers of one lane, shared with no other lane.
#[derive(Default)]
pub struct Scratch {
    /// `[n, d_in]`: logits, then the derivative of the loss by them.
    pub output: Vec<f32>,
    /// `[n, d_sae]`: derivative of the loss by the pre-activations.
    pub hidden: Vec<f32>,
}

/// Additive result of the backward half of a step over some rows.
pub struct Gradient {
    /// Derivative by every parameter, summed (not averaged) over the rows.
    pub params: Params,
    /// Further sums of the architecture, see [`Variant::deferred_layout`].
    pub deferred: Option<Params>,
    /// Sum over rows of the reconstruction loss.
    pub reconstruction: f64,
}

/// Value of the objective by part; the total is their sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// Mean over rows of the reconstruction loss.
    pub reconstruction: f64,
    /// Sparsity penalty times its coefficient.
    pub penalty: f64,
    /// Auxiliary loss of dead latents times its coefficient.
    pub auxiliary: f64,
    /// Weight decay times its coefficient.
    pub weight_decay: f64,
}

impl Parts {
    /// Value of the objective.
    pub fn total(&self) -> f64 {
        self.reconstruction + self.penalty + self.auxiliary + self.weight_decay
    }
}

/// An architecture that is trained by dense sums: parameters, forward, objective and gradient.
///
/// A step has two reductions over the global batch, because some losses need sums over the whole batch first: [`forward`](Variant::forward) adds to the statistics,
/// [`backward`](Variant::backward) adds to the gradient, [`finish`](Variant::finish) turns the
/// finished sums into a value and a gradient. All three are additive over rows, so chunks,
/// threads and machines can share the work in any way.
pub trait Variant: Send + Sync {
    /// Formulas of the objective's terms, in the order in which `explain` prints them.
    fn formulas(&self) -> Vec<TermFormula>;

    /// Lines before the objective: latents and reconstruction of a row, each with both sides and a remark. `sizes` is
    /// the remark on the shapes.
    fn lines(&self, sizes: &str) -> Vec<(Maths, Maths, String)>;

    /// Coefficients in the conventions of other libraries and papers.
    fn conversions(&self) -> &'static Conversions {
        &Conversions::NONE
    }

    /// Reason why the weights cannot hold an affine map of the rows; `None` if they can.
    fn unfoldable(&self) -> Option<&'static str> {
        None
    }

    /// Target of the mean activation of each latent, if the penalty has one.
    fn target_activation(&self) -> Option<f64> {
        None
    }

    /// Coefficient of the sparsity penalty, and the architecture with a coefficient of 1; `None` without a penalty.
    fn with_plain_penalty(&self) -> Option<(f64, Arc<dyn Variant>)> {
        None
    }

    /// Names and shapes of the parameters.
    fn layout(&self, d_in: usize, d_sae: usize) -> Layout;

    /// Initial parameters.
    fn init(&self, layout: &Layout, rng: &mut Rng) -> Params;

    /// Rows over which the statistics are taken.
    fn estimate(&self) -> Estimate;

    /// Mean activation of the latents according to the statistics, to show while training.
    fn mean_activation(&self, _batch: &Batch) -> Option<f64> {
        None
    }

    /// Number of sums that [`forward`](Variant::forward) adds to.
    fn statistics_len(&self, d_sae: usize) -> usize;

    /// Accumulators for a backward half that runs before the statistics are finished
    /// (the one-pass gradient); `None` if the architecture has no such form.
    fn deferred_layout(&self, d_in: usize, d_sae: usize) -> Option<Layout>;

    /// Computes the latents of the rows `x` and adds to the statistics.
    fn forward(&self, params: &Params, x: &[f32], chunk: &mut Chunk, statistics: &mut [f64]);

    /// Adds the loss and gradient of the rows `x` to `gradient`.
    ///
    /// `batch` holds the finished statistics; `None` asks for the deferred form.
    fn backward(
        &self,
        params: &Params,
        x: &[f32],
        chunk: &Chunk,
        batch: Option<&Batch>,
        scratch: &mut Scratch,
        gradient: &mut Gradient,
    );

    /// Finishes value and gradient of the whole batch, in place: means instead of sums,
    /// the penalty, the weight decay.
    ///
    /// `rows` visits the batch's rows again, chunk by chunk in order, for the rare latents whose
    /// gradient the sums cannot give.
    ///
    /// # Errors
    /// Errors of reading the rows.
    fn finish(
        &self,
        params: &Params,
        batch: &Batch,
        rows: &Visit,
        gradient: &mut Gradient,
    ) -> Result<Parts>;

    /// Latents of the rows `x`, `[n, d_sae]`.
    fn encode(&self, params: &Params, x: &[f32], latents: &mut Vec<f32>);

    /// Reconstruction `[n, d_in]` from latents `[n, d_sae]`.
    fn decode(&self, params: &Params, latents: &[f32], x_hat: &mut Vec<f32>);
}

/// Calls a function with every chunk of the batch's rows, in order.
pub type Visit<'a> = dyn Fn(&mut dyn FnMut(&[f32])) -> Result<()> + Sync + 'a;

/// Rows over which an architecture's statistics are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Estimate {
    /// All rows of the data: a step is a full batch.
    Exact,
    /// The rows of the mini-batch.
    Batch,
    /// A running mean over mini-batches, corrected for its start at zero.
    Moving {
        /// Factor of the running mean at each step.
        decay: f64,
    },
}

/// Finished statistics of a global batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Number of rows.
    pub rows: usize,
    /// Sums over the rows (or a running estimate scaled to `rows`).
    pub statistics: Vec<f64>,
}
