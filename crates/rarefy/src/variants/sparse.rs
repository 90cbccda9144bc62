//! What the sparse engine asks of an architecture that keeps a few latents of each row.
//!
//! ```text
//! pre = W_enc (x - b_dec) + b_enc       of each row, some entries (i, j) are found
//! f_ij = the architecture's value of an entry, else 0
//! x_hat = W_dec^T f + b_dec
//! J = sum_l c_l 1/m sum_i |x_i - x_hat_i up to level l|^2 + penalty + coefficient AuxK
//! AuxK = sum_i |r_i - W_dec^T a_i|^2 / sum_i |r_i - mean r|^2        r = x - x_hat, a constant
//! ```
//!
//! All but one architecture have a single level, which holds all latents, with c = 1.
//! Here with x for what the decoder is to write, which a transcoder's encoder does not read: see [`crate::binding`].
//! `a_i` are the `aux_k` largest positive pre-activations of row i among dead latents: those that
//! no row has used for `dead_after` rows. Without them `AuxK` is 0.
//!
//! An architecture says which entries a row has ([`Sparse::encode`]), what they are worth
//! ([`Sparse::activate`]) and how derivatives go back through that ([`Sparse::backward`]). Products with
//! weights, the loss, dead latents and the optimiser are the training step's.

mod options;
mod rescale;
mod start;
mod twin;

pub(super) use options::{
    AUX_COEFFICIENT, AUX_K, AUX_UNIT, BATCH_K, DEAD_AFTER, DEFAULTS, K_DIAL, L1, L1_DIAL,
    PENALISED, ROW_K, THRESHOLD_DECAY, THRESHOLD_FROM, aux, coefficient, half_on, k, resolve,
    threshold,
};
pub use rescale::rescaled;
pub(crate) use rescale::{Latent, rescale, through};
pub use start::BiasStart;
pub(super) use start::init;
pub use twin::{Dual, Twin, TwinBatch, TwinEntry};
pub(super) use twin::{above_zero, largest_of_all, largest_of_rows};

use crate::codes::Codes;
use crate::engine::{Centred, Encoder};
use crate::io_spec::IoSpec;
use crate::params::{Layout, Params};

/// An architecture that keeps a few latents of each row.
pub trait Sparse: Twin + Send + Sync {
    /// The loss by which dead latents learn.
    fn aux(&self) -> Aux;

    /// Finds the entries of the rows while training; their values are the pre-activations.
    fn encode(
        &self,
        now: StepSchedule,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    );

    /// Finds the entries that a trained model's rows have, with their values.
    fn encode_trained(&self, params: &Params, encoder: &Encoder, rows: &Centred, codes: &mut Codes);

    /// Blocks of one number for each latent that the architecture has beside the four common ones, and
    /// what they start from. Training changes them.
    fn own(&self) -> &[(&'static str, f32)] {
        &[]
    }

    /// What `SAELens` calls a trained model that computes the same.
    fn saelens_kind(&self) -> SaelensKind;

    /// What the encoder starts from, over the decoder's transpose.
    fn encoder_start(&self, _d_in: usize, _d_sae: usize) -> f32 {
        1.0
    }

    /// How the one threshold of a trained model is found, if it has one.
    fn threshold(&self) -> Option<Threshold> {
        None
    }

    /// The levels of the loss: each reads the latents before its end.
    fn levels(&self, d_sae: usize) -> Vec<Level> {
        vec![Level {
            end: d_sae,
            weight: 1.0,
        }]
    }

    /// Whether the pre-activations are read a second time, by the decoder and against the rows.
    fn second_reading(&self) -> Option<Second> {
        None
    }

    /// Whether a row's entries follow one another, each on what those before it left over, with the decoder
    /// for an encoder.
    fn pursues(&self) -> bool {
        false
    }

    /// Latents of a row, if a run may begin with another number of them.
    fn annealed_k(&self) -> Option<f64> {
        None
    }

    /// The p of its penalty's norm, if a run may end with another.
    fn annealed_p(&self) -> Option<f64> {
        None
    }

    /// Whether [`SparseBatch::norms`] are wanted.
    fn wants_norms(&self) -> bool {
        false
    }

    /// The values of one row's entries from their pre-activations.
    fn activate(&self, _params: &Params, _latents: &[u32], _pre: &[f32], _values: &mut [f32]) {}

    /// What a batch has to know of each row before the latents are gone through one by one.
    fn rows(&self, _batch: &SparseBatch) -> RowTerms {
        RowTerms::default()
    }

    /// Takes the derivatives of the loss by a latent's values back to its pre-activations, in place,
    /// and adds what the penalty wants.
    fn backward(&self, _batch: &SparseBatch, _entries: &Entries, _by: &mut [f32]) -> Terms {
        Terms::default()
    }

    /// Brings the architecture's own numbers back to where they may be, after a step.
    fn constrain(&self, _params: &mut Params) {}
}

/// The auxiliary loss by which dead latents learn: they explain what the others left over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aux {
    /// Dead latents that a row may use; half of `d_in` if absent.
    pub k: Option<usize>,
    /// Weight of the loss; 0 for none.
    pub coefficient: f64,
    /// A latent is dead after so many rows without firing.
    pub dead_after: u64,
    /// What the squared error is measured in.
    pub unit: AuxUnit,
    /// Which of them a row uses.
    pub rank: Rank,
    /// Whether the dead of each level explain what is left over up to that level.
    pub by_level: bool,
}

