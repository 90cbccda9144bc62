//! Tests for errors seen in public code, numbered as in `docs/common-errors.md`.
//!
//! Errors that unit tests cover (golden values of the twin, refusals of the plan) are not repeated here.

use std::sync::Arc;

use rarefy::Trainer;
use rarefy::config::{self, Config};
use rarefy::data::{self, Memory, Source, survey};
use rarefy::metrics::{self, Evaluation};
use rarefy::params::Params;
use rarefy::penalty::kl_sparsity;
use rarefy::plan::Plan;
use rarefy::train::pass::{Form, Pass};
use rarefy::train::{Moving, Observer, State};
use rarefy::variants::{self, Architecture, Batch, Options, Parts, Variant};

const FORMS: [Form; 3] = [Form::Cached, Form::Recomputed, Form::Deferred];

/// KL architecture with a linear decoder, for which `w_dec = 0` makes the reconstruction loss constant.
fn kl(options: &[(&str, &str)]) -> Arc<dyn Variant> {
    let given = [("decoder", "linear"), ("rho", "0.05"), ("beta", "3")]
        .iter()
        .chain(options)
        .map(|(key, value)| (*key, (*value).to_owned()));
    let info = variants::find("kl").unwrap();
    match info
        .build(&Options::check(info.options(), given).unwrap())
        .unwrap()
    {
        Architecture::Dense(variant) => variant,
        Architecture::Sparse(_) => panic!("kl is a dense architecture"),
    }
}

/// Golden case of the twin's tests: 50 rows of 8 inputs and 5 latents, made of sines.
fn golden() -> (Memory, Params) {
    let f = |i: usize| i as f64;
    let x = (0..50 * 8).map(|t| 0.5 + 0.4 * (0.7 * f(t / 8 + 1) * f(t % 8 + 1)).sin());
    let mut params = Params::zeros(&kl(&[]).layout(8, 5));
    let mut fill = |name: &str, value: &dyn Fn(usize) -> f64| {
        let block = params.get_mut(name).iter_mut().enumerate();
        block.for_each(|(t, w)| *w = value(t) as f32);
    };
    fill("w_enc", &|t| {
        0.5 * (1.0 + 1.3 * f(t % 8) + 0.7 * f(t / 8)).cos()
    });
    fill("b_enc", &|l| -1.0 - 0.1 * f(l));
    fill("w_dec", &|t| {
        0.5 * (0.5 + 0.9 * f(t / 8) + 1.1 * f(t % 8)).sin()
    });
    fill("b_dec", &|j| 0.05 * f(j) - 0.1);
    (
        Memory::new("golden", 8, x.map(|v| v as f32).collect()),
        params,
    )
}

fn evaluate(variant: &dyn Variant, params: &Params, rows: &Memory, form: Form) -> (Parts, Params) {
    let d_sae = params.get("b_enc").len();
    let mut pass = Pass::new(variant, rows.d_in(), d_sae);
    let parts = pass
        .evaluate(params, rows, form, &mut |batch| batch)
        .unwrap();
    (parts, pass.gradient().clone())
}

fn wide(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|&v| f64::from(v))
}

/// Gradient of the penalty by the encoder weights: gradient with beta minus gradient without.
fn penalty_gradient(params: &Params, rows: &Memory, form: Form) -> Vec<f64> {
    let gradient = |beta| evaluate(kl(&[("beta", beta)]).as_ref(), params, rows, form).1;
    let (with, without) = (gradient("1"), gradient("0"));
    let pairs = wide(with.get("w_enc")).zip(wide(without.get("w_enc")));
    pairs.map(|(a, b)| a - b).collect()
}

