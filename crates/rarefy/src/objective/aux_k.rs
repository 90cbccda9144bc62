//! `AuxK`: the loss by which dead latents learn to explain the residual.
//!
//! ```text
//! AuxK = coefficient sum_i |r_i - W_dec^T a_i|^2 / unit        r = x - x_hat, a constant
//! ```
//!
//! `a_i` holds the `k` largest pre-activations of row i among latents that no row has used for `dead_after` rows.
//! Source: Gao et al. 2024, arXiv:2406.04093, appendix A.2; `SAELens` 6.54 (`AuxUnit::Absolute`).

use super::conversions::{
    BATCHTOPK, ConversionNote, Conversions, DICTIONARY_LEARNING, OPENAI, RESCALED, SAELENS,
    SPARSIFY, Theirs,
};
use super::formula::{LossPart, Maths, Number, Sizes, TermFormula, in_latex, short};
use super::levels::Levels;

/// Auxiliary loss of dead latents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AuxK {
    /// Dead latents that a row may use; half of `d_in` while open.
    pub k: Number,
    /// Weight of the loss; 0 for none.
    pub coefficient: f64,
    /// Rows without firing after which a latent is dead.
    pub dead_after: Number,
    /// Unit of the squared error.
    pub unit: AuxUnit,
    /// Order by which a row chooses dead latents.
    pub rank: Rank,
    /// True if the dead latents of each level explain the residual of that level.
    pub by_level: bool,
}

/// Unit of the auxiliary loss's squared error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuxUnit {
    /// Variance of the residual, summed over outputs and rows (Gao et al. 2024).
    Residual,
    /// Sum over outputs, mean over rows, times `min(1, dead / k)` (`SAELens`).
    Absolute,
}

/// Order by which a row chooses dead latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Largest positive pre-activations.
    Positive,
    /// Largest pre-activations of any sign (`SAELens`).
    Signed,
    /// Largest absolute pre-activations.
    Magnitude,
}

/// Unit of the loss under which the coefficient has the meaning of another library.
type Unit = &'static [(&'static str, &'static [&'static str])];

const ABSOLUTE: Unit = &[("aux_unit", &["absolute"])];
const RESIDUAL: Unit = &[("aux_unit", &["residual"])];

const fn only(coefficients: &'static [Theirs]) -> Conversions {
    Conversions {
        coefficients,
        notes: &[],
    }
}

/// Coefficient of the loss in other libraries.
const CONVERSIONS: &[Conversions] = &[
    only(&[
        Theirs::new(SAELENS, "aux_coefficient", "aux_loss_coefficient")
            .needs(ABSOLUTE)
            .with(RESCALED),
    ]),
    only(&[Theirs::new(DICTIONARY_LEARNING, "aux_coefficient", "auxk_alpha").needs(RESIDUAL)]),
    only(&[Theirs::new(SPARSIFY, "aux_coefficient", "auxk_alpha").needs(ABSOLUTE)]),
    only(&[Theirs::new(OPENAI, "aux_coefficient", "auxk_coef")
        .needs(RESIDUAL)
        .published(1.0 / 32.0)]),
    Conversions {
        coefficients: &[Theirs::new(BATCHTOPK, "aux_coefficient", "aux_penalty").needs(ABSOLUTE)],
        notes: &[ConversionNote {
            conventions: BATCHTOPK,
            text: "AuxK has a gradient through the residual too, and its weight does not shrink when few latents are dead",
        }],
    },
];

/// Usual number of rows without activity after which a latent counts as dead.
const DEAD_AFTER_ROWS: u64 = 10_000_000;

impl Default for AuxK {
    fn default() -> Self {
        Self {
            k: Number::Open("aux_k"),
            coefficient: 0.0,
            dead_after: Number::Open("dead_after"),
            unit: AuxUnit::Residual,
            rank: Rank::Positive,
            by_level: false,
        }
    }
}

impl AuxK {
    /// Dead latents that a row of `d_in` inputs may use.
    pub fn most(&self, d_in: usize) -> usize {
        self.k.known().map_or(d_in / 2, |k| k as usize).max(1)
    }

    /// Rows without firing after which a latent is dead.
    pub fn dead_after(&self) -> u64 {
        let known = self.dead_after.known();
        known.map_or(DEAD_AFTER_ROWS, |rows| rows as u64)
    }

