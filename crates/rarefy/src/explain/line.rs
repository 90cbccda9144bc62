//! Line of a printed formula.

use serde::Serialize;

use crate::objective::Maths;

/// Line of a formula: `left = right`, or a further term of the previous line if `left` is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// Symbol on the left of the equals sign.
    pub left: Maths,
    /// Formula on the right of the equals sign.
    pub right: Maths,
    /// Remark in words: options and ranges of the formula.
    pub note: String,
}

impl Line {
    /// Line from both sides and a remark.
    pub(super) fn new(left: Maths, right: Maths, note: impl Into<String>) -> Self {
        let note = note.into();
        Self { left, right, note }
    }

    /// Renames the reconstructed x to y; x stays where `W_enc` and `W_skip` read the input.
    pub(super) fn of_target(&mut self, skip: bool) {
        let renamed = |text: &str| {
            let kept = [("W_enc x_i", "W_enc X_i"), ("W_skip x_i", "W_skip X_i")];
            let kept_latex = [
                (r"W_\mathrm{enc} x_i", r"W_\mathrm{enc} X_i"),
                (r"W_\mathrm{skip} x_i", r"W_\mathrm{skip} X_i"),
            ];
            let mut text = text.to_owned();
            if skip {
                // The gate's reconstruction includes the skip.
                text = text.replace("b_dec)|^2", "b_dec + W_skip x_i)|^2").replace(
                    r"b_\mathrm{dec}) \rVert",
                    r"b_\mathrm{dec} + W_\mathrm{skip} x_i) \rVert",
                );
            }
            for (from, to) in kept.iter().chain(&kept_latex) {
                text = text.replace(from, to);
            }
            let written = [
                ("x_hat", "y_hat"),
                (r"\hat x", r"\hat y"),
                ("x_i", "y_i"),
                ("X_i", "x_i"),
            ];
            for (from, to) in written {
                text = text.replace(from, to);
            }
            text
        };
        for maths in [&mut self.left, &mut self.right] {
            *maths = Maths::new(renamed(&maths.text), renamed(&maths.latex));
        }
        self.note = self.note.replace("inputs, mean", "outputs, mean");
    }
}
