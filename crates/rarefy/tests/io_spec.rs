//! Transcoders and crosscoders: against SAELens's own, against the truth of made-up data, and against themselves.

use crate::kept::Kept;
use std::path::Path;
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rarefy::config;
use rarefy::data::{Memory, Source, survey};
use rarefy::io_spec::IoSpec;
use rarefy::metrics;
use rarefy::model::{Model, ModelDescription};
use rarefy::params::Params;
use rarefy::plan::Plan;
use rarefy::preprocess::Pipeline;
use rarefy::train::{Silent, State};
use rarefy::{Rng, Trainer};
use safetensors::SafeTensors;

/// What SAELens computes with the weights that it saved; `golden/transcoders.py` made them.
#[test]
fn transcoders_of_saelens_give_the_same_here() {
    for (architecture, skip) in [
        ("transcoder", false),
        ("skip_transcoder", true),
        ("jumprelu_transcoder", false),
        ("jumprelu_skip_transcoder", true),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder.join("tests/golden/transcoders").join(architecture);
        let model = Model::load(&folder).unwrap();
        assert_eq!((model.d_in(), model.d_out()), (5, 4));
        assert_eq!(model.io_spec().skip, skip);
        let bytes = std::fs::read(folder.join("outputs.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let values = |name: &str| -> Vec<f32> {
            let (raw, rest) = file.tensor(name).unwrap().data().as_chunks();
            assert!(rest.is_empty());
            raw.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
        };
        let x = values("x");
        near(&model.latents(&x).0, &values("latents"), architecture);
        near(&model.reconstruct(&x), &values("y"), architecture);
    }
}

#[track_caller]
fn near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    assert!(expected.iter().any(|v| *v != 0.0), "{what}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{what}: {a} {b}");
    }
}

const D_IN: usize = 12;
const D_OUT: usize = 8;
const FEATURES: usize = 16;
const ROWS: usize = 8192;

/// Features that are there together in both halves of a row: directions `[FEATURES, D_IN]` in the first,
/// `[FEATURES, D_OUT]` in the second; and a matrix that the first also goes through, times `linear`.
struct Truth {
    first: Vec<f32>,
    second: Vec<f32>,
    matrix: Vec<f32>,
    rows: Memory,
}

fn truth(linear: f32) -> Truth {
    let mut rng = Rng::seed_from_u64(7);
    let mut unit = |width: usize| -> Vec<f32> {
        let mut all = Vec::new();
        for _ in 0..FEATURES {
            let row: Vec<f32> = (0..width).map(|_| rng.random::<f32>() - 0.5).collect();
            let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt();
            all.extend(row.iter().map(|w| w / norm));
        }
        all
    };
    let (first, second) = (unit(D_IN), unit(D_OUT));
    let matrix: Vec<f32> = (0..D_OUT * D_IN).map(|i| (i as f32 * 1.7).sin()).collect();
    let mut rows = Vec::new();
    for _ in 0..ROWS {
        let (mut x, mut y) = ([0.5f32; D_IN], [-0.25f32; D_OUT]);
        for _ in 0..2 {
            let j = rng.random_range(0..FEATURES);
            let size = 0.5 + rng.random::<f32>();
            let add = |row: &mut [f32], w: &[f32]| {
                row.iter_mut().zip(w).for_each(|(r, w)| *r += size * w);
            };
            add(&mut x, &first[j * D_IN..(j + 1) * D_IN]);
            add(&mut y, &second[j * D_OUT..(j + 1) * D_OUT]);
        }
        for (y, w) in y.iter_mut().zip(matrix.chunks_exact(D_IN)) {
            *y += linear * w.iter().zip(&x).map(|(w, x)| w * x).sum::<f32>();
        }
        rows.extend(x);
        rows.extend(y);
    }
    let rows = Memory::new("made-up rows", D_IN + D_OUT, rows);
    Truth {
        first,
        second,
        matrix,
        rows,
    }
}

fn plan(text: &str, rows: &Memory, io: IoSpec) -> Arc<Plan> {
    let text = format!("{text}\n[train]\nbatch = 512\nlr = 0.003\nsteps = 1500");
    let config = config::merge(&[text.parse().unwrap()]).unwrap();
    Arc::new(Plan::bound(&config, &survey(rows).unwrap(), io).unwrap())
}

