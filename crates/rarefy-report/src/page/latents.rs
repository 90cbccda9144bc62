//! Sections of the explorer, which the script fills, and a crosscoder's latents by input.

use maud::{Markup, html};

use super::figure;
use crate::Report;
use crate::charts;

/// Search, filters and list of all latents, and the place of one latent in full.
pub(super) fn list(report: &Report) -> Option<Markup> {
    (!report.latents.is_empty()).then(|| {
        html! {
            noscript { p .note-box { "The list of latents needs scripts, which this browser has switched off." } }
            @if report.explorer.picture.is_some() {
                p {
                    "Each picture shows the input of length 1 that raises a latent most. Bright pixels raise the activation, "
                    "dark pixels lower it, middle grey has no effect."
                }
            }
            p .soft { (report.explorer.source) }
            div .explorer {
                div .all {
                    div .tools role="search" {
                        input #search type="search" placeholder="search names, labels, texts, or a number" aria-label="search latents";
                        select #order aria-label="order of the latents" {}
                        select #kind aria-label="kind of latents" {}
                        button #view {}
                        span #count aria-live="polite" {}
                    }
                    div #heads .line {}
                    div #list tabindex="0" role="region" aria-label="latents" {}
                }
                aside #latent hidden aria-live="polite" {}
            }
        }
    })
}

/// A row as the sum of its latents.
pub(super) fn apart(report: &Report) -> Option<Markup> {
    let of = &report.explorer;
    let is_picture = of.picture.is_some();
    (!of.apart.is_empty()).then(|| {
        html! {
            p {
                "A reconstruction is a bias and a sum of decoder rows, each times the activation of its latent"
                @if of.formula.as_ref().is_some_and(|formula| formula.sigmoid_output) { ", and the sigmoid of this sum" }
                ". Choose a row."
            }
            div #apart-rows .shots[is_picture] .chosen[!is_picture] {}
            div #own hidden {
                div .draw hidden {
                    canvas #pad aria-label="draw a row with the pointer" {}
                    button #pad-clear { "clear" }
                    span .soft { "or draw one here" }
                }
                details {
                    summary { "type a row" }
                    textarea #typed rows="3" aria-label="values of a row" placeholder="values, with commas or blanks between them" {}
                    button #typed-go { "take it apart" }
                    span #typed-said role="status" {}
                }
            }
            div #apart-view {}
        }
    })
}

/// Decoder rows in the plane.
pub(super) fn map(report: &Report) -> Option<Markup> {
    (!report.explorer.places.is_empty()).then(|| {
        html! {
            p {
                "Latents with similar decoder rows are near one another; directions and long distances mean nothing. "
                "Latents that a search leaves out are pale. Click a point to open its latent."
            }
            canvas #map role="img" aria-label="map of the decoder rows" {}
            p #map-tip .said { " " }
            p #map-legend .soft {}
        }
    })
}

/// Labels by latents.
pub(super) fn labels(report: &Report) -> Option<Markup> {
    (!report.explorer.class_means.is_empty()).then(|| {
        html! {
            p {
                "Mean activation of latents (columns) on the rows of each label (lines), relative to the latent's largest mean. "
                "Columns are the latents that choose their labels most."
            }
            div #heat {}
            p #heat-tip .said { " " }
        }
    })
}

/// Notes of the reader, and files.
pub(super) fn notes(report: &Report) -> Option<Markup> {
    (!report.latents.is_empty()).then(|| {
        html! {
            p {
                "Notes on latents stay in this browser. Take them along as a file, or hand names and examples to other tools."
            }
            p .buttons {
                button #save-notes { "save notes" }
                button #load-notes { "load notes" }
                button #save-neuronpedia { "explanations for Neuronpedia" }
                button #save-saedashboard { "latents for SAEDashboard" }
            }
            p #notes-said .said role="status" { " " }
        }
    })
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
