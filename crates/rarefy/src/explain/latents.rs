//! Lines before the objective: encoder and decoder of a row.

use super::line::Line;
use super::objective::Setting;
use crate::config::DecoderNorm;
use crate::objective::{Maths, Objective, Pursuit, Rank, short};
use crate::variants::Architecture;

/// Lines before J: pre-activations, latents, reconstruction, auxiliary residual.
pub(super) fn lines(setting: &Setting) -> Vec<Line> {
    let objective = match &setting.architecture {
        Architecture::Sparse(objective) => objective,
        Architecture::Dense(variant) => {
            let lines = variant.lines(&sizes(setting)).into_iter();
            return lines
                .map(|(left, right, note)| Line::new(left, right, note))
                .collect();
        }
    };
    let mut lines = if let Some(rule) = objective.selection().pursuit() {
        pursuit(rule, setting)
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
            latent(objective, setting),
        ]
    };
    let further = objective.activation().further_lines();
    lines.extend(
        further
            .into_iter()
            .map(|(left, right, note)| Line::new(left, right, note)),
    );
    lines.extend(decoded(objective, setting));
    lines.extend(helpers(objective, setting));
    lines
}

fn sizes(setting: &Setting) -> String {
    let d_in = setting.d_in.map(|_| setting.io.d_in());
    let sizes = match (setting.d_sae, d_in) {
        (Some(d_sae), Some(d_in)) => Some(format!("W_enc: {d_sae} latents x {d_in} inputs")),
        (Some(d_sae), None) => Some(format!("W_enc: {d_sae} latents")),
        _ => None,
    };
    let hidden = (setting.mask > 0.0).then(|| {
        format!(
            "{} % of the values of x_i are hidden here, in training only",
            short(100.0 * setting.mask)
        )
    });
    let parts: Vec<String> = sizes.into_iter().chain(hidden).collect();
    parts.join("; ")
}

fn latent(objective: &Objective, setting: &Setting) -> Line {
    let left = Maths::new("f_ij", "f_{ij}");
    let k = setting.known("k").map_or("k".into(), short);
    let of_selection = || (objective.selection().maths(), "");
    let (formula, remark) = objective.activation().maths().unwrap_or_else(of_selection);
    let notes = [objective.selection().note(&k), remark.into()];
    let notes: Vec<String> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    let course = setting.k_start.map_or(String::new(), |(start, steps)| {
        let steps = steps.map_or("half of the run".into(), |n| format!("the first {n} steps"));
        let start = short(start);
        format!("; k goes from {start} to {k} over {steps}")
    });
    Line::new(left, formula, notes.join("; ") + &course)
}

fn pursuit(rule: &Pursuit, setting: &Setting) -> Vec<Line> {
    let k = setting.known("k").map_or("k".into(), short);
    let until = if rule.residual > 0.0 {
        let residual = short(rule.residual);
        format!(", at most {k} times, or until |r| < {residual}")
    } else {
        format!(", at most {k} times")
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
                "sum of w_j . r_t over the rounds that chose j",
                r"\sum_{t : j_t = j} w_j \cdot r_t",
            ),
            "",
        ),
    ]
}

fn decoded(objective: &Objective, setting: &Setting) -> Vec<Line> {
    let norm = match setting.decoder_norm {
        DecoderNorm::Unit if setting.io.has_several_inputs() => {
            "w_j: row j of W_dec, of length 1 after every step"
        }
        DecoderNorm::Unit => "w_j: row j of W_dec, |w_j| = 1 after every step",
        DecoderNorm::Free => "w_j: row j of W_dec, of any length",
        DecoderNorm::Rescale => {
            "w_j: row j of W_dec, divided by its length; row j of W_enc, b_enc: the learned one times that length"
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
    let levels = objective.nested_levels();
    let mut lines = vec![Line::new(
        Maths::new("x_hat_i", r"\hat x_i"),
        Maths::new(
            format!("sum_j f_ij w_j + b_dec{skip}"),
            format!(r"\sum_j f_{{ij}} w_j + b_\mathrm{{dec}}{latex}"),
        ),
        norm,
    )];
    if levels.count() > 1 {
        let open = match setting.d_sae {
            None => format!("; M: {} times the number of latents, and all", levels.text),
            Some(_) => String::new(),
        };
        lines.push(Line::new(
            Maths::new("x_hat_i(M)", r"\hat x_i^{(M)}"),
            Maths::new(
                format!("sum_(j < M) f_ij w_j + b_dec{skip}"),
                format!(r"\sum_{{j < M}} f_{{ij}} w_j + b_\mathrm{{dec}}{latex}"),
            ),
            format!("reconstruction from the first M latents only{open}"),
        ));
    }
    lines
}

/// Residual and the entries of dead latents that reconstruct the residual, if `AuxK` has a weight.
fn helpers(objective: &Objective, setting: &Setting) -> Vec<Line> {
    let aux = objective.aux_k();
    if aux.coefficient == 0.0 {
        return Vec::new();
    }
    let by_level = aux.by_level && setting.d_sae.is_some();
    let (of, latex) = if by_level {
        ("(M)", "^{(M)}")
    } else {
        ("", "")
    };
    let which = match aux.rank {
        Rank::Positive => "largest positive",
        Rank::Signed => "largest",
        Rank::Magnitude => "largest by absolute value",
    };
    let k: Maths = aux.k.into();
    let level = if by_level { " of level M" } else { "" };
    let silent: Maths = aux.dead_after.into();
    vec![
        Line::new(
            Maths::new(format!("r_i{of}"), format!("r_i{latex}")),
            Maths::new(
                format!("x_i - x_hat_i{of}"),
                format!(r"x_i - \hat x_i{latex}"),
            ),
            "residual, a constant: no gradient goes through it",
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
