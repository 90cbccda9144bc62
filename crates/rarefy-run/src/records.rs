//! Records of a training run: the lines of `metrics.jsonl`.

use std::fs;
use std::path::Path;

use rarefy::plan::Plan;
use rarefy::train::Progress;
use rarefy::variants::Architecture;
use rarefy::{Error, Result};
use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`. No clock: two runs of one seed are equal byte for byte.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: usize,
    /// Rows that went through a gradient so far.
    pub rows_seen: u64,
    /// Objective of the step's batch.
    pub loss: f64,
    /// Squared error, or its half for `kl`.
    pub reconstruction: f64,
    /// Sparsity penalty, if the architecture has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub penalty: Option<f64>,
    /// Weight decay, of dense architectures.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight_decay: Option<f64>,
    /// Auxiliary loss of dead latents.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auxiliary: Option<f64>,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Mean over latents of the mean activation, of `kl`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rho_hat_mean: Option<f64>,
    /// Share of variance explained in the batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub explained_variance: Option<f64>,
    /// Mean number of active latents in a row of the batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l0: Option<f64>,
    /// Share of latents that were active on no recent row.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dead_fraction: Option<f64>,
}

impl Record {
    /// Parts of the objective that the architecture has.
    pub fn of(progress: &Progress) -> Self {
        let (parts, sparse) = (&progress.parts, progress.sparse);
        let dense = |part: f64| sparse.is_none().then_some(part);
        Self {
            step: progress.step,
            rows_seen: progress.rows_seen,
            loss: parts.total(),
            reconstruction: parts.reconstruction,
            penalty: dense(parts.penalty).or((parts.penalty != 0.0).then_some(parts.penalty)),
            weight_decay: dense(parts.weight_decay),
            auxiliary: sparse.map(|_| parts.auxiliary),
            gradient_norm: progress.gradient_norm,
            rho_hat_mean: progress.rho_hat_mean,
            explained_variance: sparse.map(|s| s.explained_variance),
            l0: sparse.map(|s| s.l0),
            dead_fraction: sparse.map(|s| s.dead_fraction),
        }
    }
}

/// Steps from one record to the next. A short step of the sparse engine takes less time than writing a record.
pub fn every(plan: &Plan) -> usize {
    match plan.architecture() {
        Architecture::Dense(_) => 1,
        Architecture::Sparse(_) => 10,
    }
}

/// Line of a record, with its end.
pub fn to_line(record: &Record) -> String {
    serde_json::to_string(record).expect("a record is plain numbers") + "\n"
}

/// The records of a run; an unfinished last line is left out.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let complete = text.lines().filter(|line| !line.trim().is_empty());
    let parsed: Vec<_> = complete.map(serde_json::from_str::<Record>).collect();
    let last = parsed.len().saturating_sub(1);
    let mut records = Vec::with_capacity(parsed.len());
    for (line, record) in parsed.into_iter().enumerate() {
        match record {
            Ok(record) => records.push(record),
            Err(_) if line == last => {}
            Err(e) => return Err(Error::format(path, format!("line {}: {e}", line + 1))),
        }
    }
    Ok(records)
}
