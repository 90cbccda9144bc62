//! Penalty on the number of active latents.
//!
//! ```text
//! penalty = weight/m sum_i L0_i                     L0_i: number of active latents of row i
//! ```
//!
//! Source: Rajamanoharan et al. 2024, arXiv:2407.14435.

use super::Term;
use crate::objective::batch::{BatchView, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, mean, times};
use crate::objective::{BATCHTOPK, Conversions, DEEPMIND, Dual, SAELENS, Theirs, TwinBatch};

/// Mean L0 of the rows times a coefficient.
#[derive(Debug, Clone, Copy)]
pub struct L0Step {
    /// Coefficient of the penalty.
    pub weight: Number,
}

/// Weight of the penalties `step`, `tanh` and `quadratic` in `SAELens`.
pub(super) const SAELENS_L0: Theirs = Theirs::new(SAELENS, "l0", "l0_coefficient")
    .needs(&[("penalty", &["step", "tanh", "quadratic"])]);

const STEP: &[(&str, &[&str])] = &[("penalty", &["step"])];

/// Weight in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        SAELENS_L0,
        Theirs::new(BATCHTOPK, "l0", "l1_coeff").needs(STEP),
        Theirs::new(DEEPMIND, "l0", "lambda").needs(STEP),
    ],
    notes: &[],
};

/// Prepared penalty and one factor for all rows.
pub(super) fn equal_weights(penalty: f64, weight: f64, rows: usize) -> Prepared {
    Prepared {
        penalty,
        row_weights: vec![weight as f32; rows],
        ..Prepared::default()
    }
}

impl Term for L0Step {
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let l0 = batch.l0();
        let share = batch.schedule.sparsity * self.weight.value() / l0.len() as f64;
        equal_weights(share * l0.iter().sum::<f64>(), share, l0.len())
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        batch.l0().into_iter().sum::<Dual>() * (1.0 / batch.n()) * self.weight.value()
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "l0_step",
            numbers: vec![("weight", self.weight)],
            maths: times(
                &mean(self.weight),
                "sum_i L0_i",
                r"\sum_i \lVert f_i \rVert_0",
            ),
            note: "l0; L0_i: number of active latents of row i".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
