//! Several runs on the same rows, or one: rows are prepared once, and batches are shared.

use std::sync::Arc;

use rarefy::data::Dataset;
use rarefy::metrics;
use rarefy::plan::Plan;
use rarefy::recipe::{Evaluated, TrainingData};
use rarefy::train::Observer;
use rarefy::variants::StartRows;
use rarefy::{Error, Result, Trained, Trainer};
use rayon::prelude::*;

use super::observed::Observed;
use super::{Finished, Listener, Place, Training, room};
use crate::records::Recorder;
use crate::timings::{Timings, Watch};
use crate::{figures, report, tensorboard};

/// A run with the caller that watches it.
pub type Member<'a, 'l> = (Training<'a>, &'l mut dyn Listener);

/// Runs several trainings on the same rows. Those with the same rows, held-out rows and preprocessing read and prepare them once, and those with the same
/// seed and batch size share each batch. Each run has the bytes that it has alone, and an error ends its own run alone. Results have the order
/// of the runs.
pub fn run_together(members: Vec<Member>) -> Vec<Result<Finished>> {
    let count = members.len();
    let mut groups: Vec<Vec<(usize, Member)>> = Vec::new();
    for (at, (mut training, listener)) in members.into_iter().enumerate() {
        training.config.data.holdout = Some(training.holdout());
        let member = (at, (training, listener));
        match groups
            .iter()
            .position(|group| shares_with(&group[0], &member))
        {
            Some(group) => groups[group].push(member),
            None => groups.push(vec![member]),
        }
    }
    let mut finished: Vec<Option<Result<Finished>>> = (0..count).map(|_| None).collect();
    for mut group in groups {
        if is_stopped(&group) {
            let stopped = group.drain(..);
            stopped.for_each(|(at, _)| finished[at] = Some(Err(Error::Interrupted)));
            continue;
        }
        let (places, members): (Vec<usize>, Vec<Member>) = group.into_iter().unzip();
        for (at, result) in places.into_iter().zip(run_group(members)) {
            finished[at] = Some(result);
        }
    }
    let all = finished.into_iter();
    all.map(|result| result.expect("each run has a result"))
        .collect()
}

/// True if a caller wants to stop.
fn is_stopped(group: &[(usize, Member)]) -> bool {
    group.iter().any(|(_, (_, listener))| listener.is_stopped())
}

/// True if two runs have the same prepared rows.
fn shares_with((_, (one, _)): &(usize, Member), (_, (other, _)): &(usize, Member)) -> bool {
    one.config.data == other.config.data && one.memory == other.memory
}

/// Runs that have the same prepared rows.
fn run_group(members: Vec<Member>) -> Vec<Result<Finished>> {
    let count = members.len();
    let mut watch = Watch::start();
    let (first, _) = &members[0];
    let source = first.dataset.source.as_ref();
    let data = room::check_rows(source, first.memory).and_then(|()| {
        TrainingData::with_memory(&first.config.data, source, first.raw, first.memory)
    });
    let data = match data {
        Ok(data) => data,
        Err(error) => return of_all(error, count),
    };
    let preparation = watch.lap();
    let plans = members.iter();
    let plans: Vec<Result<Plan>> = plans
        .map(|(training, _)| data.plan(&training.config))
        .collect();
    if let Err(error) = room::check_models(plans.iter().flatten(), &data) {
        return of_all(error, count);
    }
    let rows = data.start_rows();
    let ready = members.into_iter().zip(plans);
    let ready = ready.map(|(member, plan)| Ready::new(member, plan?, (&data, &rows)));
    let ready: Vec<Result<Ready>> = ready.collect();
    drop(rows);
    let start = watch.lap();
    let stepped = take_steps(ready, &data);
    let timings = Timings {
        preparation,
        start,
        steps: watch.lap(),
        ..Timings::default()
    };
    let finish = |stepped: Result<Stepped>| stepped?.finish(&data, timings);
    // Reports have parts that one thread writes; but passes over files would disturb each other.
    if data.is_in_memory() {
        return stepped.into_par_iter().map(finish).collect();
    }
    stepped.into_iter().map(finish).collect()
}

/// An error of several runs.
fn of_all(error: Error, count: usize) -> Vec<Result<Finished>> {
    let others: Vec<_> = (1..count).map(|_| Err(error.repeated())).collect();
    std::iter::once(Err(error)).chain(others).collect()
}

/// A run before its first step.
struct Ready<'a, 'l> {
    training: Training<'a>,
    trainer: Trainer,
    recorder: Recorder,
    listener: &'l mut dyn Listener,
}

