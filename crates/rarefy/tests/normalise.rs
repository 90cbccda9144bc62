//! Normalisation of rows compared with SAELens and `dictionary_learning`, and preprocessing folded into the weights.

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rarefy::Rng;
use rarefy::data::{Memory, Source};
use rarefy::io_spec::IoSpec;
use rarefy::model::{Model, ModelDescription};
use rarefy::params::Params;
use rarefy::preprocess::{FittedPipelines, Pipeline};
use rarefy::variants::{self, Architecture, BiasStart, Info, Options, StartRows};
use safetensors::SafeTensors;

const D_IN: usize = 6;
const D_SAE: usize = 10;

/// Path of a golden file, made by `golden/normalise.py`.
fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/normalise");
    folder.join(name)
}

struct File(Vec<u8>);

impl File {
    fn open(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    fn f32(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let (raw, rest) = file.tensor(name).unwrap().data().as_chunks();
        assert!(rest.is_empty());
        raw.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
    }

    fn number(&self, name: &str) -> f64 {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        f64::from_le_bytes(file.tensor(name).unwrap().data().try_into().unwrap())
    }
}

#[track_caller]
fn near(got: &[f32], expected: &[f32], room: f32, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let size = expected.iter().fold(0.0f32, |size, v| size.max(v.abs()));
    assert!(size > 0.0, "{what}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() <= room * size, "{what}: {a} {b}");
    }
}

fn pipeline(step: &str, rows: &Memory) -> Pipeline {
    Pipeline::fit(&[step.to_owned()], rows).unwrap()
}

#[test]
fn norm_factors_match_saelens_and_dictionary_learning() {
    let file = File::open(&golden("rows.safetensors"));
    let rows = Memory::new("rows", D_IN, file.f32("x"));
    for (step, factor) in [
        ("norm-average", file.number("saelens_factor")),
        (
            "norm-square",
            1.0 / file.number("dictionary_learning_factor"),
        ),
    ] {
        let (scaled, _) = pipeline(step, &rows).apply(rows.as_slice().unwrap());
        let expected: Vec<f32> = file
            .f32("x")
            .iter()
            .map(|x| (f64::from(*x) * factor) as f32)
            .collect();
        near(&scaled, &expected, 1e-5, step);
    }
}

/// Models saved by SAELens with a normalisation of each row give the outputs of SAELens.
#[test]
fn models_with_row_normalisation_match_saelens() {
    for kind in ["constant_norm_rescale", "layer_norm"] {
        let model = Model::load(&golden(kind)).unwrap();
        let file = File::open(&golden(kind).join("outputs.safetensors"));
        let x = file.f32("x");
        near(&model.latents(&x).0, &file.f32("latents"), 1e-5, kind);
        near(&model.reconstruct_raw(&x), &file.f32("x_hat"), 2e-5, kind);
        // Saving writes the same configuration.
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("cfg.json")).unwrap();
        assert!(
            text.contains(&format!("\"normalize_activations\": \"{kind}\"")),
            "{text}"
        );
        assert!(!folder.path().join("preprocess.safetensors").exists());
        assert_eq!(
            Model::load(folder.path()).unwrap().reconstruct_raw(&x),
            model.reconstruct_raw(&x)
        );
    }
}

/// SAELens folds its scaling factor into the weights too.
#[test]
fn folded_weights_match_saelens() {
    let file = File::open(&golden("rows.safetensors"));
    let rows = Memory::new("rows", D_IN, file.f32("x"));
    let info = variants::find("relu").unwrap();
    let options = Options::check(info.options(), []).unwrap();
    let layout = info
        .build(&options)
        .unwrap()
        .layout(&IoSpec::autoencoder(D_IN), D_SAE);
    let params = |when: &str| {
        let mut params = Params::zeros(&layout);
        for (ours, theirs) in [("b_enc", "b_enc"), ("w_dec", "W_dec"), ("b_dec", "b_dec")] {
            params
                .get_mut(ours)
                .copy_from_slice(&file.f32(&format!("{when}.{theirs}")));
        }
        let w_enc = file.f32(&format!("{when}.W_enc"));
        let transposed = (0..D_SAE * D_IN).map(|i| w_enc[i % D_IN * D_SAE + i / D_IN]);
        params
            .get_mut("w_enc")
            .copy_from_slice(&transposed.collect::<Vec<f32>>());
        params
    };
    let scaled = pipeline("norm-average", &rows);
    let model = Model::autoencoder(info, options, params("before"), scaled).unwrap();
    let folded = model.folded().unwrap();
    near(
        folded.params().values(),
        params("after").values(),
        1e-5,
        "weights",
    );
}

