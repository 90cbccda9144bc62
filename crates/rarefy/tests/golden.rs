//! Golden numbers from outside: the reference's table, and costs that SciPy's L-BFGS-B reaches.
//!
//! `golden/scipy_lbfgs.py` makes the numbers and the initial weights; both programs start from the
//! same files.

#![allow(
    clippy::unreadable_literal,
    reason = "golden values stand as their sources print them"
)]

use std::path::{Path, PathBuf};

use std::sync::Arc;

use rarefy::Result;
use rarefy::config::{Config, OptimizerKind};
use rarefy::data::{self, Memory, OpenOptions};
use rarefy::io_spec::IoSpec;
use rarefy::model::Model;
use rarefy::params::Params;
use rarefy::preprocess::Pipeline;
use rarefy::recipe::TrainingData;
use rarefy::train::pass::{Form, Pass};
use rarefy::train::{Observer, Progress};
use rarefy::variants::{self, Architecture, Options, Variant};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn norm(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|&v| f64::from(v).powi(2))
        .sum::<f64>()
        .sqrt()
}

#[track_caller]
fn assert_close(what: &str, got: f64, want: f64, relative: f64) {
    let off = (got / want - 1.0).abs();
    assert!(
        off < relative,
        "{what}: expected {want}, got {got}, {off:.1e} off"
    );
}

// ---- The reference's table ----

const RHO: &str = "0.05";

fn kl(loss: &str, decoder: &str, beta: &str, weight_decay: &str) -> Arc<dyn Variant> {
    let info = variants::find("kl").unwrap();
    let given = [
        ("loss", loss),
        ("decoder", decoder),
        ("rho", RHO),
        ("beta", beta),
        ("weight_decay", weight_decay),
    ];
    let given = given.map(|(key, value)| (key, value.to_owned()));
    match info
        .build(&Options::check(info.options(), given).unwrap())
        .unwrap()
    {
        Architecture::Dense(variant) => variant,
        Architecture::Sparse(_) => panic!("kl is a dense architecture"),
    }
}

/// m = 50, `d_in` = 8, `d_sae` = 5, everything from sines and cosines in f64, rounded once.
fn golden_case(variant: &dyn Variant) -> (Memory, Params) {
    let (m, n, k) = (50, 8, 5);
    let f = |i: usize| i as f64;
    let x = (0..m * n)
        .map(|t| (0.5 + 0.4 * (0.7 * f(t / n + 1) * f(t % n + 1)).sin()) as f32)
        .collect();
    let mut params = Params::zeros(&variant.layout(n, k));
    let mut fill = |name: &str, value: &dyn Fn(usize, usize) -> f64| {
        let values = params.get_mut(name);
        values
            .iter_mut()
            .enumerate()
            .for_each(|(t, v)| *v = value(t / n, t % n) as f32);
    };
    fill("w_enc", &|l, j| 0.5 * (1.0 + 1.3 * f(j) + 0.7 * f(l)).cos());
    fill("w_dec", &|l, j| 0.5 * (0.5 + 0.9 * f(l) + 1.1 * f(j)).sin());
    fill("b_enc", &|_, l| -1.0 - 0.1 * f(l));
    fill("b_dec", &|_, j| 0.05 * f(j) - 0.1);
    (Memory::new("golden", n, x), params)
}

