//! Plot of the KL penalty against the mean activation.

use serde_json::json;

use crate::chart::{Axis, Chart, short};

/// KL penalty of one latent, in nats; infinite at 0 and 1.
fn penalty(rho: f64, rho_hat: f64) -> f64 {
    rho * (rho / rho_hat).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - rho_hat)).ln()
}

/// Target up to which the axis of the mean activation is logarithmic: a linear axis would squeeze the minimum of a small
/// target against its left end.
const SMALL_RHO: f64 = 0.1;

/// Chart of the KL penalty of one latent against its mean activation, with the minimum and marks.
fn penalty_chart(rho: f64, marks: &[f64]) -> Chart {
    // The chart is high enough to show both rising ends and low enough to show the minimum.
    let top = 1.15
        * penalty(rho, 0.5)
            .max(penalty(rho, rho / 8.0))
            .max(penalty(rho, 1.0 - (1.0 - rho) / 8.0));
    let label = format!(
        "Ω against ρ̂ for ρ = {}: the minimum is 0, at ρ̂ = ρ",
        short(rho)
    );
    let x = if rho <= SMALL_RHO {
        let least = marks.iter().copied().filter(|mark| *mark > 0.0);
        Axis::logarithmic(least.fold(rho / 20.0, f64::min).max(rho * 1e-4), 1.0)
    } else {
        Axis::linear(0.0, 1.0)
    };
    let y = Axis::linear(0.0, top);
    let name = if x.is_logarithmic() {
        "ρ̂, mean activation (log)"
    } else {
        "ρ̂, mean activation"
    };
    let mut chart = Chart::new(x, y, name, "Ω (nats)", &label);
    chart.class("penalty");
    let [left, right, over, under] = chart.frame();
    let axes = json!({
        "low": x.low, "high": x.high, "logarithmic": x.is_logarithmic(), "most": top,
        "left": left, "right": right, "top": over, "bottom": under,
    });
    chart.attach("axes", &axes);
    let inside = places(x.low)
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
            &format!("latent {index}: ρ̂ {}, Ω {}", short(mark), short(value)),
        );
    }
    let (x, y) = (chart.at_x(rho), chart.at_y(0.0));
    chart.line("target", x, chart.at_y(top), x, y);
    chart.dot("minimum", rho, 0.0, 5.0, "minimum: 0 at ρ̂ = ρ");
    // The note stands at the upper end of the dashed line, far from the curve.
    let top_of_note = chart.at_y(top) + 14.0;
    let (anchor, shift) = if x < 0.6 * crate::chart::WIDTH {
        ("start", 10.0)
    } else {
        ("end", -10.0)
    };
    chart.text(
        "note",
        x + shift,
        top_of_note,
        anchor,
        &format!("minimum at ρ̂ = ρ = {}", short(rho)),
    );
    chart.text("note", x + shift, top_of_note + 17.0, anchor, "Ω = 0");
    chart
}

/// Mean activations at which the penalty is drawn, closer together at both ends, where the curve is steep.
fn places(low: f64) -> Vec<f64> {
    const POINTS: usize = 400;
    let sample = |i: usize| 0.5 - 0.5 * (std::f64::consts::PI * i as f64 / POINTS as f64).cos();
    // The curve rises to infinity so late that only points very close to 0 and 1 show it.
    let left = (1..=4800).map(|part| 10f64.powf(-f64::from(part) / 16.0));
    let right = (8..=60).map(|quarter| 1.0 - 10f64.powf(-f64::from(quarter) / 4.0));
    let mut places: Vec<f64> = left.chain((1..POINTS).map(sample)).chain(right).collect();
    places.retain(|place| *place >= low);
    places.sort_by(f64::total_cmp);
    places
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
/// assert!(svg.starts_with("<svg") && svg.contains("ρ̂ = ρ = 0.2") && svg.contains("Ω = 0"));
/// ```
pub fn penalty_plot(rho: f64, marks: &[f64]) -> String {
    const STYLE: &str = "<style>.chart{background:#fff;font:13px system-ui,sans-serif}.grid{stroke:#e7e5e0}\
        .axis{stroke:#8a8780}text{fill:#5c5a55}.note{fill:#1f1e1b;font-weight:600}.curve{fill:none;stroke:#2b5fa8;stroke-width:2.5}\
        .minor{stroke:#8a8780}.target{stroke:#b4532a;stroke-dasharray:4 4}.minimum{fill:none;stroke:#b4532a;stroke-width:2}.mark{fill:#2b5fa8;fill-opacity:.45}</style>\
        <rect width='100%' height='100%' fill='#fff'/>";
    let svg = penalty_chart(rho, marks).finish();
    svg.replacen("</title>", &format!("</title>{STYLE}"), 1)
}

/// Penalty chart for the report page, in the page's colours; see [`penalty_plot`].
pub(crate) fn penalty_curve(rho: f64, marks: &[f64]) -> String {
    penalty_chart(rho, marks).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