/// Options and initial parameters of a model, with non-zero biases, skip weights and thresholds.
fn made_up(info: &'static Info, io: &IoSpec, rows: &Memory) -> (Options, Params) {
    let given = info
        .dial
        .filter(|dial| dial.option == "k")
        .map(|_| ("k", "2".to_owned()));
    let options = Options::check(info.options(), given).unwrap();
    let architecture = info.build(&options).unwrap();
    let mut rng = Rng::seed_from_u64(5);
    let start = (io, BiasStart::Mean);
    let mut params = architecture
        .init(start, D_SAE, &StartRows::new(Box::new(rows)), &mut rng)
        .unwrap();
    for (j, b) in params.get_mut("b_enc").iter_mut().enumerate() {
        *b += 0.1 * (j as f32).sin();
    }
    if io.skip {
        let w_skip = params.get_mut("w_skip").iter_mut().enumerate();
        w_skip.for_each(|(i, w)| *w = 0.3 * (i as f32).cos());
    }
    if params.find("threshold").is_some() {
        params.get_mut("threshold").fill(0.25);
    }
    (options, params)
}

#[test]
fn folded_model_gives_equal_latents_and_outputs() {
    assert_folded(&File::open(&golden("rows.safetensors")).f32("x"));
}

/// Whitening of such columns has no inverse.
#[test]
fn folded_model_of_constant_and_dependent_columns_gives_equal_latents() {
    let mut x = File::open(&golden("rows.safetensors")).f32("x");
    for row in x.chunks_exact_mut(D_IN) {
        row[3] = 0.5;
        row[4] = row[0] - row[1];
    }
    assert_folded(&x);
}

/// For all architectures, input and output layouts, and steps: equal latents and outputs from raw rows.
fn assert_folded(x: &[f32]) {
    let x = x.to_vec();
    let rows = Memory::new("rows", D_IN, x.clone());
    let transcoder = IoSpec::new(&[4], Some(2)).unwrap();
    let io_specs = [
        IoSpec::autoencoder(D_IN),
        IoSpec::autoencoder(D_IN).with_centre(false),
        IoSpec::new(&[2, 4], None).unwrap(),
        transcoder.clone(),
        transcoder.with_skip(true),
    ];
    let mut folded = 0;
    for steps in [
        "norm-average",
        "standardise",
        "zca",
        "pca",
        "pca:2",
        "scale,zca:0.1",
    ] {
        let steps: Vec<String> = steps.split(',').map(str::to_owned).collect();
        for raw in &io_specs {
            let fitted = FittedPipelines::fit(&steps, None, &rows, raw).unwrap();
            let (prepared, _) = fitted.rows().apply(&x);
            let io = fitted
                .io
                .clone()
                .with_centre(raw.centre)
                .with_skip(raw.skip);
            let prepared = Memory::new("prepared", io.row_width(), prepared);
            for info in variants::VARIANTS {
                let options = Options::check(info.options(), []).unwrap();
                let Architecture::Sparse(sparse) = info.build(&options).unwrap() else {
                    continue;
                };
                if sparse.pursues() {
                    continue;
                }
                let (options, params) = made_up(info, &io, &prepared);
                let (inputs, target) = (fitted.inputs.clone(), fitted.target.clone());
                let description = ModelDescription::new(info, options, io.clone(), params);
                let model = Model::new(description.with_pipelines(inputs, target)).unwrap();
                let what = format!("{} {} {steps:?} {:?}", info.name, raw.name(), raw.centre);
                let plain = model.folded().unwrap();
                assert!(plain.row_pipeline().is_identity(), "{what}");
                let inputs = raw.split(&x).0;
                near(
                    &plain.latents(&inputs).0,
                    &model.latents(&inputs).0,
                    2e-4,
                    &what,
                );
                near(
                    &plain.reconstruct_raw(&inputs),
                    &model.reconstruct_raw(&inputs),
                    2e-4,
                    &what,
                );
                // A folded model is saved without preprocessing.
                let folder = tempfile::tempdir().unwrap();
                plain.save(folder.path()).unwrap();
                assert!(!folder.path().join("preprocess.safetensors").exists());
                folded += 1;
            }
        }
    }
    assert!(folded > 200, "{folded}");
}

/// The lecture's model with a linear decoder does not subtract `b_dec` from its input.
#[test]
fn folded_kl_model_with_linear_decoder_gives_equal_outputs() {
    let x = File::open(&golden("rows.safetensors")).f32("x");
    let rows = Memory::new("rows", D_IN, x.clone());
    let info = variants::find("kl").unwrap();
    let model = |tied: &str| {
        let given = [("decoder", "linear"), ("tied", tied)];
        let options = Options::check(info.options(), given.map(|(k, v)| (k, v.into()))).unwrap();
        let architecture = info.build(&options).unwrap();
        let start = (&IoSpec::autoencoder(D_IN), BiasStart::Mean);
        let mut rng = Rng::seed_from_u64(5);
        let mut params = architecture
            .init(start, D_SAE, &StartRows::new(Box::new(&rows)), &mut rng)
            .unwrap();
        let values = params.values_mut().iter_mut().enumerate();
        values.for_each(|(i, w)| *w += 0.2 * (i as f32).sin());
        Model::autoencoder(info, options, params, pipeline("standardise", &rows)).unwrap()
    };
    let raw = model("false");
    let plain = raw.folded().unwrap();
    near(&plain.latents(&x).0, &raw.latents(&x).0, 1e-5, "latents");
    near(
        &plain.reconstruct_raw(&x),
        &raw.reconstruct_raw(&x),
        1e-5,
        "x_hat",
    );
    let error = model("true").folded().err().unwrap().to_string();
    assert!(error.contains("with a tied decoder"), "{error}");
}

