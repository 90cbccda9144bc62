//! Charts of the report page, one function for each.

use serde_json::json;

use crate::chart::{Axis, Chart, HEIGHT, short};
use crate::{HistoryPoint, Latent};

/// Chart of the objective's terms over the steps, on a logarithmic axis.
pub(crate) fn history(points: &[HistoryPoint]) -> String {
    type Part = (&'static str, &'static str, fn(&HistoryPoint) -> f64);
    const PARTS: [Part; 5] = [
        ("total", "s0", |p| p.total),
        ("reconstruction", "s1", |p| p.reconstruction),
        ("penalty", "s2", |p| p.penalty),
        ("weight decay", "s3", |p| p.weight_decay),
        ("auxiliary", "s4", |p| p.auxiliary),
    ];
    let positive = |v: &f64| v.is_finite() && *v > 0.0;
    let mut used: Vec<&Part> = PARTS
        .iter()
        .filter(|(_, _, of)| points.iter().map(of).any(|v| positive(&v)))
        .collect();
    // With a single term, the curve of the total would cover the term's curve.
    if used.len() == 2 {
        used.remove(0);
    }
    let values = || {
        used.iter()
            .flat_map(|(_, _, of)| points.iter().map(of))
            .filter(positive)
    };
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    // A penalty that falls to zero would stretch the axis over many empty decades.
    let y = Axis::logarithmic(low.max(high * 1e-6), high);
    let x = Axis::linear(
        points.first().map_or(0.0, |p| p.step as f64),
        points.last().map_or(1.0, |p| p.step as f64),
    );
    let mut chart = Chart::with_margin(
        (HEIGHT, MARGIN_OF_NAMES),
        x,
        y,
        "step",
        "value (log)",
        "Terms of the objective over the steps of training",
    );
    let kept = thin(points.iter().map(|p| (p.step as f64, *p)).collect());
    let series: Vec<(&str, Vec<f64>)> = used
        .iter()
        .map(|(name, _, of)| (*name, kept.iter().map(|(_, p)| of(p)).collect()))
        .collect();
    let steps: Vec<f64> = kept.iter().map(|(step, _)| *step).collect();
    attach_points(&mut chart, &steps, &series);
    for (_, class, of) in &used {
        let shown = points
            .iter()
            .map(|p| (p.step as f64, of(p)))
            .map(|(x, v)| (x, if v >= y.low { v } else { f64::NAN }));
        chart.curve(&format!("series {class}"), thin(shown.collect()));
    }
    let [_, right, ..] = chart.frame();
    // Names stand in the margin at the right ends of their curves and are moved apart if they would overlap.
    let last = points.last().copied().unwrap_or_default();
    let mut names: Vec<(f64, &str, &str)> = used
        .iter()
        .map(|(name, class, of)| (chart.at_y(of(&last).max(low)) + 4.0, *name, *class))
        .collect();
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::NEG_INFINITY;
    for (y, name, class) in names {
        let y = y.max(lowest + 15.0);
        lowest = y;
        chart.text(
            &format!("series-name {class}"),
            right + 8.0,
            y,
            "start",
            name,
        );
    }
    chart.finish()
}

/// Chart of the objective's terms over the steps, with their names, as an SVG file.
///
/// # Example
/// ```
/// use rarefy_report::{HistoryPoint, curves_plot};
/// let point = |step, total| HistoryPoint { step, total, reconstruction: total, ..HistoryPoint::default() };
/// let svg = curves_plot(&[point(1, 8.0), point(2, 4.0)]);
/// assert!(svg.starts_with("<svg") && svg.contains("reconstruction"));
/// ```
pub fn curves_plot(points: &[HistoryPoint]) -> String {
    const STYLE: &str = "<style>.chart{background:#fff;font:13px system-ui,sans-serif}.grid{stroke:#e7e5e0}\
        .axis,.minor{stroke:#8a8780}text{fill:#5c5a55}.series{fill:none;stroke-width:2.2}.series-name{font-weight:600}\
        .s0{stroke:#1f1e1b}.s1{stroke:#2b5fa8}.s2{stroke:#b4532a}.s3{stroke:#3c7a4e}.s4{stroke:#7a4a86}\
        text.s0{fill:#1f1e1b}text.s1{fill:#2b5fa8}text.s2{fill:#b4532a}text.s3{fill:#3c7a4e}text.s4{fill:#7a4a86}\
        text{stroke:none}</style><rect width='100%' height='100%' fill='#fff'/>";
    history(points).replacen("</title>", &format!("</title>{STYLE}"), 1)
}

