//! Frontier plot: explained variance of architectures against L0.

use std::fmt::Write;

use crate::chart::{Axis, Chart, WIDTH, short};

/// Results of one architecture at several settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FrontierLine {
    /// Name of the architecture, written beside the line.
    pub name: String,
    /// Trained models, in any order.
    pub points: Vec<FrontierPoint>,
}

/// Result of one trained model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FrontierPoint {
    /// Setting of the training as a phrase, such as `k 8`.
    pub setting: String,
    /// Mean number of active latents in a row.
    pub l0: f64,
    /// Explained variance as a share.
    pub explained_variance: f64,
}

impl FrontierLine {
    /// Explained variance at an L0, interpolated linearly in log L0; `None` outside of the points.
    ///
    /// ```text
    /// ev(l) = ev_a + (ev_b - ev_a) ln(l / l_a) / ln(l_b / l_a)     l_a <= l <= l_b, adjacent
    /// ```
    ///
    /// Of points with equal L0 the best counts. Points with L0 = 0 are ignored.
    ///
    /// # Units
    /// `l0` is in latents a row; the result is a share, at most 1.
    ///
    /// # Example
    /// ```
    /// use rarefy_report::{FrontierLine, FrontierPoint};
    /// let point = |l0, explained_variance| FrontierPoint { l0, explained_variance, ..Default::default() };
    /// let line = FrontierLine { points: vec![point(32.0, 0.75), point(8.0, 0.5)], ..Default::default() };
    /// assert_eq!(line.at(16.0), Some(0.625)); // half of the way from 8 to 32
    /// assert_eq!((line.at(32.0), line.at(33.0)), (Some(0.75), None));
    /// ```
    pub fn at(&self, l0: f64) -> Option<f64> {
        let points = self.in_order();
        let after = points.iter().position(|point| point.0 >= l0)?;
        let high = points[after];
        if high.0 == l0 {
            return Some(high.1);
        }
        let low = points[after.checked_sub(1)?];
        let share = (l0 / low.0).ln() / (high.0 / low.0).ln();
        Some(low.1 + share * (high.1 - low.1))
    }

    /// Points (L0, explained variance) by rising L0, each L0 once.
    fn in_order(&self) -> Vec<(f64, f64)> {
        let all = self.points.iter().map(|p| (p.l0, p.explained_variance));
        let mut points: Vec<_> = all
            .filter(|(l0, ev)| *l0 > 0.0 && l0.is_finite() && ev.is_finite())
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        points.dedup_by(|next, first| next.0 == first.0);
        points
    }
}

const HEIGHT: f64 = 400.0;
/// Width of the margin with the names.
const MARGIN: f64 = 152.0;
/// Distance between two names.
const SPACING: f64 = 17.0;

/// Colours for a light and a dark background, each with a contrast of at least 3 to 1. Lines also differ
/// by name and mark, so that colours are not needed to tell them apart.
const COLOURS: [(&str, &str); 8] = [
    ("#0a63a8", "#7fb0ee"),
    ("#c04a10", "#f0935f"),
    ("#00785a", "#4fc7a0"),
    ("#9a3f86", "#df93cf"),
    ("#8a6a00", "#dcb83c"),
    ("#1f1e1b", "#ece9e2"),
    ("#2380b5", "#8fd3f4"),
    ("#8c2141", "#f27a9a"),
];
const LIGHT: [&str; 3] = ["#ffffff", "#e7e5e0", "#5c5a55"];
const DARK: [&str; 3] = ["#1b1a18", "#36342f", "#a8a49b"];

/// Paths of the marks, centred at 0: circle, square, triangle, diamond, inverted triangle, cross, plus,
/// hourglass.
const SHAPES: [&str; 8] = [
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.5 3.2h-9z",
    "M0-5L5 0 0 5-5 0z",
    "M0 4.8L4.5-3.2h-9z",
    "M-4.4-2.3L-2.3-4.4 0-2.1 2.3-4.4 4.4-2.3 2.1 0 4.4 2.3 2.3 4.4 0 2.1-2.3 4.4-4.4 2.3-2.1 0z",
    "M-1.5-4.6h3v3.1h3.1v3h-3.1v3.1h-3v-3.1h-3.1v-3h3.1z",
    "M-4.2-4.2h8.4L-4.2 4.2h8.4z",
];
const DASHES: [&str; 3] = ["none", "8 3", "2 3"];

