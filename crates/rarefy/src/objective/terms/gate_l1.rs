//! L1 penalty on gates.
//!
//! ```text
//! penalty = weight/m sum_ij max(0, pre_ij) |w_dec_j|
//! ```
//!
//! Source: Rajamanoharan et al. 2024, arXiv:2404.16014.

use super::{LENGTH_ONE, Term};
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, mean, times};
use crate::objective::{
    ConversionNote, Conversions, DEEPMIND, DICTIONARY_LEARNING, Dual, SAELENS, Theirs, TwinBatch,
};

/// L1 norm of the gates `max(0, pre)` times their decoder rows' lengths.
#[derive(Debug, Clone, Copy)]
pub struct GateL1 {
    /// Coefficient of the penalty.
    pub weight: Number,
}

/// Weight in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(SAELENS, "l1", "l1_coefficient").with(&[("gate_decoder", "learns")]),
        Theirs::new(DICTIONARY_LEARNING, "l1", "l1_penalty").with(FIXED),
        Theirs::new(DEEPMIND, "l1", "lambda").with(FIXED),
    ],
    notes: &[
        ConversionNote {
            conventions: DICTIONARY_LEARNING,
            text: LENGTH_ONE,
        },
        ConversionNote {
            conventions: DEEPMIND,
            text: "rows are scaled as in the JumpReLU paper; the scaling of the Gated paper is unknown to us",
        },
    ],
};

const FIXED: &[(&str, &str)] = &[("gate_decoder", "fixed")];

impl Term for GateL1 {
    fn entries(
        &self,
        batch: &BatchView,
        _: &Prepared,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let share = batch.schedule.sparsity * self.weight.value() / batch.n as f64;
        let norm = f64::from(batch.decoder_norms[entries.latent]);
        for (d, &pi) in derivatives.d_gate.iter_mut().zip(entries.pre) {
            let pi = f64::from(pi);
            sums.penalty += share * pi * norm;
            sums.d_norm += share * pi;
            *d += share * norm;
        }
    }

    fn wants_decoder_norms(&self) -> bool {
        true
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let entries = batch.rows.iter().flatten();
        let all: Dual = entries
            .map(|entry| entry.pre * batch.decoder_norms[entry.latent])
            .sum();
        all * (self.weight.value() / batch.n())
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "gate_l1",
            numbers: vec![("weight", self.weight)],
            maths: times(
                &mean(self.weight),
                "sum_i sum_j max(0, pre_ij) |w_j|",
                r"\sum_i \sum_j \max(0, p_{ij}) \lVert w_j \rVert",
            ),
            note: "l1".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