/// Chart of one number over the steps, on an axis from 0.
pub(crate) fn over_steps(points: &[(usize, f64)], y_name: &str, label: &str) -> String {
    let highest = points.iter().map(|p| p.1).filter(|v| v.is_finite());
    let highest = highest.fold(0.0, f64::max);
    // A curve of zeros lies on the axis, not in the middle between -1 and 1.
    let y = Axis::linear(0.0, if highest > 0.0 { 1.1 * highest } else { 1.0 });
    let x = Axis::linear(
        points.first().map_or(0.0, |p| p.0 as f64),
        points.last().map_or(1.0, |p| p.0 as f64),
    );
    let mut chart = Chart::with_height(220.0, x, y, "step", y_name, label);
    let curve = thin(
        points
            .iter()
            .map(|&(step, value)| (step as f64, value))
            .collect(),
    );
    let (steps, values): (Vec<f64>, Vec<f64>) = curve.iter().copied().unzip();
    attach_points(&mut chart, &steps, &[(y_name, values)]);
    chart.curve("series s1", curve);
    chart.finish()
}

/// Number of colours of curves that are drawn over each other.
pub(crate) const COLOURS: usize = 8;

/// A named curve over steps.
pub(crate) struct Series<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(usize, f64)>,
}

/// Chart of one number of several runs over the steps; names are shown with the values under the pointer.
pub(crate) fn overlaid(series: &[Series], y_name: &str, logarithmic: bool) -> String {
    let all = || series.iter().flat_map(|s| s.points.iter().copied());
    let values = || all().map(|p| p.1).filter(|v| v.is_finite());
    let high = values().fold(0.0, f64::max);
    let y = if logarithmic {
        let low = values().filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        Axis::logarithmic(low, high)
    } else {
        Axis::linear(0.0, if high > 0.0 { 1.1 * high } else { 1.0 })
    };
    let last = all().map(|p| p.0).max().unwrap_or(1);
    let x = Axis::linear(0.0, last as f64);
    let label = format!(
        "{y_name} of {} runs over the steps of training",
        series.len()
    );
    let mut chart = Chart::with_height(260.0, x, y, "step", y_name, &label);
    let mut steps: Vec<usize> = all().map(|p| p.0).collect();
    steps.sort_unstable();
    steps.dedup();
    let steps = thin(steps.into_iter().map(|step| (step as f64, ())).collect());
    let steps: Vec<f64> = steps.into_iter().map(|(step, ())| step).collect();
    // The value of a run at another run's step is that of its last step before.
    let at = |points: &[(usize, f64)], step: f64| {
        let after = points.partition_point(|p| p.0 as f64 <= step);
        let ended = points.last().is_none_or(|p| (p.0 as f64) < step);
        let before = after.checked_sub(1).filter(|_| !ended);
        before.map_or(f64::NAN, |before| points[before].1)
    };
    let named: Vec<(&str, Vec<f64>)> = series
        .iter()
        .map(|s| {
            (
                s.name,
                steps.iter().map(|step| at(&s.points, *step)).collect(),
            )
        })
        .collect();
    attach_points(&mut chart, &steps, &named);
    for (index, s) in series.iter().enumerate() {
        let curve = s.points.iter().map(|&(step, value)| (step as f64, value));
        chart.curve(
            &format!("series k{}", index % COLOURS),
            thin(curve.collect()),
        );
    }
    chart.finish()
}

/// Right margin of a chart whose curves have names there.
const MARGIN_OF_NAMES: f64 = 124.0;

/// Attaches the values of curves, which the page shows under the pointer.
fn attach_points(chart: &mut Chart, steps: &[f64], series: &[(&str, Vec<f64>)]) {
    let places: Vec<f64> = steps
        .iter()
        .map(|step| (10.0 * chart.at_x(*step)).round() / 10.0)
        .collect();
    // JSON has no infinities; four digits are what a reader can use.
    let digits = |v: &f64| {
        v.is_finite()
            .then(|| format!("{v:.3e}").parse::<f64>().unwrap_or(*v))
    };
    let values: Vec<Vec<Option<f64>>> = series
        .iter()
        .map(|(_, values)| values.iter().map(digits).collect())
        .collect();
    let names: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    chart.attach(
        "points",
        &json!({"x": steps, "places": places, "names": names, "values": values, "x_name": "step"}),
    );
}

