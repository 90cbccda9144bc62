//! The picture of a run: state, progress, newest figures and curves, as lines of text of any size.

use std::time::Duration;

use indicatif::{HumanCount, HumanDuration};
use rarefy_run::figures::{Figures, Metrics};
use rarefy_run::records::Record;

use super::curve::Curve;
use crate::output::{number, one_line, percent};

/// A run to draw.
pub struct Picture<'a> {
    pub name: String,
    /// Architecture and number of latents, where they are known.
    pub about: Vec<String>,
    /// State in words.
    pub state: String,
    pub records: &'a [Record],
    /// Planned steps.
    pub steps: Option<usize>,
    /// Time to the last step.
    pub left: Option<Duration>,
    /// Figures of the finished model.
    pub finished: Option<&'a Figures>,
}

/// A number of a record: its name, its value, and its text.
struct Field {
    name: &'static str,
    of: fn(&Record) -> Option<f64>,
    text: fn(f64) -> String,
}

/// Numbers of a record, the ones to draw first in front. A dense architecture has few of the first.
static FIELDS: [Field; 9] = [
    field("loss", |r| Some(r.loss), number),
    field("explained variance", |r| r.explained_variance, percent),
    field("L0", |r| r.l0, number),
    field("dead latents", |r| r.dead_fraction, percent),
    field("reconstruction", |r| Some(r.reconstruction), number),
    field("penalty", |r| r.penalty, number),
    field("mean rho_hat", |r| r.rho_hat_mean, number),
    field("gradient norm", |r| Some(r.gradient_norm), number),
    field("auxiliary loss", |r| r.auxiliary, number),
];

const fn field(
    name: &'static str,
    of: fn(&Record) -> Option<f64>,
    text: fn(f64) -> String,
) -> Field {
    Field { name, of, text }
}

/// Most curves in a picture.
const CURVES: usize = 4;
/// Fewest lines of a panel: title, curve, axis.
const SMALLEST: usize = 5;
/// Fewest characters of a picture with two panels beside each other.
const TWO_COLUMNS: usize = 72;
/// Characters of the numbers beside a curve.
const NUMBERS: usize = 9;

impl Picture<'_> {
    /// Name, model and state, in one line.
    pub fn head(&self) -> String {
        let about = self.about.join(", ");
        let parts = [&self.name, &about, &self.state];
        let parts: Vec<&str> = parts.into_iter().map(String::as_str).collect();
        let filled: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        filled.join("   ")
    }

    /// The picture in `width` x `height` characters at most.
    pub fn lines(&self, (width, height): (usize, usize)) -> Vec<String> {
        let mut lines = vec![self.head()];
        match self.records.last() {
            None => lines
                .push("no records yet: the run reads its rows, or takes its first steps".into()),
            Some(last) => {
                lines.push(self.progress(last, width));
                lines.extend(self.finished.map(finished));
                // A line of figures and an empty one stand above the panels.
                let left = height.saturating_sub(lines.len() + 2);
                let columns = if width < TWO_COLUMNS { 1 } else { 2 };
                let (drawn, others) = self.fields(columns * (left / SMALLEST));
                lines.extend([newest(last, &others), String::new()]);
                lines.extend(self.panels(&drawn, columns, (width, left)));
            }
        }
        let fit = |line: &String| one_line(line).chars().take(width).collect::<String>();
        let lines = lines.iter().map(fit).take(height);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }

    /// Bar of the steps.
    fn progress(&self, last: &Record, width: usize) -> String {
        let step = last.step;
        let left = self.left.map_or_else(String::new, |left| {
            format!("   {:#} left", HumanDuration(left))
        });
        let Some(steps) = self.steps.filter(|steps| *steps > 0) else {
            return format!("step {step}");
        };
        let share = (step as f64 / steps as f64).min(1.0);
        let length = (width / 3).clamp(8, 40);
        let full = (share * length as f64).round() as usize;
        let bar = "━".repeat(full) + &"╌".repeat(length - full);
        format!("{bar}  step {step} of {steps}, {}{left}", percent(share))
    }

    /// Numbers of the records: at most `most` to draw as curves, and the remaining ones.
    fn fields(&self, most: usize) -> (Vec<&'static Field>, Vec<&'static Field>) {
        let has = |field: &&Field| self.records.iter().any(|r| (field.of)(r).is_some());
        let mut drawn: Vec<&Field> = FIELDS.iter().filter(has).collect();
        let others = drawn.split_off(drawn.len().min(CURVES).min(most));
        (drawn, others)
    }

    /// Curves in one or two columns.
    fn panels(
        &self,
        drawn: &[&Field],
        columns: usize,
        (width, height): (usize, usize),
    ) -> Vec<String> {
        let rows = drawn.chunks(columns);
        let wide = width.saturating_sub(2 * (columns - 1)) / columns;
        let high = height / rows.len().max(1);
        let row = |fields: &[&Field]| {
            let panels = fields.iter().map(|field| self.panel(field, wide, high));
            beside(&panels.collect::<Vec<_>>(), wide)
        };
        rows.flat_map(row).collect()
    }

    /// Title, curve with its scale, and axis of steps.
    fn panel(&self, field: &Field, width: usize, height: usize) -> Vec<String> {
        let points = self.records.iter();
        let points = points.filter_map(|r| Some((r.step as f64, (field.of)(r)?)));
        let curve = Curve::of(points);
        let newest = self.records.last().and_then(field.of);
        let title = format!(
            "{:NUMBERS$}  {} {}",
            "",
            field.name,
            newest.map(field.text).unwrap_or_default()
        );
        let (wide, high) = (width.saturating_sub(NUMBERS + 2).max(1), height - 2);
        let drawn = curve.draw(wide, high).zip(curve.ends());
        let Some(((lines, (low, top)), (first, last))) = drawn else {
            return vec![title];
        };
        let beside = |at: usize| match at {
            0 => (field.text)(top),
            at if at == high - 1 => (field.text)(low),
            _ => String::new(),
        };
        let lines = lines.into_iter().enumerate();
        let lines = lines.map(|(at, line)| format!("{:>NUMBERS$} │{line}", beside(at)));
        let (first, last) = (format!("{first}"), format!("step {last}"));
        let between = wide.saturating_sub(first.len()).max(last.len() + 1);
        let axis = format!("{:NUMBERS$}  {first}{last:>between$}", "");
        [title].into_iter().chain(lines).chain([axis]).collect()
    }
}