#[test]
fn the_references_table_holds_in_f32() {
    // loss, decoder, then J, reconstruction, norm of the gradient, dJ/dW_00, dJ/db_0
    let table = [
        (
            "squared",
            "sigmoid",
            [
                1.858951759160119,
                0.342910177458176,
                1.814649043859574,
                0.2828562863695,
                0.5170353495197,
            ],
        ),
        (
            "cross-entropy",
            "sigmoid",
            [
                7.138793770355736,
                5.622752188653793,
                1.845390622605933,
                0.2880565718400,
                0.5201860579636,
            ],
        ),
        (
            "squared",
            "linear",
            [
                2.718189169802996,
                1.202147588101053,
                2.375184117219733,
                0.2526884589097,
                0.4472775187827,
            ],
        ),
    ];
    for (loss, decoder, want) in table {
        let variant = kl(loss, decoder, "3", "1e-4");
        let (rows, params) = golden_case(variant.as_ref());
        let mut pass = Pass::new(variant.as_ref(), 8, 5);
        for form in [Form::Cached, Form::Recomputed, Form::Deferred] {
            let parts = pass
                .evaluate(&params, &rows, form, &mut |batch| batch)
                .unwrap();
            let gradient = pass.gradient();
            let got = [
                parts.total(),
                parts.reconstruction,
                norm(gradient.values()),
                f64::from(gradient.get("w_enc")[0]),
                f64::from(gradient.get("b_enc")[0]),
            ];
            for (got, want) in got.into_iter().zip(want) {
                assert_close(&format!("{loss} {decoder} {form:?}"), got, want, 1e-5);
            }
            assert_close("Omega", parts.penalty / 3.0, 0.505178652105574, 1e-5);
            assert_close(
                "weight decay",
                parts.weight_decay,
                5.056253852194572e-4,
                1e-5,
            );
        }
    }
}

#[test]
fn kl_gradient_matches_the_lectures_derivation_not_its_last_line() {
    // The derivation gives .491775 and the lecture's last line, taken literally, .531376 (E23).
    // With a silent decoder the encoder's gradient is the penalty's alone.
    let variant = kl("squared", "linear", "1", "0");
    let (rows, mut params) = golden_case(variant.as_ref());
    params.get_mut("w_dec").fill(0.0);
    let mut pass = Pass::new(variant.as_ref(), 8, 5);
    for form in [Form::Cached, Form::Recomputed, Form::Deferred] {
        pass.evaluate(&params, &rows, form, &mut |batch| batch)
            .unwrap();
        let got = norm(pass.gradient().get("w_enc"));
        assert_close("norm of dOmega/dW", got, 0.491775473931972, 1e-5);
    }
}

// ---- SciPy's costs ----

/// Record of one case in `scipy_lbfgs.json`.
#[derive(serde::Deserialize)]
struct Record {
    rows: usize,
    d_in: usize,
    latents: usize,
    maxcor: usize,
    maxiter: usize,
    rho: f64,
    beta: f64,
    weight_decay: f64,
    start_cost: f64,
    final_cost: f64,
}

