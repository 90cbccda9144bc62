//! Building blocks of charts: axes with round ticks, and SVG text.

use std::fmt::Write;

/// Outer size and margins of every chart, in SVG units.
pub(crate) const WIDTH: f64 = 640.0;
pub(crate) const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;

/// Axis of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Base of the ticks, which are its powers, if the axis is logarithmic.
    powers: Option<f64>,
}

impl Axis {
    /// Linear axis; a range of length 0 is widened.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() {
            (low, high)
        } else {
            (0.0, 1.0)
        };
        let pad = if high > low {
            0.0
        } else {
            0.5 * low.abs().max(1.0)
        };
        Self {
            low: low - pad,
            high: high + pad,
            powers: None,
        }
    }

    /// Logarithmic axis for positive numbers, from a power of ten to a power of ten.
    pub(crate) fn logarithmic(low: f64, high: f64) -> Self {
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Self::linear(0.0, 1.0);
        }
        let (low, high) = (low.log10().floor(), high.log10().ceil());
        Self {
            low: 10f64.powf(low),
            high: 10f64.powf(high.max(low + 1.0)),
            powers: Some(10.0),
        }
    }

    /// Logarithmic axis for positive numbers, with ticks at powers of two.
    ///
    /// The axis is a little longer than the range of the numbers, and long enough for two ticks.
    pub(crate) fn octaves(low: f64, high: f64) -> Self {
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Self::linear(0.0, 1.0);
        }
        let (low, high) = ((0.9 * low).log2(), (1.1 * high).log2());
        let (low, high) = if high.floor() > low.ceil() {
            (low, high)
        } else {
            (low.floor(), high.ceil())
        };
        Self {
            low: low.exp2(),
            high: high.exp2(),
            powers: Some(2.0),
        }
    }

    /// True if the axis is logarithmic.
    pub(crate) fn is_logarithmic(&self) -> bool {
        self.powers.is_some()
    }

    /// Places of small ticks between the ticks: 2 to 9 times each power of ten of a logarithmic axis, else halves of
    /// the distance between ticks.
    fn minor_ticks(&self) -> Vec<f64> {
        let ticks = self.ticks();
        let inside = |v: &f64| (self.low..=self.high).contains(v);
        match self.powers {
            Some(10.0) if ticks.len() > 1 && ticks[1] / ticks[0] < 11.0 => {
                let first = ticks.iter().map(|tick| tick / 10.0).take(1);
                let powers = first.chain(ticks.iter().copied());
                let between = powers.flat_map(|power| (2..10).map(move |n| f64::from(n) * power));
                between.filter(inside).collect()
            }
            None if ticks.len() > 1 => {
                let half = 0.5 * (ticks[1] - ticks[0]);
                let between = ticks.iter().map(|tick| tick + half);
                std::iter::once(ticks[0] - half)
                    .chain(between)
                    .filter(inside)
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// Position of a value from 0 at the low end to 1 at the high end, clamped.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let share = if self.powers.is_some() {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Round numbers on the axis: multiples of 1, 2 or 5 times a power of ten, or powers of ten or two.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if let Some(base) = self.powers {
            let power = |value: f64| value.ln() / base.ln();
            let low = (power(self.low) - 1e-9).ceil() as i32;
            let high = (power(self.high) + 1e-9).floor() as i32;
            let every = ((high - low) / 6).max(1);
            return (low..=high)
                .step_by(every as usize)
                .map(|power| base.powi(power))
                .collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|n| n * power)
            .into_iter()
            .find(|s| *s >= rough * 0.999)
            .unwrap_or(rough);
        let first = (self.low / step - 1e-9).ceil();
        (0..12)
            .map(|i| (first + f64::from(i)) * step)
            .take_while(|tick| *tick <= self.high + 1e-9 * step)
            .collect()
    }
}

/// Chart under construction: SVG text between an opening and a closing tag.
pub(crate) struct Chart {
    svg: String,
    x: Axis,
    y: Axis,
    height: f64,
    /// Right end of the plot; names may stand to the right of it.
    right: f64,
}

