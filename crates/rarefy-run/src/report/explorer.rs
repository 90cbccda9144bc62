//! Data of the report's explorer, from a model and the rows that it encodes.

use std::collections::HashMap;

use crate::words;
use rarefy::Result;
use rarefy::data::{Columns, Dataset, Source, evenly_spaced_rows, image_channels};
use rarefy::latents::{self, Kind, Responses, Target, TopRow};
use rarefy::model::{Model, Rule};
use rarefy_report::{Apart, BINS, Example, Explorer, Formula, Histogram, Picture, Row};

/// Strongest rows of each latent, and rows of each further quarter of its active rows.
const TOP: usize = 11;
const EACH: usize = 3;
/// Latents near a latent.
const NEAR: usize = 6;
/// Neighbours of a latent for the map.
const FOR_MAP: usize = 10;
/// Number of latents up to which neighbours are computed; the time grows with its square.
const MOST_NEAR: usize = 32_768;
/// Rows that are taken apart.
const APART: usize = 60;
/// Classes up to which labels are classes.
const MOST_CLASSES: usize = 50;
/// Characters of a text, of all texts, and bytes of all pictures.
const LONGEST_TEXT: usize = 400;
const MOST_TEXT: usize = 24_000_000;
const MOST_PIXELS: usize = 12_000_000;
/// Weights up to which the model itself is in the page, and values of the rows that are taken apart.
const MOST_WEIGHTS: usize = 1_000_000;
const MOST_VALUES: usize = 400_000;

/// Builds the data of the explorer.
///
/// `responses` are those of the latents to the rows. Firing rates of the report are those of `evaluated` rows.
pub fn explorer(
    model: &Model,
    data: &Dataset,
    responses: &Responses,
    evaluated: usize,
) -> Result<Explorer> {
    // A transcoder's rows have the target behind the input.
    let source = &Columns::new(data.source.as_ref(), 0..model.raw_d_in());
    // The search for near latents keeps all threads busy; then much of either part runs on one.
    let near = if model.d_sae() <= MOST_NEAR {
        latents::nearest(model, FOR_MAP)
    } else {
        Vec::new()
    };
    let (of_rows, places) = rayon::join(
        || of_rows(model, data, source, (responses, evaluated)),
        || (!near.is_empty()).then(|| latents::map(model, &near)),
    );
    Ok(Explorer {
        places: places.unwrap_or_default(),
        nearest: pairs(&near, NEAR),
        ..of_rows?
    })
}

/// All that follows from the rows.
fn of_rows(
    model: &Model,
    data: &Dataset,
    source: &Columns,
    (responses, evaluated): (&Responses, usize),
) -> Result<Explorer> {
    let d_sae = model.d_sae();
    let picture = model
        .image_shape()
        .filter(|shape| image_channels(*shape, model.raw_d_in()).is_some());
    // Without words and classes, latents have no names.
    let for_names = if data.texts.is_some() || data.labels.is_some() {
        latents::FOR_NAMES
    } else {
        0
    };
    let tops = responses.top_rows(for_names);
    let tops: Vec<&[TopRow]> = tops.iter().map(Vec::as_slice).collect();
    let mut shown = Shown::new(data, picture.is_some().then(|| model.raw_d_in()));
    let (top, each) = shown.counts(d_sae);
    let found = responses.all_examples(top, each).into_iter();
    let examples = found.map(|of_latent| shown.examples(of_latent)).collect();
    let apart = apart(model, source, &mut shown)?;
    let mut explorer = Explorer {
        source: about(responses, source, evaluated),
        names: latents::names(&tops, data),
        histograms: (0..d_sae)
            .map(|latent| histogram(responses, latent))
            .collect(),
        together: pairs(&responses.together(NEAR), NEAR),
        lengths: lengths(model),
        examples,
        apart,
        formula: formula(model),
        has_target: model.io_spec().has_target(),
        ..Explorer::default()
    };
    add_labels(&mut explorer, data, responses);
    if let Some(size) = picture {
        shown.add_pictures(&mut explorer, source, size)?;
        explorer.filters = filter_levels(model);
    }
    explorer.rows = shown.rows();
    Ok(explorer)
}

/// Sentence on the rows that the explorer knows.
fn about(responses: &Responses, source: &dyn Source, evaluated: usize) -> String {
    let (some, all) = (responses.rows.len(), source.rows());
    if some == all {
        let others = if evaluated == all {
            String::new()
        } else {
            format!(" Firing rates and means are those of the {evaluated} training rows.")
        };
        return format!("Examples and histograms are those of all {all} rows.{others}");
    }
    format!(
        "Examples and histograms are those of {some} of the {all} rows, taken at equal distances."
    )
}