/// Colour, shape and dash of a line; the first 64 lines differ in colour or shape.
fn look(line: usize) -> (usize, usize, usize) {
    let colours = COLOURS.len();
    let shape = (line + line / colours) % SHAPES.len();
    (line % colours, shape, line % DASHES.len())
}

/// Plot of explained variance against L0, one line for each architecture, as a complete SVG file.
///
/// Both numbers are meant for held-out rows. The chart marks the L0 `at` with a dashed line, if given, and has
/// colours for light and dark screens.
///
/// # Example
/// ```
/// use rarefy_report::{FrontierLine, FrontierPoint, frontier_plot};
/// let point = |l0, explained_variance| FrontierPoint { l0, explained_variance, setting: "k 8".into() };
/// let line = FrontierLine { name: "topk".into(), points: vec![point(8.0, 0.5), point(32.0, 0.75)] };
/// let svg = frontier_plot(&[line], Some(16.0));
/// assert!(svg.starts_with("<svg") && svg.contains(">topk</text>") && svg.contains("L0 = 16"));
/// ```
pub fn frontier_plot(lines: &[FrontierLine], at: Option<f64>) -> String {
    let svg = frontier_in_page(lines, at, " of held-out rows");
    let styled = format!("</title>{}", style(lines.len()));
    svg.replacen("</title>", &styled, 1)
}

/// [`frontier_plot`] without colours, for a page whose style has them. `of_rows` names the rows of the figures.
pub(crate) fn frontier_in_page(lines: &[FrontierLine], at: Option<f64>, of_rows: &str) -> String {
    let names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let label = format!(
        "Explained variance{of_rows} against L0, a line for each of {}",
        names.join(", ")
    );
    let (x, y) = axes(lines);
    let mut chart = Chart::with_margin(
        (HEIGHT, MARGIN),
        x,
        y,
        "L0: latents active in a row (log)",
        &format!("explained variance{of_rows}"),
        &label,
    );
    if let Some(at) = at.filter(|at| (x.low..=x.high).contains(at)) {
        let place = chart.at_x(at);
        let (top, bottom) = (chart.at_y(y.high), chart.at_y(y.low));
        chart.line("target", place, top, place, bottom);
        let note = format!("L0 = {}", short(at));
        chart.text("note", place + 5.0, bottom - 6.0, "start", &note);
    }
    for (index, line) in lines.iter().enumerate() {
        draw(&mut chart, &format!("k{index}"), index, line);
    }
    name(&mut chart, lines);
    chart.finish()
}

/// Axes that contain all points. Points with negative explained variance are drawn on the lower edge.
fn axes(lines: &[FrontierLine]) -> (Axis, Axis) {
    let points = || lines.iter().flat_map(FrontierLine::in_order);
    let x = Axis::octaves(
        points().map(|p| p.0).fold(f64::INFINITY, f64::min),
        points().map(|p| p.0).fold(0.0, f64::max),
    );
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min).max(0.0);
    let high = points().map(|p| p.1).fold(0.0, f64::max);
    let room = 0.05 * (high - low).max(0.0);
    (x, Axis::linear((low - room).max(0.0), high + room))
}

fn draw(chart: &mut Chart, class: &str, index: usize, line: &FrontierLine) {
    let (_, shape, _) = look(index);
    chart.curve(&format!("series {class}"), line.in_order());
    let placed =
        |p: &&FrontierPoint| p.l0 > 0.0 && p.l0.is_finite() && p.explained_variance.is_finite();
    for point in line.points.iter().filter(placed) {
        let (x, y) = (chart.at_x(point.l0), chart.at_y(point.explained_variance));
        let hover = format!(
            "{}, {}: L0 {}, explained variance {}",
            line.name,
            point.setting,
            short(point.l0),
            short(point.explained_variance)
        );
        chart.shape(&format!("mark {class}"), x, y, SHAPES[shape], &hover);
    }
}

