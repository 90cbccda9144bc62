//! Report of a run: converts an evaluated model to the record that `rarefy-report` renders.

use rarefy::data::{Dataset, evenly_spaced_rows, image_channels};
use rarefy::metrics::{self, Evaluation, LatentStatus};
use rarefy::model::Model;
use rarefy::{Error, Result, atomic};
use rarefy_report::{HistoryPoint, Images, Latent, Reconstructions, Report};

use crate::observer::read_records;
use crate::output::{number, start_of};
use crate::run::Run;

/// Number of most active rows that are listed for a latent.
const TOP_ROWS: usize = 12;
/// Number of rows shown beside their reconstructions.
const SHOWN_ROWS: usize = 32;

/// Writes `report.html`.
///
/// Figures are those of the training rows, and of the held-out rows, if any.
pub fn write(
    run: &Run,
    model: &Model,
    data: &Dataset,
    (evaluation, held_out): (&Evaluation, Option<&Evaluation>),
) -> Result<()> {
    let page = rarefy_report::render(&record(run, model, data, (evaluation, held_out))?);
    atomic::write(run.report_path(), |out| out.write_all(page.as_bytes()))
}

fn record(
    run: &Run,
    model: &Model,
    data: &Dataset,
    (e, held_out): (&Evaluation, Option<&Evaluation>),
) -> Result<Report> {
    let config = run.config_path();
    let images = model
        .image_shape()
        .filter(|shape| image_channels(*shape, model.raw_d_in()).is_some());
    Ok(Report {
        title: title(model, data),
        subtitle: format!(
            "{} rows of {}, {} latents: {}",
            data.source.rows(),
            widths(model),
            model.d_sae(),
            model.info().summary
        ),
        summary: summary(model, data, (e, held_out)),
        notes: notes(e),
        history: history(run)?,
        rho: e.kl.as_ref().map(|kl| kl.rho),
        selected: e.frequent_latents.is_some(),
        inputs: if model.io_spec().has_several_inputs() {
            data.parts.clone()
        } else {
            Vec::new()
        },
        latents: latents(model, data, e)?,
        activation_histogram: e.activation_histogram.clone(),
        population_histogram: e.population_histogram.clone(),
        filters: images.map(|(height, width)| Images {
            height,
            width,
            pixels: model.filters(),
        }),
        reconstructions: images
            .map(|shape| reconstructions(model, data, shape))
            .transpose()?,
        config: std::fs::read_to_string(&config).map_err(Error::io(&config))?,
    })
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
    let last = std::path::Path::new(name).file_name();
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
    let mut figures = vec![("explained variance".to_owned(), figure, remark), loss(e)];
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
            "mean rho_hat".into(),
            number(kl.rho_hat_mean),
            format!("target {}", number(kl.rho)),
        ));
        figures.push(("penalty Omega".into(), number(kl.omega), worst));
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
    figures
}

/// Loss for kl, squared error for sparse architectures, as (name, value, remark).
fn loss(e: &Evaluation) -> (String, String, String) {
    if e.kl.is_some() {
        let remark = format!("reconstruction {}", number(e.reconstruction));
        return ("loss".into(), number(e.loss), remark);
    }
    let remark = "sum over inputs, mean over rows".into();
    ("squared error".into(), number(e.mse), remark)
}

fn notes(e: &Evaluation) -> Vec<String> {
    let mut notes = Vec::new();
    let collapsed = e.collapsed_latents.unwrap_or(0);
    if collapsed > 0 {
        // Without weight decay, large decoder weights can use the small variation of such a latent.
        let advice = if e.weight_decay == Some(0.0) {
            "try a weight decay, which keeps decoder weights small"
        } else {
            "try fewer latents, a smaller weight decay or a larger rho"
        };
        notes.push(format!(
            "{collapsed} latents have collapsed: their activation is almost the same on every row. The penalty does not \
             show this; {advice}."
        ));
    }
    if e.dead_fraction > 0.1 {
        notes.push(format!(
            "{} latents are dead; {} may help.",
            e.dead_latents,
            if e.kl.is_some() {
                "a smaller beta or fewer latents"
            } else {
                "a smaller dead_after, more steps or fewer latents"
            }
        ));
    }
    notes
}

fn history(run: &Run) -> Result<Vec<HistoryPoint>> {
    let path = run.metrics_path();
    let records = if path.exists() {
        read_records(&path)?
    } else {
        Vec::new()
    };
    let point = |r: crate::observer::Record| HistoryPoint {
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

fn latents(model: &Model, data: &Dataset, e: &Evaluation) -> Result<Vec<Latent>> {
    let labels = data
        .labels
        .as_deref()
        .filter(|labels| are_words_or_classes(labels));
    let texts = data.texts.as_deref();
    let mut top = if labels.is_none() && texts.is_none() {
        vec![Vec::new(); e.latents.len()]
    } else {
        let named = |(row, h)| (row_name(labels, texts, row), h);
        let top = metrics::top_rows(model, data.source.as_ref(), TOP_ROWS)?.into_iter();
        top.map(|rows| rows.into_iter().map(named).collect())
            .collect()
    };
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
        top: std::mem::take(&mut top[index]),
    };
    Ok(e.latents.iter().enumerate().map(latent).collect())
}

/// Label of a row and the start of its text, as far as there are any.
fn row_name(labels: Option<&[String]>, texts: Option<&[String]>, row: usize) -> String {
    let label = labels.map(|labels| labels[row].clone());
    let text = texts.map(|texts| start_of(&texts[row]));
    label
        .into_iter()
        .chain(text)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
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

/// True if the labels are words or classes, which describe a latent.
///
/// False for regression targets: numbers, at least one with a fraction.
fn are_words_or_classes(labels: &[String]) -> bool {
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse().ok()).collect();
    numbers.is_none_or(|numbers| numbers.iter().all(|v| v.fract() == 0.0))
}

fn reconstructions(
    model: &Model,
    data: &Dataset,
    (height, width): (usize, usize),
) -> Result<Reconstructions> {
    let raw = evenly_spaced_rows(data.source.as_ref(), SHOWN_ROWS)?;
    let images = |values: &[f32]| Images {
        height,
        width,
        pixels: values
            .chunks_exact(model.raw_d_in())
            .map(<[f32]>::to_vec)
            .collect(),
    };
    let outputs = images(&model.reconstruct_raw(&raw));
    Ok(Reconstructions {
        inputs: images(&raw),
        outputs,
    })
}

#[cfg(test)]
mod tests {
    use super::are_words_or_classes;

    #[test]
    fn regression_targets_are_not_words_or_classes() {
        let describe = |labels: &[&str]| {
            are_words_or_classes(&labels.iter().map(|&l| l.to_owned()).collect::<Vec<_>>())
        };
        assert!(describe(&["the", ",", "1.5"]));
        assert!(describe(&["3", "0", "7.0"]));
        assert!(!describe(&["2.5", "3", "-0.1"]));
    }
}