impl<'a, 'l> Ready<'a, 'l> {
    fn new(
        (training, listener): Member<'a, 'l>,
        plan: Plan,
        (data, rows): (&TrainingData, &StartRows),
    ) -> Result<Self> {
        let plan = Arc::new(plan);
        let warnings = data.warnings(&plan)?;
        warnings.iter().for_each(|text| listener.warn(text));
        if let Some(order) = data.order(&plan) {
            listener.note(&order);
        }
        let trainer = training.trainer((data, rows), &plan, listener)?;
        let recorder = recorder(&training, &trainer, listener)?;
        Ok(Self {
            training,
            trainer,
            recorder,
            listener,
        })
    }
}

/// Recorder of a run that begins or goes on.
fn recorder(
    training: &Training,
    trainer: &Trainer,
    listener: &mut dyn Listener,
) -> Result<Recorder> {
    let (plan, first) = (trainer.plan(), trainer.steps_done());
    let Some(Place { run, .. }) = training.place else {
        return Ok(Recorder::in_memory(plan));
    };
    let path = run.metrics_path();
    if first > 0 && !path.exists() {
        listener.warn(&format!(
            "{} is missing: the curves of the report begin at step {first}",
            path.display()
        ));
    }
    let events = Some(run.tensorboard_path());
    let events = events.filter(|at| training.tensorboard || tensorboard::is_in(at));
    Recorder::in_file(&path, plan, first, events.as_deref())
}

/// A run behind its last step.
struct Stepped<'a> {
    training: Training<'a>,
    plan: Arc<Plan>,
    trained: Trained,
    recorder: Recorder,
    /// Seconds that the run waited for rows.
    waiting: f64,
}

/// Takes the steps of all runs that can begin.
fn take_steps<'a>(
    ready: Vec<Result<Ready<'a, '_>>>,
    data: &TrainingData,
) -> Vec<Result<Stepped<'a>>> {
    let (mut trainers, mut observed, mut trainings) = (Vec::new(), Vec::new(), Vec::new());
    for ready in ready {
        trainings.push(ready.map(|ready| {
            let plan = Arc::clone(ready.trainer.plan());
            let run = ready.training.place.map(|place| &place.run);
            let mut of_run = Observed::new(&plan, run, ready.recorder, ready.listener);
            of_run.begin(&ready.trainer);
            trainers.push(ready.trainer);
            observed.push(of_run);
            (ready.training, plan)
        }));
    }
    let observers = observed.iter_mut();
    let observers = observers
        .map(|of_run| of_run as &mut dyn Observer)
        .collect();
    let trained = data.train_together(trainers, observers);
    let mut ends = trained.into_iter().zip(observed);
    let ended = trainings.into_iter();
    ended
        .map(|training| {
            let (training, plan) = training?;
            let (trained, observed) = ends.next().expect("each run that began has an end");
            let waiting = observed.waited.as_secs_f64();
            let (trained, recorder) = observed.end(trained)?;
            Ok(Stepped {
                training,
                plan,
                trained,
                recorder,
                waiting,
            })
        })
        .collect()
}

impl Stepped<'_> {
    /// Writes model, figures and report.
    fn finish(self, data: &TrainingData, timings: Timings) -> Result<Finished> {
        let Self {
            training,
            plan,
            trained,
            recorder,
            waiting,
        } = self;
        let mut watch = Watch::start();
        let (records, events) = training.save(&trained, recorder)?;
        let saving = watch.lap();
        let source = training.dataset.source.as_ref();
        let holdout = plan.config().data.holdout.unwrap_or(0);
        let drawn = source.is_drawn();
        let drawn = drawn.then(|| Dataset::new(source).representative(holdout));
        let dataset = drawn.as_ref().unwrap_or(training.dataset);
        let (evaluated, responses) = training.evaluate(&trained.model, dataset, holdout)?;
        let evaluation = watch.lap();
        if let (Some(Place { run, .. }), Some(responses)) = (training.place, responses) {
            let found = (&evaluated, &responses);
            let written = (&trained.model, dataset);
            report::write(run, &run.report_path(), written, found, None)?;
            let Evaluated { training, held_out } = &evaluated;
            figures::write(run, training, held_out.as_ref(), trained.steps)?;
            if let Some(mut events) = events {
                let scalars = figures::scalars(training, held_out.as_ref());
                events.append(trained.steps, &scalars)?;
            }
        }
        let report = watch.lap();
        let Evaluated { training, held_out } = evaluated;
        let gap = held_out.as_ref();
        let gap = gap.and_then(|held_out| metrics::gap(&plan, &training, held_out));
        let advice = metrics::advice(&plan, data.survey(), &training);
        Ok(Finished {
            plan,
            trained,
            training,
            held_out,
            records,
            advice: advice.into_iter().chain(gap).collect(),
            timings: Timings {
                waiting,
                saving,
                evaluation,
                report,
                ..timings
            },
        })
    }
}
