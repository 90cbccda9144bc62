//! Training a frontier's models, one after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use indicatif::ProgressBar;
use rarefy::plan::Plan;
use rarefy::recipe::TrainingData;
use rarefy::train::{Observer, Progress};
use rarefy::{Error, Result};
use rarefy_run::figures;
use rarefy_run::folder::Run;

use super::points::{self, Candidate};
use super::results::{Point, Results};
use crate::reading::{Reading, style};
use crate::{interrupt, output};

/// Folder of the models that are kept, beside the results.
pub const MODELS: &str = "models";

/// Trains all missing points. Ctrl-C ends training between two steps; finished points stay.
pub fn run(
    candidates: &[Candidate],
    data: &TrainingData,
    results: &mut Results,
    (folder, keep): (&Path, bool),
    (reading, quiet): (&Reading, bool),
) -> Result<()> {
    interrupt::watch();
    let mut watcher = Watcher::new(candidates, results, reading, quiet);
    let ended = train_all(candidates, data, results, (folder, keep), &mut watcher);
    interrupt::release();
    watcher.bar.finish_and_clear();
    if let Err(Error::Interrupted) = ended {
        let (there, all) = (results.points.len(), watcher.models);
        let folder = folder.display();
        output::note(&format!(
            "interrupted after {there} of {all} points; continue with: rarefy frontier --out {folder} --resume"
        ));
    }
    ended
}

fn train_all(
    candidates: &[Candidate],
    data: &TrainingData,
    results: &mut Results,
    (folder, keep): (&Path, bool),
    watcher: &mut Watcher,
) -> Result<()> {
    for candidate in candidates {
        let Ok(plan) = &candidate.plan else {
            continue;
        };
        if results.has(candidate.place()) {
            continue;
        }
        interrupt::check()?;
        watcher.begin(candidate);
        let kept = keep.then(|| run_of(folder, candidate));
        match train_one(candidate, (plan, kept.as_ref()), data, watcher) {
            Ok(point) => {
                watcher.found(&point);
                results.points.push(point);
            }
            // A diverged model is a result too.
            Err(error @ (Error::Diverged { .. } | Error::OutOfRange { .. })) => {
                let why = error.to_string();
                results.skipped.push(candidate.skipped(&why));
                watcher.say(&format!("skipped {}: {why}", candidate.name()));
            }
            Err(error) => return Err(error),
        }
        watcher.before += plan.steps() as u64;
        results.sort(&points::order(candidates));
        results.save(folder)?;
    }
    Ok(())
}

/// Run folder of a model that is kept.
fn run_of(folder: &Path, candidate: &Candidate) -> Run {
    Run::at(
        &folder
            .join("models")
            .join(candidate.name().replace(' ', "-")),
    )
}

/// Trains a model as `train` does, and evaluates it on the held-out rows. With `kept`, the model is written as a run.
fn train_one(
    candidate: &Candidate,
    (plan, kept): (&Arc<Plan>, Option<&Run>),
    data: &TrainingData,
    watcher: &mut Watcher,
) -> Result<Point> {
    let started = Instant::now();
    let trained = data.train(data.trainer(Arc::clone(plan))?, watcher)?;
    let seconds = started.elapsed().as_secs_f64();
    let held_out = data.held_out().expect("a frontier holds out rows");
    let evaluation = trained.model.evaluate(held_out)?;
    if let Some(run) = kept {
        let training = trained.model.evaluate(data.training())?;
        run.create(plan.config())?;
        trained.model.save(&run.model_path())?;
        figures::write(run, &training, Some(&evaluation), trained.steps)?;
    }
    Ok(Point {
        arch: candidate.arch.into(),
        latents: candidate.latents,
        option: candidate.option.into(),
        setting: candidate.setting.clone(),
        l0: evaluation.l0,
        explained_variance: evaluation.explained_variance,
        dead_latents: (watcher.dead * plan.d_sae() as f64).round() as usize,
        seconds: Some(seconds),
    })
}

/// A progress bar over the steps of all models, on stderr.
struct Watcher {
    bar: ProgressBar,
    quiet: bool,
    /// Number of models, and of models that are done.
    models: usize,
    done: usize,
    /// Steps of the models before this one.
    before: u64,
    /// Share of dead latents after the last step.
    dead: f64,
}

impl Watcher {
    fn new(candidates: &[Candidate], results: &Results, reading: &Reading, quiet: bool) -> Self {
        let (mut models, mut done, mut steps, mut before) = (0, 0, 0, 0);
        for candidate in candidates {
            let Ok(plan) = &candidate.plan else {
                continue;
            };
            let there = results.has(candidate.place());
            models += 1;
            done += usize::from(there);
            steps += plan.steps() as u64;
            before += if there { plan.steps() as u64 } else { 0 };
        }
        let bar = reading.above(ProgressBar::new(steps).with_position(before));
        bar.set_style(style(
            "{bar:24} {prefix}  step {pos}/{len}  {msg}  {eta} left",
        ));
        Self {
            bar,
            quiet,
            models,
            done,
            before,
            dead: 0.0,
        }
    }

    fn begin(&mut self, candidate: &Candidate) {
        self.done += 1;
        let (done, models) = (self.done, self.models);
        self.bar
            .set_prefix(format!("{done}/{models} {}", candidate.name()));
    }

    fn found(&self, point: &Point) {
        let (done, models) = (self.done, self.models);
        self.say(&format!(
            "{done}/{models} {} {} {}: L0 {:.2}, {:.2} % explained, {:.1} s",
            point.arch,
            point.option,
            point.setting,
            point.l0,
            100.0 * point.explained_variance,
            point.seconds.unwrap_or(0.0)
        ));
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| output::note(text));
        }
    }
}

impl Observer for Watcher {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self.bar.set_position(self.before + progress.step as u64);
        if let Some(sparse) = progress.sparse {
            self.dead = sparse.dead_fraction;
            let explained = 100.0 * sparse.explained_variance;
            let l0 = sparse.l0;
            self.bar
                .set_message(format!("{explained:.1} % explained  L0 {l0:.1}"));
        }
        Ok(())
    }

    /// Messages of single runs are left out: a frontier has too many of them.
    /// No checkpoints: an interrupted point is trained again.
    fn interrupted(&self) -> bool {
        interrupt::raised()
    }
}
