//! Figures of a finished run, kept in its folder.

use rarefy::metrics::Evaluation;
use rarefy::{Error, Result, atomic};
use serde_json::{Value, json};

use crate::folder::Run;

/// Metrics of a model on some rows, by their names in `eval --json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics(Value);

/// Figures of a run: of its training rows, and of its held-out rows, if any.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Metrics of the training rows.
    pub training: Metrics,
    /// Metrics of the held-out rows, if any.
    pub held_out: Option<Metrics>,
    /// Steps that were done, if the file has them.
    pub steps: Option<u64>,
}

impl Metrics {
    /// Metrics of an evaluation.
    pub fn of(evaluation: &Evaluation) -> Self {
        Self(json!(evaluation))
    }

    /// All metrics by name.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// A metric as a number, if the architecture has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }
}

/// Metrics that stand beside the records of a run in its event files.
const SCALARS: [&str; 5] = ["explained_variance", "mse", "l0", "dead_fraction", "loss"];

/// Metrics of the training rows and of the held-out rows, if any, as `training/NAME` and `held_out/NAME`.
pub fn scalars(training: &Evaluation, held_out: Option<&Evaluation>) -> Vec<(String, f64)> {
    let parts = [("training", Some(training)), ("held_out", held_out)];
    let of = |(part, evaluation): (&str, Option<&Evaluation>)| {
        let metrics = evaluation.map(Metrics::of)?;
        let named = |name: &&str| Some((format!("{part}/{name}"), metrics.get(name)?));
        Some(SCALARS.iter().filter_map(named).collect::<Vec<_>>())
    };
    parts.into_iter().filter_map(of).flatten().collect()
}

/// Writes `figures.json`.
pub fn write(
    run: &Run,
    training: &Evaluation,
    held_out: Option<&Evaluation>,
    steps: usize,
) -> Result<()> {
    let value = json!({"steps": steps, "training": training, "held_out": held_out});
    let text = format!("{value:#}\n");
    atomic::write(run.figures_path(), |out| out.write_all(text.as_bytes()))
}

/// Reads `figures.json`; `None` if the run has none: it has not ended, or is of an older version.
pub fn read(run: &Run) -> Result<Option<Figures>> {
    let path = run.figures_path();
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|e| Error::format(&path, format!("expected figures of a run as JSON: {e}; remove the file, and give --data to evaluate the model")))?;
    let part = |name: &str| {
        value
            .get(name)
            .filter(|part| part.is_object())
            .cloned()
            .map(Metrics)
    };
    let training = part("training").ok_or_else(|| {
        Error::format(
            &path,
            "expected an object `training` with the metrics of a run; remove the file, and give --data to evaluate the model",
        )
    })?;
    Ok(Some(Figures {
        training,
        held_out: part("held_out"),
        steps: value.get("steps").and_then(Value::as_u64),
    }))
}
