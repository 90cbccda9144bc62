//! Page that compares runs: settings that differ, figures, curves over each other, points of the frontier.

use maud::{Markup, PreEscaped, html};

use crate::frontier::frontier_in_page;
use crate::page::{figure, shell};
use crate::{FrontierLine, FrontierPoint, HistoryPoint, charts};

/// Content of the page that compares runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Line below the title.
    pub subtitle: String,
    /// Warnings, such as runs on different data.
    pub notes: Vec<String>,
    /// Settings that differ: name and the value of each run.
    pub settings: Vec<(String, Vec<String>)>,
    /// Names of the figures.
    pub figures: Vec<String>,
    /// Runs that are compared.
    pub runs: Vec<ComparedRun>,
}

/// A run of a comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComparedRun {
    /// Name of the run.
    pub name: String,
    /// Name of the architecture.
    pub arch: String,
    /// Values of the figures.
    pub figures: Vec<String>,
    /// Objective at each recorded step.
    pub history: Vec<HistoryPoint>,
    /// L0 and explained variance, if they are known.
    pub point: Option<(f64, f64)>,
}

/// Renders a comparison of runs as one self-contained HTML page.
///
/// # Example
/// ```
/// use rarefy_report::{ComparedRun, Comparison, render_comparison};
/// let run = ComparedRun { name: "<a>".into(), ..Default::default() };
/// let page = render_comparison(&Comparison { runs: vec![run], ..Default::default() });
/// assert!(page.contains("&lt;a&gt;") && !page.contains("src=\"http"));
/// ```
pub fn render_comparison(comparison: &Comparison) -> String {
    let body = html! {
        p .soft { (comparison.subtitle) }
        @for note in &comparison.notes { p .note-box { (note) } }
        section #figures { h2 { "Figures" } (figures(comparison)) }
        @if !comparison.settings.is_empty() {
            section #settings { h2 { "Settings that differ" } (settings(comparison)) }
        }
        section #curves { h2 { "Training" } div .pair { (curves(comparison)) } }
        (frontier(comparison))
    };
    shell("Comparison of runs", "comparison", &body)
}

fn figures(comparison: &Comparison) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th scope="col" { "run" } @for name in &comparison.figures { th scope="col" { (name) } } } }
                tbody {
                    @for (i, run) in comparison.runs.iter().enumerate() {
                        tr {
                            th scope="row" { span class={ "key k" (i % charts::COLOURS) } {} (run.name) }
                            @for value in &run.figures { td { (value) } }
                        }
                    }
                }
            }
        }
    }
}

fn settings(comparison: &Comparison) -> Markup {
    html! {
        div .scroll {
            table {
                thead { tr { th scope="col" { "setting" } @for run in &comparison.runs { th scope="col" { (run.name) } } } }
                tbody {
                    @for (name, values) in &comparison.settings {
                        tr { th scope="row" { (name) } @for value in values { td { (value) } } }
                    }
                }
            }
        }
    }
}

fn curves(comparison: &Comparison) -> Markup {
    type Of = fn(&HistoryPoint) -> Option<f64>;
    let parts: [(&str, bool, Of); 4] = [
        ("objective (log)", true, |p| Some(p.total)),
        ("explained variance, %", false, |p| {
            p.explained_variance.map(|e| 100.0 * e)
        }),
        ("L0", false, |p| p.l0),
        ("dead latents, %", false, |p| {
            p.dead_fraction.map(|d| 100.0 * d)
        }),
    ];
    html! {
        @for (name, logarithmic, of) in parts {
            @let series: Vec<charts::Series> = comparison.runs.iter().map(|run| charts::Series {
                name: &run.name,
                points: run.history.iter().filter_map(|p| Some((p.step, of(p)?))).collect(),
            }).collect();
            @if series.iter().any(|s| s.points.iter().any(|(_, value)| *value != 0.0)) {
                (figure(charts::overlaid(&series, name, logarithmic), ""))
            }
        }
    }
}

/// Explained variance against L0, a line for each architecture.
fn frontier(comparison: &Comparison) -> Markup {
    let mut lines: Vec<FrontierLine> = Vec::new();
    for run in &comparison.runs {
        let Some((l0, explained_variance)) = run.point else {
            continue;
        };
        let point = FrontierPoint {
            setting: run.name.clone(),
            l0,
            explained_variance,
        };
        match lines.iter_mut().find(|line| line.name == run.arch) {
            Some(line) => line.points.push(point),
            None => lines.push(FrontierLine {
                name: run.arch.clone(),
                points: vec![point],
            }),
        }
    }
    html! {
        @if lines.iter().any(|line| line.points.iter().any(|p| p.l0 > 0.0)) {
            section #frontier {
                h2 { "Explained variance at its sparsity" }
                figure {
                    (PreEscaped(frontier_in_page(&lines, None, "")))
                    figcaption { "Points further up and to the left explain more with fewer active latents." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_figures_settings_curves_and_the_frontier() {
        let run = |name: &str, l0: f64| ComparedRun {
            name: name.into(),
            arch: "topk".into(),
            figures: vec!["80 %".into()],
            history: vec![HistoryPoint {
                step: 1,
                total: 2.0,
                ..HistoryPoint::default()
            }],
            point: Some((l0, 0.8)),
        };
        let page = render_comparison(&Comparison {
            settings: vec![("model.options.k".into(), vec!["8".into(), "16".into()])],
            figures: vec!["explained variance".into()],
            runs: vec![run("a", 8.0), run("b", 16.0)],
            ..Comparison::default()
        });
        for words in [
            "model.options.k",
            "<td>16</td>",
            "80 %",
            "objective (log)",
            "id=\"frontier\"",
        ] {
            assert!(page.contains(words), "{words}");
        }
        assert!(!page.contains("dead latents, %") && !page.contains("L0 ="));
        let without = ComparedRun {
            point: None,
            ..run("a", 0.0)
        };
        let page = render_comparison(&Comparison {
            runs: vec![without],
            ..Comparison::default()
        });
        assert!(!page.contains("id=\"frontier\"") && !page.contains("id=\"settings\""));
    }
}
