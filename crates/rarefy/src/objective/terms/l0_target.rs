//! Quadratic penalty on the mean L0's distance from a target.
//!
//! ```text
//! penalty = weight (mean L0 / t - 1)^2              t: the target
//! ```
//!
//! Source: `dictionary_learning` 0.1.0, `JumpReluTrainer`.

use super::l0_step::equal_weights;
use super::{LENGTH_ONE, Term};
use crate::objective::batch::{BatchView, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, in_latex, short, times};
use crate::objective::{ConversionNote, Conversions, DICTIONARY_LEARNING, Dual, Theirs, TwinBatch};

/// Squared relative distance of the mean L0 from a target.
#[derive(Debug, Clone, Copy)]
pub struct L0Target {
    /// Coefficient of the penalty.
    pub weight: Number,
    /// Target L0, latents of a row.
    pub target: f64,
}

const TARGET: &[(&str, &[&str])] = &[("penalty", &["target"])];

/// Weight and target in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(DICTIONARY_LEARNING, "l0", "sparsity_penalty").needs(TARGET),
        Theirs::new(DICTIONARY_LEARNING, "target_l0", "target_l0").needs(TARGET),
    ],
    notes: &[
        ConversionNote {
            conventions: DICTIONARY_LEARNING,
            text: LENGTH_ONE,
        },
        ConversionNote {
            conventions: DICTIONARY_LEARNING,
            text: "b_dec is not subtracted, and the penalty ignores the lower half of the window",
        },
    ],
};

impl Term for L0Target {
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let (l0, t) = (batch.l0(), self.target);
        let n = l0.len() as f64;
        let scheduled = batch.schedule.sparsity;
        let share = scheduled * self.weight.value() / n;
        let off = l0.iter().sum::<f64>() / n / t - 1.0;
        let penalty = scheduled * self.weight.value() * off * off;
        equal_weights(penalty, share * 2.0 * off / t, l0.len())
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let mean = batch.l0().into_iter().sum::<Dual>() * (1.0 / batch.n() / self.target);
        (mean - Dual::from(1.0)).square() * self.weight.value()
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "l0_target",
            numbers: vec![("weight", self.weight), ("target", self.target.into())],
            maths: times(
                &self.weight.into(),
                &format!("(1/m sum_i L0_i / {} - 1)^2", short(self.target)),
                &format!(
                    r"\left(\frac{{1}}{{{} m}} \sum_i \lVert f_i \rVert_0 - 1\right)^2",
                    in_latex(self.target)
                ),
            ),
            note: "l0, target_l0; L0_i: number of active latents of row i".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
