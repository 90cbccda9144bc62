//! Pushed mode against runs over random-access rows: the same bytes.

mod refused;

use super::*;
use crate::builder::{
    Builder, abs_topk, batch_topk, gated, groupmax, jumprelu, kl, matching_pursuit, matryoshka,
    relu, topk,
};
use crate::config::{self, Config};
use crate::data::{Memory, hold_out, survey};
use crate::io_spec::IoSpec;
use crate::recipe::TrainingData;
use crate::stream::Batches;

const ROWS: usize = 900;
const WIDTH: usize = 6;

fn rows() -> Memory {
    let values = (0..ROWS * WIDTH).map(|i| {
        let (row, column) = (i / WIDTH, i % WIDTH);
        let x =
            (row as f32 * 0.37 + column as f32).sin() * ((row * (column + 1)) as f32 * 0.11).cos();
        0.5 + 0.5 * x
    });
    Memory::new("rows", WIDTH, values.collect())
}

fn config(text: &str) -> Config {
    config::merge(&[text.parse().unwrap()]).unwrap()
}

/// One architecture each with its engine's features that depend on the step.
const RUNS: [(&str, &str); 5] = [
    (
        "topk",
        "[model]\narch = 'topk'\nlatents = 24\noptions = { k = 4, dead_after = 400 }\n[train]\nk_start = 8\nema = 0.9\nmask = 0.3",
    ),
    (
        "jumprelu",
        "[model]\narch = 'jumprelu'\nlatents = 24\n[train]\nlr_warmup = 5\nlr_decay = 9",
    ),
    (
        "batch-topk",
        "[model]\narch = 'batch-topk'\nlatents = 24\noptions = { k = 3 }\n[train]\n",
    ),
    (
        "relu",
        "[model]\narch = 'relu'\nlatents = 24\noptions = { p = 0.9 }\n[train]\np_end = 0.5\nresample = 'dictionary-learning'\nresample_every = 10",
    ),
    (
        "kl",
        "[model]\narch = 'kl'\nlatents = 8\n[train]\noptimizer = 'adam'",
    ),
];

fn plan(text: &str, steps: usize) -> Plan {
    let text = format!("{text}\nsteps = {steps}\nbatch = 64\nseed = 5");
    Plan::new(&config(&text), &survey(&rows()).unwrap()).unwrap()
}

