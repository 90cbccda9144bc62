//! Soft count of active latents.
//!
//! ```text
//! penalty = weight/m sum_ij tanh(c f_ij |w_dec_j|)
//! ```
//!
//! Source: Anthropic, *Dictionary learning optimization techniques*, January 2025.

use super::Term;
use super::l0_step::{SAELENS_L0, equal_weights};
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, in_latex, mean, short, times};
use crate::objective::{Conversions, Dual, JANUARY, SAELENS, Theirs, TwinBatch};

/// Sum of `tanh` of values times their decoder rows' lengths.
#[derive(Debug, Clone, Copy)]
pub struct TanhL0 {
    /// Coefficient of the penalty.
    pub weight: Number,
    /// Steepness c.
    pub scale: f64,
}

const TANH: &[(&str, &[&str])] = &[("penalty", &["tanh"])];

/// Weight and steepness in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        SAELENS_L0,
        Theirs::new(SAELENS, "tanh_scale", "jumprelu_tanh_scale").needs(TANH),
        Theirs::new(JANUARY, "l0", "lambda_S")
            .needs(TANH)
            .with(&[("ste_to_input", "true")]),
        Theirs::new(JANUARY, "tanh_scale", "c")
            .needs(TANH)
            .published(4.0),
    ],
    notes: &[],
};

impl Term for TanhL0 {
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let rows = batch.codes.rows();
        let share = batch.schedule.sparsity * self.weight.value() / rows as f64;
        equal_weights(0.0, share, rows)
    }

    fn entries(
        &self,
        batch: &BatchView,
        prepared: &Prepared,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let (c, norm) = (self.scale, f64::from(batch.decoder_norms[entries.latent]));
        let pairs = entries.values.iter().zip(entries.rows);
        for (d, (&f, &row)) in derivatives.d_value.iter_mut().zip(pairs) {
            let (f, weight) = (f64::from(f), f64::from(prepared.row_weights[row as usize]));
            let soft = (c * f * norm).tanh();
            let slope = weight * c * (1.0 - soft * soft);
            sums.penalty += weight * soft;
            *d += slope * norm;
            sums.d_norm += slope * f;
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
        let soft = entries.map(|e| (e.value * batch.decoder_norms[e.latent] * self.scale).tanh());
        soft.sum::<Dual>() * (1.0 / batch.n()) * self.weight.value()
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "tanh_l0",
            numbers: vec![("weight", self.weight), ("scale", self.scale.into())],
            maths: times(
                &mean(self.weight),
                &format!("sum_i sum_j tanh({} f_ij |w_j|)", short(self.scale)),
                &format!(
                    r"\sum_i \sum_j \tanh({} f_{{ij}} \lVert w_j \rVert)",
                    in_latex(self.scale)
                ),
            ),
            note: "l0, tanh_scale".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
