//! Command `rarefy truth`: scores a model against the known dictionary of synthetic data.

use std::path::Path;

use rarefy::data::{self, OpenOptions};
use rarefy::metrics::truth::{self, Recovery, TruthEvaluation};
use rarefy::model::Model;
use rarefy::synth::{Truth, is_truth};
use rarefy::{Error, Result};

use crate::cli::TruthArgs;
use crate::output::{self, number};

pub fn run(args: &TruthArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.model)?;
    if !is_truth(&args.truth) {
        check_not_rows(&args.truth)?;
        let found = against_matrix(&model, args)?;
        if args.json {
            return output::json(&found);
        }
        return show(directions(&found));
    }
    let (truth, written) = Truth::load(&args.truth)?;
    let found = truth::evaluate(&model, &truth, written..written.saturating_add(args.rows))?;
    if args.json {
        return output::json(&found);
    }
    let mut rows = directions(&found.recovery);
    rows.extend(firing(&found));
    show(rows)
}

/// Refuses the rows that `rarefy synth` wrote beside a dictionary.
fn check_not_rows(path: &Path) -> Result<()> {
    let dictionary = path.with_extension("truth.safetensors");
    if !dictionary.is_file() {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{} lies beside a dictionary, as rows of `rarefy synth` do; give the dictionary, {}, or move a matrix of directions elsewhere",
        path.display(),
        dictionary.display()
    )))
}

/// Scores the directions alone, for a dictionary without firing statistics.
fn against_matrix(model: &Model, args: &TruthArgs) -> anyhow::Result<Recovery> {
    let path = args.truth.display().to_string();
    let source = data::open(&path, &OpenOptions::default())?.source;
    let mut values = vec![0.0; source.rows() * source.d_in()];
    source.read(0, &mut values)?;
    Ok(truth::dictionary(model, &values, source.d_in())?)
}

fn directions(r: &Recovery) -> Vec<(&'static str, String)> {
    let share = |share: f64, of: usize| format!("{:.0} of {of}", share * of as f64);
    vec![
        (
            "features found (cosine above 0.9)",
            share(r.recall, r.features),
        ),
        (
            "latents without a feature",
            share(r.latents_without_feature, r.latents),
        ),
        ("mean cosine, matched pairs", number(r.matched_cosine)),
        (
            "mean cosine, features to nearest latent",
            number(r.feature_cosine),
        ),
        (
            "mean cosine, latents to nearest feature",
            number(r.latent_cosine),
        ),
    ]
}

fn firing(e: &TruthEvaluation) -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&str, String)> = e
        .hedging
        .map(|hedging| ("hedging", number(hedging)))
        .into_iter()
        .collect();
    rows.extend([
        ("rows", e.rows.to_string()),
        ("active features per row", number(e.true_l0)),
        ("active latents per row (L0)", number(e.l0)),
        ("firing: precision", number(e.firing_precision)),
        ("firing: recall", number(e.firing_recall)),
        ("firing: F1", number(e.firing_f1)),
        ("firing: correlation", number(e.firing_correlation)),
    ]);
    rows.extend(e.absorption.map(|share| ("absorption", number(share))));
    let published = &e.synth_sae_bench;
    rows.extend([
        ("SynthSAEBench: F1", number(published.f1_score)),
        ("SynthSAEBench: precision", number(published.precision)),
        ("SynthSAEBench: recall", number(published.recall)),
        ("SynthSAEBench: MCC", number(published.mcc)),
        ("SynthSAEBench: uniqueness", number(published.uniqueness)),
        (
            "SynthSAEBench: explained variance",
            number(published.explained_variance),
        ),
        ("SynthSAEBench: shrinkage", number(published.shrinkage)),
        (
            "SynthSAEBench: dead latents",
            published.dead_latents.to_string(),
        ),
    ]);
    rows
}

fn show(rows: Vec<(&str, String)>) -> anyhow::Result<()> {
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    output::print(&output::table(&["", ""], &rows, true))
}
