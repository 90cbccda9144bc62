//! Table of latents, and a crosscoder's latents by input.

use maud::{Markup, html};

use super::figure;
use crate::Report;
use crate::chart::short;
use crate::charts;

/// Largest number of latents in the table and the tiles; a page with more opens slowly.
pub(super) const MOST_LATENTS: usize = 2000;

/// Indices of the latents to show: all, or [`MOST_LATENTS`] at equal distances.
pub(super) fn shown(latents: usize) -> Vec<usize> {
    let count = latents.min(MOST_LATENTS);
    (0..count).map(|i| i * latents / count).collect()
}

/// Note about latents that are not shown, or nothing.
pub(super) fn left_out(latents: usize) -> Markup {
    html! {
        @if latents > MOST_LATENTS {
            p .soft { (MOST_LATENTS) " of the " (latents) " latents are shown, at equal distances." }
        }
    }
}

/// Histograms of the share of each input in a crosscoder's decoder rows: one histogram for two inputs,
/// else one for each input.
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
        let axis = format!("share of {name} in the decoder row");
        let label = format!("Histogram of the share of {name} in the decoder rows");
        charts::histogram(&charts::bins(shares), false, &axis, "latents", &label)
    };
    let (first, second) = (&report.inputs[0], &report.inputs[1]);
    let caption = |input: usize| {
        if report.inputs.len() == 2 {
            format!(
                "Left: latents of {first} only. Right: latents of {second} only. Middle: shared latents."
            )
        } else {
            format!("Right: latents of {} only.", report.inputs[input])
        }
    };
    Some(html! {
        p {
            "A latent of a crosscoder has a part of its decoder row for each input. The share of a part in the sum of the "
            "parts' norms tells how much the latent writes to this input. Dead latents are left out."
        }
        div .pair {
            @for input in drawn { (figure(histogram(input), &caption(input))) }
        }
    })
}

/// Sortable table of the latents.
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
                (count("dead")) " dead (active on no row), "
                (count("always on")) " always on (active on every row). "
            } @else {
                (count("dead")) " dead (activation always below half of rho), "
                (count("always on")) " always on (above 0.5 on every row), "
                (count("collapsed")) " collapsed (almost constant). "
            }
            "Click a column name to sort the table."
        }
        (left_out(report.latents.len()))
        div .scroll {
            table .sortable {
                thead {
                    tr {
                        @for head in ["latent", if report.selected { "mean" } else { "rho_hat" }, "firing rate", "variance", "lifetime sparsity", "status"] { th scope="col" { (head) } }
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

/// Percentage, with more digits for rare latents.
fn percent(share: f64) -> String {
    if share > 0.0 && share < 1e-3 {
        format!("{:.3} %", 100.0 * share)
    } else {
        format!("{:.1} %", 100.0 * share)
    }
}