fn histogram(responses: &Responses, latent: usize) -> Histogram {
    let found = responses.histogram(latent, BINS);
    Histogram {
        low: found.low,
        high: found.high,
        counts: found.counts,
    }
}

fn pairs(near: &[Vec<latents::Neighbour>], count: usize) -> Vec<Vec<(u32, f32)>> {
    let pair = |n: &latents::Neighbour| (n.latent as u32, n.similarity as f32);
    near.iter()
        .map(|list| list.iter().take(count).map(pair).collect())
        .collect()
}

/// Lengths of the decoder rows.
fn lengths(model: &Model) -> Vec<f32> {
    let params = model.params();
    let w_dec = params.find("w_dec").unwrap_or_else(|| params.get("w_enc"));
    let length = |row: &[f32]| row.iter().map(|v| v * v).sum::<f32>().sqrt();
    w_dec
        .chunks_exact(w_dec.len() / model.d_sae())
        .map(length)
        .collect()
}

/// Mean activations by class, or correlations with a score, if the rows have labels.
fn add_labels(explorer: &mut Explorer, data: &Dataset, responses: &Responses) {
    let Some(labels) = &data.labels else {
        return;
    };
    match Target::of_labels(labels, Kind::Auto) {
        Ok(Target::Class { names, of_rows }) if names.len() <= MOST_CLASSES => {
            explorer.class_means = responses.class_means(&of_rows, names.len());
            explorer.classes = names;
        }
        Ok(Target::Score(scores)) => explorer.correlations = responses.correlations(&scores),
        // Labels that are names of the rows, or all the same.
        Ok(Target::Class { .. }) | Err(_) => {}
    }
}

/// The model as a formula, if it has one and is small.
fn formula(model: &Model) -> Option<Formula> {
    if model.d_sae() * model.raw_d_in().max(model.raw_d_out()) > MOST_WEIGHTS {
        return None;
    }
    let form = model.closed_form()?;
    let (rule, k, thresholds) = match form.rule {
        Rule::Sigmoid => ("sigmoid", 0, Vec::new()),
        Rule::Largest(k) => ("largest", k, Vec::new()),
        Rule::LargestMagnitudes(k) => ("magnitudes", k, Vec::new()),
        Rule::Above(thresholds) => ("above", 0, thresholds),
    };
    Some(Formula {
        rule: rule.into(),
        k,
        thresholds,
        sigmoid_output: form.sigmoid_output,
        w_enc: form.w_enc,
        b_enc: form.b_enc,
        w_dec: form.w_dec,
        b_dec: form.b_dec,
        scale: form.scale,
        shift: form.shift,
    })
}

/// Rows at equal distances, each with its latents and its reconstruction.
fn apart(model: &Model, source: &dyn Source, shown: &mut Shown) -> Result<Vec<Apart>> {
    let count = APART.min(source.rows());
    let raw = evenly_spaced_rows(source, count)?;
    let outputs = model.reconstruct_raw(&raw);
    let codes = model.codes(&raw, 0.0);
    let with_values = raw.len().max(outputs.len()) <= MOST_VALUES;
    let (width, out) = (raw.len() / count.max(1), outputs.len() / count.max(1));
    let of = |i: usize| {
        let entries = codes.offsets[i]..codes.offsets[i + 1];
        let latents = codes.indices[entries.clone()].iter().copied();
        let part = |values: &[f32], width: usize| {
            let range = if with_values {
                i * width..(i + 1) * width
            } else {
                0..0
            };
            values[range].to_vec()
        };
        Apart {
            row: shown.index(i * source.rows() / count),
            latents: latents.zip(codes.values[entries].iter().copied()).collect(),
            input: part(&raw, width),
            output: part(&outputs, out),
        }
    };
    Ok((0..count).map(of).collect())
}

/// Rows that the page shows, each once.
struct Shown<'a> {
    data: &'a Dataset<'a>,
    /// Values of a picture, if rows are pictures.
    pixels: Option<usize>,
    numbers: Vec<usize>,
    index: HashMap<usize, u32>,
}

impl<'a> Shown<'a> {
    fn new(data: &'a Dataset<'a>, pixels: Option<usize>) -> Self {
        Self {
            data,
            pixels,
            numbers: Vec::new(),
            index: HashMap::new(),
        }
    }