/// Panels of equal width beside each other.
fn beside(panels: &[Vec<String>], width: usize) -> Vec<String> {
    let height = panels.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let cells = panels
            .iter()
            .map(|panel| panel.get(at).map_or("", |line| line));
        let cells = cells.map(|cell| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    (0..height).map(line).collect()
}

/// Rows seen, and the newest of some numbers.
fn newest(last: &Record, fields: &[&Field]) -> String {
    let text = |field: &&Field| {
        let value = (field.of)(last)?;
        Some(format!("{} {}", field.name, (field.text)(value)))
    };
    let rows = format!("{} rows", HumanCount(last.rows_seen));
    let texts = fields.iter().filter_map(text);
    let all: Vec<String> = [rows].into_iter().chain(texts).collect();
    all.join("   ")
}

/// Figures of the finished model.
fn finished(figures: &Figures) -> String {
    let (metrics, rows): (&Metrics, &str) = match &figures.held_out {
        Some(held_out) => (held_out, "held-out rows"),
        None => (&figures.training, "training rows"),
    };
    let explained = metrics.get("explained_variance").map(percent);
    let l0 = metrics.get("l0").map(number);
    format!(
        "finished model on {rows}: explained variance {}   L0 {}",
        explained.unwrap_or_default(),
        l0.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(step: usize) -> Record {
        let x = step as f64;
        let value = serde_json::json!({"step": step, "rows_seen": 100 * step, "loss": 1.0 / x, "reconstruction": 1.0 / x, "auxiliary": 0.0,
            "gradient_norm": 0.5, "explained_variance": 1.0 - 1.0 / x, "l0": 8.0, "dead_fraction": 0.25});
        serde_json::from_value(value).unwrap()
    }

    fn picture(records: &[Record]) -> Picture<'_> {
        Picture {
            name: "runs/topk-words-1".into(),
            about: vec!["topk".into(), "64 latents".into()],
            state: "in progress, process 17".into(),
            records,
            steps: Some(200),
            left: Some(Duration::from_secs(192)),
            finished: None,
        }
    }

    #[test]
    fn picture_shows_state_progress_figures_and_curves() {
        let records: Vec<Record> = (1..=10).map(|step| sparse(10 * step)).collect();
        let lines = picture(&records).lines((80, 24));
        assert_eq!(
            lines[0],
            "runs/topk-words-1   topk, 64 latents   in progress, process 17"
        );
        assert_eq!(
            lines[1],
            "━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌  step 100 of 200, 50.0 %   3m left"
        );
        let others =
            "10,000 rows   reconstruction 0.01000   gradient norm 0.50000   auxiliary loss 0";
        assert_eq!(lines[2], others);
        assert!(
            lines[4].contains("  loss 0.01000") && lines[4].contains("  explained variance 99.0 %")
        );
        assert!(lines[5].starts_with("  0.10000 │⢹"), "{}", lines[5]);
        let axis = "           10                  step 100";
        assert!(lines[13].starts_with(axis), "{}", lines[13]);
        assert_eq!(lines.len(), 24);
        assert!(lines[14].contains("  L0 8.0000") && lines[14].contains("  dead latents 25.0 %"));
    }

    #[test]
    fn dense_architecture_has_curves_of_its_numbers() {
        let value = serde_json::json!({"step": 3, "rows_seen": 9, "loss": 2.0, "reconstruction": 1.5, "penalty": 0.25, "weight_decay": 0.25,
            "gradient_norm": 0.5, "rho_hat_mean": 0.05});
        let records: Vec<Record> = vec![serde_json::from_value(value).unwrap()];
        let text = picture(&records).lines((80, 24)).join("\n");
        for title in [
            "loss 2.0000",
            "reconstruction 1.5000",
            "penalty 0.25000",
            "mean rho_hat 0.05000",
        ] {
            assert_eq!(
                text.matches(&format!(" {title}")).count(),
                1,
                "{title}: {text}"
            );
        }
        assert!(!text.contains("L0"));
    }

    #[test]
    fn picture_fits_every_size() {
        let records: Vec<Record> = (1..=500).map(sparse).collect();
        for width in (1..200).step_by(7) {
            for height in 1..60 {
                let lines = picture(&records).lines((width, height));
                assert!(lines.len() <= height, "{width}x{height}");
                let widest = lines.iter().map(|line| line.chars().count()).max();
                assert!(widest.unwrap() <= width, "{width}x{height}");
            }
        }
    }

    #[test]
    fn run_without_records_says_so() {
        let lines = picture(&[]).lines((80, 24));
        assert!(lines[1].starts_with("no records yet"), "{lines:?}");
    }
}