/// Histogram of the latents' firing rates on a logarithmic axis; silent latents are left out.
pub(crate) fn densities(latents: &[Latent]) -> String {
    /// Number of bins in a power of ten.
    const FINE: f64 = 8.0;
    let logs = || {
        latents
            .iter()
            .map(|l| l.firing_rate.log10())
            .filter(|l| l.is_finite())
    };
    let low = logs().fold(-2.0, f64::min).floor();
    let mut counts = vec![0u64; (-low * FINE) as usize];
    for log in logs() {
        let bin = ((log - low) * FINE) as usize;
        let last = counts.len() - 1;
        counts[bin.min(last)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let mut chart = Chart::with_height(
        220.0,
        Axis::linear(low, 0.0),
        Axis::linear(0.0, 1.05 * most),
        "log10 of the firing rate (share of rows)",
        "latents",
        "Histogram of firing rates",
    );
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (left, right) = (low + bin as f64 / FINE, low + (bin + 1) as f64 / FINE);
        let hover = format!(
            "{} to {} of the rows: {count}",
            short(10f64.powf(left)),
            short(10f64.powf(right))
        );
        chart.bar(
            "bin",
            (left + 0.005, 0.0),
            (right - 0.005, count as f64),
            &hover,
        );
    }
    chart.finish()
}

/// Thins a long curve to at most 601 points, always with the last one.
fn thin<T>(points: Vec<(f64, T)>) -> Vec<(f64, T)> {
    const MOST: usize = 600;
    let every = points.len().div_ceil(MOST).max(1);
    let last = points.len().saturating_sub(1);
    points
        .into_iter()
        .enumerate()
        .filter(|(i, _)| i % every == 0 || *i == last)
        .map(|(_, point)| point)
        .collect()
}

/// Chart of the latents' mean activations in rising order, with the target and bands of 10 and 30 %.
pub(crate) fn rho_hat(rho: f64, latents: &[Latent]) -> String {
    let mut order: Vec<usize> = (0..latents.len()).collect();
    order.sort_by(|&a, &b| latents[a].rho_hat.total_cmp(&latents[b].rho_hat));
    let highest = latents
        .iter()
        .map(|l| l.rho_hat)
        .filter(|r| r.is_finite())
        .fold(1.5 * rho, f64::max);
    let x = Axis::linear(-0.5, latents.len() as f64 - 0.5);
    let y = Axis::linear(0.0, 1.05 * highest);
    let mut chart = Chart::new(
        x,
        y,
        "latents, in rising order",
        "ρ̂",
        "Mean activation of each latent, with the target",
    );
    chart.bar(
        "band wide",
        (x.low, 0.7 * rho),
        (x.high, 1.3 * rho),
        "within 30 % of ρ",
    );
    chart.bar(
        "band",
        (x.low, 0.9 * rho),
        (x.high, 1.1 * rho),
        "within 10 % of ρ",
    );
    let at = chart.at_y(rho);
    chart.line("target", chart.at_x(x.low), at, chart.at_x(x.high), at);
    chart.text(
        "note",
        chart.at_x(x.low) + 6.0,
        chart.at_y(0.7 * rho) + 18.0,
        "start",
        &format!("dashed: ρ = {}", short(rho)),
    );
    for (place, &l) in order.iter().enumerate() {
        let latent = &latents[l];
        let class = if latent.status == "alive" {
            "mark"
        } else {
            "mark odd"
        };
        chart.dot(
            class,
            place as f64,
            latent.rho_hat,
            3.0,
            &format!("latent {l}: {} ({})", short(latent.rho_hat), latent.status),
        );
    }
    chart.finish()
}

/// Histogram of counts in equal bins of [0, 1], with a linear or logarithmic count axis.
pub(crate) fn histogram(
    counts: &[u64],
    logarithmic: bool,
    x_name: &str,
    y_name: &str,
    label: &str,
) -> String {
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let y = if logarithmic {
        Axis::logarithmic(1.0, most)
    } else {
        Axis::linear(0.0, 1.05 * most)
    };
    let mut chart = Chart::with_height(220.0, Axis::linear(0.0, 1.0), y, x_name, y_name, label);
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (left, right) = (
            bin as f64 / counts.len() as f64,
            (bin + 1) as f64 / counts.len() as f64,
        );
        let hover = format!("{} to {}: {count}", short(left), short(right));
        // In a logarithmic chart a single count needs a visible bar too.
        let top = if logarithmic {
            (count as f64).max(1.15)
        } else {
            count as f64
        };
        chart.bar("bin", (left + 0.001, y.low), (right - 0.001, top), &hover);
    }
    chart.finish()
}

