//! Frequency penalty: a cost for latents that are active on many rows.
//!
//! ```text
//! p_j     = share of the batch's rows on which latent j is on
//! penalty = weight sum_j p_j^2 / scale
//! ```
//!
//! Gemma Scope 2 adds such a penalty to the quadratic penalty on L0 (`penalty = quadratic`) so that no latent becomes
//! dense. Its report gives no formula. This is the second term of the penalty of its earlier work,
//! `sum_j p_j (1 + p_j / scale)`, whose first term is the plain L0 penalty: at `p_j = scale` it costs as much as
//! that. The frequency is measured on one batch, and its gradient is complete.
//!
//! Source: Google `DeepMind`, *Gemma Scope 2*, section 2.3; *Negative results for sparse autoencoders on downstream
//! tasks* (2025), "Removing high frequency latents". Default scale: `OpenMOSS`'s documentation.

use crate::objective::formula::{LossPart, TermFormula, in_latex, short, times};
use crate::objective::{
    AddOn, BatchView, Dual, Entries, EntryDerivatives, LatentSums, Prepared, Term, TwinBatch,
};
use crate::options::{Kind, OptionSet, Unit, option_set};

/// Table line of the add-on.
pub const ADD_ON: AddOn = AddOn {
    name: "frequency",
    summary: "Penalty on the squared firing frequency of each latent",
    source: "Google DeepMind 2025, Gemma Scope 2",
    options: FrequencyOptions::TABLE,
    checks: &[
        &[("frequency", "0.2")],
        &[("frequency", "0.3"), ("frequency_scale", "0.02")],
    ],
    applies: |objective| objective.activation().has_step_derivative(),
    add: |options, objective| {
        let options = FrequencyOptions::read(options);
        let weight = options.frequency;
        if weight == 0.0 {
            return objective;
        }
        objective.with_term(Frequency {
            weight,
            scale: options.frequency_scale,
        })
    },
};

option_set! {
    /// Options of the frequency penalty.
    pub struct FrequencyOptions {
        /// Weight of the penalty on latents that fire on many rows; 0: none
        frequency: f64 = "0", Kind::AtLeast(0.0), Unit::weight_of_count;
        /// Share of rows at which the frequency penalty of a latent costs as much as a plain L0 penalty
        frequency_scale: f64 = "0.1", Kind::Open(0.0, f64::INFINITY);
    }
}

/// Sum of the squared firing frequencies over a scale.
#[derive(Debug, Clone, Copy)]
struct Frequency {
    weight: f64,
    scale: f64,
}

impl Term for Frequency {
    fn entries(
        &self,
        batch: &BatchView,
        _: &Prepared,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let n = batch.n as f64;
        let fired = entries.values.iter().filter(|value| **value != 0.0);
        let p = fired.count() as f64 / n;
        let weight = batch.schedule.sparsity * self.weight / self.scale;
        sums.penalty += weight * p * p;
        let slope = 2.0 * weight * p / n;
        derivatives.d_step.iter_mut().for_each(|d| *d += slope);
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let mut fired = vec![Dual::default(); batch.decoder_norms.len()];
        for entry in batch.rows.iter().flatten() {
            fired[entry.latent] += entry.step;
        }
        let squares = fired.into_iter().map(|f| (f * (1.0 / batch.n())).square());
        squares.sum::<Dual>() * (self.weight / self.scale)
    }

    fn formula(&self) -> TermFormula {
        TermFormula {
            name: "frequency",
            numbers: vec![("weight", self.weight.into()), ("scale", self.scale.into())],
            maths: times(
                &self.weight.into(),
                &format!("sum_j p_j^2 / {}", short(self.scale)),
                &format!(r"\sum_j p_j^2 / {}", in_latex(self.scale)),
            ),
            note: "frequency, frequency_scale; p_j: share of rows on which latent j is on".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
