//! Records of a training run: the lines of `metrics.jsonl`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rarefy::plan::Plan;
use rarefy::train::Progress;
use rarefy::variants::Architecture;
use rarefy::{Error, Result, atomic};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::tensorboard::{Events, Scalars};

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
    fn of(progress: &Progress) -> Self {
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

    /// Numbers of the record with their names.
    fn scalars(&self) -> Scalars {
        let value = json!(self);
        let fields = value.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| !NOT_SCALARS.contains(&name.as_str()))
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect()
    }
}

/// Fields of a record that are no scalars: the step has a place of its own in an event, and rows do not fit an f32.
const NOT_SCALARS: [&str; 2] = ["step", "rows_seen"];

/// Steps from one record to the next. A short step of the sparse engine takes less time than writing a record.
fn every(plan: &Plan) -> usize {
    match plan.architecture() {
        Architecture::Dense(_) => 1,
        Architecture::Sparse(_) => 10,
    }
}

/// Recorder of a run: keeps every step, or every tenth of a sparse architecture, in memory or as lines of a file.
#[derive(Debug)]
pub struct Recorder {
    every: usize,
    file: Option<(PathBuf, File)>,
    /// Event file that gets the same records.
    events: Option<Events>,
    records: Vec<Record>,
    /// The last step, if it has no record yet.
    unrecorded: Option<Record>,
}

impl Recorder {
    /// Recorder in memory.
    pub fn in_memory(plan: &Plan) -> Self {
        Self {
            every: every(plan),
            file: None,
            events: None,
            records: Vec::new(),
            unrecorded: None,
        }
    }

    /// Recorder in a file, whose records up to the step `resumed_at` are kept. With `tensorboard`, the records also go to an
    /// event file in that folder.
    pub fn in_file(
        path: &Path,
        plan: &Plan,
        resumed_at: usize,
        tensorboard: Option<&Path>,
    ) -> Result<Self> {
        let mut kept = if resumed_at > 0 && path.exists() {
            read(path)?
        } else {
            Vec::new()
        };
        // A finished run has a record of its last step, whatever the step's number. A run that is extended
        // beyond that step drops the record.
        let every = every(plan);
        let ended = resumed_at == plan.steps();
        let whole = |step: usize| step.is_multiple_of(every) || (ended && step == resumed_at);
        kept.retain(|r| r.step <= resumed_at && whole(r.step));
        let lines: String = kept.iter().map(to_line).collect();
        atomic::write(path, |out| out.write_all(lines.as_bytes()))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(Error::io(path))?;
        Ok(Self {
            every,
            file: Some((path.into(), file)),
            events: tensorboard
                .map(|folder| Events::start(folder, kept.iter().map(|r| (r.step, r.scalars()))))
                .transpose()?,
            records: Vec::new(),
            unrecorded: None,
        })
    }

    /// Records a step, if its turn has come.
    pub fn step(&mut self, progress: &Progress) -> Result<()> {
        let record = Record::of(progress);
        if progress.step.is_multiple_of(self.every) {
            self.unrecorded = None;
            return self.keep(record);
        }
        self.unrecorded = Some(record);
        Ok(())
    }

    /// Records the last step of a run that ended.
    pub fn finish(&mut self) -> Result<()> {
        self.unrecorded
            .take()
            .map_or(Ok(()), |record| self.keep(record))
    }

    /// Makes sure that all records are on disk.
    pub fn sync(&self) -> Result<()> {
        if let Some((path, file)) = &self.file {
            file.sync_data().map_err(Error::io(path))?;
        }
        self.events.as_ref().map_or(Ok(()), Events::sync)
    }

    /// Records in memory, none if they are in a file, and the event file, if there is one.
    pub fn into_parts(self) -> (Vec<Record>, Option<Events>) {
        (self.records, self.events)
    }

    fn keep(&mut self, record: Record) -> Result<()> {
        let Some((path, file)) = &mut self.file else {
            self.records.push(record);
            return Ok(());
        };
        let written = file.write_all(to_line(&record).as_bytes());
        written.map_err(Error::io(path))?;
        match &mut self.events {
            Some(events) => events.append(record.step, &record.scalars()),
            None => Ok(()),
        }
    }
}

fn to_line(record: &Record) -> String {
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