#[test]
fn e1_latent_with_mean_activation_rho_has_no_penalty() {
    // The mean of the KL of each activation would charge every 0 and every 1: about 0.05 * 15 nats here.
    let rows = Memory::new(
        "one in twenty",
        1,
        (0..200).map(|i| f32::from(i % 20 == 0)).collect(),
    );
    let variant = kl(&[("beta", "1")]);
    let mut params = Params::zeros(&variant.layout(1, 1));
    params.get_mut("w_enc")[0] = 40.0;
    params.get_mut("b_enc")[0] = -20.0;
    for form in FORMS {
        let penalty = evaluate(variant.as_ref(), &params, &rows, form).0.penalty;
        assert!((0.0..1e-9).contains(&penalty), "{form:?}: {penalty}");
    }
}

#[test]
fn e3_rho_hat_equals_mean_of_encoded_latents() {
    let (rows, params) = golden();
    let variant = kl(&[]);
    let mut latents = Vec::new();
    variant.encode(&params, rows.as_slice().unwrap(), &mut latents);
    let statistics = Pass::new(variant.as_ref(), 8, 5)
        .statistics(&params, &rows)
        .unwrap();
    let mean = |l: usize| wide(&latents).skip(l).step_by(5).sum::<f64>() / 50.0;
    let means: Vec<f64> = (0..5).map(mean).collect();
    for (l, mean) in means.iter().enumerate() {
        let rho_hat = statistics.statistics[l] / 50.0;
        assert!(
            (rho_hat - mean).abs() < 1e-7,
            "latent {l}: {rho_hat} {mean}"
        );
    }
    let off: Vec<f64> = means.iter().map(|mean| 1.0 - mean).collect();
    let omega = kl_sparsity(0.05, &means, &off, &mut [0.0; 5]);
    let penalty = evaluate(variant.as_ref(), &params, &rows, Form::Cached)
        .0
        .penalty;
    assert!((penalty - 3.0 * omega).abs() < 1e-5, "{penalty} {omega}");
}

#[test]
fn e4_e5_penalty_is_zero_on_target_and_positive_elsewhere() {
    for rho in [0.005, 0.05, 0.2, 0.9] {
        for step in 1..1000 {
            let on = f64::from(step) / 1000.0;
            let mut slope = [0.0];
            let omega = kl_sparsity(rho, &[on], &[1.0 - on], &mut slope);
            if (on - rho).abs() < 1e-12 {
                assert!(
                    omega < 1e-15 && slope[0].abs() < 1e-9,
                    "on target: {omega} {slope:?}"
                );
            } else {
                assert!(omega > 1e-8, "KL({rho}||{on}) = {omega}");
                assert_eq!(slope[0] > 0.0, on > rho, "descent must lead to the target");
            }
        }
    }
}

#[test]
fn e6_penalty_matches_golden_table() {
    for (rho, on, want) in [
        (0.2, 0.5, 0.192_745),
        (0.2, 0.1, 0.044_403),
        (0.05, 0.5, 0.494_632),
        (0.01, 0.5, 0.637_146),
        (0.005, 0.5, 0.661_668),
        (0.005, 1e-6, 0.037_599),
    ] {
        let omega = kl_sparsity(rho, &[on], &[1.0 - on], &mut [0.0]);
        assert!((omega - want).abs() < 6e-7, "KL({rho}||{on}) = {omega}");
    }
}

#[test]
fn e7_penalty_gradient_matches_differences_through_rho_hat() {
    // The loss is constant, there is no weight decay, and beta is large, so only the penalty has a gradient.
    let (rows, mut params) = golden();
    params.get_mut("w_dec").fill(0.0);
    let variant = kl(&[("beta", "100")]);
    let step = 1.0f32 / 128.0;
    for form in FORMS {
        let gradient = evaluate(variant.as_ref(), &params, &rows, form).1;
        for at in 0..45 {
            let value = |by: f32| {
                let mut moved = params.clone();
                moved.values_mut()[at] += by;
                evaluate(variant.as_ref(), &moved, &rows, form).0.penalty
            };
            let numerical = (value(step) - value(-step)) / (2.0 * f64::from(step));
            let got = f64::from(gradient.values()[at]);
            assert!(
                (got - numerical).abs() < 1e-2,
                "{form:?} {at}: {got} {numerical}"
            );
        }
    }
}

