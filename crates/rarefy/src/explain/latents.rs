//! The lines before the objective: how a row becomes latents, and latents a row.

use super::maths::{Line, Maths, short};
use super::objective::{Number, Setting, Term, terms};
use crate::config::DecoderNorm;
use crate::variants::Rank;

/// What a latent is, for the architectures that have a formula; the others say it in their own words.
struct Formula {
    arch: &'static str,
    text: &'static str,
    latex: &'static str,
    note: &'static str,
}

/// `{k}` stands for the option's value.
const FORMULAS: &[Formula] = &[
    Formula {
        arch: "relu",
        text: "max(0, pre_ij)",
        latex: r"\max(0, p_{ij})",
        note: "",
    },
    Formula {
        arch: "topk",
        text: "pre_ij, or 0",
        latex: r"p_{ij} \text{ or } 0",
        note: "kept: the {k} largest positive of each row",
    },
    Formula {
        arch: "batch-topk",
        text: "pre_ij, or 0",
        latex: r"p_{ij} \text{ or } 0",
        note: "kept: the floor({k} m) largest positive of the m rows of a batch together; once trained, all above a threshold",
    },
    Formula {
        arch: "matryoshka",
        text: "pre_ij, or 0",
        latex: r"p_{ij} \text{ or } 0",
        note: "kept: the floor({k} m) largest positive of the m rows of a batch together; once trained, all above a threshold",
    },
    Formula {
        arch: "groupmax",
        text: "pre_ij, or 0",
        latex: r"p_{ij} \text{ or } 0",
        note: "kept: of each of {k} groups of neighbours the largest, if positive",
    },
    Formula {
        arch: "abs-topk",
        text: "pre_ij, or 0",
        latex: r"p_{ij} \text{ or } 0",
        note: "kept: the {k} of each row that are largest by absolute value",
    },
    Formula {
        arch: "jumprelu",
        text: "pre_ij [pre_ij > theta_j]",
        latex: r"p_{ij}\,[p_{ij} > \theta_j]",
        note: "each latent learns its theta_j",
    },
    Formula {
        arch: "gated",
        text: "[pre_ij > 0] max(0, exp(r_j) (pre_ij - b_enc_j) + b_j)",
        latex: r"[p_{ij} > 0] \max\bigl(0, e^{r_j} (p_{ij} - b_{\mathrm{enc},j}) + b_j\bigr)",
        note: "r_j, b_j: r_mag, b_mag of latent j",
    },
];

/// All lines before J.
pub(super) fn lines(setting: &Setting) -> Vec<Line> {
    let Some(sparse) = setting.sparse() else {
        return sigmoid(setting);
    };
    let mut lines = if sparse.pursues() {
        pursuit(setting)
    } else {
        let pre = if setting.io.centre {
            Maths::new(
                "W_enc (x_i - b_dec) + b_enc",
                r"W_\mathrm{enc} (x_i - b_\mathrm{dec}) + b_\mathrm{enc}",
            )
        } else {
            Maths::new("W_enc x_i + b_enc", r"W_\mathrm{enc} x_i + b_\mathrm{enc}")
        };
        vec![
            Line::new(Maths::new("pre_i", "p_i"), pre, sizes(setting)),
            latent(setting),
        ]
    };
    lines.extend(window(setting));
    lines.extend(decoded(setting));
    lines.extend(helpers(setting));
    lines
}

fn sizes(setting: &Setting) -> String {
    let d_in = setting.d_in.map(|_| setting.io.d_in());
    match (setting.d_sae, d_in) {
        (Some(d_sae), Some(d_in)) => format!("W_enc: {d_sae} latents x {d_in} inputs"),
        (Some(d_sae), None) => format!("W_enc: {d_sae} latents"),
        _ => String::new(),
    }
}

