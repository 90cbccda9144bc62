//! Charts of the report page, one function for each.

use crate::chart::{Axis, Chart, short};
use crate::{HistoryPoint, Latent};

/// KL penalty of one latent, in nats; infinite at 0 and 1.
fn penalty(rho: f64, rho_hat: f64) -> f64 {
    rho * (rho / rho_hat).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - rho_hat)).ln()
}

/// Chart of the KL penalty of one latent against its mean activation, with the minimum and marks.
fn penalty_chart(rho: f64, marks: &[f64]) -> Chart {
    const POINTS: usize = 400;
    // The chart is high enough to show both rising ends and low enough to show the minimum.
    let top = 1.15
        * penalty(rho, 0.5)
            .max(penalty(rho, rho / 8.0))
            .max(penalty(rho, 1.0 - (1.0 - rho) / 8.0));
    let label = format!(
        "Omega against rho_hat for rho = {}: the minimum is 0, at rho_hat = rho",
        short(rho)
    );
    let mut chart = Chart::new(
        Axis::linear(0.0, 1.0),
        Axis::linear(0.0, top),
        "rho_hat, mean activation",
        "Omega (nats)",
        &label,
    );
    // Points are closer together at both ends, where the curve is steep.
    let sample = |i: usize| 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / POINTS as f64).cos();
    // The curve rises to infinity so late that only points very close to 0 and 1 show it.
    let left = (8..=1200).map(|quarter| 10f64.powf(-f64::from(quarter) / 4.0));
    let right = (8..=60).map(|quarter| 1.0 - 10f64.powf(-f64::from(quarter) / 4.0));
    let mut places: Vec<f64> = left.chain((1..POINTS).map(sample)).chain(right).collect();
    places.sort_by(f64::total_cmp);
    let inside = places
        .into_iter()
        .map(|q| (q, penalty(rho, q)))
        .filter(|(_, value)| *value <= top);
    chart.curve("curve", inside);
    for (index, &mark) in marks.iter().enumerate() {
        let value = penalty(rho, mark);
        chart.dot(
            "mark",
            mark,
            value.min(top),
            3.0,
            &format!(
                "latent {index}: rho_hat {}, Omega {}",
                short(mark),
                short(value)
            ),
        );
    }
    let (x, y) = (chart.at_x(rho), chart.at_y(0.0));
    chart.line("target", x, chart.at_y(top), x, y);
    chart.dot("minimum", rho, 0.0, 5.0, "minimum: 0 at rho_hat = rho");
    // The note stands at the upper end of the dashed line, far from the curve.
    let top_of_note = chart.at_y(top) + 14.0;
    let (anchor, shift) = if rho < 0.6 {
        ("start", 10.0)
    } else {
        ("end", -10.0)
    };
    chart.text(
        "note",
        x + shift,
        top_of_note,
        anchor,
        &format!("minimum at rho_hat = rho = {}", short(rho)),
    );
    chart.text("note", x + shift, top_of_note + 17.0, anchor, "Omega = 0");
    chart
}

/// Plot of the KL penalty against the mean activation, as a complete SVG file.
///
/// ```text
/// Omega(rho_hat) = rho ln(rho / rho_hat) + (1 - rho) ln((1 - rho) / (1 - rho_hat))
/// ```
///
/// The lecture asks to plot the penalty and check its minimum. `marks` are mean activations of trained
/// latents, drawn on the curve.
///
/// # Example
/// ```
/// let svg = rarefy_report::penalty_plot(0.2, &[0.18, 0.25]);
/// assert!(svg.starts_with("<svg") && svg.contains("rho_hat = rho = 0.2") && svg.contains("Omega = 0"));
/// ```
pub fn penalty_plot(rho: f64, marks: &[f64]) -> String {
    const STYLE: &str = "<style>.chart{background:#fff;font:13px system-ui,sans-serif}.grid{stroke:#e7e5e0}\
        .axis{stroke:#8a8780}text{fill:#5c5a55}.note{fill:#1f1e1b;font-weight:600}.curve{fill:none;stroke:#2b5fa8;stroke-width:2.5}\
        .target{stroke:#b4532a;stroke-dasharray:4 4}.minimum{fill:#b4532a}.mark{fill:#2b5fa8;fill-opacity:.45}</style>\
        <rect width='100%' height='100%' fill='#fff'/>";
    let svg = penalty_chart(rho, marks).finish();
    svg.replacen("</title>", &format!("</title>{STYLE}"), 1)
}

/// Penalty chart for the report page, in the page's colours; see [`penalty_plot`].
pub(crate) fn penalty_curve(rho: f64, marks: &[f64]) -> String {
    penalty_chart(rho, marks).finish()
}

/// Chart of the objective's terms over the steps, on a logarithmic axis.
pub(crate) fn history(points: &[HistoryPoint]) -> String {
    type Part = (&'static str, &'static str, fn(&HistoryPoint) -> f64);
    const PARTS: [Part; 5] = [
        ("total", "s0", |p| p.total),
        ("reconstruction", "s1", |p| p.reconstruction),
        ("penalty", "s2", |p| p.penalty),
        ("weight decay", "s3", |p| p.weight_decay),
        ("auxiliary", "s2", |p| p.auxiliary),
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
    let mut chart = Chart::new(
        x,
        y,
        "step",
        "value (log)",
        "Terms of the objective over the steps of training",
    );
    for (_, class, of) in &used {
        let shown = points
            .iter()
            .map(|p| (p.step as f64, of(p)))
            .map(|(x, v)| (x, if v >= y.low { v } else { f64::NAN }));
        chart.curve(&format!("series {class}"), thin(shown.collect()));
    }
    // Names stand at the right ends of their curves and are moved apart if they would overlap.
    let last = points.last().copied().unwrap_or_default();
    let mut names: Vec<(f64, &str, &str)> = used
        .iter()
        .map(|(name, class, of)| (chart.at_y(of(&last).max(low)) - 6.0, *name, *class))
        .collect();
    names.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::NEG_INFINITY;
    for (y, name, class) in names {
        let y = y.max(lowest + 15.0);
        lowest = y;
        chart.text(
            &format!("series-name {class}"),
            crate::chart::WIDTH - 20.0,
            y,
            "end",
            name,
        );
    }
    chart.finish()
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
    let curve = points.iter().map(|&(step, value)| (step as f64, value));
    chart.curve("series s1", thin(curve.collect()));
    chart.finish()
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
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
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
        "rho_hat",
        "Mean activation of each latent, with the target",
    );
    chart.bar(
        "band wide",
        (x.low, 0.7 * rho),
        (x.high, 1.3 * rho),
        "within 30 % of rho",
    );
    chart.bar(
        "band",
        (x.low, 0.9 * rho),
        (x.high, 1.1 * rho),
        "within 10 % of rho",
    );
    let at = chart.at_y(rho);
    chart.line("target", chart.at_x(x.low), at, chart.at_x(x.high), at);
    chart.text(
        "note",
        chart.at_x(x.low) + 6.0,
        at - 6.0,
        "start",
        &format!("rho = {}", short(rho)),
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
    fn penalty_is_zero_only_at_the_target() {
        assert_eq!(penalty(0.2, 0.2), 0.0);
        assert!((penalty(0.2, 0.5) - 0.192_745).abs() < 1e-6);
        assert!(
            (1..100)
                .map(|i| f64::from(i) / 100.0)
                .filter(|q| (q - 0.2).abs() > 1e-9)
                .all(|q| penalty(0.2, q) > 0.0)
        );
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
