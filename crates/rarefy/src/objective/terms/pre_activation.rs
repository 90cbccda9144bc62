//! Pre-activation loss: a cost for dead latents below their thresholds.
//!
//! ```text
//! penalty = weight/m sum over dead j, i: max(0, theta_j - pre_ij) |w_dec_j|
//! ```
//!
//! Source: Anthropic, *Dictionary learning optimization techniques*, January 2025; `SAELens` 6.54 (dead latents).

use super::Term;
use crate::objective::batch::{BatchView, Entries, LatentSums};
use crate::objective::formula::{LossPart, TermFormula, mean, times};
use crate::objective::{Conversions, Dual, JANUARY, SAELENS, Theirs, TwinBatch};

/// Distance of dead latents' pre-activations below their thresholds, block `threshold`.
#[derive(Debug, Clone, Copy)]
pub struct PreActivation {
    /// Coefficient of the penalty.
    pub weight: f64,
}

/// Weight in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(SAELENS, "pre_act", "pre_act_loss_coefficient"),
        Theirs::new(JANUARY, "pre_act", "lambda_P").published(3e-6),
    ],
    notes: &[],
};

impl Term for PreActivation {
    /// All rows count, and an entry above its threshold does not, so sums over the batch and over the latent's
    /// entries are enough.
    fn pre_activations(
        &self,
        batch: &BatchView,
        entries: &Entries,
        d_pre: &mut [f32],
        sums: &mut LatentSums,
    ) {
        if !entries.dead {
            return;
        }
        let (j, n) = (entries.latent, batch.n as f64);
        let d_in = entries.row_sum.len();
        let theta = f64::from(batch.params.get("threshold")[j]);
        let bias = f64::from(batch.params.get("b_enc")[j]);
        let w_enc = &batch.params.get("w_enc")[j * d_in..(j + 1) * d_in];
        let pairs = w_enc.iter().zip(entries.row_sum);
        let along: f64 = pairs.map(|(w, x)| f64::from(*w) * x).sum();
        let share = self.weight / n;
        let slope = share * f64::from(batch.decoder_norms[j]);
        let (mut below, mut missing) = (n, n * (theta - bias) - along);
        for (d, &pre) in d_pre.iter_mut().zip(entries.pre) {
            let pre = f64::from(pre);
            if pre > theta {
                *d += slope as f32;
                below -= 1.0;
                missing -= theta - pre;
            }
        }
        sums.penalty += slope * missing;
        sums.d_norm += share * missing;
        sums.d_per_latent[0] += slope * below;
        sums.d_every_row -= slope;
    }

    fn wants_decoder_norms(&self) -> bool {
        true
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let mut below = Dual::default();
        for row in &batch.pre {
            for j in (0..row.len()).filter(|&j| batch.dead[j]) {
                below += (batch.per_latent[j][0] - row[j]).relu() * batch.decoder_norms[j];
            }
        }
        below * (self.weight / batch.n())
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "pre_activation",
            numbers: vec![("weight", self.weight.into())],
            maths: times(
                &mean(self.weight),
                "sum_i sum_(j dead) max(0, theta_j - pre_ij) |w_j|",
                r"\sum_i \sum_{j \text{ dead}} \max(0, \theta_j - p_{ij}) \lVert w_j \rVert",
            ),
            note: "pre_act".into(),
            part: LossPart::Penalty,
            warms_up: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::objective::StepSchedule;
    use crate::params::{Layout, Params};

    /// Case that `SAELens`'s own test of the pre-activation loss pins: 1.3.
    #[test]
    fn pre_activation_loss_equals_saelens_hand_worked_case() {
        let (theta, norms) = ([1.0, 2.0, 1.5, 0.5], [2.0, 1.0, 1.5, 3.0]);
        let pre = [[0.5, 1.5, 1.0, 0.8], [0.8, 2.5, 1.2, 0.2]];
        // Two rows that are unit vectors: w_enc holds the pre-activations.
        let mut params = Params::zeros(&Layout::new(&[
            ("w_enc", 4, 2),
            ("b_enc", 1, 4),
            ("threshold", 1, 4),
        ]));
        let rows = params.get_mut("w_enc").chunks_exact_mut(2);
        for (w, (first, second)) in rows.zip(pre[0].iter().zip(&pre[1])) {
            w.copy_from_slice(&[*first, *second]);
        }
        params.get_mut("threshold").copy_from_slice(&theta);
        let batch = BatchView {
            schedule: StepSchedule::default(),
            n: 2,
            codes: &Codes::new(4),
            pre: &[],
            params: &params,
            decoder_norms: &norms,
        };
        let mut sums = LatentSums::default();
        for (latent, dead) in [(0, true), (1, false), (2, true)] {
            let entries = Entries {
                latent,
                rows: &[],
                pre: &[],
                values: &[],
                d_pre_reconstruction: &[],
                dead,
                row_sum: &[1.0, 1.0],
            };
            PreActivation { weight: 1.0 }.pre_activations(&batch, &entries, &mut [], &mut sums);
        }
        assert!((sums.penalty - 1.3).abs() < 1e-6, "{}", sums.penalty);
    }
}