#[test]
fn e8_every_epoch_reports_exact_rho_hat() {
    let run = |estimate: &str| {
        let text = format!(
            "[model]\nlatents = 4\n[model.options]\nrho_estimate = '{estimate}'\n[train]\nbatch = 32\nepochs = 3"
        );
        train_digits(&text, 160, |_| ()).messages
    };
    for estimate in ["batch", "moving"] {
        let messages = run(estimate);
        let audits = messages.iter().filter(|m| m.contains("exact mean rho_hat"));
        assert_eq!(audits.count(), 3, "{estimate}: {messages:?}");
    }
}

#[test]
fn e10_silent_and_saturated_latents_recover() {
    // The sigmoid of +-120 is exactly 0 or 1 in f32 sums; that of +-40 is 0 or 1 after one subtraction.
    for bias in [-120.0, -40.0, 40.0, 120.0] {
        let text =
            "[model]\nlatents = 3\n[model.options]\nrho = 0.1\nbeta = 3\n[train]\nsteps = 60";
        let trained = train_digits(text, 200, |params| {
            params.get_mut("w_enc")[..64].fill(0.0);
            params.get_mut("b_enc")[0] = bias;
        });
        let rho_hat = trained.evaluation.latents[0].rho_hat;
        assert!(
            (0.05..0.2).contains(&rho_hat),
            "from {bias}: rho_hat {rho_hat}"
        );
    }
}

#[test]
fn e12_e13_latents_stay_in_0_to_1_with_large_weights() {
    let (rows, mut params) = golden();
    params.values_mut().iter_mut().for_each(|w| *w *= 500.0);
    params.get_mut("b_enc").fill(0.0);
    let variant = kl(&[]);
    let mut latents = Vec::new();
    variant.encode(&params, rows.as_slice().unwrap(), &mut latents);
    assert!(latents.iter().all(|h| (0.0..=1.0).contains(h)));
    let reached = |end: f32| latents.iter().any(|h| (h - end).abs() < 1e-6);
    assert!(reached(0.0) && reached(1.0), "the weights are too small");
    let sums = Pass::new(variant.as_ref(), 8, 5)
        .statistics(&params, &rows)
        .unwrap()
        .statistics;
    for l in 0..5 {
        // The means of h and 1 - h add up to one, so the arguments of the logarithms are never negative.
        assert!((sums[l] + sums[l + 5] - 50.0).abs() < 1e-4, "{sums:?}");
        assert!(sums[l] >= 0.0 && sums[l + 5] >= 0.0);
    }
}

