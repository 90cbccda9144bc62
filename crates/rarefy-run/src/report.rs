//! Report of a run: converts an evaluated model to the record that `rarefy-report` renders.

mod explorer;
mod verdict;

use std::path::Path;

use rarefy::data::Dataset;
use rarefy::latents::Responses;
use rarefy::metrics::{self, Evaluation, LatentStatus};
use rarefy::model::Model;
use rarefy::recipe::Evaluated;
use rarefy::{Result, atomic};
use rarefy_report::{HistoryPoint, Latent, Report};

use crate::folder::Run;
use crate::records::{self, Record};
use crate::tokens::Tokens;
use crate::words::number;

pub use explorer::filter_levels;
pub use verdict::DUPLICATE;

/// Writes the report of a run's model on rows to the file `out`.
///
/// `tokens` are those of a language model.
pub fn write(
    run: &Run,
    out: &Path,
    (model, data): (&Model, &Dataset),
    found: (&Evaluated, &Responses),
    tokens: Option<&Tokens>,
) -> Result<()> {
    let page = page(Some(run), model, data, found, tokens)?;
    atomic::write(out, |out| out.write_all(page.as_bytes()))
}

/// The report as HTML. A model without a run has no configuration and no objective over steps.
///
/// # Errors
/// Errors of reading the rows and the files of the run.
pub fn page(
    run: Option<&Run>,
    model: &Model,
    data: &Dataset,
    (evaluated, responses): (&Evaluated, &Responses),
    tokens: Option<&Tokens>,
) -> Result<String> {
    let mut record = record(run, model, data, (evaluated, responses))?;
    record.explorer.lens = tokens.map(Tokens::for_page);
    Ok(rarefy_report::render(&record))
}

fn record(
    run: Option<&Run>,
    model: &Model,
    data: &Dataset,
    (evaluated, responses): (&Evaluated, &Responses),
) -> Result<Report> {
    let (e, held_out) = (&evaluated.training, evaluated.held_out.as_ref());
    let explorer = explorer::explorer(model, data, responses, e.rows)?;
    Ok(Report {
        title: title(model, data),
        subtitle: format!(
            "{} rows of {}, {} latents: {}",
            data.source.rows(),
            widths(model),
            model.d_sae(),
            model.info().summary
        ),
        key: key(model, data),
        verdict: verdict::verdict(e, held_out),
        notes: verdict::advice(e, held_out, &explorer.nearest),
        summary: summary(model, data, (e, held_out)),
        history: run.map(history).transpose()?.unwrap_or_default(),
        rho: e.kl.as_ref().map(|kl| kl.rho),
        beta: model.options().find_number("beta"),
        selected: e.frequent_latents.is_some(),
        inputs: if model.io_spec().has_several_inputs() {
            data.parts.clone()
        } else {
            Vec::new()
        },
        latents: latents(model, e),
        activation_histogram: e.activation_histogram.clone(),
        population_histogram: e.population_histogram.clone(),
        explorer,
        config: run.map(Run::config_text).transpose()?.unwrap_or_default(),
    })
}

/// Name under which a browser keeps notes on the model: the title and a sum over the weights.
fn key(model: &Model, data: &Dataset) -> String {
    // FNV-1a, which needs no table and never changes.
    let mix = |sum: u64, v: &f32| (sum ^ u64::from(v.to_bits())).wrapping_mul(0x0100_0000_01b3);
    let sum = model
        .params()
        .values()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, mix);
    format!("{} {sum:016x}", title(model, data))
}

/// Title of the report: architecture, layout, data and target.
fn title(model: &Model, data: &Dataset) -> String {
    let (arch, io) = (model.info().name, model.io_spec());
    match data.parts.as_slice() {
        [input, target] if io.has_target() => {
            format!("{arch} {} from {input} to {target}", io.name())
        }
        [] => format!("{arch} on {}", short_name(data.source.name())),
        parts => format!("{arch} {} of {}", io.name(), parts.join(" and ")),
    }
}

/// Name of a file or folder without the folders above it; samples as they are.
fn short_name(name: &str) -> &str {
    let last = Path::new(name).file_name();
    last.and_then(|last| last.to_str()).unwrap_or(name)
}

fn widths(model: &Model) -> String {
    let widths: Vec<String> = model
        .raw_input_widths()
        .iter()
        .map(usize::to_string)
        .collect();
    match model.target_pipeline() {
        Some(target) => format!("{} to {}", widths.join(" + "), target.d_in()),
        None => widths.join(" + "),
    }
}

