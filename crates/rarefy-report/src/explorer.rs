//! Data of the explorer: everything that a reader can ask about latents and rows, packed into the page.

mod pack;

use pack::Pack;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Latent, Report};

/// Number of bins of a latent's histogram.
pub const BINS: usize = 24;

/// Data of the explorer of latents. Empty parts are left out of the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explorer {
    /// Sentence on the rows from which examples, histograms and classes come.
    pub source: String,
    /// Name of each latent; empty for a latent without a name.
    pub names: Vec<String>,
    /// Histogram of each latent's activations.
    pub histograms: Vec<Histogram>,
    /// Latents with similar decoder rows, for each latent: number and cosine.
    pub nearest: Vec<Vec<(u32, f32)>>,
    /// Latents that are active on the same rows, for each latent: number and share of rows.
    pub together: Vec<Vec<(u32, f32)>>,
    /// Place of each latent on the map, from 0 to 1.
    pub places: Vec<[f32; 2]>,
    /// Length of each latent's decoder row.
    pub lengths: Vec<f32>,
    /// Rows on which each latent is active.
    pub examples: Vec<Vec<Example>>,
    /// Rows that are shown, in any order.
    pub rows: Vec<Row>,
    /// Names of the classes of the rows' labels; empty without classes.
    pub classes: Vec<String>,
    /// Mean activation of each latent on the rows of each class.
    pub class_means: Vec<Vec<f32>>,
    /// Correlation of each latent with the rows' score, if labels are scores.
    pub correlations: Vec<f32>,
    /// Size of pictures, if rows are pictures.
    pub picture: Option<Picture>,
    /// Picture of each row of `rows`, one level from 0 to 255 for each value.
    pub row_pictures: Vec<Vec<u8>>,
    /// Picture of each latent: 128 has no effect, larger levels raise the activation.
    pub filters: Vec<Vec<u8>>,
    /// Rows that are taken apart into latents.
    pub apart: Vec<Apart>,
    /// True for a transcoder, whose reconstructions are those of a target.
    pub has_target: bool,
    /// The model as a formula, if it has one and is small.
    pub formula: Option<Formula>,
    /// Tokens that each latent raises and lowers, if the model writes to tokens.
    pub lens: Option<Lens>,
}

/// Histogram of activations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower end of the first bin.
    pub low: f32,
    /// Upper end of the last bin.
    pub high: f32,
    /// Counts of [`BINS`] equal bins.
    pub counts: Vec<u32>,
}

/// A row on which a latent is active.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Index into the rows that are shown.
    pub row: u32,
    /// Activation of the latent.
    pub activation: f32,
    /// Quarter of the latent's active rows, from 0 for the strongest to 3.
    pub quarter: u8,
}

/// A row that is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the row in the data, from 0.
    pub number: usize,
    /// Label; empty if there is none.
    pub label: String,
    /// Text; empty if there is none.
    pub text: String,
}

/// Size of pictures, and the values of their darkest and brightest level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Values of a pixel: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Value of level 0.
    pub low: f32,
    /// Value of level 255.
    pub high: f32,
}

/// A row as the sum of its latents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Apart {
    /// Index into the rows that are shown.
    pub row: u32,
    /// Active latents with their activations.
    pub latents: Vec<(u32, f32)>,
    /// Values of the row; empty if they are not shown.
    pub input: Vec<f32>,
    /// Values of its reconstruction; empty if they are not shown.
    pub output: Vec<f32>,
}

/// A model as a formula: `pre = w_enc x + b_enc`, a rule, `x_hat = scale o out(w_dec^T z + b_dec) + shift`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// `sigmoid`, `largest`, `magnitudes` or `above`.
    pub rule: String,
    /// Number of latents that `largest` and `magnitudes` keep.
    pub k: usize,
    /// Thresholds of `above`, one for each latent.
    pub thresholds: Vec<f32>,
    /// True if `out` is the sigmoid.
    pub sigmoid_output: bool,
    /// Encoder, `[latents, inputs]`.
    pub w_enc: Vec<f32>,
    /// Bias of the encoder, `[latents]`.
    pub b_enc: Vec<f32>,
    /// Decoder, `[latents, outputs]`.
    pub w_dec: Vec<f32>,
    /// Bias of the decoder, `[outputs]`.
    pub b_dec: Vec<f32>,
    /// Factor of each output.
    pub scale: Vec<f32>,
    /// Shift of each output.
    pub shift: Vec<f32>,
}

/// Tokens that latents raise and lower.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Lens {
    /// Tokens that occur below.
    pub tokens: Vec<String>,
    /// For each latent, tokens (indices of `tokens`) with the largest logits, the largest first.
    pub raised: Vec<Vec<(u32, f32)>>,
    /// For each latent, tokens with the smallest logits, the smallest first.
    pub lowered: Vec<Vec<(u32, f32)>>,
}

/// Numbers of the status of a latent in the page.
const STATUS: [&str; 4] = ["alive", "dead", "always on", "collapsed"];