/// Counts of values in 50 equal bins of [0, 1].
pub(crate) fn bins(values: impl Iterator<Item = f64>) -> Vec<u64> {
    let mut counts = vec![0; 50];
    for value in values.filter(|v| v.is_finite()) {
        counts[((value * 50.0) as usize).min(49)] += 1;
    }
    counts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::penalty_plot;

    #[test]
    fn total_is_drawn_only_with_two_or_more_terms() {
        let point = |auxiliary| HistoryPoint {
            step: 1,
            total: 2.0 + auxiliary,
            reconstruction: 2.0,
            auxiliary,
            ..HistoryPoint::default()
        };
        let names = |auxiliary| {
            let svg = history(&[point(auxiliary)]);
            ["total", "reconstruction", "auxiliary"].map(|name| svg.contains(&format!(">{name}<")))
        };
        assert_eq!(names(0.0), [false, true, false]);
        assert_eq!(names(0.5), [true, true, true]);
    }

    /// True if tags are closed in order and attributes are quoted.
    pub(crate) fn well_formed(xml: &str) -> bool {
        let mut open = Vec::new();
        for tag in xml.split('<').skip(1) {
            let Some((tag, _)) = tag.split_once('>') else {
                return false;
            };
            if tag.matches(['"', '\'']).count() % 2 != 0 {
                return false;
            }
            let name = tag
                .trim_start_matches('/')
                .split([' ', '/'])
                .next()
                .unwrap_or_default();
            if tag.starts_with('/') {
                if open.pop() != Some(name) {
                    return false;
                }
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        open.is_empty()
    }

    #[test]
    fn charts_of_odd_numbers_are_well_formed() {
        let odd = HistoryPoint {
            step: 2,
            total: f64::NAN,
            reconstruction: f64::INFINITY,
            penalty: 0.0,
            weight_decay: -1.0,
            ..HistoryPoint::default()
        };
        let good = HistoryPoint {
            step: 1,
            total: 3.0,
            reconstruction: 2.0,
            penalty: 1.0,
            weight_decay: 0.0,
            auxiliary: 0.5,
            ..HistoryPoint::default()
        };
        for points in [vec![], vec![odd], vec![good], vec![good, odd]] {
            assert!(well_formed(&history(&points)), "{points:?}");
        }
        let latent = |rho_hat| Latent {
            rho_hat,
            status: "<odd> & \"quoted\"".into(),
            ..Latent::default()
        };
        for latents in [
            vec![],
            vec![latent(f64::NAN)],
            vec![latent(0.1), latent(0.9)],
        ] {
            assert!(well_formed(&rho_hat(0.1, &latents)));
        }
        for rho in [1e-6, 0.005, 0.2, 0.7, 1.0 - 1e-9] {
            let svg = penalty_plot(rho, &[0.0, 0.3, 1.0, f64::NAN]);
            assert!(
                well_formed(&svg) && !svg.contains("NaN") && !svg.contains("inf"),
                "{rho}: {svg}"
            );
        }
        for rates in [&[][..], &[0.0], &[1.0], &[1e-7, 0.3, f64::NAN]] {
            let latents: Vec<Latent> = rates
                .iter()
                .map(|&firing_rate| Latent {
                    firing_rate,
                    ..Latent::default()
                })
                .collect();
            let svg = densities(&latents);
            assert!(well_formed(&svg) && !svg.contains("NaN"), "{svg}");
        }
        for points in [&[][..], &[(10, f64::NAN)], &[(10, 3.0), (20, 4.0)]] {
            assert!(well_formed(&over_steps(points, "x", "y")));
        }
        // A perfect fit has no positive term, so nothing can stand on a logarithmic axis.
        for total in [0.0, f64::NAN, 1e-320, 3.0] {
            let point = HistoryPoint {
                step: 20,
                total,
                reconstruction: total,
                ..HistoryPoint::default()
            };
            let svg = history(&[point, point]);
            assert!(well_formed(&svg) && !svg.contains("NaN"), "{total}: {svg}");
        }
        assert!(well_formed(&histogram(&[], true, "x", "y", "z")));
        assert!(well_formed(&histogram(
            &[0, 5, 1_000_000],
            true,
            "x",
            "y",
            "z"
        )));
    }
}
