//! The objective as mathematics: lines of plain text, and of LaTeX.

use serde::Serialize;

use super::latents;
use super::objective::{Number, Reach, Setting, Term, terms};
use crate::variants::AuxUnit;

/// A formula in two scripts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Maths {
    /// For a terminal.
    pub text: String,
    /// For a paper; in math mode.
    pub latex: String,
}

impl Maths {
    pub(super) fn new(text: impl Into<String>, latex: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            latex: latex.into(),
        }
    }
}

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
        let mut right = maths(term);
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

/// Six digits at most, as one would type it.
///
/// # Example
/// ```
/// use rarefy::explain::short;
/// assert_eq!((short(0.03125), short(2.0 / 3.0), short(3e-6)), ("0.03125".into(), "0.666667".into(), "3e-6".into()));
/// ```
pub fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    match rounded.abs() {
        0.0 => "0".into(),
        size if (1e-4..1e7).contains(&size) => format!("{rounded}"),
        _ => format!("{rounded:e}"),
    }
}

fn in_latex(number: f64) -> String {
    match short(number).split_once('e') {
        Some((digits, power)) => format!("{digits} \\cdot 10^{{{power}}}"),
        None => short(number),
    }
}

impl From<Number> for Maths {
    fn from(number: Number) -> Self {
        match number {
            Number::Known(number) => Self::from(number),
            Number::Open(name) => {
                Self::new(name, format!("\\mathrm{{{}}}", name.replace('_', "\\_")))
            }
        }
    }
}

impl From<f64> for Maths {
    fn from(number: f64) -> Self {
        Self::new(short(number), in_latex(number))
    }
}

/// `weight/m` as a factor.
fn mean(weight: impl Into<Maths>) -> Maths {
    let weight = weight.into();
    Maths::new(
        format!("{}/m", weight.text),
        format!("\\frac{{{}}}{{m}}", weight.latex),
    )
}

/// A factor before the rest of a term.
fn times(factor: &Maths, text: &str, latex: &str) -> Maths {
    Maths::new(
        format!("{} {text}", factor.text),
        format!("{} {latex}", factor.latex),
    )
}

fn maths(term: &Term) -> Maths {
    match *term {
        Term::Squares { weight, reach } => squares(weight, reach),
        Term::GateSquares { .. } => times(
            &mean(1.0),
            "sum_i |x_i - (W_dec^T max(0, pre_i) + b_dec)|^2",
            r"\sum_i \lVert x_i - (W_\mathrm{dec}^\top \max(0, p_i) + b_\mathrm{dec}) \rVert^2",
        ),
        Term::Norm { weight, p, root } => norm(weight, p, root),
        Term::Gate { weight } => times(
            &mean(weight),
            "sum_i sum_j max(0, pre_ij) |w_j|",
            r"\sum_i \sum_j \max(0, p_{ij}) \lVert w_j \rVert",
        ),
        Term::Step { weight } => times(&mean(weight), "sum_i L0_i", r"\sum_i \lVert f_i \rVert_0"),
        Term::Tanh { weight, scale } => times(
            &mean(weight),
            &format!("sum_i sum_j tanh({} f_ij |w_j|)", short(scale)),
            &format!(
                r"\sum_i \sum_j \tanh({} f_{{ij}} \lVert w_j \rVert)",
                in_latex(scale)
            ),
        ),
        Term::Quadratic { weight, target } => times(
            &mean(weight),
            &format!("sum_i 2/{0} (L0_i - {0})^2", short(target)),
            &format!(
                r"\sum_i \frac{{2}}{{{0}}} (\lVert f_i \rVert_0 - {0})^2",
                in_latex(target)
            ),
        ),
        Term::Target { weight, target } => times(
            &weight.into(),
            &format!("(1/m sum_i L0_i / {} - 1)^2", short(target)),
            &format!(
                r"\left(\frac{{1}}{{{} m}} \sum_i \lVert f_i \rVert_0 - 1\right)^2",
                in_latex(target)
            ),
        ),
        Term::Lift { weight } => times(
            &mean(weight),
            "sum_i sum_(j dead) max(0, theta_j - pre_ij) |w_j|",
            r"\sum_i \sum_{j \text{ dead}} \max(0, \theta_j - p_{ij}) \lVert w_j \rVert",
        ),
        Term::Rest {
            coefficient,
            k,
            unit,
            level,
            ..
        } => rest(coefficient, k, unit, level),
        Term::HalfSquares => times(
            &mean(1.0),
            "sum_i 1/2 |x_i - x_hat_i|^2",
            r"\sum_i \tfrac{1}{2} \lVert x_i - \hat x_i \rVert^2",
        ),
        Term::CrossEntropy => times(
            &mean(1.0),
            "sum_i sum_d (-x_id ln x_hat_id - (1 - x_id) ln(1 - x_hat_id))",
            r"\sum_i \sum_d \bigl(-x_{id} \ln \hat x_{id} - (1 - x_{id}) \ln(1 - \hat x_{id})\bigr)",
        ),
        Term::Kl { beta, rho } => times(
            &beta.into(),
            &format!("sum_l KL({} || rho_hat_l)", short(rho)),
            &format!(
                r"\sum_l \mathrm{{KL}}({} \,\Vert\, \hat\rho_l)",
                in_latex(rho)
            ),
        ),
        Term::Decay { weight, tied: true } => times(
            &half(weight),
            "|W_enc|^2",
            r"\lVert W_\mathrm{enc} \rVert^2",
        ),
        Term::Decay { weight, .. } => times(
            &half(weight),
            "(|W_enc|^2 + |W_dec|^2)",
            r"(\lVert W_\mathrm{enc} \rVert^2 + \lVert W_\mathrm{dec} \rVert^2)",
        ),
    }
}

