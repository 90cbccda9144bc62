//! The objective as mathematics: lines of plain text, and of LaTeX.

use serde::Serialize;

use super::latents;
use super::objective::{Setting, terms};
use crate::objective::{Maths, TermFormula, short};

/// One line: `left = right`, or another term of the line before where nothing stands on the left.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// What is defined.
    pub left: Maths,
    /// What it is.
    pub right: Maths,
    /// In words: which option, over what.
    pub note: String,
}

impl Line {
    pub(super) fn new(left: Maths, right: Maths, note: impl Into<String>) -> Self {
        let note = note.into();
        Self { left, right, note }
    }

    /// Calls y what is written: every x but those that `W_enc` and `W_skip` read.
    fn of_target(&mut self, skip: bool) {
        let renamed = |text: &str| {
            let kept = [("W_enc x_i", "W_enc X_i"), ("W_skip x_i", "W_skip X_i")];
            let kept_latex = [
                (r"W_\mathrm{enc} x_i", r"W_\mathrm{enc} X_i"),
                (r"W_\mathrm{skip} x_i", r"W_\mathrm{skip} X_i"),
            ];
            let mut text = text.to_owned();
            if skip {
                // The gate's own reading has the skip too.
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

/// All lines of a run's objective: what the symbols are, then J.
pub fn lines(setting: &Setting) -> Vec<Line> {
    let mut lines = latents::lines(setting);
    for (at, term) in terms(setting).iter().enumerate() {
        let mut right = term.maths.clone();
        let left = if at == 0 {
            Maths::new("J", "J")
        } else {
            right = Maths::new(format!("+ {}", right.text), format!("+ {}", right.latex));
            Maths::default()
        };
        lines.push(Line::new(left, right, note(term, at == 0, setting)));
    }
    if setting.io.has_target() {
        let skip = setting.io.skip;
        lines.iter_mut().for_each(|line| line.of_target(skip));
    }
    lines
}

/// The lines as a block of text, equals signs below one another.
pub fn text(lines: &[Line]) -> String {
    let wide = lines.iter().map(|line| line.left.text.len()).max();
    let (left, right) = (wide.unwrap_or(0), 66);
    let mut out = String::new();
    for line in lines {
        let sign = if line.left.text.is_empty() { ' ' } else { '=' };
        let formula = format!("{:left$} {sign} {}", line.left.text, line.right.text);
        let column = left + 3 + right;
        let note = match (line.note.as_str(), formula.len() < column) {
            ("", _) => String::new(),
            (note, true) => format!("{:1$}  {note}", "", column - formula.len()),
            (note, false) => format!("\n{:1$}  {note}", "", column),
        };
        out.extend([&formula, &note, "\n"]);
    }
    out
}

/// The lines as an `align*` environment, the words behind each as a comment.
pub fn latex(lines: &[Line]) -> String {
    let mut out = String::from("\\begin{align*}\n");
    for (at, line) in lines.iter().enumerate() {
        let sign = if line.left.latex.is_empty() {
            "\\quad "
        } else {
            "= "
        };
        let end = if at + 1 == lines.len() { "" } else { " \\\\" };
        let note = match line.note.as_str() {
            "" => String::new(),
            note => format!(" % {note}"),
        };
        let Line { left, right, .. } = line;
        out.extend([&left.latex, " &", sign, &right.latex, end, &note, "\n"]);
    }
    out + "\\end{align*}\n"
}

/// Remark of a term: its own, the sizes for the first term, and the schedules that change it.
fn note(term: &TermFormula, first: bool, setting: &Setting) -> String {
    let mut note = if first {
        let inputs = setting.d_in.map_or("the".into(), |d_in| d_in.to_string());
        let batch = setting.batch.map(|m| format!(" = {m}")).unwrap_or_default();
        format!("sum over {inputs} inputs, mean over the m{batch} rows of a batch")
    } else {
        term.note.clone()
    };
    if term.warms_up {
        note += match setting.warmup {
            Some(0) => String::new(),
            Some(steps) => format!("; rises from 0 over the first {steps} steps"),
            None => "; rises from 0 over the first tenth of the run".into(),
        }
        .as_str();
    }
    if let (true, Some((end, from))) = (term.anneals_p(), setting.p_end) {
        let from = from.map_or("half of the run".into(), |step| format!("step {step}"));
        let end = short(end);
        note.extend([
            &format!("; from {from} on p comes down to {end}, "),
            "and l1 changes so that the penalty stays as large",
        ]);
    }
    note
}