fn latent(setting: &Setting) -> Line {
    let left = Maths::new("f_ij", "f_{ij}");
    let formula = FORMULAS.iter().find(|f| f.arch == setting.info.name);
    let Some(formula) = formula else {
        let right = Maths::new("pre_ij, or 0", r"p_{ij} \text{ or } 0");
        return Line::new(left, right, setting.info.summary);
    };
    let k = setting.known("k").map_or("k".into(), short);
    let right = Maths::new(formula.text, formula.latex);
    let note = formula.note.replace("{k}", &k);
    let course = setting.k_start.map_or(String::new(), |(start, steps)| {
        let steps = steps.map_or("half of the run".into(), |n| format!("the first {n} steps"));
        let start = short(start);
        format!("; k begins at {start} and comes to {k} over {steps}")
    });
    Line::new(left, right, note + &course)
}

fn pursuit(setting: &Setting) -> Vec<Line> {
    let k = setting.known("k").map_or("k".into(), short);
    let until = match setting.known("residual") {
        Some(residual) if residual > 0.0 => {
            format!(", at most {k} times, or until |r| < {}", short(residual))
        }
        _ => format!(", at most {k} times"),
    };
    vec![
        Line::new(
            Maths::new("r_0", "r_0"),
            Maths::new("x_i - b_dec", r"x_i - b_\mathrm{dec}"),
            sizes(setting),
        ),
        Line::new(
            Maths::new("j_t", "j_t"),
            Maths::new(
                "the j with the largest w_j . r_t > 0",
                r"\arg\max_j w_j \cdot r_t",
            ),
            format!("w_j: row j of W_dec{until}"),
        ),
        Line::new(
            Maths::new("r_t+1", "r_{t+1}"),
            Maths::new(
                "r_t - (w_jt . r_t) w_jt",
                r"r_t - (w_{j_t} \cdot r_t)\, w_{j_t}",
            ),
            "",
        ),
        Line::new(
            Maths::new("f_ij", "f_{ij}"),
            Maths::new(
                "sum of w_j . r_t over the rounds that took j",
                r"\sum_{t : j_t = j} w_j \cdot r_t",
            ),
            "",
        ),
    ]
}

/// The pseudo-derivatives of a threshold, if the architecture learns thresholds.
fn window(setting: &Setting) -> Vec<Line> {
    if setting.hyper.find("kernel").is_none() {
        return Vec::new();
    }
    let width: Maths = setting
        .known("bandwidth")
        .map_or(Number::Open("bandwidth").into(), Maths::from);
    let right = Maths::new(
        format!("K((pre_ij - theta_j) / {0}) / {0}", width.text),
        format!(
            r"\frac{{1}}{{{0}}} K\!\left(\frac{{p_{{ij}} - \theta_j}}{{{0}}}\right)",
            width.latex
        ),
    );
    let start = setting.known("threshold").map_or("threshold".into(), short);
    let kernel = setting.hyper.text("kernel");
    let to_input = setting.hyper.find("ste_to_input") == Some("true");
    let also = if to_input {
        ", and by pre_ij the opposite in addition"
    } else {
        ""
    };
    vec![
        Line::new(
            Maths::new("k_ij", "k_{ij}"),
            right,
            format!("bandwidth; K: {kernel}, of area 1; theta_j starts at {start}"),
        ),
        Line::new(
            Maths::new("df/dtheta", r"\partial f_{ij} / \partial \theta_j"),
            Maths::new("-theta_j k_ij", r"-\theta_j k_{ij}"),
            format!("in place of a derivative; of [pre_ij > theta_j]: -k_ij{also}"),
        ),
    ]
}