fn summary(
    model: &Model,
    data: &Dataset,
    (e, held_out): (&Evaluation, Option<&Evaluation>),
) -> Vec<(String, String, String)> {
    let explained = |e: &Evaluation| format!("{:.1} %", 100.0 * e.explained_variance);
    let (figure, remark) = match held_out {
        Some(held_out) => (
            explained(held_out),
            format!(
                "of {} held-out rows; {} in training",
                held_out.rows,
                explained(e)
            ),
        ),
        None => (explained(e), "of the prepared data".to_owned()),
    };
    let mut figures = vec![
        ("explained variance".to_owned(), figure, remark),
        loss(e, held_out),
    ];
    for (part, of_part) in data.parts.iter().zip(&e.explained_variance_by_input) {
        figures.push((
            format!("explained of {part}"),
            format!("{:.1} %", 100.0 * of_part),
            String::new(),
        ));
    }
    if let Some(kl) = &e.kl {
        let worst = format!("worst latent {:.0} % off", 100.0 * kl.rho_hat_max_deviation);
        figures.push((
            "mean ρ̂".into(),
            number(kl.rho_hat_mean),
            format!("target ρ = {}", number(kl.rho)),
        ));
        figures.push(("penalty Ω".into(), number(kl.omega), worst));
    }
    figures.push((
        "active latents per row".into(),
        format!("{:.2}", e.l0),
        format!("of {}", e.latents.len()),
    ));
    if let Some(&[threshold]) = model.params().find("threshold") {
        let remark = "pre-activations above it are active".into();
        figures.push(("threshold".into(), number(f64::from(threshold)), remark));
    }
    figures.push((
        "dead latents".into(),
        e.dead_latents.to_string(),
        format!("{:.0} %", 100.0 * e.dead_fraction),
    ));
    if held_out.is_some() {
        // Few rows say little about means of latents, so these figures are those of all others.
        let of_held_out = if e.kl.is_some() { 1 } else { 2 };
        for (_, _, remark) in figures.iter_mut().skip(of_held_out) {
            let comma = if remark.is_empty() { "" } else { "; " };
            *remark = format!("{remark}{comma}in training");
        }
    }
    figures
}

/// Loss for kl, squared error for sparse architectures, as (name, value, remark).
fn loss(e: &Evaluation, held_out: Option<&Evaluation>) -> (String, String, String) {
    if e.kl.is_some() {
        let remark = format!("reconstruction {}", number(e.reconstruction));
        return ("loss".into(), number(e.loss), remark);
    }
    let (mse, rows) = match held_out {
        Some(held_out) => (
            held_out.mse,
            format!(", held out; {} in training", number(e.mse)),
        ),
        None => (e.mse, String::new()),
    };
    let remark = format!("sum over inputs, mean over rows{rows}");
    ("squared error".into(), number(mse), remark)
}

/// Objective of a run at each recorded step.
pub fn history(run: &Run) -> Result<Vec<HistoryPoint>> {
    let path = run.metrics_path();
    let records = if path.exists() {
        records::read(&path)?
    } else {
        Vec::new()
    };
    let point = |r: Record| HistoryPoint {
        step: r.step,
        total: r.loss,
        reconstruction: r.reconstruction,
        penalty: r.penalty.unwrap_or(0.0),
        weight_decay: r.weight_decay.unwrap_or(0.0),
        auxiliary: r.auxiliary.unwrap_or(0.0),
        explained_variance: r.explained_variance,
        l0: r.l0,
        dead_fraction: r.dead_fraction,
    };
    Ok(records.into_iter().map(point).collect())
}

fn latents(model: &Model, e: &Evaluation) -> Vec<Latent> {
    let latent = |(index, l): (usize, &metrics::LatentSummary)| Latent {
        rho_hat: l.rho_hat,
        firing_rate: l.firing_rate,
        variance: l.variance,
        lifetime_sparsity: l.lifetime_sparsity,
        status: match l.status {
            LatentStatus::Alive => "alive",
            LatentStatus::Dead => "dead",
            LatentStatus::AlwaysOn => "always on",
            LatentStatus::Collapsed => "collapsed",
        }
        .into(),
        shares: shares(model, index),
    };
    e.latents.iter().enumerate().map(latent).collect()
}

/// Shares of a crosscoder's inputs in a decoder row: length of each part over the sum of lengths.
fn shares(model: &Model, latent: usize) -> Vec<f64> {
    let io = model.io_spec();
    if !io.has_several_inputs() {
        return Vec::new();
    }
    let width = io.d_out();
    let row = &model.params().get("w_dec")[latent * width..(latent + 1) * width];
    let all = io.decoder_norm(row).max(f64::MIN_POSITIVE);
    io.decoder_part_norms(row)
        .map(|length| length / all)
        .collect()
}
