//! Second reconstruction, from the pre-activations of all selected entries.
//!
//! ```text
//! weight/m sum_i E(x_i, W_dec^T pre_i + b_dec)
//! ```
//!
//! This loss trains the entries that have no value: a gate that is a step (Rajamanoharan et al. 2024, arXiv:2404.16014), or
//! latents beyond the k largest. The loss trains the decoder too, or uses a constant copy of the decoder.

use crate::objective::ReconstructionError;
use crate::objective::formula::{LossPart, TermFormula};

/// Second reconstruction, from the pre-activations of the selected entries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreReconstruction {
    /// Name of the loss, for formulas.
    pub name: &'static str,
    /// Weight of the loss.
    pub weight: f64,
    /// True if the decoder learns from it, false for a constant copy of the decoder.
    pub decoder_learns: bool,
    /// Reconstruction in plain text and in LaTeX.
    pub x_hat: (&'static str, &'static str),
    /// Remark for `explain`.
    pub note: &'static str,
}

impl PreReconstruction {
    /// Second reconstruction that trains a gate, with weight 1.
    pub fn of_gate(decoder_learns: bool) -> Self {
        Self {
            name: "gate_reconstruction",
            weight: 1.0,
            decoder_learns,
            x_hat: (
                "(W_dec^T max(0, pre_i) + b_dec)",
                r"(W_\mathrm{dec}^\top \max(0, p_i) + b_\mathrm{dec})",
            ),
            note: if decoder_learns {
                "trains the gate and the decoder"
            } else {
                "trains the gate; W_dec and b_dec are constants here"
            },
        }
    }

    /// Formula of the loss.
    pub(in crate::objective) fn formula(self, error: &dyn ReconstructionError) -> TermFormula {
        TermFormula {
            name: self.name,
            numbers: vec![("weight", self.weight.into())],
            maths: error.maths(self.weight, self.x_hat),
            note: self.note.into(),
            part: LossPart::Auxiliary,
            warms_up: false,
        }
    }
}