fn half(weight: f64) -> Maths {
    Maths::new(
        format!("{}/2", short(weight)),
        format!("\\frac{{{}}}{{2}}", in_latex(weight)),
    )
}

fn squares(weight: f64, reach: Reach) -> Maths {
    let (text, latex) = match reach {
        Reach::All => (String::new(), String::new()),
        Reach::Below(end) => (format!("({end})"), format!("^{{({end})}}")),
        Reach::Level(level) => (
            format!("(level {level})"),
            format!(r"^{{(\text{{level {level}}})}}"),
        ),
    };
    times(
        &mean(weight),
        &format!("sum_i |x_i - x_hat_i{text}|^2"),
        &format!(r"\sum_i \lVert x_i - \hat x_i{latex} \rVert^2"),
    )
}

fn norm(weight: Number, p: f64, root: bool) -> Maths {
    let u = r"(f_{ij} \lVert w_j \rVert)";
    let (power, latex) = (short(p), in_latex(p));
    match (p == 1.0, root) {
        (true, _) => times(
            &mean(weight),
            "sum_i sum_j f_ij |w_j|",
            r"\sum_i \sum_j f_{ij} \lVert w_j \rVert",
        ),
        (false, true) => times(
            &mean(weight),
            &format!("sum_i (sum_j (f_ij |w_j|)^{power})^(1/{power})"),
            &format!(r"\sum_i \bigl(\sum_j {u}^{{{latex}}}\bigr)^{{1/{latex}}}"),
        ),
        (false, false) => times(
            &mean(weight),
            &format!("sum_i sum_j (f_ij |w_j|)^{power}"),
            &format!(r"\sum_i \sum_j {u}^{{{latex}}}"),
        ),
    }
}

fn rest(coefficient: f64, k: Number, unit: AuxUnit, level: Option<(usize, usize)>) -> Maths {
    let (text, latex) = level.map_or((String::new(), String::new()), |(_, end)| {
        (format!("({end})"), format!("^{{({end})}}"))
    });
    let error = (
        format!("sum_i |r_i{text} - W_dec^T a_i{text}|^2"),
        format!(r"\sum_i \lVert r_i{latex} - W_\mathrm{{dec}}^\top a_i{latex} \rVert^2"),
    );
    match unit {
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
            let k: Maths = k.into();
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

fn note(term: &Term, first: bool, setting: &Setting) -> String {
    let mut note = match term {
        Term::Squares { .. } | Term::HalfSquares | Term::CrossEntropy if first => {
            let inputs = setting.d_in.map_or("the".into(), |d_in| d_in.to_string());
            let batch = setting.batch.map(|m| format!(" = {m}")).unwrap_or_default();
            format!("sum over {inputs} inputs, mean over the m{batch} rows of a batch")
        }
        Term::GateSquares { decoder_learns } => {
            let how = if *decoder_learns {
                "the decoder learns from it too"
            } else {
                "with copies of W_dec and b_dec"
            };
            format!("teaches the gate; {how}")
        }
        Term::Norm { .. } | Term::Gate { .. } => "l1".into(),
        Term::Step { .. } => "l0; L0_i: latents of row i that are on".into(),
        Term::Tanh { .. } => "l0, tanh_scale".into(),
        Term::Quadratic { .. } | Term::Target { .. } => {
            "l0, target_l0; L0_i: latents of row i that are on".into()
        }
        Term::Lift { .. } => "pre_act".into(),
        Term::Rest { .. } => "aux_coefficient".into(),
        Term::Kl { .. } => "beta, rho; rho_hat_l: mean of h_il over rows".into(),
        Term::Decay { .. } => "weight_decay; biases are never decayed".into(),
        _ => String::new(),
    };
    if term.warms_up() {
        note += match setting.warmup {
            Some(0) => String::new(),
            Some(steps) => format!("; rises from 0 over the first {steps} steps"),
            None => "; rises from 0 over the first tenth of the run".into(),
        }
        .as_str();
    }
    if let (Term::Norm { .. }, Some((end, from))) = (term, setting.p_end) {
        let from = from.map_or("half of the run".into(), |step| format!("step {step}"));
        let end = short(end);
        note.extend([
            &format!("; from {from} on p comes down to {end}, "),
            "and l1 changes so that the penalty stays as large",
        ]);
    }
    note
}