impl Chart {
    /// Chart with frame, ticks and axis names; screen readers read `label`.
    pub(crate) fn new(x: Axis, y: Axis, x_name: &str, y_name: &str, label: &str) -> Self {
        Self::with_height(HEIGHT, x, y, x_name, y_name, label)
    }

    pub(crate) fn with_height(
        height: f64,
        x: Axis,
        y: Axis,
        x_name: &str,
        y_name: &str,
        label: &str,
    ) -> Self {
        Self::with_margin((height, RIGHT), x, y, x_name, y_name, label)
    }

    /// Chart with a given height and right margin.
    pub(crate) fn with_margin(
        (height, margin): (f64, f64),
        x: Axis,
        y: Axis,
        x_name: &str,
        y_name: &str,
        label: &str,
    ) -> Self {
        let right = WIDTH - margin;
        let mut chart = Self {
            svg: String::new(),
            x,
            y,
            height,
            right,
        };
        let _ = write!(
            chart.svg,
            r#"<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{0}"><title>{0}</title>"#,
            escape(label)
        );
        for tick in x.ticks() {
            let at = chart.at_x(tick);
            let (top, bottom) = (TOP, height - BOTTOM);
            chart.line("grid", at, top, at, bottom);
            chart.text("tick", at, bottom + 16.0, "middle", &short(tick));
        }
        for tick in x.minor_ticks() {
            let (at, bottom) = (chart.at_x(tick), height - BOTTOM);
            chart.line("minor", at, bottom, at, bottom + 4.0);
        }
        for tick in y.minor_ticks() {
            let at = chart.at_y(tick);
            chart.line("minor", LEFT - 4.0, at, LEFT, at);
        }
        for tick in y.ticks() {
            let at = chart.at_y(tick);
            chart.line("grid", LEFT, at, right, at);
            chart.text("tick", LEFT - 7.0, at + 4.0, "end", &short(tick));
        }
        let bottom = height - BOTTOM;
        chart.line("axis", LEFT, bottom, right, bottom);
        chart.text("name", right, height - 8.0, "end", x_name);
        chart.text("name", LEFT - 46.0, TOP - 14.0, "start", y_name);
        chart
    }