fn trained(plan: &Arc<Plan>, rows: &Memory) -> Params {
    let trainer = Trainer::with_rows(Arc::clone(plan), rows).unwrap();
    let trained = trainer.run(rows, None, &mut Silent).unwrap();
    trained.model.params().clone()
}

/// The mean over features of the largest cosine with a latent's part of a decoder row.
fn found(directions: &[f32], width: usize, w_dec: &[f32], (wide, start): (usize, usize)) -> f32 {
    let cosine = |a: &[f32], b: &[f32]| {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(1e-9)
    };
    let best = |direction: &[f32]| {
        let rows = w_dec
            .chunks_exact(wide)
            .map(|row| &row[start..start + width]);
        rows.map(|row| cosine(row, direction)).fold(-1.0, f32::max)
    };
    let all = directions.chunks_exact(width).map(best);
    all.sum::<f32>() / (directions.len() / width) as f32
}

#[test]
fn a_transcoder_finds_what_features_do_to_its_target() {
    let truth = truth(0.0);
    let io = IoSpec::new(&[D_IN], Some(D_OUT)).unwrap();
    let text = "[model]\narch = 'topk'\nlatents = 48\noptions = { k = 2 }";
    let plan = plan(text, &truth.rows, io.clone());
    let params = trained(&plan, &truth.rows);
    let outputs = found(&truth.second, D_OUT, params.get("w_dec"), (D_OUT, 0));
    assert!(outputs > 0.97, "{outputs}");
    let target = Some(Pipeline::identity(D_OUT));
    let bound = (io, params);
    let description = ModelDescription::new(plan.info(), plan.options().clone(), bound.0, bound.1);
    let model = Model::new(description.with_pipelines(Pipeline::identity(D_IN), target));
    let evaluation = metrics::evaluate(&model.unwrap(), &truth.rows).unwrap();
    assert!(evaluation.explained_variance > 0.9, "{evaluation:?}");
    assert!(evaluation.l0 <= 2.0);
}

/// A matrix from input to target is what the skip is for: the latents keep to the features.
#[test]
fn a_skip_transcoder_finds_the_matrix() {
    let truth = truth(1.0);
    let io = IoSpec::new(&[D_IN], Some(D_OUT)).unwrap();
    let error = |skip: bool| {
        let text = format!(
            "[model]\narch = 'relu'\nlatents = 48\nskip = {skip}\noptions = {{ l1 = 0.05 }}"
        );
        let plan = plan(&text, &truth.rows, io.clone());
        assert_eq!(plan.io().skip, skip);
        let params = trained(&plan, &truth.rows);
        if skip {
            let w_skip = params.get("w_skip");
            let dot: f32 = w_skip.iter().zip(&truth.matrix).map(|(a, b)| a * b).sum();
            let size: f32 = truth.matrix.iter().map(|w| w * w).sum();
            assert!((dot / size - 1.0).abs() < 0.3, "{}", dot / size);
        }
        let target = Some(Pipeline::identity(D_OUT));
        let bound = (plan.io().clone(), params);
        let input = Pipeline::identity(D_IN);
        let description =
            ModelDescription::new(plan.info(), plan.options().clone(), bound.0, bound.1);
        let model = Model::new(description.with_pipelines(input, target)).unwrap();
        metrics::evaluate(&model, &truth.rows).unwrap().mse
    };
    let (with, without) = (error(true), error(false));
    assert!(with < 0.8 * without, "{with} {without}");
}

