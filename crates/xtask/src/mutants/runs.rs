//! Planted errors of whole runs: resampling, labels, pushed rows, checkpoints, the recipe.

use super::list::{Mutant, STATE};

const TRAINER: &str = "crates/rarefy/src/trainer/mod.rs";
const RECIPE: &str = "crates/rarefy/src/recipe/mod.rs";

/// Errors that tests of whole runs catch on each machine.
pub(super) const OF_RUNS: &[Mutant] = &[
    Mutant {
        name: "silent latents wait for a whole period to be resampled",
        file: "crates/rarefy/src/train/sparse/resample.rs",
        from: "train.resample_every as u64 / 2 * rows_of_a_step",
        to: "train.resample_every as u64 * rows_of_a_step",
    },
    Mutant {
        name: "latent 0 is never resampled",
        file: "crates/rarefy/src/train/sparse/resample.rs",
        from: "(0..dead.len()).filter(|&j| dead[j]).collect();",
        to: "(1..dead.len()).filter(|&j| dead[j]).collect();",
    },
    Mutant {
        name: "rows of a window are not shuffled",
        file: "crates/rarefy/src/stream/windows.rs",
        from: "places.shuffle(&mut self.generator(window));",
        to: "let _ = self.generator(window);",
    },
    Mutant {
        name: "a resumed run takes the rows of a window again",
        file: "crates/rarefy/src/stream/order.rs",
        from: "let used = from.used[lane].saturating_sub(begin);",
        to: "let used = 0;",
    },
    Mutant {
        name: "a store that is begun is complete",
        file: "crates/rarefy/src/data/store/manifest.rs",
        from: "            complete: false,",
        to: "            complete: true,",
    },
    Mutant {
        name: "a run of a sweep that is ahead takes the rows of the others",
        file: "crates/rarefy/src/train/descend.rs",
        from: ".filter(|run| run.is_open() && run.state.step == step)",
        to: ".filter(|run| run.is_open() && run.state.step >= step)",
    },
    Mutant {
        name: "labels of several shards are joined in the wrong order",
        file: "crates/rarefy/src/data/shards.rs",
        from: "all.extend(cells);",
        to: "drop(all.splice(0..0, cells));",
    },
    Mutant {
        name: "held-out rows of a stream calibrate the threshold unprepared",
        file: "crates/rarefy/src/trainer/finish.rs",
        from: "let prepared = Prepared::new(held_out, pipeline);",
        to: "let _ = pipeline; let prepared = Prepared::new(held_out, &identity);",
    },
    Mutant {
        name: "pushed rows are trained on raw",
        file: TRAINER,
        from: "Cow::Owned(prepare.rows.apply(batch).0)",
        to: "Cow::Borrowed(batch)",
    },
    Mutant {
        name: "the model of a stream has no preprocessing",
        file: TRAINER,
        from: ".with_pipelines(inputs, target)",
        to: ".with_pipelines(Pipeline::identity(inputs.d_out()), target)",
    },
    Mutant {
        name: "a step that failed can be followed by another",
        file: TRAINER,
        from: "progress.inspect_err(|_| self.ended = Some(FAILED))?",
        to: "progress?",
    },
    Mutant {
        name: "checkpoints of pushed steps are not kept",
        file: TRAINER,
        from: "after_step(&plan, state, observer)?;",
        to: "let _ = after_step;",
    },
    Mutant {
        name: "the reservoir is not in a checkpoint",
        file: STATE,
        from: "file.vector(\"reservoir\", reservoir.values());",
        to: "let _ = reservoir.values();",
    },
    Mutant {
        name: "the reservoir replaces its first rows alone",
        file: "crates/rarefy/src/train/reservoir.rs",
        from: "rng.random_range(0..self.capacity) * self.width",
        to: "rng.random_range(0..self.capacity) * self.width / self.capacity",
    },
    Mutant {
        name: "a stream of another sample resumes",
        file: "crates/rarefy/src/recipe/pushed.rs",
        from: "format!(\"a stream with a sample of {sample}\")",
        to: "format!(\"a stream with a sample of {}\", sample.len() / 1000)",
    },
    Mutant {
        name: "`model.init` is ignored",
        file: RECIPE,
        from: "Some(model) => Trainer::with_params(plan, model.params().clone())?,",
        to: "Some(_) => Trainer::with_rows(plan, self.rows().as_ref())?,",
    },
    Mutant {
        name: "preprocessing is fitted to held-out rows too",
        file: RECIPE,
        from: "prepare(&training, names, (bytes, in_memory))?",
        to: "prepare(source, names, (bytes, in_memory))?",
    },
];
