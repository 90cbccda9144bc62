//! Report page: one self-contained HTML file.

mod latents;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::charts;
use crate::explorer::packed;
use crate::{HistoryPoint, Report};

const CSS: &str = concat!(
    include_str!("page/page.css"),
    include_str!("page/explorer.css")
);

/// Parts of the script, which share one scope.
const SCRIPT: [&str; 10] = [
    include_str!("page/script/data.js"),
    include_str!("page/script/draw.js"),
    include_str!("page/script/model.js"),
    include_str!("page/script/list.js"),
    include_str!("page/script/latent.js"),
    include_str!("page/script/apart.js"),
    include_str!("page/script/map.js"),
    include_str!("page/script/notes.js"),
    include_str!("page/script/charts.js"),
    include_str!("page/script/main.js"),
];

/// Renders a report as one self-contained HTML page.
///
/// The page opens from disk and needs no network. It has a light and a dark theme, and is usable on a phone. Figures and
/// charts are readable without scripts; the explorer of latents needs them.
///
/// # Example
/// ```
/// use rarefy_report::{Report, render};
/// let page = render(&Report { title: "<b>mine</b>".into(), ..Report::default() });
/// assert!(page.contains("&lt;b&gt;mine") && !page.contains("src=\"http"));
/// ```
pub fn render(report: &Report) -> String {
    let sections = sections(report);
    let body = html! {
        p .soft { (report.subtitle) }
        (verdict(report))
        @if !report.summary.is_empty() {
            dl .figures {
                @for (name, value, remark) in &report.summary {
                    div { dt { (name) } dd { (value) } @if !remark.is_empty() { span .remark { (remark) } } }
                }
            }
        }
        nav aria-label="Sections" {
            @for section in &sections { a href={ "#" (section.id) } { (section.heading) } }
        }
        @for section in &sections {
            section id=(section.id) { h2 { (section.heading) } (section.body) }
        }
        (data(report))
    };
    shell(&report.title, &report.key, &body)
}

/// A whole page: title, style, theme button, body and script. Browsers keep notes under `key`.
pub(crate) fn shell(title: &str, key: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" data-key=(key) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    header { h1 { (title) } button #theme hidden { "light / dark" } }
                    (body)
                }
                script { (PreEscaped("\"use strict\";")) @for part in SCRIPT { (PreEscaped(part)) } }
            }
        }
    };
    page.into_string()
}

/// The result in a sentence, and what to try if it is bad.
fn verdict(report: &Report) -> Markup {
    html! {
        @if !report.verdict.is_empty() { p .verdict { (report.verdict) } }
        @for note in &report.notes { p .note-box { (note) } }
    }
}

/// Data of the explorer, which the script unpacks.
fn data(report: &Report) -> Markup {
    html! {
        @if !report.latents.is_empty() {
            @let (head, body) = packed(report);
            script #head type="application/json" { (PreEscaped(head)) }
            script #data type="text/plain" { (PreEscaped(body)) }
        }
    }
}

