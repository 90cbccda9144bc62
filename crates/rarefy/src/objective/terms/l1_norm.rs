//! L1 penalty and its relatives: a norm of each row's values times their decoder rows' lengths.
//!
//! ```text
//! u_j     = f_j |w_dec_j|
//! penalty = weight/m sum_i (sum_j u_ij^p)^(1/p)        or, without the root, weight/m sum_i sum_j u_ij^p
//! ```
//!
//! With p = 1 both are the L1 norm. Where decoder rows are kept at length 1, u is f; where they are free, the
//! lengths keep a model from making f small and the decoder large.
//!
//! Source: Conerly et al. 2024, *Update on how we train SAEs*; Karvonen et al. 2024, arXiv:2408.00113 (p below 1).

use super::{LENGTH_ONE, Term};
use crate::objective::batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared};
use crate::objective::formula::{LossPart, Number, TermFormula, in_latex, mean, short, times};
use crate::objective::{
    APRIL, BATCHTOPK, ConversionNote, Conversions, DICTIONARY_LEARNING, Dual, SAELENS, Theirs,
    TwinBatch, TwinEntry,
};

/// Norm of each row's values times their decoder rows' lengths.
#[derive(Debug, Clone, Copy)]
pub struct L1Norm {
    /// Coefficient of the penalty.
    pub weight: Number,
    /// Power p of the norm.
    pub p: f64,
    /// True for the p-th root of a row's sum (a norm), false for the sum itself.
    pub root: bool,
}

impl L1Norm {
    /// Power of this step.
    fn p(&self, batch: &BatchView) -> f64 {
        batch.schedule.p.map_or(self.p, |[p, _]| p)
    }

    /// `S^(1/p)` and its derivative by S times p for row `row`; without the root, S and p.
    fn of_row(&self, batch: &BatchView, row: usize, p: f64) -> (f64, f64) {
        let (indices, values) = batch.row(row);
        let sum: f64 = indices
            .iter()
            .zip(values)
            .map(|(&j, &f)| (f64::from(f) * f64::from(batch.decoder_norms[j as usize])).powf(p))
            .sum();
        match self.root {
            true if sum > 0.0 => (sum.powf(1.0 / p), sum.powf(1.0 / p - 1.0)),
            true => (0.0, 0.0),
            false => (sum, p),
        }
    }
}

const ROOT: &[(&str, &[&str])] = &[("p_root", &["true"])];
const L1: &[(&str, &[&str])] = &[("p", &["1"])];

/// Weight and power in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(SAELENS, "l1", "l1_coefficient").needs(ROOT),
        Theirs::new(SAELENS, "p", "lp_norm").needs(ROOT),
        Theirs::new(DICTIONARY_LEARNING, "l1", "l1_penalty").needs(L1),
        Theirs::new(BATCHTOPK, "l1", "l1_coeff").needs(L1),
        Theirs::new(APRIL, "l1", "lambda")
            .needs(L1)
            .with(&[("decoder_norm", "free")])
            .published(5.0),
    ],
    notes: &[ConversionNote {
        conventions: DICTIONARY_LEARNING,
        text: LENGTH_ONE,
    }],
};

impl Term for L1Norm {
    /// Penalty, and for each row `weight/m dS^(1/p)/dS p`: the derivative by u without its factor `u^(p-1)`.
    fn prepare(&self, batch: &BatchView) -> Prepared {
        let share = batch.schedule.sparsity * self.weight.value() / batch.n as f64;
        let mut prepared = Prepared::default();
        for row in 0..batch.n {
            let (norm, weight) = self.of_row(batch, row, self.p(batch));
            prepared.penalty += share * norm;
            prepared.row_weights.push((share * weight) as f32);
            if let Some([_, next]) = batch.schedule.p {
                prepared.norms[0] += norm / batch.n as f64;
                prepared.norms[1] += self.of_row(batch, row, next).0 / batch.n as f64;
            }
        }
        prepared
    }

    fn entries(
        &self,
        batch: &BatchView,
        prepared: &Prepared,
        entries: &Entries,
        derivatives: &mut EntryDerivatives,
        sums: &mut LatentSums,
    ) {
        let norm = f64::from(batch.decoder_norms[entries.latent]);
        let pairs = entries.values.iter().zip(entries.rows);
        for (d, (&f, &row)) in derivatives.d_value.iter_mut().zip(pairs) {
            let f = f64::from(f);
            let d_u = f64::from(prepared.row_weights[row as usize])
                * (f * norm).powf(self.p(batch) - 1.0);
            *d += d_u * norm;
            sums.d_norm += d_u * f;
        }
    }

    fn wants_decoder_norms(&self) -> bool {
        true
    }

    fn annealed_p(&self) -> Option<f64> {
        Some(self.p)
    }

    fn conversions(&self) -> &'static Conversions {
        &CONVERSIONS
    }

    fn twin(&self, batch: &TwinBatch) -> Dual {
        let of_row = |row: &Vec<TwinEntry>| {
            let powers = row.iter().map(|entry| {
                let u = entry.value * batch.decoder_norms[entry.latent];
                u.powf(self.p)
            });
            let sum: Dual = powers.sum();
            if self.root && sum.value > 0.0 {
                sum.powf(1.0 / self.p)
            } else {
                sum
            }
        };
        let all: Dual = batch.rows.iter().map(of_row).sum();
        all * (self.weight.value() / batch.n())
    }

    fn formula(&self) -> TermFormula {
        let u = r"(f_{ij} \lVert w_j \rVert)";
        let (power, latex) = (short(self.p), in_latex(self.p));
        let weight = mean(self.weight);
        let maths = match (self.p == 1.0, self.root) {
            (true, _) => times(
                &weight,
                "sum_i sum_j f_ij |w_j|",
                r"\sum_i \sum_j f_{ij} \lVert w_j \rVert",
            ),
            (false, true) => times(
                &weight,
                &format!("sum_i (sum_j (f_ij |w_j|)^{power})^(1/{power})"),
                &format!(r"\sum_i \bigl(\sum_j {u}^{{{latex}}}\bigr)^{{1/{latex}}}"),
            ),
            (false, false) => times(
                &weight,
                &format!("sum_i sum_j (f_ij |w_j|)^{power}"),
                &format!(r"\sum_i \sum_j {u}^{{{latex}}}"),
            ),
        };
        TermFormula {
            name: "l1_norm",
            numbers: vec![
                ("weight", self.weight),
                ("p", self.p.into()),
                ("root", f64::from(u8::from(self.root)).into()),
            ],
            maths,
            note: "l1".into(),
            part: LossPart::Penalty,
            warms_up: true,
        }
    }
}