    /// Index of a row among those that are shown.
    fn index(&mut self, row: usize) -> u32 {
        let numbers = &mut self.numbers;
        *self.index.entry(row).or_insert_with(|| {
            numbers.push(row);
            numbers.len() as u32 - 1
        })
    }

    /// Numbers of examples of a latent: fewer where the pictures of all of them would make the page too large.
    fn counts(&self, d_sae: usize) -> (usize, usize) {
        let fits = |count: usize| {
            let rows = (d_sae * count).min(self.data.source.rows());
            self.pixels
                .is_none_or(|pixels| rows * pixels <= MOST_PIXELS)
        };
        let choices = [(TOP, EACH), (8, 1), (5, 0), (2, 0)];
        let chosen = choices.into_iter().find(|(top, each)| fits(top + 3 * each));
        chosen.unwrap_or((1, 0))
    }

    fn examples(&mut self, found: Vec<latents::Example>) -> Vec<Example> {
        let example = |e: latents::Example| Example {
            row: self.index(e.row),
            activation: e.activation,
            quarter: e.quarter,
        };
        found.into_iter().map(example).collect()
    }

    /// Numbers, labels and texts of the rows that are shown.
    fn rows(&self) -> Vec<Row> {
        let longest = LONGEST_TEXT.min(MOST_TEXT / self.numbers.len().max(1));
        let of = |cells: &Option<Vec<String>>, row: usize| {
            cells
                .as_ref()
                .map_or_else(String::new, |cells| start(&cells[row], longest))
        };
        let row = |&number: &usize| Row {
            number,
            label: words::label(&of(&self.data.labels, number)),
            text: of(&self.data.texts, number),
        };
        self.numbers.iter().map(row).collect()
    }

    /// Pictures of the rows that are shown, with levels from the 0.1 % darkest to the 0.1 % brightest value.
    fn add_pictures(
        &self,
        explorer: &mut Explorer,
        source: &dyn Source,
        (height, width): (usize, usize),
    ) -> Result<()> {
        let pixels = source.d_in();
        let mut values = vec![0.0; self.numbers.len() * pixels];
        for (row, out) in self.numbers.iter().zip(values.chunks_exact_mut(pixels)) {
            source.read(*row, out)?;
        }
        let (low, high) = ends(&values);
        let level = |v: &f32| (255.0 * (v - low) / (high - low)).round().clamp(0.0, 255.0) as u8;
        let pictures = values.chunks_exact(pixels);
        explorer.row_pictures = pictures
            .map(|row| row.iter().map(level).collect())
            .collect();
        explorer.picture = Some(Picture {
            height,
            width,
            channels: pixels / (height * width),
            low,
            high,
        });
        Ok(())
    }
}

/// Smallest and largest of the values, without a thousandth at each end.
fn ends(values: &[f32]) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let cut = sorted.len() / 1000;
    match (sorted.get(cut), sorted.iter().rev().nth(cut)) {
        (Some(&low), Some(&high)) if high > low => (low, high),
        _ => (0.0, 1.0),
    }
}

/// Levels of each latent's filter: 128 for a weight of 0, scaled by the largest weight.
pub fn filter_levels(model: &Model) -> Vec<Vec<u8>> {
    let filters = model.filters().into_iter();
    filters.map(|filter| signed_levels(&filter)).collect()
}

/// Levels of weights: 128 for 0, scaled by the largest.
fn signed_levels(weights: &[f32]) -> Vec<u8> {
    let largest = weights
        .iter()
        .fold(0.0_f32, |most, v| most.max(v.abs()))
        .max(f32::MIN_POSITIVE);
    let level = |v: &f32| (127.5 + 127.5 * v / largest).round() as u8;
    weights.iter().map(level).collect()
}

/// Start of a text, in characters.
fn start(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_from_black_to_white_with_zero_in_the_middle() {
        assert_eq!(signed_levels(&[-2.0, 0.0, 1.0]), [0, 128, 191]);
        assert_eq!(signed_levels(&[0.0]), [128]);
    }

    #[test]
    fn ends_leave_out_a_thousandth_of_the_values() {
        let mut values: Vec<f32> = (0..2000).map(|v| v as f32).collect();
        values.push(1e9);
        assert_eq!(ends(&values), (2.0, 1998.0));
        assert_eq!(ends(&[3.0, 3.0]), (0.0, 1.0));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(start("añb", 2), "añ…");
        assert_eq!(start("añ", 2), "añ");
    }
}