struct Section {
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

fn sections(report: &Report) -> Vec<Section> {
    let all = [
        ("latents", "Latents", latents::list(report)),
        ("apart", "One row taken apart", latents::apart(report)),
        ("map-of-latents", "Map of the latents", latents::map(report)),
        ("labels", "Labels", latents::labels(report)),
        ("inputs", "Latents by input", latents::inputs(report)),
        ("objective", "Objective during training", objective(report)),
        ("penalty", "Sparsity penalty", penalty(report)),
        ("activity", "Activity of the latents", activity(report)),
        ("notes", "Notes and exports", latents::notes(report)),
        ("configuration", "Configuration", configuration(report)),
    ];
    all.into_iter()
        .filter_map(|(id, heading, body)| {
            Some(Section {
                id,
                heading,
                body: body?,
            })
        })
        .collect()
}

pub(crate) fn figure(svg: String, caption: &str) -> Markup {
    html! { figure { (PreEscaped(svg)) @if !caption.is_empty() { figcaption { (caption) } } } }
}

fn objective(report: &Report) -> Option<Markup> {
    let caption = "The optimiser minimises the total, the sum of the terms with their coefficients. \
                   A penalty often falls fast at first and then rises slowly, because this lowers the reconstruction loss.";
    if report.history.is_empty() {
        return None;
    }
    if !report.selected {
        return Some(figure(charts::history(&report.history), caption));
    }
    let over = |of: fn(&HistoryPoint) -> Option<f64>| -> Vec<(usize, f64)> {
        let value = |p: &HistoryPoint| Some((p.step, of(p)?));
        report.history.iter().filter_map(value).collect()
    };
    let explained = over(|p| p.explained_variance.map(|e| 100.0 * e));
    let (l0, dead) = (over(|p| p.l0), over(|p| p.dead_fraction.map(|d| 100.0 * d)));
    // TopK keeps k latents of each row: a constant L0 needs no chart.
    let varies = l0.iter().any(|(_, value)| (value - l0[0].1).abs() > 1e-6);
    Some(html! {
        (figure(charts::history(&report.history),
            "The optimiser minimises the total: the reconstruction loss plus other terms. The auxiliary loss trains dead \
             latents on the residual; it is zero while no latent is dead."))
        div .pair {
            @if !explained.is_empty() {
                (figure(charts::over_steps(&explained, "explained variance, %", "Explained variance over the steps of training"),
                    "Explained variance of each batch, relative to the variance of all rows."))
            }
            @if varies {
                (figure(charts::over_steps(&l0, "L0", "Active latents in a row over the steps of training"),
                    "Mean number of active latents in a row of the batch. TopK can be below k if a row has fewer positive pre-activations."))
            }
            @if dead.iter().any(|(_, share)| *share > 0.0) {
                (figure(charts::over_steps(&dead, "dead latents, %", "Share of dead latents over the steps of training"),
                    "Latents that were silent for the last dead_after rows."))
            }
        }
    })
}

fn penalty(report: &Report) -> Option<Markup> {
    let rho = report.rho?;
    let marks: Vec<f64> = report.latents.iter().map(|l| l.rho_hat).collect();
    Some(html! {
        p {
            "Each latent has the mean activation ρ̂ over the rows. The penalty Ω = Σ KL(ρ ‖ ρ̂) is 0 if every ρ̂ is the target ρ. "
            "The objective contains β Ω"
            @if let Some(beta) = report.beta { ", here with β = " (crate::chart::short(beta)) }
            ": charts of training show β Ω as penalty, the figures above show Ω."
        }
        div .pair {
            div {
                (figure(crate::penalty::penalty_curve(rho, &marks),
                    "Penalty of one latent with mean activation ρ̂. The minimum is 0 at ρ̂ = ρ; dots are the trained latents."))
                p .slider {
                    label for="rho" { "another ρ " }
                    input #rho type="range" min="-3" max="-0.1" step="0.01" value=(format!("{:.2}", rho.log10()));
                    output #rho-said for="rho" {}
                }
            }
            (figure(charts::rho_hat(rho, &report.latents),
                "The penalty is a soft constraint: latents end near ρ, not exactly at ρ. The bands are 10 and 30 % around ρ."))
        }
    })
}

const LIFETIME: &str = "Hoyer sparsity of each latent over the rows: 0 for a constant latent, 1 for a latent that is active on a single row.";
const POPULATION: &str =
    "Hoyer sparsity of each row over the latents: 1 for a row with a single active latent.";

fn activity(report: &Report) -> Option<Markup> {
    if report.latents.is_empty() {
        return None;
    }
    let of = |value: fn(&crate::Latent) -> f64| charts::bins(report.latents.iter().map(value));
    if report.selected {
        return Some(html! {
            div .pair {
                (figure(charts::densities(&report.latents),
                    "Firing rates of the latents. Latents on the right are active on most rows and carry little information; \
                     latents on the left are active on few rows."))
                (figure(charts::histogram(&of(|l| l.lifetime_sparsity), false, "lifetime sparsity", "latents", "Histogram of lifetime sparsity"),
                    LIFETIME))
                (figure(charts::histogram(&report.population_histogram, false, "population sparsity", "rows", "Histogram of population sparsity"),
                    POPULATION))
            }
        });
    }
    Some(html! {
        p {
            "A low mean does not imply sparse latents: a latent that is always equal to ρ has no penalty and carries no "
            "information. A sparse latent is near 0 on most rows and near 1 on a few. The first two histograms show the difference; Hoyer sparsities are relative and cannot."
        }
        div .pair {
            (figure(charts::histogram(&report.activation_histogram, true, "activation", "count (log)", "Histogram of all activations"),
                "Activations of all latents on all rows. The higher the bar at 0, the more often latents are silent."))
            (figure(charts::histogram(&of(|l| l.firing_rate), false, "share of rows above 0.5", "latents", "Histogram of firing rates"),
                "Firing rates of the latents: share of rows with an activation above 0.5."))
            (figure(charts::histogram(&of(|l| l.lifetime_sparsity), false, "lifetime sparsity", "latents", "Histogram of lifetime sparsity"),
                LIFETIME))
            (figure(charts::histogram(&report.population_histogram, false, "population sparsity", "rows", "Histogram of population sparsity"),
                POPULATION))
        }
    })
}

fn configuration(report: &Report) -> Option<Markup> {
    (!report.config.is_empty()).then(|| {
        html! { details { summary { "all settings, with defaults filled in" } pre { (report.config) } } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Apart, Explorer, Latent, Picture, Row};

    fn full() -> Report {
        Report {
            title: "run <1>".into(),
            subtitle: "a & b".into(),
            verdict: "2 latents".into(),
            summary: vec![("loss".into(), "1.5".into(), "nats".into())],
            notes: vec!["careful".into()],
            history: vec![HistoryPoint {
                step: 1,
                total: 1.0,
                reconstruction: 0.5,
                penalty: 0.5,
                l0: Some(4.0),
                dead_fraction: Some(0.25),
                explained_variance: Some(0.5),
                ..HistoryPoint::default()
            }],
            rho: Some(0.05),
            beta: Some(3.0),
            latents: vec![Latent {
                rho_hat: 0.05,
                status: "alive".into(),
                ..Latent::default()
            }],
            activation_histogram: vec![3, 0, 1],
            population_histogram: vec![1, 2],
            explorer: Explorer {
                rows: vec![Row {
                    text: "</td><script>alert(1)</script>".into(),
                    ..Row::default()
                }],
                picture: Some(Picture::default()),
                apart: vec![Apart::default()],
                classes: vec!["a".into()],
                class_means: vec![vec![1.0]],
                places: vec![[0.5, 0.5]],
                ..Explorer::default()
            },
            config: "[model]\nx = \"<\"".into(),
            ..Report::default()
        }
    }

    #[test]
    fn page_has_all_sections_and_needs_no_network() {
        let page = render(&full());
        for id in [
            "latents",
            "apart",
            "map-of-latents",
            "labels",
            "objective",
            "penalty",
            "activity",
            "notes",
            "configuration",
        ] {
            assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
        }
        for forbidden in [
            "src=\"http",
            "href=\"http",
            "url(",
            "@import",
            "<script>alert",
        ] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    /// A page of sparse latents has other charts and does not mention rho.
    #[test]
    fn page_of_sparse_latents_does_not_mention_rho() {
        let page = render(&Report {
            selected: true,
            rho: None,
            ..full()
        });
        let (page, _) = page.split_once("id=\"head\"").unwrap();
        for words in ["Explained variance over", "Share of dead latents"] {
            assert!(page.contains(words), "{words}");
        }
        for words in ["ρ", "All activations", "<section id=\"penalty\">"] {
            assert!(!page.contains(words), "{words}");
        }
        assert!(!render(&full()).contains("Share of dead latents"));
    }

    /// A constant L0 has no chart; a varying L0 has one.
    #[test]
    fn l0_is_drawn_only_if_it_varies() {
        let point = |step, l0| HistoryPoint {
            step,
            l0: Some(l0),
            ..HistoryPoint::default()
        };
        let page = |last| {
            render(&Report {
                selected: true,
                history: vec![point(10, 8.0), point(20, 8.0), point(30, last)],
                ..full()
            })
        };
        let chart = "Active latents in a row over";
        assert!(!page(8.0).contains(chart) && page(7.5).contains(chart));
    }

    /// A crosscoder's page shows the share of each input; pages of other models do not.
    #[test]
    fn page_of_a_crosscoder_shows_latents_by_input() {
        let of = |inputs: &[&str], shares: &[f64]| {
            let latent = Latent {
                shares: shares.to_vec(),
                ..Latent::default()
            };
            render(&Report {
                inputs: inputs.iter().map(ToString::to_string).collect(),
                latents: vec![latent],
                ..Report::default()
            })
        };
        let two = of(&["base", "chat"], &[0.25, 0.75]);
        for words in ["Right: latents of chat only.", "id=\"inputs\""] {
            assert!(two.contains(words), "{words}");
        }
        let three = of(&["a", "b", "c"], &[0.5, 0.25, 0.25]);
        assert_eq!(three.matches("<figcaption>Right:").count(), 3);
        assert!(!of(&[], &[]).contains("id=\"inputs\""));
    }

    #[test]
    fn empty_sections_are_left_out() {
        let page = render(&Report::default());
        assert!(!page.contains("<section") && !page.contains("<figure"));
        let odd = Report {
            latents: vec![Latent {
                rho_hat: f64::NAN,
                ..Latent::default()
            }],
            rho: Some(0.1),
            ..Report::default()
        };
        assert!(render(&odd).contains("<section id=\"latents\">"));
    }
}
