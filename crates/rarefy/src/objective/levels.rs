//! Nested levels: reconstructions from the first latents only.
//!
//! ```text
//! x_hat_l = sum over the first m_l latents of f_j w_dec_j + b_dec       m_1 < ... < m_L = d_sae
//! J       = sum_l c_l 1/m sum_i E(x_i, x_hat_il)
//! ```
//!
//! Source: Bussmann et al. 2025, arXiv:2503.17547. Without levels there is one, of all latents, with c = 1.

use super::conversions::{BATCHTOPK, ConversionNote, Conversions, DICTIONARY_LEARNING, SAELENS};
use super::errors::ReconstructionError;
use super::formula::{LossPart, Number, Sizes, TermFormula};

/// Level of the reconstruction loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// First latent that the level does not read.
    pub end: usize,
    /// Weight in the loss.
    pub weight: f64,
}

/// Levels as shares of all latents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Levels {
    /// End of each level but the last, as a share of all latents.
    pub shares: Vec<f64>,
    /// Weight of each level, one more than `shares`; empty for a single level of weight 1.
    pub weights: Vec<f64>,
    /// Shares as the options state them, for `explain`; empty for a single level.
    pub text: String,
}

/// Weights of the levels in other libraries.
const CONVERSIONS: Conversions = Conversions {
    coefficients: &[],
    notes: &[
        ConversionNote {
            conventions: SAELENS,
            text: "each level has weight 1 (`model.options.level_weights` of 1,1,...)",
        },
        ConversionNote {
            conventions: DICTIONARY_LEARNING,
            text: "weight of a level: its group_weight / number of levels",
        },
        ConversionNote {
            conventions: BATCHTOPK,
            text: "each level has weight 1 / (levels + 1), because the bias counts as a level",
        },
    ],
};

impl Levels {
    /// Conversions of several levels; `None` for one level.
    pub(super) fn conversions(&self) -> Option<&'static Conversions> {
        (self.count() > 1).then_some(&CONVERSIONS)
    }

    /// First latent after a share of `d_sae` latents.
    pub fn end(share: f64, d_sae: usize) -> usize {
        (share * d_sae as f64) as usize
    }

    /// Levels of `d_sae` latents.
    pub fn of(&self, d_sae: usize) -> Vec<Level> {
        let ends = self.shares.iter().map(|share| Self::end(*share, d_sae));
        let weights = if self.weights.is_empty() {
            &[1.0][..]
        } else {
            &self.weights
        };
        let levels = ends.chain([d_sae]).zip(weights);
        levels.map(|(end, &weight)| Level { end, weight }).collect()
    }

    /// Number of levels.
    pub fn count(&self) -> usize {
        self.shares.len() + 1
    }

    /// Mark behind `x_hat` for level `at`: empty for one level, its end, or its number while `d_sae` is open.
    pub(super) fn mark(&self, at: usize, sizes: &Sizes) -> (String, String) {
        match (self.count(), sizes.d_sae) {
            (1, _) => (String::new(), String::new()),
            (_, Some(d_sae)) => {
                let end = self.of(d_sae)[at].end;
                (format!("({end})"), format!("^{{({end})}}"))
            }
            (_, None) => {
                let level = at + 1;
                (
                    format!("(level {level})"),
                    format!(r"^{{(\text{{level {level}}})}}"),
                )
            }
        }
    }

    /// Formula of each level's reconstruction loss.
    pub(super) fn formulas(
        &self,
        error: &dyn ReconstructionError,
        sizes: &Sizes,
    ) -> Vec<TermFormula> {
        let levels = self.of(sizes.d_sae.unwrap_or(1 << 20));
        let formula = |(at, level): (usize, &Level)| {
            let end = sizes.d_sae.map_or(f64::NAN, |_| level.end as f64);
            let (mark, latex) = self.mark(at, sizes);
            let (x_hat, latex) = (format!("x_hat_i{mark}"), format!(r"\hat x_i{latex}"));
            TermFormula {
                name: error.name(),
                numbers: vec![
                    ("weight", Number::Known(level.weight)),
                    ("end", Number::Known(end)),
                ],
                maths: error.maths(level.weight, (&x_hat, &latex)),
                note: String::new(),
                part: LossPart::Reconstruction,
                warms_up: false,
            }
        };
        levels.iter().enumerate().map(formula).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(shares: &[f64], weights: &[f64]) -> Levels {
        Levels {
            shares: shares.into(),
            weights: weights.into(),
            text: String::new(),
        }
    }

    #[test]
    fn levels_end_at_their_shares_and_at_the_last_latent() {
        let of = levels(&[0.125, 0.5], &[1.0, 2.0, 4.0]).of(40);
        let ends: Vec<_> = of.iter().map(|level| (level.end, level.weight)).collect();
        assert_eq!(ends, [(5, 1.0), (20, 2.0), (40, 4.0)]);
        let single = Level {
            end: 40,
            weight: 1.0,
        };
        assert_eq!(Levels::default().of(40), [single]);
    }

    #[test]
    fn only_several_levels_are_marked_and_converted() {
        let (one, two) = (Levels::default(), levels(&[0.25], &[1.0, 1.0]));
        assert_eq!((one.count(), two.count()), (1, 2));
        assert!(one.conversions().is_none() && two.conversions().is_some());
        let known = Sizes { d_sae: Some(8) };
        let open = Sizes { d_sae: None };
        let mark = |levels: &Levels, at, sizes: &Sizes| levels.mark(at, sizes).0;
        assert_eq!(mark(&one, 0, &known), "");
        assert_eq!(mark(&two, 0, &known), "(2)");
        assert_eq!(mark(&two, 1, &open), "(level 2)");
        assert_eq!(two.mark(0, &known).1, "^{(2)}");
    }
}