/// Writes the names beside the ends of their lines, moved apart if they would overlap.
fn name(chart: &mut Chart, lines: &[FrontierLine]) {
    let end = |(index, line): (usize, &FrontierLine)| {
        let (l0, ev) = *line.in_order().last()?;
        Some((chart.at_x(l0), chart.at_y(ev), index))
    };
    let mut ends: Vec<(f64, f64, usize)> = lines.iter().enumerate().filter_map(end).collect();
    ends.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
    let from_top: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let right = WIDTH - MARGIN;
    for ((x, y, index), place) in ends.into_iter().zip(apart(&from_top)) {
        chart.line(&format!("leader k{index}"), x + 6.0, y, right + 12.0, place);
        let shape = SHAPES[look(index).1];
        let text = &lines[index].name;
        chart.shape(&format!("mark k{index}"), right + 20.0, place, shape, text);
        chart.text("note", right + 30.0, place + 4.5, "start", text);
    }
}

/// Moves places apart to a distance of at least [`SPACING`]: down if two are too close, then up from the
/// lower edge.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut places: Vec<f64> = Vec::new();
    for &place in wanted {
        let above = places
            .last()
            .map_or(f64::NEG_INFINITY, |last| last + SPACING);
        places.push(place.max(above));
    }
    let mut limit = HEIGHT - SPACING;
    for place in places.iter_mut().rev() {
        *place = place.min(limit);
        limit = *place - SPACING;
    }
    places
}

/// CSS rules by class for light and dark screens. The light rules come first, for viewers without media
/// queries.
fn style(lines: usize) -> String {
    let mut rules = String::from(
        ".chart{font:13px system-ui,sans-serif}.note{font-weight:600}.series{fill:none;stroke-width:2}\
         .target{stroke-dasharray:4 4}.leader{stroke-width:1;stroke-opacity:.45}.mark{stroke-width:1}",
    );
    for line in 0..lines {
        let dash = DASHES[look(line).2];
        let _ = write!(rules, ".series.k{line}{{stroke-dasharray:{dash}}}");
    }
    let light = colours(lines, LIGHT, |colour| colour.0);
    let dark = colours(lines, DARK, |colour| colour.1);
    format!(
        "<style>{rules}{light}@media (prefers-color-scheme:dark){{{dark}}}</style>\
         <rect class='paper' width='100%' height='100%'/>"
    )
}

