//! Latents one by one, and which inputs of a crosscoder are theirs.

use maud::{Markup, html};

use super::figure;
use crate::Report;
use crate::chart::short;
use crate::charts;

/// Latents that the page shows one by one: more are slow to open and nobody looks through them.
pub(super) const MOST_LATENTS: usize = 2000;

/// All of so many latents, or some of them, evenly by number.
pub(super) fn shown(latents: usize) -> Vec<usize> {
    let count = latents.min(MOST_LATENTS);
    (0..count).map(|i| i * latents / count).collect()
}

/// What is left out, if something is.
pub(super) fn left_out(latents: usize) -> Markup {
    html! {
        @if latents > MOST_LATENTS {
            p .soft { (MOST_LATENTS) " of the " (latents) " latents are shown, evenly by number." }
        }
    }
}

/// Which inputs of a crosscoder the latents write: of two, a histogram from the one to the other; of more, one
/// for each.
pub(super) fn inputs(report: &Report) -> Option<Markup> {
    let drawn = match report.inputs.len() {
        0 | 1 => return None,
        2 => 1..2,
        more => 0..more,
    };
    let histogram = |input: usize| {
        let alive = report.latents.iter().filter(|l| l.status != "dead");
        let shares = alive.filter_map(|latent| latent.shares.get(input).copied());
        let name = &report.inputs[input];
        let axis = format!("share that writes {name}");
        let label = format!("Histogram of the share of decoder rows that writes {name}");
        charts::histogram(&charts::bins(shares), false, &axis, "latents", &label)
    };
    let (first, second) = (&report.inputs[0], &report.inputs[1]);
    let caption = |input: usize| {
        if report.inputs.len() == 2 {
            format!(
                "On the left what only {first} has, on the right what only {second} has, in the middle what both share."
            )
        } else {
            format!("On the right what only {} has.", report.inputs[input])
        }
    };
    Some(html! {
        p {
            "A latent of a crosscoder writes every input with a part of its decoder row. The share of the parts' lengths "
            "says whose it is. Dead latents are left out."
        }
        div .pair {
            @for input in drawn { (figure(histogram(input), &caption(input))) }
        }
    })
}

/// The table of all latents.
pub(super) fn table(report: &Report) -> Option<Markup> {
    if report.latents.is_empty() {
        return None;
    }
    let labelled = report.latents.iter().any(|l| !l.top.is_empty());
    let count = |status: &str| report.latents.iter().filter(|l| l.status == status).count();
    let rows = shown(report.latents.len());
    let rows = rows.into_iter().map(|l| (l, &report.latents[l]));
    Some(html! {
        p {
            (count("alive")) " alive, "
            @if report.selected {
                (count("dead")) " dead (active on none of these rows), "
                (count("always on")) " always on (active on every row). "
            } @else {
                (count("dead")) " dead (never reaches half of rho), "
                (count("always on")) " always on (above 0.5 on every row), "
                (count("collapsed")) " collapsed (hardly depends on the input). "
            }
            "A click on a column's name sorts by it."
        }
        (left_out(report.latents.len()))
        div .scroll {
            table .sortable {
                thead {
                    tr {
                        @for head in ["latent", if report.selected { "mean" } else { "rho_hat" }, "fires", "variance", "lifetime sparsity", "status"] { th scope="col" { (head) } }
                        @for input in &report.inputs { th scope="col" { "writes " (input) } }
                        @if labelled { th scope="col" { "most active on" } }
                    }
                }
                tbody {
                    @for (index, latent) in rows {
                        tr {
                            td { (index) }
                            td { (short(latent.rho_hat)) }
                            td { (percent(latent.firing_rate)) }
                            td { (short(latent.variance)) }
                            td { (format!("{:.2}", latent.lifetime_sparsity)) }
                            td { (latent.status) }
                            @for share in &latent.shares { td { (percent(*share)) } }
                            @if labelled {
                                td .words {
                                    @for (label, activation) in &latent.top {
                                        span .chip title={ "activation " (short(f64::from(*activation))) } { (label) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}

/// A share with as many digits as rare latents need.
fn percent(share: f64) -> String {
    if share > 0.0 && share < 1e-3 {
        format!("{:.3} %", 100.0 * share)
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}
