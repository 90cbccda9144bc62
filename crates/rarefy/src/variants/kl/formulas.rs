//! Formulas of the lecture's objective.

use rarefy_kernels::decoder::Output;

use super::{Kl, KlDecoder};
use crate::objective::{
    Conversions, LossPart, MATLAB, Maths, NG, TermFormula, Theirs, in_latex, mean, short, times,
};

/// Coefficients in other libraries.
pub(super) const CONVERSIONS: Conversions = Conversions {
    coefficients: &[
        Theirs::new(NG, "beta", "beta"),
        Theirs::new(NG, "weight_decay", "lambda"),
        Theirs::new(NG, "rho", "rho"),
        Theirs::new(MATLAB, "beta", "SparsityRegularization"),
        Theirs::new(MATLAB, "weight_decay", "L2WeightRegularization"),
        Theirs::new(MATLAB, "rho", "SparsityProportion"),
    ],
    notes: &[],
};

impl Kl {
    /// Formulas of reconstruction, KL penalty and weight decay.
    pub(super) fn terms(&self) -> Vec<TermFormula> {
        let mut terms = vec![self.reconstruction_formula(), self.kl_formula()];
        if self.weight_decay > 0.0 {
            terms.push(self.decay_formula());
        }
        terms
    }

    /// Lines of latents and reconstruction of a row.
    pub(super) fn row_lines(&self, sizes: &str) -> Vec<(Maths, Maths, String)> {
        let (w, w_latex) = if self.tied {
            ("W_enc", r"W_\mathrm{enc}")
        } else {
            ("W_dec", r"W_\mathrm{dec}")
        };
        let (text, latex) = (
            format!("{w}^T h_i + b_dec"),
            format!(r"{w_latex}^\top h_i + b_\mathrm{{dec}}"),
        );
        let (right, note) = match self.decoder {
            KlDecoder::Linear => (Maths::new(text, latex), ""),
            KlDecoder::Auto => (
                Maths::new(text, latex),
                "decoder auto: for data in [0, 1], sigma of this sum",
            ),
            KlDecoder::Sigmoid => (
                Maths::new(format!("sigma({text})"), format!(r"\sigma({latex})")),
                "",
            ),
        };
        let latents = Maths::new(
            "sigma(W_enc x_i + b_enc)",
            r"\sigma(W_\mathrm{enc} x_i + b_\mathrm{enc})",
        );
        vec![
            (Maths::new("h_i", "h_i"), latents, sizes.into()),
            (Maths::new("x_hat_i", r"\hat x_i"), right, note.into()),
        ]
    }

    fn reconstruction_formula(&self) -> TermFormula {
        let (name, text, latex) = match self.output {
            Output::SigmoidCrossEntropy => (
                "cross_entropy",
                "sum_i sum_d (-x_id ln x_hat_id - (1 - x_id) ln(1 - x_hat_id))",
                r"\sum_i \sum_d \bigl(-x_{id} \ln \hat x_{id} - (1 - x_{id}) \ln(1 - \hat x_{id})\bigr)",
            ),
            _ => (
                "half_squares",
                "sum_i 1/2 |x_i - x_hat_i|^2",
                r"\sum_i \tfrac{1}{2} \lVert x_i - \hat x_i \rVert^2",
            ),
        };
        TermFormula {
            name,
            numbers: Vec::new(),
            maths: times(&mean(1.0), text, latex),
            note: String::new(),
            part: LossPart::Reconstruction,
            warms_up: false,
        }
    }

    fn kl_formula(&self) -> TermFormula {
        let (beta, rho) = (self.beta, self.rho);
        TermFormula {
            name: "kl",
            numbers: vec![("beta", beta.into()), ("rho", rho.into())],
            maths: times(
                &beta.into(),
                &format!("sum_l KL({} || rho_hat_l)", short(rho)),
                &format!(
                    r"\sum_l \mathrm{{KL}}({} \,\Vert\, \hat\rho_l)",
                    in_latex(rho)
                ),
            ),
            note: "beta, rho; rho_hat_l: mean of h_il over rows".into(),
            part: LossPart::Penalty,
            warms_up: false,
        }
    }

    fn decay_formula(&self) -> TermFormula {
        let weight = self.weight_decay;
        let half = Maths::new(
            format!("{}/2", short(weight)),
            format!("\\frac{{{}}}{{2}}", in_latex(weight)),
        );
        let (text, latex) = if self.tied {
            ("|W_enc|^2", r"\lVert W_\mathrm{enc} \rVert^2")
        } else {
            (
                "(|W_enc|^2 + |W_dec|^2)",
                r"(\lVert W_\mathrm{enc} \rVert^2 + \lVert W_\mathrm{dec} \rVert^2)",
            )
        };
        let matrices = if self.tied { 1.0 } else { 2.0 };
        TermFormula {
            name: "weight_decay",
            numbers: vec![("weight", weight.into()), ("matrices", matrices.into())],
            maths: times(&half, text, latex),
            note: "weight_decay; biases are never decayed".into(),
            part: LossPart::WeightDecay,
            warms_up: false,
        }
    }
}