/// Packs the data of a report's explorer: a JSON text on the parts, and the parts, compressed, as base64.
pub(crate) fn packed(report: &Report) -> (String, String) {
    let of = &report.explorer;
    let mut pack = Pack::default();
    statistics(&mut pack, &report.latents);
    pack.texts("name", of.names.iter().map(String::as_str));
    histograms(&mut pack, &of.histograms);
    pairs(&mut pack, "near", &of.nearest);
    pairs(&mut pack, "together", &of.together);
    pack.floats("place", of.places.as_flattened());
    pack.floats("length", &of.lengths);
    examples(&mut pack, of);
    pack.floats("class_mean", &of.class_means.concat());
    pack.floats("correlation", &of.correlations);
    pack.bytes("filter_px", &of.filters.concat());
    apart(&mut pack, &of.apart);
    if let Some(formula) = &of.formula {
        let parts = [
            ("w_enc", &formula.w_enc),
            ("b_enc", &formula.b_enc),
            ("w_dec", &formula.w_dec),
            ("b_dec", &formula.b_dec),
            ("out_scale", &formula.scale),
            ("out_shift", &formula.shift),
            ("threshold", &formula.thresholds),
        ];
        parts
            .iter()
            .for_each(|(name, values)| pack.floats(name, values));
    }
    if let Some(lens) = &of.lens {
        pack.texts("token", lens.tokens.iter().map(String::as_str));
        pairs(&mut pack, "raised", &lens.raised);
        pairs(&mut pack, "lowered", &lens.lowered);
    }
    let formula = of
        .formula
        .as_ref()
        .map(|f| json!({"rule": f.rule, "k": f.k, "sigmoid_output": f.sigmoid_output}));
    let head = json!({
        "title": report.title,
        "latents": report.latents.len(),
        "selected": report.selected,
        "rho": report.rho,
        "inputs": report.inputs,
        "target": of.has_target,
        "source": of.source,
        "bins": BINS,
        "rows": of.rows.len(),
        "classes": of.classes,
        "picture": of.picture,
        "formula": formula,
        "status": STATUS,
    });
    pack.finish(head)
}

fn statistics(pack: &mut Pack, latents: &[Latent]) {
    type Of = fn(&Latent) -> f64;
    let columns: [(&str, Of); 4] = [
        ("rate", |l| l.firing_rate),
        ("mean", |l| l.rho_hat),
        ("variance", |l| l.variance),
        ("lifetime", |l| l.lifetime_sparsity),
    ];
    for (name, of) in columns {
        let values: Vec<f32> = latents.iter().map(|l| of(l) as f32).collect();
        pack.floats(name, &values);
    }
    let number = |latent: &Latent| {
        let place = STATUS.iter().position(|name| *name == latent.status);
        place.unwrap_or(0) as u8
    };
    pack.bytes("status", &latents.iter().map(number).collect::<Vec<_>>());
    let shares = latents
        .iter()
        .flat_map(|l| l.shares.iter().map(|share| *share as f32));
    pack.floats("share", &shares.collect::<Vec<_>>());
}

fn histograms(pack: &mut Pack, all: &[Histogram]) {
    pack.floats("low", &all.iter().map(|h| h.low).collect::<Vec<_>>());
    pack.floats("high", &all.iter().map(|h| h.high).collect::<Vec<_>>());
    let counts = all.iter().flat_map(|h| h.counts.iter().copied());
    pack.counts("count", &counts.collect::<Vec<_>>());
}

/// Lists of (number, value): the length of each list, then all numbers, then all values.
fn pairs(pack: &mut Pack, name: &str, lists: &[Vec<(u32, f32)>]) {
    let lengths: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
    let all = || lists.iter().flatten();
    pack.counts(&format!("{name}_n"), &lengths);
    pack.counts(
        &format!("{name}_i"),
        &all().map(|p| p.0).collect::<Vec<_>>(),
    );
    pack.floats(
        &format!("{name}_v"),
        &all().map(|p| p.1).collect::<Vec<_>>(),
    );
}

fn examples(pack: &mut Pack, of: &Explorer) {
    let lists: Vec<Vec<(u32, f32)>> = of
        .examples
        .iter()
        .map(|list| list.iter().map(|e| (e.row, e.activation)).collect())
        .collect();
    pairs(pack, "example", &lists);
    let quarters = of.examples.iter().flatten().map(|e| e.quarter);
    pack.bytes("example_q", &quarters.collect::<Vec<_>>());
    pack.counts(
        "row_number",
        &of.rows
            .iter()
            .map(|row| row.number as u32)
            .collect::<Vec<_>>(),
    );
    if of.rows.iter().any(|row| !row.label.is_empty()) {
        pack.texts("row_label", of.rows.iter().map(|row| row.label.as_str()));
    }
    if of.rows.iter().any(|row| !row.text.is_empty()) {
        pack.texts("row_text", of.rows.iter().map(|row| row.text.as_str()));
    }
    pack.bytes("row_px", &of.row_pictures.concat());
}

fn apart(pack: &mut Pack, rows: &[Apart]) {
    pack.counts(
        "apart_row",
        &rows.iter().map(|row| row.row).collect::<Vec<_>>(),
    );
    let lists: Vec<Vec<(u32, f32)>> = rows.iter().map(|row| row.latents.clone()).collect();
    pairs(pack, "apart", &lists);
    pack.floats(
        "apart_x",
        &rows
            .iter()
            .flat_map(|row| row.input.clone())
            .collect::<Vec<_>>(),
    );
    pack.floats(
        "apart_x_hat",
        &rows
            .iter()
            .flat_map(|row| row.output.clone())
            .collect::<Vec<_>>(),
    );
}
