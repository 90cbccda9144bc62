//! Quadratic penalty on each row's distance from a target L0.
//!
//! ```text
//! penalty = weight/m sum_i 2/t (L0_i - t)^2         t: the target
//! ```
//!
//! Source: `SAELens` 6.54; Google `DeepMind`, Gemma Scope 2.

use super::Term;
use super::l0_step::SAELENS_L0;
use crate::objective::batch::{BatchView, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, in_latex, mean, short, times};
use crate::objective::{Conversions, Dual, SAELENS, Theirs, TwinBatch};

/// Mean squared distance of each row's L0 from a target.
#[derive(Debug, Clone, Copy)]
pub struct L0Quadratic {
    /// Coefficient of the penalty.
    pub weight: Number,
    /// Target L0, latents of a row.
    pub target: f64,
}

/// Weight and target in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        SAELENS_L0,
        Theirs::new(SAELENS, "target_l0", "target_l0").needs(&[("penalty", &["quadratic"])]),
    ],
    notes: &[],
};

impl Term for L0Quadratic {
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let (l0, t) = (batch.l0(), self.target);
        let share = batch.schedule.sparsity * self.weight.value() / l0.len() as f64;
        let weights = l0.iter().map(|l0| (share * 4.0 / t * (l0 - t)) as f32);
        Prepared {
            penalty: l0.iter().map(|l0| share * 2.0 / t * (l0 - t).powi(2)).sum(),
            row_weights: weights.collect(),
            ..Prepared::default()
        }
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let l0 = batch.l0().into_iter();
        let off = l0.map(|l0| (l0 - Dual::from(self.target)).square());
        off.sum::<Dual>() * (2.0 / self.target / batch.n()) * self.weight.value()
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "l0_quadratic",
            numbers: vec![("weight", self.weight), ("target", self.target.into())],
            maths: times(
                &mean(self.weight),
                &format!("sum_i 2/{0} (L0_i - {0})^2", short(self.target)),
                &format!(
                    r"\sum_i \frac{{2}}{{{0}}} (\lVert f_i \rVert_0 - {0})^2",
                    in_latex(self.target)
                ),
            ),
            note: "l0, target_l0; L0_i: number of active latents of row i".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
