//! The table or JSON object at the end of a training run.

use rarefy::data::Source;
use rarefy::metrics::Evaluation;
use rarefy::model::Model;
use rarefy::{Result, Trained};
use serde::Serialize;

use crate::cli::TrainArgs;
use crate::commands::eval::summary_rows;
use crate::output;
use crate::run::Run;

/// Metrics of the held-out rows.
#[derive(Clone, Copy, Serialize)]
pub struct Holdout {
    #[serde(rename = "holdout_explained_variance")]
    explained_variance: f64,
    #[serde(rename = "holdout_l0")]
    l0: f64,
}

/// Time of this call's part of the run.
#[derive(Clone, Copy, Serialize)]
pub struct Speed {
    pub seconds: f64,
    pub samples_per_second: f64,
}

#[derive(Serialize)]
struct Summary<'a> {
    run: String,
    report: String,
    steps: usize,
    stopped: &'a str,
    #[serde(flatten)]
    speed: Speed,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    holdout: Option<Holdout>,
}

impl Holdout {
    /// Evaluates a model on the held-out rows.
    pub fn of(model: &Model, rows: &dyn Source) -> Result<Self> {
        let evaluation = model.evaluate(rows)?;
        Ok(Self {
            explained_variance: evaluation.explained_variance,
            l0: evaluation.l0,
        })
    }
}

/// The table, or the JSON object, at the end of a run.
pub fn tell(
    args: &TrainArgs,
    run: &Run,
    (evaluation, parts, holdout): (&Evaluation, &[String], Option<Holdout>),
    trained: &Trained,
    speed: Speed,
) -> anyhow::Result<()> {
    if args.json {
        return output::json(&Summary {
            run: run.folder().display().to_string(),
            report: run.report_path().display().to_string(),
            steps: trained.steps,
            stopped: &trained.reason,
            speed,
            evaluation,
            holdout,
        });
    }
    if args.quiet {
        return Ok(());
    }
    let mut rows = summary_rows(evaluation, parts);
    if let Some(holdout) = holdout {
        let variance = output::number(holdout.explained_variance);
        rows.push(vec!["held out: explained variance".into(), variance]);
        let l0 = output::number(holdout.l0);
        rows.push(vec!["held out: latents active".into(), l0]);
    }
    rows.push(vec![
        "training time".into(),
        format!(
            "{:.1} s, {:.0} rows/s",
            speed.seconds, speed.samples_per_second
        ),
    ]);
    output::print(&output::table(&["", ""], &rows, true))?;
    output::print(&format!(
        "\nmodel   {}\nreport  {}",
        run.model_path().display(),
        run.report_path().display()
    ))
}
