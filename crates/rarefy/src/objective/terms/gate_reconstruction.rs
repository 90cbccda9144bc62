//! Second reconstruction, from pre-activations in place of values.
//!
//! ```text
//! weight/m sum_i E(x_i, W_dec^T max(0, pre_i) + b_dec)
//! ```
//!
//! It teaches a gate, which as a step has no derivative. The decoder is a copy that does not learn from it (the
//! paper, `dictionary_learning`) or the decoder itself (`SAELens`).
//!
//! Source: Rajamanoharan et al. 2024, arXiv:2404.16014.

use crate::objective::formula::{LossPart, TermFormula, mean, times};

/// Second reconstruction, from the pre-activations of the selected entries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GateReconstruction {
    /// Weight of its loss.
    pub weight: f64,
    /// True if the decoder learns from it, false for a constant copy of the decoder.
    pub decoder_learns: bool,
}

impl GateReconstruction {
    /// Formula of the loss.
    pub(in crate::objective) fn formula(self) -> TermFormula {
        let how = if self.decoder_learns {
            "the decoder learns from it too"
        } else {
            "with copies of W_dec and b_dec"
        };
        TermFormula {
            name: "gate_reconstruction",
            numbers: vec![("weight", self.weight.into())],
            maths: times(
                &mean(self.weight),
                "sum_i |x_i - (W_dec^T max(0, pre_i) + b_dec)|^2",
                r"\sum_i \lVert x_i - (W_\mathrm{dec}^\top \max(0, p_i) + b_\mathrm{dec}) \rVert^2",
            ),
            note: format!("teaches the gate; {how}"),
            part: LossPart::Auxiliary,
            warms_up: false,
        }
    }
}