    pub(crate) fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (self.right - LEFT)
    }

    pub(crate) fn at_y(&self, value: f64) -> f64 {
        self.height - BOTTOM - self.y.place(value) * (self.height - TOP - BOTTOM)
    }

    /// Draws a line in SVG units.
    pub(crate) fn line(&mut self, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
        let _ = write!(
            self.svg,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    /// Draws a curve through data points; a point that is not finite interrupts the curve.
    pub(crate) fn curve(&mut self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut path = String::new();
        let mut drawing = false;
        for (x, y) in points {
            if !(x.is_finite() && y.is_finite()) {
                drawing = false;
                continue;
            }
            let _ = write!(
                path,
                "{}{:.1} {:.1}",
                if drawing { "L" } else { "M" },
                self.at_x(x),
                self.at_y(y)
            );
            drawing = true;
        }
        let _ = write!(self.svg, r#"<path class="{class}" d="{path}"/>"#);
    }

    /// Draws a dot with a tooltip.
    pub(crate) fn dot(&mut self, class: &str, x: f64, y: f64, radius: f64, hover: &str) {
        if x.is_finite() && y.is_finite() {
            let (x, y) = (self.at_x(x), self.at_y(y));
            let hover = escape(hover);
            let _ = write!(
                self.svg,
                r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"><title>{hover}</title></circle>"#
            );
        }
    }

    /// Draws a shape with a tooltip at a place in SVG units; `path` is centred at 0.
    pub(crate) fn shape(&mut self, class: &str, x: f64, y: f64, path: &str, hover: &str) {
        let hover = escape(hover);
        let _ = write!(
            self.svg,
            r#"<path class="{class}" transform="translate({x:.1} {y:.1})" d="{path}"><title>{hover}</title></path>"#
        );
    }

    /// Draws a filled rectangle between two data points.
    pub(crate) fn bar(
        &mut self,
        class: &str,
        (x1, y1): (f64, f64),
        (x2, y2): (f64, f64),
        hover: &str,
    ) {
        let (left, right) = (self.at_x(x1), self.at_x(x2));
        let (top, bottom) = (self.at_y(y1.max(y2)), self.at_y(y1.min(y2)));
        let (width, height) = ((right - left).max(0.0), (bottom - top).max(0.0));
        let hover = if hover.is_empty() {
            String::new()
        } else {
            format!("<title>{}</title>", escape(hover))
        };
        let _ = write!(
            self.svg,
            r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}">{hover}</rect>"#
        );
    }

    /// Writes text at a place in SVG units.
    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
        let text = escape(text);
        let _ = write!(
            self.svg,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    /// Left, right, top and bottom end of the plot in SVG units.
    pub(crate) fn frame(&self) -> [f64; 4] {
        [LEFT, self.right, TOP, self.height - BOTTOM]
    }

    /// Adds data for the page's script, as an attribute of the SVG element.
    pub(crate) fn attach(&mut self, name: &str, data: &serde_json::Value) {
        let attribute = format!(r#"<svg data-{name}="{}" "#, escape(&data.to_string()));
        self.svg = self.svg.replacen("<svg ", &attribute, 1);
    }

    /// Adds a class to the SVG element.
    pub(crate) fn class(&mut self, class: &str) {
        let classes = format!(r#"<svg class="chart {class}""#);
        self.svg = self.svg.replacen(r#"<svg class="chart""#, &classes, 1);
    }

    /// Complete SVG text.
    pub(crate) fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

/// Short text of a number, for ticks and tooltips.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "no number".into()
    } else if value == 0.0 {
        "0".into()
    } else if !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.1e}");
        text.replace(".0e", "e")
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Text with special characters escaped for XML and its attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // Control characters are not allowed in XML.
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside_the_axis() {
        assert_eq!(
            Axis::linear(0.0, 1.0).ticks(),
            [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]
        );
        let ticks = Axis::linear(3.0, 47.0).ticks();
        assert_eq!(ticks, [10.0, 20.0, 30.0, 40.0]);
        assert_eq!(
            Axis::logarithmic(0.02, 30.0).ticks(),
            [0.01, 0.1, 1.0, 10.0, 100.0]
        );
        assert!(!Axis::linear(f64::NAN, 1.0).ticks().is_empty());
        assert!(!Axis::linear(2.0, 2.0).ticks().is_empty());
    }

    #[test]
    fn octave_axis_has_ticks_at_powers_of_two() {
        let axis = Axis::octaves(7.5, 130.0);
        assert!((axis.low - 6.75).abs() < 1e-9 && (axis.high - 143.0).abs() < 1e-9);
        assert_eq!(axis.ticks(), [8.0, 16.0, 32.0, 64.0, 128.0]);
        // 32 is half-way between 8 and 128 in octaves.
        let half = axis.place(8.0).midpoint(axis.place(128.0));
        assert!((axis.place(32.0) - half).abs() < 1e-12);
        // A narrow range still has two ticks, and a wide range has fewer than ten.
        assert_eq!(Axis::octaves(40.0, 50.0).ticks(), [32.0, 64.0]);
        assert_eq!(Axis::octaves(32.0, 32.0).ticks(), [16.0, 32.0, 64.0]);
        assert!(Axis::octaves(0.01, 10_000.0).ticks().len() < 10);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(!Axis::octaves(odd, odd).ticks().is_empty());
        }
    }

    #[test]
    fn short_numbers_have_at_most_four_digits() {
        assert_eq!(
            [0.0, 0.2, 1.0, 12.5, 1e-6, 250_000.0].map(short),
            ["0", "0.2", "1", "12.5", "1e-6", "2.5e5"]
        );
    }

    #[test]
    fn labels_are_escaped_for_xml() {
        assert_eq!(escape("<b a=\"&\">\u{7}"), "&lt;b a=&quot;&amp;&quot;&gt; ");
    }
}
