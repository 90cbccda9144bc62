//! Held-out rows: training never reads them, and the threshold is calibrated on them.

use std::sync::Mutex;

use rarefy::Result;
use rarefy::codes::Codes;
use rarefy::config::{self, Config};
use rarefy::data::{HoldoutPart, Memory, Source, hold_out, survey};
use rarefy::engine::{Encoder, Selection};
use rarefy::io_spec::IoSpec;
use rarefy::params::Params;
use rarefy::plan::Plan;
use rarefy::preprocess::{Pipeline, Prepared};
use rarefy::recipe::TrainingData;
use rarefy::train::{Silent, State};

const ROWS: usize = 300;
const WIDTH: usize = 4;
const HELD: usize = 70;

/// Source that records which rows were read.
struct Recording {
    rows: Memory,
    read: Mutex<Vec<usize>>,
}

impl Recording {
    fn new(values: Vec<f32>) -> Self {
        let rows = Memory::new("rows", WIDTH, values);
        let read = Mutex::default();
        Self { rows, read }
    }

    /// Sorted numbers of all rows read since the last call, without duplicates.
    fn take(&self) -> Vec<usize> {
        let mut read = std::mem::take(&mut *self.read.lock().unwrap());
        read.sort_unstable();
        read.dedup();
        read
    }
}

impl Source for Recording {
    fn name(&self) -> &str {
        self.rows.name()
    }
    fn rows(&self) -> usize {
        self.rows.rows()
    }
    fn d_in(&self) -> usize {
        self.rows.d_in()
    }
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let rows = start..start + out.len() / WIDTH;
        self.read.lock().unwrap().extend(rows);
        self.rows.read(start, out)
    }
}

fn noise() -> Vec<f32> {
    (0..ROWS * WIDTH)
        .map(|i| (i as f32 * 0.7391).sin() + (i as f32 * 0.0137).cos())
        .collect()
}

fn merged(settings: &str, data: &str) -> Config {
    let data = format!("[data]\n{data}").parse().unwrap();
    config::merge(&[settings.parse().unwrap(), data]).unwrap()
}

fn plan(settings: &str, rows: &dyn Source) -> Plan {
    let config = merged(settings, &format!("holdout = {HELD}"));
    Plan::new(&config, &survey(rows).unwrap()).unwrap()
}

/// Runs training from fitting the preprocessing to the calibrated threshold.
fn run(settings: &str, training: &dyn Source, held_out: &dyn Source) -> (Plan, Pipeline, Params) {
    let config = merged(settings, "preprocess = ['standardise']");
    let raw = IoSpec::autoencoder(WIDTH);
    let data = TrainingData::new(&config.data, training, &raw).unwrap();
    let plan = data.plan(&config).unwrap();
    let trainer = data.trainer(data.plan(&config).unwrap()).unwrap();
    let pipeline = data.fitted().rows();
    let others = Prepared::new(held_out, &pipeline);
    let trained = trainer.run(data.rows().as_ref(), Some(&others), &mut Silent);
    (
        plan,
        pipeline.clone(),
        trained.unwrap().model.params().clone(),
    )
}

/// Numbers of the held-out rows, by the documented formula.
fn held() -> Vec<usize> {
    (0..HELD).map(|i| i * ROWS / HELD).collect()
}

fn copy(part: &HoldoutPart) -> Memory {
    let mut values = vec![0.0; part.rows() * WIDTH];
    part.read(0, &mut values).unwrap();
    Memory::new("rows", WIDTH, values)
}

const BATCH_TOPK: &str = "[model]\narch = 'batch-topk'\nlatents = 24\n[model.options]\nk = 2.3\n[train]\nbatch = 64\nsteps = 20";

/// Settings with each kind of optimiser, with and without shuffling, and with full batches.
const RUNS: [&str; 5] = [
    BATCH_TOPK,
    "[model]\narch = 'topk'\nlatents = 24\n[model.options]\nk = 2\n[train]\nbatch = 64\nsteps = 20\nshuffle = false",
    "[model]\nlatents = 6\n[train]\nbatch = 64\nsteps = 20\n[model.options]\ndecoder = 'linear'",
    "[model]\nlatents = 6\n[train]\nbatch = 230\noptimizer = 'adam'\nsteps = 3\n[model.options]\ndecoder = 'linear'",
    "[model]\nlatents = 6\n[train]\nsteps = 5\n[model.options]\ndecoder = 'linear'",
];

#[test]
fn training_reads_all_training_rows_and_no_held_out_row() {
    let data = Recording::new(noise());
    let (training, held_out) = hold_out(&data, HELD).unwrap();
    let elsewhere = copy(&held_out.unwrap());
    assert_eq!(data.take(), held());
    let others: Vec<usize> = (0..ROWS).filter(|row| !held().contains(row)).collect();
    for settings in RUNS {
        let (plan, _, params) = run(settings, &training, &elsewhere);
        assert_eq!(data.take(), others, "{settings}");
        assert_eq!(plan.n_rows(), ROWS - HELD);
        // Training on a copy of the training rows gives equal parameters.
        let alone = run(settings, &copy(&training), &elsewhere).2;
        assert!(params == alone, "{settings}");
        data.take();
    }
}

/// Changed held-out rows change the threshold and no other parameter.
#[test]
fn threshold_is_calibrated_on_held_out_rows() {
    let mut values = noise();
    let with = |values: &[f32]| {
        let data = Memory::new("rows", WIDTH, values.to_vec());
        let (training, held_out) = hold_out(&data, HELD).unwrap();
        let held_out = held_out.unwrap();
        let (_, pipeline, params) = run(BATCH_TOPK, &training, &held_out);
        let mean_l0 = |rows: &HoldoutPart| {
            let (rows, _) = pipeline.apply(copy(rows).as_slice().unwrap());
            let mut codes = Codes::new(24);
            let above = Selection::Above(params.get("threshold")[0]);
            Encoder::new(&params).encode(&params, &rows, above, &mut codes);
            codes.values.len() as f64 / codes.rows() as f64
        };
        assert_eq!(mean_l0(&held_out), 2.3);
        (mean_l0(&training), params)
    };
    let (on_training, first) = with(&values);
    assert!(on_training != 2.3, "{on_training}");
    for row in held() {
        values[row * WIDTH..][..WIDTH]
            .iter_mut()
            .for_each(|x| *x *= 3.0);
    }
    let (_, second) = with(&values);
    assert!(first.get("threshold")[0] < second.get("threshold")[0]);
    for block in ["w_enc", "b_enc", "w_dec", "b_dec"] {
        assert_eq!(first.get(block), second.get(block), "{block}");
    }
}

/// A different holdout changes the training rows, so the run cannot be resumed.
#[test]
fn resume_with_other_holdout_is_refused() {
    let data = Memory::new("rows", WIDTH, noise());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let at = |count: usize| {
        let (training, _) = hold_out(&data, count).unwrap();
        let plan = plan(BATCH_TOPK, &training);
        let state = State::new(&plan, &training, None).unwrap();
        (plan, state)
    };
    let (plan, state) = at(HELD);
    state.save(&path, &plan).unwrap();
    assert!(State::load(&path, &plan).unwrap() == state);
    for count in [0, HELD - 1, HELD + 1] {
        let error = State::load(&path, &at(count).0).unwrap_err().to_string();
        assert!(
            error.contains("data with 230 rows of 4 from "),
            "{count}: {error}"
        );
    }
}