    /// Conversions of the loss to the conventions that have a selection with these conversions.
    pub(super) fn conversions_of(
        selection: &Conversions,
    ) -> impl Iterator<Item = &'static Conversions> {
        CONVERSIONS.iter().filter(|loss| {
            let mut selections = selection.coefficients.iter();
            selections.any(|k| k.conventions == loss.coefficients[0].conventions)
        })
    }

    /// Formulas of the loss: one, or one for each level.
    pub(super) fn formulas(&self, levels: &Levels, sizes: &Sizes) -> Vec<TermFormula> {
        if self.coefficient == 0.0 {
            return Vec::new();
        }
        let Some(d_sae) = sizes.d_sae.filter(|_| self.by_level) else {
            return vec![self.formula(None)];
        };
        let mut start = 0;
        let formula = |level: super::Level| {
            let formula = self.formula(Some((start, level.end)));
            start = level.end;
            formula
        };
        levels.of(d_sae).into_iter().map(formula).collect()
    }

    fn formula(&self, level: Option<(usize, usize)>) -> TermFormula {
        let mut numbers = vec![
            ("coefficient", self.coefficient.into()),
            ("k", self.k),
            ("dead_after", self.dead_after),
        ];
        if let Some((start, end)) = level {
            numbers.push(("start", (start as f64).into()));
            numbers.push(("end", (end as f64).into()));
        }
        TermFormula {
            name: "aux_k",
            numbers,
            maths: self.maths(level.map(|(_, end)| end)),
            note: "aux_coefficient".into(),
            part: LossPart::Auxiliary,
            warms_up: false,
        }
    }

    fn maths(&self, end: Option<usize>) -> Maths {
        let (text, latex) = end.map_or((String::new(), String::new()), |end| {
            (format!("({end})"), format!("^{{({end})}}"))
        });
        let error = (
            format!("sum_i |r_i{text} - W_dec^T a_i{text}|^2"),
            format!(r"\sum_i \lVert r_i{latex} - W_\mathrm{{dec}}^\top a_i{latex} \rVert^2"),
        );
        let coefficient = self.coefficient;
        match self.unit {
            AuxUnit::Residual => Maths::new(
                format!(
                    "{} {} / sum_i |r_i{text} - mean r{text}|^2",
                    short(coefficient),
                    error.0
                ),
                format!(
                    r"{} \frac{{{}}}{{\sum_i \lVert r_i{latex} - \bar r{latex} \rVert^2}}",
                    in_latex(coefficient),
                    error.1
                ),
            ),
            AuxUnit::Absolute => {
                let k: Maths = self.k.into();
                Maths::new(
                    format!(
                        "{}/m min(1, dead/{}) {}",
                        short(coefficient),
                        k.text,
                        error.0
                    ),
                    format!(
                        r"\frac{{{}}}{{m}} \min\bigl(1, \tfrac{{\text{{dead}}}}{{{}}}\bigr) {}",
                        in_latex(coefficient),
                        k.latex,
                        error.1
                    ),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_k_is_half_the_inputs_and_at_least_one() {
        let open = AuxK::default();
        assert_eq!((open.most(16), open.most(1)), (8, 1));
        let known = AuxK {
            k: Number::Known(5.0),
            dead_after: Number::Known(300.0),
            ..open
        };
        assert_eq!((known.most(16), known.dead_after()), (5, 300));
        assert_eq!(open.dead_after(), 10_000_000);
    }

    #[test]
    fn formula_states_unit_and_level() {
        let levels = Levels {
            shares: vec![0.25],
            weights: vec![1.0, 1.0],
            text: String::new(),
        };
        let sizes = Sizes { d_sae: Some(8) };
        let residual = AuxK {
            k: Number::Known(4.0),
            coefficient: 0.5,
            ..AuxK::default()
        };
        let texts = |loss: AuxK| -> Vec<String> {
            let formulas = loss.formulas(&levels, &sizes).into_iter();
            formulas.map(|formula| formula.maths.text).collect()
        };
        assert_eq!(
            texts(residual),
            ["0.5 sum_i |r_i - W_dec^T a_i|^2 / sum_i |r_i - mean r|^2"]
        );
        let by_level = AuxK {
            by_level: true,
            unit: AuxUnit::Absolute,
            ..residual
        };
        assert_eq!(
            texts(by_level),
            [
                "0.5/m min(1, dead/4) sum_i |r_i(2) - W_dec^T a_i(2)|^2",
                "0.5/m min(1, dead/4) sum_i |r_i(8) - W_dec^T a_i(8)|^2"
            ]
        );
        let ends = |formula: &TermFormula| (formula.number("start"), formula.number("end"));
        let formulas = by_level.formulas(&levels, &sizes);
        assert_eq!(ends(&formulas[1]), (Some(2.0), Some(8.0)));
        let none = AuxK {
            coefficient: 0.0,
            ..residual
        };
        assert!(texts(none).is_empty());
    }
}
