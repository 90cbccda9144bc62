//! Objective as mathematics: formulas in plain text and LaTeX.

use super::latents;
use super::line::Line;
use super::objective::{Setting, terms};
use crate::objective::{Maths, TermFormula, short};

/// Lines of a run's objective: definitions of the symbols, then J.
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

/// Lines as a block of text with aligned equals signs.
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

/// Lines as a LaTeX `align*` environment, with remarks as comments.
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

/// Remark of a term, with the sizes (first term) and the schedules that change the term.
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
            &format!("; from {from} on, p falls to {end}, "),
            "and l1 is adapted so that the size of the penalty stays the same",
        ]);
    }
    note
}