/// What the error of the auxiliary loss is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuxUnit {
    /// The residual's variance, summed over inputs and rows (Gao et al. 2024).
    Residual,
    /// Nothing: the sum over inputs, the mean over rows, times the share `dead / aux_k` where fewer
    /// are dead (`SAELens`).
    Absolute,
}

/// Which dead latents a row uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Those with the largest positive pre-activations.
    Positive,
    /// Those with the largest ones, below 0 or not (`SAELens`).
    Signed,
    /// Those with the largest absolute values.
    Magnitude,
}

/// How the threshold of a trained model is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What a step keeps of the moving average of the smallest kept value.
    pub decay: f64,
    /// Whether the model takes the calibrated threshold rather than the moving average.
    pub calibrated: bool,
    /// Latents that a row should have on average.
    pub k: f64,
}

/// What another program calls a trained model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SaelensKind {
    /// The k largest of each row.
    TopK(usize),
    /// The k largest of each row by absolute value.
    AbsTopK(usize),
    /// All above a threshold: one for all latents, or each its own.
    JumpRelu,
    /// All above 0.
    Standard,
    /// A gate and a magnitude.
    Gated,
    /// One latent after the other, at most k, until less than this is left.
    Pursuit {
        /// Rounds at most.
        k: usize,
        /// Length of what is left.
        residual: f64,
    },
    /// By a name that only we use.
    Own,
}

/// A part of the loss: how well the first latents do alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// It reads the latents below this.
    pub end: usize,
    /// Its weight in the loss.
    pub weight: f64,
}

/// How pre-activations are read a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Second {
    /// Whether the decoder learns from it.
    pub decoder_learns: bool,
}

/// What changes in the course of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSchedule {
    /// What the penalty's coefficient is multiplied by.
    pub sparsity: f64,
    /// What the number of latents that a row keeps is multiplied by.
    pub density: f64,
    /// The p of a penalty's norm, and the p that follows, if they change.
    pub p: Option<[f64; 2]>,
}

impl Default for StepSchedule {
    fn default() -> Self {
        Self {
            sparsity: 1.0,
            density: 1.0,
            p: None,
        }
    }
}

impl StepSchedule {
    /// Latents of a row, of which there will be k.
    pub fn k(self, k: usize) -> usize {
        ((k as f64 * self.density).round() as usize).max(1)
    }
}

/// A batch, as an architecture sees it.
pub struct SparseBatch<'a> {
    /// What changes in the course of a run.
    pub now: StepSchedule,
    /// Rows.
    pub n: usize,
    /// All entries with their values.
    pub codes: &'a Codes,
    /// The pre-activation of each entry.
    pub pre: &'a [f32],
    /// The parameters before the step.
    pub params: &'a Params,
    /// Length of each decoder row ([`IoSpec::decoder_norm`]); empty unless it is wanted.
    pub norms: &'a [f32],
    /// What [`Sparse::rows`] found.
    pub terms: RowTerms,
}

/// What a row adds to the loss, and a number for each row that its entries want.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowTerms {
    /// The part of the penalty that is a matter of rows.
    pub penalty: f64,
    /// One for each row, or none.
    pub weights: Vec<f32>,
    /// Without its coefficient, at this p and at the one that follows: see [`StepSchedule::p`].
    pub norms: [f64; 2],
}

/// One latent's entries in a batch.
pub struct Entries<'a> {
    /// The latent.
    pub latent: usize,
    /// Row of each entry.
    pub rows: &'a [u32],
    /// Its pre-activation.
    pub pre: &'a [f32],
    /// Its value.
    pub values: &'a [f32],
    /// Derivative of the second reading's loss by the pre-activation; empty if there is none.
    pub by_second: &'a [f32],
    /// Whether the latent is dead.
    pub dead: bool,
    /// Sum over rows of the rows less `b_dec`.
    pub row_sum: &'a [f64],
}

/// What a latent adds to the loss and its gradient beside its entries' derivatives.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Terms {
    /// Of the penalty.
    pub penalty: f64,
    /// Derivative by the length of its decoder row.
    pub by_norm: f64,
    /// Derivative by its own numbers, in the order of [`Sparse::own`].
    pub by_own: [f64; 2],
    /// Derivative by its pre-activation in every row of the batch, beside the entries'.
    pub by_every_row: f64,
    /// What of the derivatives by its pre-activations does not go through its encoder bias.
    pub beside_bias: f64,
}

/// Names and shapes of the parameters.
pub(super) fn layout(sparse: &dyn Sparse, io: &IoSpec, d_sae: usize) -> Layout {
    let (d_in, d_out) = (io.d_in(), io.d_out());
    let mut blocks = vec![
        ("w_enc", d_sae, d_in),
        ("b_enc", 1, d_sae),
        ("w_dec", d_sae, d_out),
        ("b_dec", 1, d_out),
    ];
    if io.skip {
        blocks.push(("w_skip", d_out, d_in));
    }
    blocks.extend(sparse.own().iter().map(|(name, _)| (*name, 1, d_sae)));
    if sparse.threshold().is_some() {
        blocks.push(("threshold", 1, 1));
    }
    Layout::new(&blocks)
}