/// Pushes the batches that a run over all rows would draw, from the trainer's step on.
fn push(trainer: &mut Trainer, steps: usize) {
    let (data, plan) = (rows(), Arc::clone(trainer.plan()));
    let mut batches = Batches::new(&plan);
    for _ in 0..steps {
        let batch = batches.at(&data, trainer.steps_done()).unwrap();
        trainer.step(batch.as_slice().unwrap()).unwrap();
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn trainer_is_send_and_static() {
    fn check<T: Send + 'static>() {}
    check::<Trainer>();
}

#[test]
fn pushed_batches_give_the_weights_of_fit() {
    let held_out = Memory::new(
        "held out",
        WIDTH,
        rows().as_slice().unwrap()[..50 * WIDTH].to_vec(),
    );
    for (name, text) in RUNS {
        let start = State::new(&plan(text, 50), &rows(), None).unwrap();
        let fitted = train::train(
            &plan(text, 50),
            &rows(),
            Some(&held_out),
            start,
            &mut Silent,
        )
        .unwrap();
        let mut trainer = Trainer::with_rows(plan(text, 50), &rows()).unwrap();
        push(&mut trainer, 50);
        assert!(trainer.is_done(), "{name}");
        let model = trainer.finish_with(&held_out).unwrap();
        assert_eq!(
            bits(model.params().values()),
            bits(fitted.params.values()),
            "{name}"
        );
    }
}

/// The whole way: held-out rows, preprocessing, training, threshold; `fit` against raw batches that are pushed.
#[test]
fn pushed_raw_batches_give_the_model_of_fit() {
    let data = rows();
    for (name, builder) in [
        ("topk", topk as fn(usize) -> Builder<'static>),
        ("batch-topk", batch_topk),
        ("matryoshka", matryoshka),
    ] {
        let builder = || builder(3).latents(24).holdout(100).batch(64).steps(50);
        let fitted = builder().preprocess(["standardise"]).fit(&data).unwrap();
        let text = format!(
            "[data]\nholdout = 100\npreprocess = ['standardise']\n[model]\narch = '{name}'\nlatents = 24\n\
             options = {{ k = 3 }}\n[train]\nbatch = 64\nsteps = 50"
        );
        let config = config(&text);
        let raw = IoSpec::autoencoder(WIDTH);
        let recipe = TrainingData::new(&config.data, &data, &raw).unwrap();
        let mut trainer = recipe.trainer(recipe.plan(&config).unwrap()).unwrap();
        let (training, held_out) = hold_out(&data, 100).unwrap();
        let plan = Arc::clone(trainer.plan());
        let mut batches = Batches::new(&plan);
        for step in 0..50 {
            let batch = batches.at(&training, step).unwrap();
            trainer.step(batch.as_slice().unwrap()).unwrap();
        }
        let pushed = trainer.finish_with(&held_out.unwrap()).unwrap();
        assert_eq!(pushed.pipeline(), fitted.pipeline(), "{name}");
        let (pushed, fitted) = (pushed.params().values(), fitted.params().values());
        assert_eq!(bits(pushed), bits(fitted), "{name}");
    }
}

#[test]
fn resumed_stream_has_its_preprocessing_and_another_sample_is_refused() {
    let data = rows();
    let values = data.as_slice().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.safetensors");
    let builder = || topk(2).latents(12).steps(20).batch(90);
    let scaled = || builder().preprocess(["standardise"]);
    let push = |trainer: &mut Trainer, steps: std::ops::Range<usize>| {
        for step in steps {
            let first = step % 10 * 90 * WIDTH;
            trainer.step(&values[first..first + 90 * WIDTH]).unwrap();
        }
    };
    let mut whole = scaled().stream(&data).unwrap();
    push(&mut whole, 0..7);
    whole.checkpoint(&file).unwrap();
    push(&mut whole, 7..20);
    let mut resumed = scaled().resume_stream(&data, &file).unwrap();
    push(&mut resumed, 7..20);
    let (whole, resumed) = (whole.finish().unwrap(), resumed.finish().unwrap());
    assert_eq!(resumed.pipeline(), whole.pipeline());
    assert!(!whole.pipeline().is_identity());
    let (resumed, whole) = (resumed.params().values(), whole.params().values());
    assert_eq!(bits(resumed), bits(whole));
    for other in [
        builder().resume_stream(&data, &file),
        scaled().resume_stream((&values[..400 * WIDTH], WIDTH), &file),
    ] {
        let text = other.err().unwrap().to_string();
        assert!(text.contains("the checkpoint has data with"), "{text}");
    }
}

#[test]
fn stream_starts_from_the_weights_of_another_model() {
    let data = rows();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let builder = || topk(2).latents(12).steps(20).batch(90);
    let model = builder().fit(&data).unwrap();
    model.save(&path).unwrap();
    let init = path.display();
    let trainer = builder().set("model.init", init).stream(&data).unwrap();
    let start = trainer.state().unwrap().params.values();
    assert_eq!(bits(start), bits(model.params().values()));
}

#[test]
fn resumed_trainer_equals_one_that_was_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.safetensors");
    let anthropic = "[model]\narch = 'batch-topk'\nlatents = 40\noptions = { k = 2 }\n[train]\nresample_every = 8";
    for (name, text) in RUNS
        .into_iter()
        .chain([("resampled from the reservoir", anthropic)])
    {
        let trainer = || Trainer::with_rows(plan(text, 40), &rows()).unwrap();
        let mut whole = trainer();
        push(&mut whole, 40);
        let mut first = trainer();
        push(&mut first, 17);
        first.checkpoint(&file).unwrap();
        drop(first);
        let mut second = Trainer::resume(plan(text, 40), &file).unwrap();
        push(&mut second, 23);
        assert_eq!(second.state(), whole.state(), "{name}");
        let (second, whole) = (second.finish().unwrap(), whole.finish().unwrap());
        assert_eq!(
            bits(second.params().values()),
            bits(whole.params().values()),
            "{name}"
        );
    }
}

/// Steps at which checkpoints were given, and an answer to the question for the end.
#[derive(Default)]
struct Keeper {
    kept: Vec<usize>,
    stop: bool,
}
impl Observer for Keeper {
    fn checkpoint(&mut self, state: &State) -> Result<()> {
        self.kept.push(state.step);
        Ok(())
    }
    fn interrupted(&self) -> bool {
        self.stop
    }
}

#[test]
fn observer_of_pushed_steps_gets_checkpoints_and_can_stop() {
    let text = format!("{}\ncheckpoint_every = 4", RUNS[1].1);
    let data = rows();
    let mut trainer = Trainer::with_rows(plan(&text, 20), &data).unwrap();
    let mut keeper = Keeper::default();
    let batch = &data.as_slice().unwrap()[..64 * WIDTH];
    for _ in 0..10 {
        trainer.step_with(batch, &mut keeper).unwrap();
    }
    assert_eq!(keeper.kept, [4, 8]);
    keeper.stop = true;
    let error = trainer.step_with(batch, &mut keeper);
    assert!(matches!(error, Err(Error::Interrupted)));
    assert_eq!(keeper.kept, [4, 8, 11]);
    // The step was taken, and the caller may go on.
    trainer.step(batch).unwrap();
    assert_eq!(trainer.steps_done(), 12);
}

/// Observer that keeps messages.
struct Messages(Vec<String>);
impl Observer for Messages {
    fn step(&mut self, _: &Progress) -> Result<()> {
        Ok(())
    }
    fn message(&mut self, text: &str) {
        self.0.push(text.into());
    }
}

/// Latents that never fire are resampled from the rows that were pushed, and only from these, also if fewer rows are
/// pushed than planned.
#[test]
fn silent_latents_are_resampled_from_pushed_rows() {
    for pushed in [64, 32] {
        check_resampled(pushed);
    }
}

fn check_resampled(pushed: usize) {
    let text =
        "[model]\narch = 'topk'\nlatents = 200\noptions = { k = 1 }\n[train]\nresample_every = 8";
    let mut trainer = Trainer::with_rows(plan(text, 40), &rows()).unwrap();
    let mut messages = Messages(Vec::new());
    let data = rows();
    let batch = &data.as_slice().unwrap()[..pushed * WIDTH];
    for _ in 0..8 {
        trainer.step_with(batch, &mut messages).unwrap();
    }
    assert!(
        messages.0.iter().any(|text| text.contains("resampled")),
        "{:?}",
        messages.0
    );
    // A resampled decoder row points from `b_dec` to a pushed row.
    let state = trainer.state().unwrap();
    let (w_dec, b_dec) = (state.params.get("w_dec"), state.params.get("b_dec"));
    let points_to = |row: &[f32]| {
        batch.chunks_exact(WIDTH).any(|x| {
            let v: Vec<f32> = x.iter().zip(b_dec).map(|(x, b)| x - b).collect();
            let norm = v.iter().map(|v| v * v).sum::<f32>().sqrt();
            row.iter().zip(&v).all(|(w, v)| (w - v / norm).abs() < 1e-5)
        })
    };
    let resampled = w_dec
        .chunks_exact(WIDTH)
        .filter(|row| points_to(row))
        .count();
    assert!(resampled >= 10, "{resampled} rows");
}

#[test]
fn plan_of_a_stream_names_the_field_that_needs_a_total() {
    let sample = rows();
    for (text, field) in [
        ("batch = 64", "`train.steps`"),
        ("epochs = 3\nbatch = 64", "`train.epochs`"),
        ("steps = 9", "`train.batch`"),
        (
            "steps = 9\nbatch = 64\ntolerance = 0.1",
            "`train.tolerance`",
        ),
        (
            "steps = 9\nbatch = 64\n[data]\nholdout = 9",
            "`data.holdout`",
        ),
    ] {
        let config = config(&format!(
            "[model]\narch = 'topk'\nlatents = 9\noptions = {{ k = 2 }}\n[train]\n{text}"
        ));
        let error = Trainer::stream(&config, &sample).err().unwrap().to_string();
        assert!(error.contains(field), "{error}");
    }
    let config =
        config("[model]\nlatents = 9\n[train]\nsteps = 9\nbatch = 64\noptimizer = 'lbfgs'");
    let error = Trainer::stream(&config, &sample).err().unwrap().to_string();
    assert!(error.contains("`fit`"), "{error}");
}

#[test]
fn lbfgs_step_is_refused_with_what_to_do() {
    let plan = Plan::new(&config("[model]\nlatents = 4"), &survey(&rows()).unwrap()).unwrap();
    let plan = Arc::new(plan);
    let error = Trainer::new(Arc::clone(&plan)).err().unwrap().to_string();
    let mut trainer = Trainer::with_rows(plan, &rows()).unwrap();
    assert_eq!(trainer.step(&[0.5; WIDTH]).unwrap_err().to_string(), error);
    assert!(
        error.contains("`train.optimizer` lbfgs") && error.contains("`fit`"),
        "{error}"
    );
}

#[test]
fn wrong_batches_are_refused() {
    let mut trainer = Trainer::new(plan(RUNS[0].1, 50)).unwrap();
    let error = |trainer: &mut Trainer, batch: &[f32]| trainer.step(batch).unwrap_err().to_string();
    let text = error(&mut trainer, &[0.5; WIDTH + 1]);
    assert!(text.contains("rows of 6 values, got 7 values"), "{text}");
    let text = error(&mut trainer, &[]);
    assert!(text.contains("got 0 values"), "{text}");
    let mut batch = [0.5; 2 * WIDTH];
    batch[WIDTH + 2] = f32::NAN;
    let text = error(&mut trainer, &batch);
    assert!(text.contains("row 1, column 2"), "{text}");
    let text = trainer.checkpoint(Path::new("nowhere")).unwrap_err();
    assert!(text.to_string().contains("no batch was pushed"), "{text}");
    push(&mut trainer, 50);
    let data = rows();
    let text = error(&mut trainer, &data.as_slice().unwrap()[..64 * WIDTH]);
    assert!(text.contains("`train.steps`"), "{text}");
}

#[test]
fn stream_prepares_raw_rows_and_saves_the_preprocessing() {
    let data = rows();
    let values = data.as_slice().unwrap();
    let mut trainer = topk(2)
        .latents(12)
        .steps(20)
        .batch(90)
        .preprocess(["standardise"])
        .stream(&data)
        .unwrap();
    for step in 0..20 {
        let first = step % 10 * 90 * WIDTH;
        trainer.step(&values[first..first + 90 * WIDTH]).unwrap();
    }
    let model = trainer.finish().unwrap();
    let evaluation = model.evaluate(&data).unwrap();
    assert_eq!(evaluation.rows, ROWS);
    assert!(evaluation.l0 <= 2.0 && !model.row_pipeline().is_identity());
}

#[test]
fn every_architecture_has_a_builder() {
    let builders: [(&str, Builder); 10] = [
        ("kl", kl()),
        ("relu", relu()),
        ("topk", topk(2)),
        ("batch-topk", batch_topk(2)),
        ("abs-topk", abs_topk(2)),
        ("groupmax", groupmax(2)),
        ("jumprelu", jumprelu()),
        ("gated", gated()),
        ("matryoshka", matryoshka(2)),
        ("matching-pursuit", matching_pursuit(2)),
    ];
    let lines = crate::variants::VARIANTS.iter().map(|info| info.name);
    assert!(lines.eq(builders.iter().map(|(name, _)| *name)));
    let data = rows();
    for (name, builder) in builders {
        let builder = builder.latents(8).batch(300).steps(6).lr(1e-3).seed(4);
        let model = match name {
            "kl" => builder.optimizer(OptimizerKind::Adam).fit(&data),
            _ => builder.fit(&data),
        };
        let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(model.info().name, name);
        let (codes, dense) = (
            model.encode(&data).unwrap(),
            model.encode_dense(&data).unwrap(),
        );
        assert_eq!(codes.to_dense(), dense, "{name}");
        assert_eq!(dense.len(), ROWS * 8, "{name}");
    }
}

#[test]
fn builder_trains_as_the_recipe_does_on_any_form_of_rows() {
    let data = rows();
    let builder = || {
        topk(3)
            .latents(16)
            .batch(100)
            .epochs(2)
            .holdout(100)
            .preprocess(["scale"])
    };
    let model = builder().fit(&data).unwrap();
    let slice = builder().fit((data.as_slice().unwrap(), WIDTH)).unwrap();
    assert_eq!(bits(model.params().values()), bits(slice.params().values()));
    let error = builder()
        .fit((&[0.0; 7][..], WIDTH))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("rows of 6 values, got 7"), "{error}");
    let error = builder()
        .option("kk", 3)
        .fit(&data)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("kk"), "{error}");
    let error = builder()
        .set("train.emma", 0.9)
        .fit(&data)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("train.ema"), "{error}");
}