#[test]
fn e15_first_moving_estimate_equals_batch_mean() {
    let step = |steps: usize, options: &str| {
        let text = format!(
            "[model]\nlatents = 4\n[model.options]\nbeta = 5.0\nbias_start = 'zero'\n{options}\n\
             [train]\noptimizer = 'sgd'\nbatch = 40\nsteps = {steps}"
        );
        train_digits(&text, 200, |_| ()).params
    };
    let apart = |a: &Params, b: &Params| {
        let pairs = a.values().iter().zip(b.values());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let moving = "rho_estimate = 'moving'\nrho_decay =";
    let batch = "rho_estimate = 'batch'";
    for decay in ["0.5", "0.99", "0.999"] {
        let off = apart(&step(1, batch), &step(1, &format!("{moving} {decay}")));
        assert!(off < 1e-6, "decay {decay}: {off}");
    }
    // The average itself is compared too, because the KL gradient does not depend on a common factor of on and off.
    let seen = Batch {
        rows: 10,
        statistics: vec![4.0, 6.0],
    };
    let first = Moving::new(0.99, 2).update(seen).statistics;
    assert!((first[0] - 4.0).abs() < 1e-9 && (first[1] - 6.0).abs() < 1e-9);
    let later = apart(&step(5, batch), &step(5, &format!("{moving} 0.99")));
    assert!(later > 1e-5, "later the two estimates differ: {later}");
}

#[test]
fn e16_gradient_does_not_depend_on_rho_decay() {
    // For a running mean of equal batches, every decay must give the exact gradient.
    let (rows, params) = golden();
    let exact = evaluate(kl(&[]).as_ref(), &params, &rows, Form::Cached).1;
    for (decay, text) in [(0.1, "0.1"), (0.9, "0.9"), (0.999, "0.999")] {
        let variant = kl(&[("rho_estimate", "moving"), ("rho_decay", text)]);
        let mut moving = Moving::new(decay, 10);
        for _ in 0..3 {
            let mut pass = Pass::new(variant.as_ref(), 8, 5);
            let mut running = |batch: Batch| moving.update(batch);
            pass.evaluate(&params, &rows, Form::Cached, &mut running)
                .unwrap();
            for (got, want) in wide(pass.gradient().values()).zip(wide(exact.values())) {
                assert!((got - want).abs() < 1e-6, "decay {decay}: {got} {want}");
            }
        }
    }
}

#[test]
fn e17_penalty_gradient_does_not_depend_on_number_of_rows() {
    let (rows, params) = golden();
    let thrice = Memory::new("thrice", 8, rows.as_slice().unwrap().repeat(3));
    for form in FORMS {
        let (once, thrice) = (
            penalty_gradient(&params, &rows, form),
            penalty_gradient(&params, &thrice, form),
        );
        for (a, b) in once.iter().zip(&thrice) {
            assert!((a - b).abs() < 1e-6, "{form:?}: {a} {b}");
        }
    }
}

#[test]
fn e18_evaluation_and_outcome_report_number_of_rows() {
    let text = "[model]\nlatents = 3\n[train]\nsteps = 4";
    let trained = train_digits(text, 123, |_| ());
    assert_eq!(trained.evaluation.rows, 123);
    let seen = trained.rows_seen;
    assert!(
        seen >= 4 * 123 && seen.is_multiple_of(123),
        "each evaluation must read all 123 rows, got {seen} rows in total"
    );
}

#[test]
fn e19_penalty_does_not_change_decoder_gradient() {
    let (rows, params) = golden();
    for form in FORMS {
        let of = |beta| evaluate(kl(&[("beta", beta)]).as_ref(), &params, &rows, form).1;
        let (without, with) = (of("0"), of("5"));
        assert_eq!(with.get("w_dec"), without.get("w_dec"), "{form:?}");
        assert_eq!(with.get("b_dec"), without.get("b_dec"), "{form:?}");
        assert_ne!(with.get("w_enc"), without.get("w_enc"), "{form:?}");
    }
}

#[test]
fn e20_weight_decay_does_not_change_bias_gradient() {
    let (rows, params) = golden();
    let of = |decay| {
        evaluate(
            kl(&[("weight_decay", decay)]).as_ref(),
            &params,
            &rows,
            Form::Cached,
        )
    };
    let ((before, without), (after, with)) = (of("0"), of("0.5"));
    for bias in ["b_enc", "b_dec"] {
        assert_eq!(with.get(bias), without.get(bias), "{bias}");
    }
    let mut squares = 0.0;
    for weight in ["w_enc", "w_dec"] {
        let pairs = wide(with.get(weight)).zip(wide(without.get(weight)));
        for ((with, without), w) in pairs.zip(wide(params.get(weight))) {
            assert!(
                (with - without - 0.5 * w).abs() < 1e-6,
                "{weight}: {with} {without} {w}"
            );
            squares += w * w;
        }
    }
    // The factor is lambda/2, not lambda, and biases are left out.
    assert!((after.weight_decay - 0.25 * squares).abs() < 1e-6);
    assert_eq!(before.weight_decay, 0.0);
}

#[test]
fn e21_loss_is_half_squared_error_summed_over_inputs_averaged_over_rows() {
    // Every input has an error of 1, so the loss is d_in / 2 for every number of rows.
    for (n, d_in) in [(1, 1), (7, 3), (70, 12)] {
        let variant = kl(&[]);
        let mut params = Params::zeros(&variant.layout(d_in, 2));
        params.get_mut("b_dec").fill(1.0);
        let zeros = Memory::new("zeros", d_in, vec![0.0; n * d_in]);
        let (parts, gradient) = evaluate(variant.as_ref(), &params, &zeros, Form::Cached);
        assert!((parts.reconstruction - d_in as f64 / 2.0).abs() < 1e-6);
        assert!(gradient.get("b_dec").iter().all(|g| (g - 1.0).abs() < 1e-6));
        // Both latents are at 0.5: a sum over latents, not a mean.
        assert!(
            (parts.penalty - 3.0 * 2.0 * 0.494_632).abs() < 1e-5,
            "{}",
            parts.penalty
        );
    }
    let options = variants::find("kl").unwrap().options();
    let help = options.iter().find(|o| o.name == "loss").unwrap().help;
    for words in ["1/2 squared error", "summed over inputs", "mean over rows"] {
        assert!(
            help.contains(words),
            "--help does not say `{words}`: {help}"
        );
    }
}

#[test]
fn e22_sigmoid_decoder_with_data_outside_0_to_1_warns() {
    let warnings = |high: f32| {
        let rows = Memory::new("rows", 2, vec![0.0, high, high, 0.0]);
        let config = merge("[model.options]\ndecoder = 'sigmoid'");
        Plan::new(&config, &survey(&rows).unwrap())
            .unwrap()
            .warnings()
            .to_vec()
    };
    assert!(warnings(1.0).is_empty());
    let warning = warnings(1.5).concat();
    assert!(
        warning.contains("outside [0, 1]") && warning.contains("[0, 1.5]"),
        "{warning}"
    );
}

#[test]
fn e23_gradient_norm_matches_the_derivation_of_the_lecture() {
    // Norm of dOmega/dW. The last line of the lecture (one example, no mean) would give 0.531376.
    let (rows, params) = golden();
    for form in FORMS {
        let gradient = penalty_gradient(&params, &rows, form);
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(
            (norm - 0.491_775_473_931_972).abs() < 1e-6,
            "{form:?}: {norm}"
        );
    }
}

struct Trained {
    params: Params,
    rows_seen: u64,
    evaluation: Evaluation,
    messages: Vec<String>,
}

fn merge(text: &str) -> Config {
    config::merge(&[text.parse().unwrap()]).unwrap()
}

/// Trains on the first digits, pixels in [0, 1], after `change` to the initial parameters.
fn train_digits(text: &str, rows: usize, change: impl Fn(&mut Params)) -> Trained {
    let options = data::OpenOptions {
        rows: Some(rows),
        ..Default::default()
    };
    let digits = data::open("sample:digits", &options).unwrap();
    let pixels = digits.source.as_slice().unwrap().iter().map(|v| v / 16.0);
    let data = Memory::new("digits", 64, pixels.collect());
    let plan = Plan::new(&merge(text), &survey(&data).unwrap()).unwrap();
    let mut start = State::new(&plan, &data, None).unwrap();
    change(&mut start.params);
    let mut notes = Notes(Vec::new());
    let trainer = Trainer::with_params(plan, start.params).unwrap();
    let trained = trainer.run(&data, None, &mut notes).unwrap();
    Trained {
        evaluation: metrics::evaluate(&trained.model, &data).unwrap(),
        params: trained.model.params().clone(),
        rows_seen: trained.rows_seen,
        messages: notes.0,
    }
}

/// Observer that stores the messages of training.
struct Notes(Vec<String>);

impl Observer for Notes {
    fn message(&mut self, text: &str) {
        self.0.push(text.into());
    }
}
