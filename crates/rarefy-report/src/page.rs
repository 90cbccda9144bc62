//! Report page: one self-contained HTML file.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::charts;
use crate::image::{Scale, data_uris};
use crate::{HistoryPoint, Images, Report};

mod latents;

use latents::{left_out, shown};

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Renders a report as one self-contained HTML page.
///
/// The page needs no network, has a light and a dark theme, and is readable on a phone and without
/// scripts.
///
/// # Example
/// ```
/// use rarefy_report::{Report, render};
/// let page = render(&Report { title: "<b>mine</b>".into(), ..Report::default() });
/// assert!(page.contains("&lt;b&gt;mine") && !page.contains("src=\"http"));
/// ```
pub fn render(report: &Report) -> String {
    let sections = sections(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (report.title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    header {
                        div {
                            h1 { (report.title) }
                            p .soft { (report.subtitle) }
                        }
                        button #theme hidden { "light / dark" }
                    }
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
                    @for note in &report.notes { p .note-box { (note) } }
                    @for section in &sections {
                        section id=(section.id) { h2 { (section.heading) } (section.body) }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

struct Section {
    id: &'static str,
    heading: &'static str,
    body: Markup,
}

fn sections(report: &Report) -> Vec<Section> {
    let all = [
        ("filters", "Filters of the latents", filters(report)),
        (
            "reconstructions",
            "Inputs and reconstructions",
            reconstructions(report),
        ),
        ("objective", "Objective during training", objective(report)),
        ("penalty", "Sparsity penalty", penalty(report)),
        ("activity", "Activity of the latents", activity(report)),
        ("inputs", "Latents by input", latents::inputs(report)),
        ("latents", "All latents", latents::table(report)),
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

fn figure(svg: String, caption: &str) -> Markup {
    html! { figure { (PreEscaped(svg)) figcaption { (caption) } } }
}

fn shape(images: &Images) -> String {
    format!("--shape:{}/{}", images.width.max(1), images.height.max(1))
}

/// Width of a tile: large for few tiles, small for hundreds.
fn tile(count: usize) -> &'static str {
    if count <= 100 { "4.6rem" } else { "3.2rem" }
}

fn filters(report: &Report) -> Option<Markup> {
    let all = report.filters.as_ref()?;
    let latents = shown(all.pixels.len());
    let images = Images {
        pixels: latents.iter().map(|&l| all.pixels[l].clone()).collect(),
        ..*all
    };
    let uris = data_uris(&images, Scale::Symmetric);
    (!uris.is_empty()).then(|| {
        html! {
            p {
                "Each tile shows the input of norm 1 with the largest activation of one latent. Bright pixels raise the "
                "activation, dark pixels lower it, middle grey has no effect; in colour, each channel by itself. Each tile is "
                "scaled by its largest weight."
            }
            (left_out(all.pixels.len()))
            ul .tiles style={ (shape(&images)) ";--tile:" (tile(uris.len())) } {
                @for (latent, uri) in latents.iter().zip(&uris) {
                    li { img src=(uri) alt={ "filter of latent " (latent) } title={ "latent " (latent) }; }
                }
            }
        }
    })
}

fn reconstructions(report: &Report) -> Option<Markup> {
    let pairs = report.reconstructions.as_ref()?;
    let inputs = data_uris(&pairs.inputs, Scale::Range);
    let outputs = data_uris(&pairs.outputs, Scale::Range);
    (!inputs.is_empty()).then(|| {
        html! {
            p { "Top: input. Bottom: reconstruction." }
            ul .pairs style=(shape(&pairs.inputs)) {
                @for (input, output) in inputs.iter().zip(&outputs) {
                    li { img src=(input) alt="input"; img src=(output) alt="reconstruction"; }
                }
            }
        }
    })
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
            @if !dead.is_empty() {
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
        div .pair {
            (figure(charts::penalty_curve(rho, &marks),
                "Penalty of one latent with mean activation rho_hat. The minimum is 0 at rho_hat = rho; dots are the \
                 trained latents."))
            (figure(charts::rho_hat(rho, &report.latents),
                "The penalty is a soft constraint: latents end near rho, not exactly at rho. The bands are 10 and 30 % around rho."))
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
            "A low mean does not imply sparse latents: a latent that is always equal to rho has no penalty and carries no "
            "information. A sparse latent is near 0 on most rows and near 1 on a few. These histograms show the difference."
        }
        div .pair {
            (figure(charts::histogram(&report.activation_histogram, true, "activation", "count (log)", "Histogram of all activations"),
                "Activations of all latents on all rows. Sparse latents give two peaks, one at each end."))
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
    use crate::{Latent, Reconstructions};

    fn full() -> Report {
        let images = Images {
            height: 2,
            width: 2,
            pixels: vec![vec![0.0, 1.0, -1.0, 0.5]],
        };
        Report {
            title: "run <1>".into(),
            subtitle: "a & b".into(),
            summary: vec![("loss".into(), "1.5".into(), "nats".into())],
            notes: vec!["careful".into()],
            history: vec![HistoryPoint {
                step: 1,
                total: 1.0,
                reconstruction: 0.5,
                penalty: 0.5,
                weight_decay: 0.0,
                l0: Some(4.0),
                dead_fraction: Some(0.25),
                explained_variance: Some(0.5),
                ..HistoryPoint::default()
            }],
            rho: Some(0.05),
            selected: false,
            inputs: Vec::new(),
            latents: vec![Latent {
                rho_hat: 0.05,
                status: "alive".into(),
                top: vec![("</td><script>alert(1)</script>".into(), 0.9)],
                ..Latent::default()
            }],
            activation_histogram: vec![3, 0, 1],
            population_histogram: vec![1, 2],
            filters: Some(images.clone()),
            reconstructions: Some(Reconstructions {
                inputs: images.clone(),
                outputs: images,
            }),
            config: "[model]\nx = \"<\"".into(),
        }
    }

    #[test]
    fn page_has_all_sections_and_needs_no_network() {
        let page = render(&full());
        for id in [
            "filters",
            "reconstructions",
            "objective",
            "penalty",
            "activity",
            "latents",
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
        for words in [
            "Explained variance over",
            "Share of dead latents",
            "active on no row",
        ] {
            assert!(page.contains(words), "{words}");
        }
        for words in ["rho", "All activations", "<section id=\"penalty\">"] {
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
        for words in [
            "writes base",
            "<td>75.0 %</td>",
            "Right: latents of chat only.",
            "id=\"inputs\"",
        ] {
            assert!(two.contains(words), "{words}");
        }
        let three = of(&["a", "b", "c"], &[0.5, 0.25, 0.25]);
        assert_eq!(three.matches("<figcaption>Right:").count(), 3);
        assert!(!of(&[], &[]).contains("id=\"inputs\""));
    }

    /// A page with a hundred thousand latents would take minutes to open.
    #[test]
    fn at_most_2000_latents_are_shown() {
        let of = |latents: usize| {
            let page = render(&Report {
                latents: vec![Latent::default(); latents],
                filters: Some(Images {
                    height: 1,
                    width: 1,
                    pixels: vec![vec![1.0]; latents],
                }),
                ..Report::default()
            });
            let count = |words: &str| page.matches(words).count();
            (
                count("<tr>"),
                count("<li>"),
                count("2000 of the 6001 latents are shown"),
            )
        };
        // One row has the column names.
        assert_eq!(of(2000), (2001, 2000, 0));
        assert_eq!(of(6001), (2001, 2000, 2));
        assert_eq!((shown(6001)[1], shown(6001)[1999]), (3, 5997));
        assert_eq!(shown(3), [0, 1, 2]);
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