#[test]
fn a_crosscoder_finds_each_feature_in_both_inputs() {
    let truth = truth(0.0);
    let io = IoSpec::new(&[D_IN, D_OUT], None).unwrap();
    let text = "[model]\narch = 'topk'\nlatents = 32\noptions = { k = 2 }";
    let plan = plan(text, &truth.rows, io.clone());
    let params = trained(&plan, &truth.rows);
    let wide = D_IN + D_OUT;
    let first = found(&truth.first, D_IN, params.get("w_dec"), (wide, 0));
    let second = found(&truth.second, D_OUT, params.get("w_dec"), (wide, D_IN));
    assert!(first > 0.97 && second > 0.97, "{first} {second}");
    let input = Pipeline::identity(wide);
    let description = ModelDescription::new(plan.info(), plan.options().clone(), io, params);
    let model = Model::new(description.with_pipelines(input, None)).unwrap();
    let evaluation = metrics::evaluate(&model, &truth.rows).unwrap();
    let by_input = &evaluation.explained_variance_by_input;
    assert!(
        by_input.len() == 2 && by_input.iter().all(|part| *part > 0.9),
        "{by_input:?}"
    );
    let together = evaluation.explained_variance;
    let (low, high) = (by_input[0].min(by_input[1]), by_input[0].max(by_input[1]));
    assert!(
        low <= together && together <= high,
        "{by_input:?} {together}"
    );
}

/// An encoder that takes nothing off its rows starts where one that does would: its bias takes it off.
#[test]
fn where_b_dec_is_not_taken_off_the_bias_does_it() {
    let truth = truth(0.0);
    let values = |centre: bool| {
        let text = format!("[model]\narch = 'relu'\nlatents = 24\ncentre = {centre}");
        let wide = D_IN + D_OUT;
        let plan = plan(&text, &truth.rows, IoSpec::autoencoder(wide));
        assert_eq!(plan.io().centre, centre);
        let params = State::new(&plan, &truth.rows, None).unwrap().params;
        let bound = (plan.io().clone(), params);
        let description =
            ModelDescription::new(plan.info(), plan.options().clone(), bound.0, bound.1);
        let model = Model::new(description.with_pipelines(Pipeline::identity(wide), None));
        model
            .unwrap()
            .latents(&truth.rows.as_slice().unwrap()[..10 * wide])
            .0
    };
    near(&values(false), &values(true), "the start");
}

/// Whatever a model is bound as, a run that was stopped and saved ends as one that was not.
#[test]
fn resumed_runs_of_every_binding_are_bit_equal() {
    let truth = truth(0.5);
    let folder = tempfile::tempdir().unwrap();
    let transcoder = || IoSpec::new(&[D_IN], Some(D_OUT)).unwrap();
    let cross = || IoSpec::new(&[D_IN, D_OUT], None).unwrap();
    for (options, io) in [
        (
            "arch = 'batch-topk'\nskip = true\noptions = { k = 2 }",
            transcoder(),
        ),
        ("arch = 'jumprelu'", transcoder()),
        ("arch = 'gated'", cross()),
    ] {
        let run = |steps: usize, from: Option<&Path>| {
            let text = format!(
                "[model]\nlatents = 24\n{options}\n[train]\nbatch = 300\nsteps = {steps}\nsparsity_warmup = 4"
            );
            let config = config::merge(&[text.parse().unwrap()]).unwrap();
            let known = survey(&truth.rows).unwrap();
            let plan = Arc::new(Plan::bound(&config, &known, io.clone()).unwrap());
            let trainer = match from {
                Some(path) => Trainer::resume(Arc::clone(&plan), path),
                None => Trainer::with_rows(Arc::clone(&plan), &truth.rows),
            };
            let mut kept = Kept::default();
            let trained = trainer.unwrap().run(&truth.rows, None, &mut kept).unwrap();
            (trained.model.params().clone(), kept.0.unwrap(), plan)
        };
        let (whole, ..) = run(9, None);
        let (_, state, plan) = run(4, None);
        let path = folder.path().join("state.safetensors");
        state.save(&path, &plan).unwrap();
        let (parts, ..) = run(9, Some(&path));
        assert!(
            differ(&whole, &parts).is_none(),
            "{options}: {:?}",
            differ(&whole, &parts)
        );
    }
}

/// The blocks that differ. A threshold that is calibrated at the end of a run is no part of its course.
fn differ(a: &Params, b: &Params) -> Option<&'static str> {
    let blocks = a.layout().blocks().iter().map(|block| block.name);
    let mut blocks = blocks.filter(|name| *name != "threshold" || a.get(name).len() > 1);
    blocks.find(|name| a.get(name) != b.get(name))
}