fn record(case: &str) -> Record {
    let text = std::fs::read_to_string(golden("scipy_lbfgs.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all[case].clone()).unwrap()
}

/// Keeps the cost of the last step.
#[derive(Default)]
struct Last {
    cost: Option<f64>,
}

impl Observer for Last {
    fn step(&mut self, progress: &Progress) -> Result<()> {
        self.cost = Some(progress.parts.total());
        Ok(())
    }
    fn message(&mut self, text: &str) {
        eprintln!("{text}");
    }
}

/// Trains as SciPy did from the weights in `init`: the same start, and an end within 1 %.
///
/// Measured with AVX-512, 400 iterations each: digits +0.013 %, patches -0.011 %, MNIST -0.017 %
/// from SciPy's cost. Two other roads to a minimum of a function that has many; ours in f32.
fn assert_as_low_as_scipy(
    case: &str,
    data: &str,
    rows: Option<usize>,
    steps: &[&str],
    init: &Path,
) {
    let record = record(case);
    let options = OpenOptions {
        rows,
        ..OpenOptions::default()
    };
    let dataset = data::open(data, &options).unwrap();
    let steps: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
    let mut config = config(&record);
    config.data.preprocess = Some(steps);
    config.model.init = Some(init.into());
    let raw = IoSpec::autoencoder(dataset.source.d_in());
    let data = TrainingData::new(&config.data, dataset.source.as_ref(), &raw).unwrap();
    let rows = data.rows();
    assert_eq!((rows.rows(), rows.d_in()), (record.rows, record.d_in));

    let trainer = data.trainer(data.plan(&config).unwrap()).unwrap();
    let (plan, start) = (Arc::clone(trainer.plan()), trainer.state().unwrap());
    let mut pass = Pass::new(
        plan.architecture().dense().unwrap(),
        plan.io().d_in(),
        record.latents,
    );
    let form = pass.form(rows.as_ref());
    let parts = pass
        .evaluate(&start.params, rows.as_ref(), form, &mut |batch| batch)
        .unwrap();
    assert_close("cost at the start", parts.total(), record.start_cost, 1e-5);

    let mut last = Last::default();
    let trained = data.train(trainer, &mut last).unwrap();
    let end = last.cost.unwrap();
    eprintln!(
        "{case}: {end:.6}, {:+.3} % from SciPy's {:.6}; {}",
        100.0 * (end / record.final_cost - 1.0),
        record.final_cost,
        trained.reason
    );
    assert_close("cost at the end", end, record.final_cost, 0.01);
}

/// SciPy's settings in our words; no early stop on either side.
fn config(record: &Record) -> Config {
    let mut config = Config::default();
    config.model.latents = Some(record.latents);
    config.train.optimizer = Some(OptimizerKind::Lbfgs);
    config.train.steps = Some(record.maxiter);
    config.train.history = record.maxcor;
    config.train.tolerance = Some(0.0);
    let numbers = [
        ("rho", record.rho),
        ("beta", record.beta),
        ("weight_decay", record.weight_decay),
    ];
    for (key, value) in numbers {
        config.model.options.insert(key.into(), value.into());
    }
    let words = [("loss", "squared"), ("decoder", "sigmoid")];
    for (key, word) in words {
        config.model.options.insert(key.into(), word.into());
    }
    config
}

#[test]
fn lbfgs_loss_on_digits_is_as_low_as_scipys() {
    assert_as_low_as_scipy(
        "digits",
        "sample:digits",
        None,
        &["scale"],
        &golden("init-digits"),
    );
}

#[test]
fn lbfgs_loss_on_patches_is_as_low_as_scipys() {
    let steps = ["row-mean", "clip-sd:3", "scale:0.1:0.9"];
    assert_as_low_as_scipy(
        "patches",
        "sample:patches",
        None,
        &steps,
        &golden("init-patches"),
    );
}

#[test]
fn lbfgs_loss_on_mnist_is_as_low_as_scipys() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../data/fetched/mnist/train-images-idx3-ubyte");
    if !images.exists() {
        eprintln!(
            "SKIPPED: no {}; fetch MNIST to compare with SciPy on it",
            images.display()
        );
        return;
    }
    // One to two minutes on two cores, and the only test here that takes more than a few seconds.
    // The weights are too large to keep here; the test below holds the formula to the kept ones.
    let init = tempfile::tempdir().unwrap();
    let small = Model::load(&golden("init-digits")).unwrap();
    let params = initial(small.architecture().dense().unwrap(), 784, 196);
    let pipeline = Pipeline::identity(784);
    let model =
        Model::autoencoder(small.info(), small.options().clone(), params, pipeline).unwrap();
    model.save(init.path()).unwrap();
    assert_as_low_as_scipy(
        "mnist",
        images.to_str().unwrap(),
        Some(10_000),
        &["scale"],
        init.path(),
    );
}

/// The program's `initial`: weights in (-r, r) from a hash of their place, biases zero.
fn initial(variant: &dyn Variant, d_in: usize, d_sae: usize) -> Params {
    let r = (6.0 / (d_in + d_sae + 1) as f64).sqrt();
    let mut params = Params::zeros(&variant.layout(d_in, d_sae));
    let mut place = 0;
    for block in ["w_enc", "w_dec"] {
        for w in params.get_mut(block) {
            place += 1;
            *w = (r * hashed(place)) as f32;
        }
    }
    params
}

fn hashed(place: u32) -> f64 {
    let mut h = place;
    for shift in [16, 15] {
        h = (h ^ (h >> shift)).wrapping_mul(0x9E37_79B1);
    }
    f64::from((h ^ (h >> 16)) >> 8) / f64::from(1 << 23) - 1.0
}

#[test]
fn initial_weights_formula_reproduces_the_kept_files() {
    for case in ["init-digits", "init-patches"] {
        let model = Model::load(&golden(case)).unwrap();
        assert_eq!(
            *model.params(),
            initial(model.architecture().dense().unwrap(), 64, 25),
            "{case}"
        );
    }
}
