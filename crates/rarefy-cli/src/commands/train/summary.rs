//! The table or JSON object at the end of a training run.

use rarefy::metrics::Evaluation;
use rarefy_run::folder::Run;
use rarefy_run::timings::Timings;
use rarefy_run::training::Finished;
use serde::Serialize;

use crate::cli::TrainArgs;
use crate::commands::eval;
use crate::output;

/// Metrics of the held-out rows.
#[derive(Clone, Copy, Serialize)]
pub struct Holdout {
    #[serde(rename = "holdout_explained_variance")]
    explained_variance: f64,
    #[serde(rename = "holdout_l0")]
    l0: f64,
    #[serde(rename = "holdout_mse")]
    mse: f64,
    #[serde(rename = "holdout_dead_latents")]
    dead_latents: usize,
    #[serde(rename = "holdout_rows")]
    rows: usize,
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
    timings: &'a Timings,
}

impl Holdout {
    fn of(e: &Evaluation) -> Self {
        Self {
            explained_variance: e.explained_variance,
            l0: e.l0,
            mse: e.mse,
            dead_latents: e.dead_latents,
            rows: e.rows,
        }
    }
}

/// The table, or the JSON object, at the end of a run.
pub fn tell(
    args: &TrainArgs,
    run: &Run,
    finished: &Finished,
    parts: &[String],
    speed: Speed,
) -> anyhow::Result<()> {
    let (evaluation, held_out) = (&finished.training, finished.held_out.as_ref());
    if args.json {
        return output::json(&Summary {
            run: run.folder().display().to_string(),
            report: run.report_path().display().to_string(),
            steps: finished.trained.steps,
            stopped: &finished.trained.reason,
            speed,
            evaluation,
            holdout: held_out.map(Holdout::of),
            timings: &finished.timings,
        });
    }
    if args.quiet {
        return Ok(());
    }
    let (header, mut rows) = eval::summary(evaluation, held_out, parts);
    let seconds = format!(
        "{:.1} s, {:.0} rows/s",
        speed.seconds, speed.samples_per_second
    );
    let mut time = vec![String::new(); header.len()];
    time[0] = "training time".into();
    time[header.len() - 1] = seconds;
    rows.push(time);
    output::print(&output::table(&header, &rows, true))?;
    if args.timings {
        output::print(&format!("\n{}", parts_of_time(&finished.timings)))?;
    }
    output::print(&format!(
        "\nmodel   {}\nreport  {}",
        run.model_path().display(),
        run.report_path().display()
    ))
}

/// Table of the time that the parts of a run took.
pub fn parts_of_time(timings: &Timings) -> String {
    let parts = timings.parts();
    let all: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    let row = |(name, seconds): &(&str, f64)| {
        let share = 100.0 * seconds / all.max(f64::MIN_POSITIVE);
        vec![
            (*name).to_owned(),
            format!("{seconds:.2} s"),
            format!("{share:.0} %"),
        ]
    };
    let mut rows: Vec<_> = parts.iter().chain([&("all", all)]).map(row).collect();
    let steps = parts.iter().position(|(name, _)| *name == "steps");
    rows.insert(
        steps.map_or(0, |at| at + 1),
        row(&("  of which waiting for rows", timings.waiting)),
    );
    output::table(&["part", "time", "share"], &rows, true)
}