/// A large mean of a column costs no digits of a direction.
#[test]
fn inverted_directions_are_exact_with_large_means() {
    let x = File::open(&golden("rows.safetensors")).f32("x");
    let far: Vec<f32> = x.iter().map(|x| x + 1e5).collect();
    let rows = Memory::new("rows", D_IN, far);
    for step in ["standardise", "scale", "zca", "pca:3"] {
        let pipeline = pipeline(step, &rows);
        let width = pipeline.d_out();
        let at = |direction: &[f32]| -> Vec<f64> {
            let there = pipeline.invert_directions(direction);
            there.iter().map(|v| f64::from(*v)).collect()
        };
        // The inverse is linear to the last digits: inverted parts add up to the inverted whole.
        let direction: Vec<f32> = (0..width).map(|i| (i as f32 + 1.0).sin()).collect();
        let mut sum = vec![0.0; D_IN];
        for j in 0..width {
            let mut one = vec![0.0; width];
            one[j] = direction[j];
            sum.iter_mut().zip(at(&one)).for_each(|(sum, v)| *sum += v);
        }
        let whole = at(&direction);
        let size = whole.iter().map(|v| v * v).sum::<f64>().sqrt();
        for (whole, sum) in whole.iter().zip(&sum) {
            assert!((whole - sum).abs() < 1e-6 * size, "{step}: {whole} {sum}");
        }
        // The folded decoder has the inverted directions.
        let info = variants::find("topk").unwrap();
        let prepared = Memory::new(
            "prepared",
            width,
            pipeline.apply(rows.as_slice().unwrap()).0,
        );
        let (options, params) = made_up(info, &IoSpec::autoencoder(width), &prepared);
        let w_dec = params.get("w_dec").to_vec();
        let model = Model::autoencoder(info, options, params, pipeline.clone()).unwrap();
        let folded = model.folded().unwrap();
        let expected = pipeline.invert_directions(&w_dec);
        near(folded.params().get("w_dec"), &expected, 1e-6, step);
    }
}

#[test]
fn models_that_cannot_be_folded_give_the_reason() {
    let rows = Memory::new(
        "rows",
        D_IN,
        File::open(&golden("rows.safetensors")).f32("x"),
    );
    let error = |arch: &str, step: &str| {
        let info = variants::find(arch).unwrap();
        let io = IoSpec::autoencoder(D_IN);
        let (options, params) = made_up(info, &io, &rows);
        let model = Model::autoencoder(info, options, params, pipeline(step, &rows)).unwrap();
        model.folded().err().unwrap().to_string()
    };
    assert!(error("relu", "layer-norm").contains("`layer-norm` cannot be folded into the weights"));
    assert!(error("relu", "clip-sd:2").contains("`clip-sd:2` cannot be folded into the weights"));
    assert!(error("kl", "standardise").contains("its decoder ends with a sigmoid"));
    assert!(error("matching-pursuit", "scale").contains("encodes with its decoder"));
}

/// Rows are restored exactly, because codes store the mean and divisor of each row.
#[test]
fn row_normalisation_round_trips_through_codes() {
    let x = File::open(&golden("rows.safetensors")).f32("x");
    let rows = Memory::new("rows", D_IN, x.clone());
    for step in ["norm-row", "layer-norm", "row-mean"] {
        let pipeline = pipeline(step, &rows);
        let (prepared, context) = pipeline.apply(&x);
        near(&pipeline.invert(&prepared, &context), &x, 1e-6, step);
        assert_ne!(prepared, x);
        let info = variants::find("topk").unwrap();
        let (options, params) = made_up(info, &IoSpec::autoencoder(D_IN), &rows);
        let model = Model::autoencoder(info, options, params, pipeline).unwrap();
        let codes = model.codes(&x, 0.0);
        let folder = tempfile::tempdir().unwrap();
        for ending in ["npz", "safetensors", "parquet"] {
            let path = folder.path().join(format!("codes.{ending}"));
            rarefy::formats::codes::write(&path, &codes).unwrap();
            let back = rarefy::formats::codes::read(&path).unwrap();
            assert_eq!(back, codes, "{step} {ending}");
            assert_eq!(
                model.decode(&back).unwrap(),
                model.reconstruct_raw(&x),
                "{step}"
            );
        }
    }
}
