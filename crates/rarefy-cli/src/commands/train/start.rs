//! Start of a run of `rarefy train`: at step 0, or at a checkpoint with `--resume`.

use std::sync::Arc;

use rarefy::config::Config;
use rarefy::plan::Plan;
use rarefy::recipe::TrainingData;
use rarefy::{Error, Trainer};
use rarefy_run::folder::Run;
use rarefy_run::settings;

use crate::cli::TrainArgs;
use crate::{configuration, output};

/// Settings that the user left to the program, whose defaults depend on the data.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub struct Chosen {
    arch: bool,
    preprocess: bool,
    holdout: bool,
    latents: bool,
}

impl Chosen {
    /// Settings that a configuration leaves open.
    pub fn of(args: &TrainArgs, config: &Config) -> Self {
        let is_new = args.config.is_none() && !args.resume && !args.data.is_empty();
        Self {
            preprocess: args.preprocess.is_none() && is_new,
            arch: args.arch.is_none() && is_new,
            holdout: config.data.holdout.is_none(),
            latents: config.model.latents.is_none(),
        }
    }

    /// Sentence on the defaults that were chosen for `rows` rows, with the flags that set others; `None` if there are none.
    pub fn told(&self, plan: &Plan, rows: usize) -> Option<String> {
        let held_out = plan.config().data.holdout.unwrap_or(0);
        let held_out = (self.holdout && held_out > 0)
            .then(|| format!("{held_out} held out to measure the model on (--holdout N)"));
        let rule = plan.info().defaults.latents_text;
        let latents = self.latents.then(|| {
            let rule = if rule.contains(' ') {
                format!("{rule}; ")
            } else {
                String::new()
            };
            let active = plan.options().find("k");
            let active = active.map_or_else(String::new, |k| format!(", k {k} (--k N)"));
            format!("{} latents ({rule}--latents N){active}", plan.d_sae())
        });
        let arch = self.arch.then(|| {
            let name = plan.info().name;
            let other = if name == "kl" {
                "--arch topk for sparse codes"
            } else {
                "--arch kl for the lecture's model"
            };
            format!("{name} ({other})")
        });
        let data = &plan.config().data;
        let is_scaled = self.preprocess
            && data
                .preprocess
                .as_ref()
                .is_some_and(|steps| *steps == ["scale"])
            && !data.path.starts_with("sample:");
        let scaled = is_scaled.then(|| "bytes scaled to 0..1 (--preprocess none)".to_owned());
        let parts: Vec<String> = arch
            .into_iter()
            .chain(scaled)
            .chain(held_out)
            .chain(latents)
            .collect();
        (!parts.is_empty()).then(|| format!("{rows} rows: {}", parts.join(", ")))
    }
}

/// Trainer at its first step, or at the newest checkpoint with `--resume`. Invalid settings are refused before the
/// folder changes.
pub fn start(
    args: &TrainArgs,
    run: &Run,
    plan: &Arc<Plan>,
    data: &TrainingData,
) -> anyhow::Result<Trainer> {
    if args.resume && !run.can_begin() {
        let trainer = resume(args, run, plan, data)?;
        let changes = settings::changes(&configuration::from_run(run)?, plan.config())?;
        if trainer.steps_done() >= plan.steps() {
            settings::refuse_of_finished(run, &changes)?;
        }
        if !args.quiet {
            for change in &changes {
                output::note(&format!("warning: {}", change.warning()));
            }
        }
        run.write_config(plan.config())?;
        return Ok(trainer);
    }
    if args.resume && !args.quiet {
        output::note("no checkpoint was written yet: starting from step 0");
    }
    let trainer = data.trainer(Arc::clone(plan))?;
    run.create(plan.config())?;
    run.clear()?;
    Ok(trainer)
}

/// Trainer at the newest checkpoint that can be read. Damaged newer ones are set aside.
fn resume(
    args: &TrainArgs,
    run: &Run,
    plan: &Arc<Plan>,
    data: &TrainingData,
) -> anyhow::Result<Trainer> {
    let resumed = run.resume_newest(|checkpoint| data.resume(Arc::clone(plan), checkpoint));
    let (trainer, warnings) = resumed.map_err(|error| with_paths(args, run, plan, error))?;
    for warning in warnings {
        output::note(&format!("warning: {warning}"));
    }
    Ok(trainer)
}

/// Error of a refused resume; other data is named.
fn with_paths(args: &TrainArgs, run: &Run, plan: &Plan, error: Error) -> anyhow::Error {
    let before =
        configuration::from_run(run).and_then(|table| Ok(rarefy::config::merge(&[table])?));
    let now = &plan.config().data.path;
    match before {
        Ok(before) if !args.data.is_empty() && before.data.path != *now => {
            let other = format!(
                "{} was trained on {}, not on {now}",
                run.folder().display(),
                before.data.path
            );
            anyhow::Error::from(error).context(other)
        }
        _ => error.into(),
    }
}

/// Refuses to resume a run with another architecture or number of latents.
pub fn refuse_another_architecture(run: &Run, merged: &Config) -> anyhow::Result<()> {
    let before = rarefy::config::merge(&[configuration::from_run(run)?])?;
    if before.model.arch != merged.model.arch || before.model.latents != merged.model.latents {
        let of = |c: &Config| {
            let latents = c.model.latents.map_or("its own".into(), |n| n.to_string());
            format!("{} with {latents} latents", c.model.arch)
        };
        let why = format!(
            "{} is a run of {}; it cannot be resumed as {}",
            run.folder().display(),
            of(&before),
            of(merged)
        );
        return Err(Error::Conflict(why).into());
    }
    Ok(())
}
