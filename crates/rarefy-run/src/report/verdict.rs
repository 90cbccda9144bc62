//! The result of a run in a sentence, and what to try if it is bad.

use rarefy::metrics::{Evaluation, FREQUENT, GAP, RARE};

use crate::words::percent;

/// Cosine of decoder rows above which two latents are near-duplicates.
pub const DUPLICATE: f64 = 0.9;

/// Shares of latents, and of variance, from which on advice is given.
const MANY: f64 = 0.1;
const LITTLE: f64 = 0.5;
/// Multiple of the mean firing rate above which a latent is dense.
const OFTEN: f64 = 3.0;
/// Active sigmoid latents of a row below which all are small.
const FAINT: f64 = 0.1;

/// The result in one sentence: latents, activity, explained variance.
pub fn verdict(e: &Evaluation, held_out: Option<&Evaluation>) -> String {
    let latents = e.latents.len();
    let dead = match e.dead_latents {
        0 => "none dead".to_owned(),
        dead => format!("{dead} dead"),
    };
    let explained = |e: &Evaluation| format!("{:.0} %", 100.0 * e.explained_variance);
    let variance = match held_out {
        Some(held_out) => format!(
            "{} of variance on held-out rows ({} in training)",
            explained(held_out),
            explained(e)
        ),
        None => format!("{} of variance", explained(e)),
    };
    let active = if e.l0 < 9.95 {
        format!("{:.1}", e.l0)
    } else {
        format!("{:.0}", e.l0)
    };
    format!("{latents} latents, about {active} active per row, {dead}; {variance}.")
}

/// Faults of the result, each with a remedy to try. `nearest` has the cosines of similar decoder rows, the largest first.
pub fn advice(
    e: &Evaluation,
    held_out: Option<&Evaluation>,
    nearest: &[Vec<(u32, f32)>],
) -> Vec<String> {
    let latents = e.latents.len() as f64;
    let count =
        |wanted: &dyn Fn(f64) -> bool| e.latents.iter().filter(|l| wanted(l.firing_rate)).count();
    let is_many = |count: usize| count as f64 > MANY * latents;
    let is_sparse = e.frequent_latents.is_some();
    let mut advice = Vec::new();
    let gap = |h: &&Evaluation| e.explained_variance - h.explained_variance > GAP;
    if let Some(held_out) = held_out.filter(|h| e.explained_variance > 0.0 && gap(h)) {
        advice.push(format!(
            "The model explains {} of the variance of held-out rows, and {} in training: it has learned single rows by heart. \
             Try fewer latents, fewer steps or more rows.",
            percent(held_out.explained_variance),
            percent(e.explained_variance)
        ));
    }
    let collapsed = e.collapsed_latents.unwrap_or(0);
    if e.explained_variance < 0.0 {
        advice.push(
            "The reconstruction is worse than the mean of the rows: try more steps, or a smaller penalty."
                .to_owned(),
        );
    } else if e.explained_variance < LITTLE && !is_many(collapsed) {
        advice.push(if is_sparse {
            "The reconstruction is poor. Try a larger k (or a smaller penalty), more latents or more steps.".to_owned()
        } else {
            "The reconstruction is poor. Try a larger rho or a smaller beta.".to_owned()
        });
    }
    if collapsed > 0 {
        // Without weight decay, large decoder weights can use the small variation of such a latent.
        let try_this = if e.weight_decay == Some(0.0) {
            "try a weight decay, which keeps decoder weights small, or a larger rho"
        } else {
            "try a smaller weight decay or a larger rho"
        };
        advice.push(format!(
            "{collapsed} latents have collapsed: their activation is almost the same on every row. The penalty does not \
             show this; {try_this}."
        ));
    }
    if !is_sparse && e.l0 < FAINT && collapsed == 0 {
        advice.push(
            "Hardly any latent is ever above 0.5: latents are small on all rows, and large decoder weights make up for it. A low \
             mean is not sparse; try a weight decay, or a larger rho."
                .to_owned(),
        );
    }
    let rare = count(&|rate| rate > 0.0 && rate < RARE);
    if is_many(e.dead_latents + rare) {
        let try_this = if is_sparse {
            "a smaller dead_after, more steps or fewer latents"
        } else {
            "a smaller beta or fewer latents"
        };
        advice.push(format!(
            "{} latents are dead and {rare} more are active on fewer than {} of the rows; try {try_this}.",
            e.dead_latents,
            percent(RARE)
        ));
    }
    // With many active latents of few, all are active often.
    let often = FREQUENT.max(OFTEN * e.l0 / latents);
    let dense = count(&|rate| rate > often);
    if is_sparse && is_many(dense) {
        advice.push(format!(
            "{dense} latents are active on more than {} of the rows; try a smaller k or more latents, or --preprocess norm-row if \
             rows differ much in length.",
            percent(often)
        ));
    }
    let alive = |latent: usize| e.latents[latent].firing_rate > 0.0;
    let close = |near: &Vec<(u32, f32)>| {
        near.first()
            .is_some_and(|(_, cosine)| f64::from(*cosine) > DUPLICATE)
    };
    let twins = nearest
        .iter()
        .enumerate()
        .filter(|(latent, near)| alive(*latent) && close(near))
        .count();
    if is_many(twins) {
        advice.push(format!(
            "{twins} latents have a decoder row within cosine {DUPLICATE} of another one: fewer latents would do."
        ));
    }
    advice
}