fn colours(
    lines: usize,
    [paper, grid, ink]: [&str; 3],
    of: fn(&(&'static str, &'static str)) -> &'static str,
) -> String {
    let mut rules = format!(
        ".paper{{fill:{paper}}}.grid{{stroke:{grid}}}.axis,.target{{stroke:{ink}}}text{{fill:{ink}}}\
         .mark{{stroke:{paper}}}"
    );
    for line in 0..lines {
        let colour = of(&COLOURS[look(line).0]);
        let _ = write!(
            rules,
            ".series.k{line},.leader.k{line}{{stroke:{colour}}}.mark.k{line}{{fill:{colour}}}"
        );
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charts::tests::well_formed;

    fn line(name: &str, points: &[(f64, f64)]) -> FrontierLine {
        let point = |&(l0, explained_variance): &(f64, f64)| FrontierPoint {
            setting: "k 8".into(),
            l0,
            explained_variance,
        };
        FrontierLine {
            name: name.into(),
            points: points.iter().map(point).collect(),
        }
    }

    #[test]
    fn line_is_interpolated_in_log_l0() {
        // Points out of order, with L0 = 0, and with two results at one L0.
        let points = [
            (64.0, 0.5),
            (4.0, 0.25),
            (0.0, -1.0),
            (16.0, 0.75),
            (16.0, 0.1),
        ];
        let line = line("x", &points);
        for (l0, expected) in [
            (4.0, Some(0.25)),
            (8.0, Some(0.5)),
            (16.0, Some(0.75)),
            (32.0, Some(0.625)),
            (64.0, Some(0.5)),
            (3.99, None),
            (64.01, None),
            (f64::NAN, None),
        ] {
            assert_eq!(line.at(l0), expected, "{l0}");
        }
        assert_eq!(FrontierLine::default().at(32.0), None);
        let alone = FrontierLine {
            points: line.points[..1].to_vec(),
            ..FrontierLine::default()
        };
        assert_eq!((alone.at(64.0), alone.at(63.0)), (Some(0.5), None));
    }

    #[test]
    fn plots_of_odd_numbers_are_well_formed() {
        let odd = line(
            "<odd> & \"x\"",
            &[
                (f64::NAN, 0.5),
                (8.0, f64::INFINITY),
                (0.0, 0.2),
                (-3.0, 0.1),
            ],
        );
        let bad = line("bad", &[(8.0, -30.0), (900.0, 0.99), (8.0, 0.3)]);
        let one = line("one", &[(32.0, 0.5)]);
        for lines in [
            vec![],
            vec![odd.clone()],
            vec![one.clone()],
            vec![odd, bad, one],
            vec![line("worse than nothing", &[(8.0, -3.0), (9.0, -2.0)])],
        ] {
            let svg = frontier_plot(&lines, Some(32.0));
            assert!(well_formed(&svg), "{svg}");
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    /// Positions by hand: 8 and 32 are two octaves apart; the axis reaches from 0.9 times 8 to 1.1 times 32.
    #[test]
    fn points_are_drawn_at_the_positions_by_hand() {
        let svg = frontier_plot(&[line("topk", &[(32.0, 1.0), (8.0, 0.5)])], Some(16.0));
        let along = |l0: f64| {
            let share = (l0 / 7.2).ln() / (35.2f64 / 7.2).ln();
            56.0 + share * (640.0 - 152.0 - 56.0)
        };
        // The axis from 0.475 to 1.025 has a height of 328 units, 28 below the top.
        let up = |ev: f64| 28.0 + 328.0 * (1.025 - ev) / 0.55;
        for (l0, ev) in [(8.0, 0.5), (32.0, 1.0)] {
            let place = format!("translate({:.1} {:.1})", along(l0), up(ev));
            assert!(svg.contains(&place), "{place}: {svg}");
        }
        let curve = format!("M{:.1} {:.1}L", along(8.0), up(0.5));
        assert!(svg.contains(&curve), "by rising L0, {curve}: {svg}");
        let marked = format!(r#"class="target" x1="{:.1}""#, along(16.0));
        assert!(svg.contains(&marked), "{marked}: {svg}");
        assert!(
            svg.contains("topk, k 8: L0 32, explained variance 1<"),
            "{svg}"
        );
        // An L0 outside of the chart is not marked.
        assert!(
            !frontier_plot(&[line("x", &[(8.0, 0.5)])], Some(900.0)).contains(r#"class="target""#)
        );
    }

    #[test]
    fn names_keep_their_distance() {
        for at in [30.0, 200.0, 399.0] {
            let places = apart(&[at; 12]);
            for pair in places.windows(2) {
                assert!(pair[1] - pair[0] >= SPACING - 1e-9, "{places:?}");
            }
            assert!(places[0] > 0.0 && places[11] < HEIGHT, "{places:?}");
        }
        assert_eq!(apart(&[50.0, 55.0, 100.0]), [50.0, 67.0, 100.0]);
        let names = ["a", "b", "c"].map(|name| line(name, &[(8.0, 0.5), (16.0, 0.7)]));
        let svg = frontier_plot(&names, Some(32.0));
        for name in ["a", "b", "c"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{svg}");
        }
    }

    /// Contrast of the accessibility guidelines (WCAG 2.2), from relative luminances.
    #[test]
    fn lines_have_contrast_and_differ_in_colour_or_shape() {
        let luminance = |colour: &str| -> f64 {
            let channel = |at: usize| {
                let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
                let share = f64::from(value) / 255.0;
                if share <= 0.040_45 {
                    share / 12.92
                } else {
                    ((share + 0.055) / 1.055).powf(2.4)
                }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
            a.max(b) / a.min(b)
        };
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 1e-9);
        for (light, dark) in COLOURS {
            assert!(contrast(light, LIGHT[0]) >= 3.0, "{light}");
            assert!(contrast(dark, DARK[0]) >= 3.0, "{dark}");
        }
        // Text needs a higher contrast.
        assert!(contrast(LIGHT[2], LIGHT[0]) >= 4.5 && contrast(DARK[2], DARK[0]) >= 4.5);
        let mut looks: Vec<_> = (0..64).map(look).map(|(c, s, _)| (c, s)).collect();
        looks.sort_unstable();
        looks.dedup();
        assert_eq!(looks.len(), 64);
    }
}