fn decoded(setting: &Setting) -> Vec<Line> {
    let norm = match setting.decoder_norm {
        DecoderNorm::Unit if setting.io.has_several_inputs() => {
            "w_j: row j of W_dec, of length 1 after every step"
        }
        DecoderNorm::Unit => "w_j: row j of W_dec, |w_j| = 1 after every step",
        DecoderNorm::Free => "w_j: row j of W_dec, of any length",
        DecoderNorm::Rescale => {
            "w_j: row j of W_dec over its length; row j of W_enc, b_enc: what is learned times that length"
        }
    };
    let norm = if setting.io.has_several_inputs() {
        format!("{norm}; |w_j|: the sum of its parts' lengths")
    } else {
        norm.into()
    };
    let (skip, latex) = if setting.io.skip {
        (" + W_skip x_i", r" + W_\mathrm{skip} x_i")
    } else {
        ("", "")
    };
    let levels = setting
        .sparse()
        .map_or(0, |s| s.levels(setting.d_sae.unwrap_or(1 << 20)).len());
    let mut lines = vec![Line::new(
        Maths::new("x_hat_i", r"\hat x_i"),
        Maths::new(
            format!("sum_j f_ij w_j + b_dec{skip}"),
            format!(r"\sum_j f_{{ij}} w_j + b_\mathrm{{dec}}{latex}"),
        ),
        norm,
    )];
    if levels > 1 {
        let open = match (setting.d_sae, setting.hyper.find("levels")) {
            (None, Some(levels)) => format!("; levels end at {levels} of all latents, and at all"),
            _ => String::new(),
        };
        lines.push(Line::new(
            Maths::new("x_hat_i(M)", r"\hat x_i^{(M)}"),
            Maths::new(
                format!("sum_(j < M) f_ij w_j + b_dec{skip}"),
                format!(r"\sum_{{j < M}} f_{{ij}} w_j + b_\mathrm{{dec}}{latex}"),
            ),
            format!("what the first M latents do alone{open}"),
        ));
    }
    lines
}

/// What is left over, and what dead latents make of it, if they have a loss.
fn helpers(setting: &Setting) -> Vec<Line> {
    let rest = terms(setting)
        .into_iter()
        .find(|term| matches!(term, Term::Rest { .. }));
    let Some(Term::Rest {
        k,
        dead_after,
        rank,
        level,
        ..
    }) = rest
    else {
        return Vec::new();
    };
    let (of, latex) = if level.is_some() {
        ("(M)", "^{(M)}")
    } else {
        ("", "")
    };
    let which = match rank {
        Rank::Positive => "largest positive",
        Rank::Signed => "largest",
        Rank::Magnitude => "largest by absolute value",
    };
    let k: Maths = k.into();
    let level = if level.is_some() { " of level M" } else { "" };
    let silent: Maths = dead_after.into();
    vec![
        Line::new(
            Maths::new(format!("r_i{of}"), format!("r_i{latex}")),
            Maths::new(
                format!("x_i - x_hat_i{of}"),
                format!(r"x_i - \hat x_i{latex}"),
            ),
            "what is left over, as data: no derivative goes through it",
        ),
        Line::new(
            Maths::new(format!("a_i{of}"), format!("a_i{latex}")),
            Maths::new(
                format!("the {} {which} pre_ij of dead latents{level}", k.text),
                format!(
                    r"\text{{the }} {} \text{{ {which} }} p_{{ij}} \text{{ of dead latents{level}}}",
                    k.latex
                ),
            ),
            format!("aux_k; dead: silent for {} rows", silent.text),
        ),
    ]
}

/// The lecture's model.
fn sigmoid(setting: &Setting) -> Vec<Line> {
    let tied = setting.hyper.find("tied") == Some("true");
    let (w, w_latex) = if tied {
        ("W_enc", r"W_\mathrm{enc}")
    } else {
        ("W_dec", r"W_\mathrm{dec}")
    };
    let decoded = (
        format!("{w}^T h_i + b_dec"),
        format!(r"{w_latex}^\top h_i + b_\mathrm{{dec}}"),
    );
    let (right, note) = match setting.hyper.find("decoder") {
        Some("linear") => (Maths::new(decoded.0, decoded.1), ""),
        Some("auto") => (
            Maths::new(decoded.0, decoded.1),
            "or sigma of it, for data in [0, 1] (decoder auto)",
        ),
        _ => (
            Maths::new(
                format!("sigma({})", decoded.0),
                format!(r"\sigma({})", decoded.1),
            ),
            "",
        ),
    };
    vec![
        Line::new(
            Maths::new("h_i", "h_i"),
            Maths::new(
                "sigma(W_enc x_i + b_enc)",
                r"\sigma(W_\mathrm{enc} x_i + b_\mathrm{enc})",
            ),
            sizes(setting),
        ),
        Line::new(Maths::new("x_hat_i", r"\hat x_i"), right, note),
    ]
}
