//! The program from training to reconstruction: what it promises of runs, on small ones.

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{EVAL_FIELDS, Place, text};
use serde_json::Value;

/// What `train --json` has beside the fields of `eval`.
const RUN_FIELDS: [&str; 4] = ["run", "steps", "seconds", "samples_per_second"];

/// A small run of each optimiser; adam with the moving estimate and shuffled rows.
const RUNS: [&str; 3] = [
    "train --rows 400 --latents 12 --steps 25",
    "train --rows 400 --latents 12 --batch 64 --steps 40 --rho-estimate moving",
    "train --rows 400 --latents 12 --batch 64 --steps 40 --optimizer sgd",
];

const WEIGHTS: &str = "model/sae_weights.safetensors";

#[test]
fn without_arguments_it_trains_on_digits_and_reports() {
    let place = Place::new();
    let output = place.run("train");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{err}");
    for line in [
        "explained variance",
        "mean rho_hat",
        "worst |rho_hat - rho|",
        "  reconstruction",
        "  penalty",
        "  weight decay",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(
        out.ends_with("model   runs/kl-digits-1/model\nreport  runs/kl-digits-1/report.html\n"),
        "{out}"
    );
    // No terminal, no progress bar: a line on how it ended is all.
    assert!(
        err.lines().count() == 1 && !err.contains(['\r', '\u{1b}']),
        "{err}"
    );
    let files = place.everything();
    for file in [
        "config.toml",
        "metrics.jsonl",
        "report.html",
        "model/cfg.json",
        WEIGHTS,
        "model/preprocess.safetensors",
    ] {
        assert!(
            files.contains(&format!("runs/kl-digits-1/{file}")),
            "{file}: {files:?}"
        );
    }
    let records = text(&place.read("runs/kl-digits-1/metrics.jsonl"));
    let losses: Vec<f64> = records
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["loss"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert!(
        losses.len() > 100 && losses.is_sorted_by(|a, b| a >= b),
        "L-BFGS only goes down"
    );
}

#[test]
fn digits_with_defaults_end_near_rho_and_eval_says_the_same() {
    let place = Place::new();
    let trained = place.json("train --json --out run");
    for field in EVAL_FIELDS.iter().chain(&RUN_FIELDS) {
        assert!(!trained[field].is_null(), "no {field} in {trained}");
    }
    let number = |field: &str| trained[field].as_f64().unwrap();
    assert!(
        (number("rho_hat_mean") / number("rho") - 1.0).abs() < 0.1,
        "{trained}"
    );
    assert!(number("rho_hat_max_deviation") < 0.3, "{trained}");
    assert_eq!((number("rows"), number("dead_latents")), (1797.0, 0.0));
    assert!(number("explained_variance") > 0.7, "{trained}");

    let evaluated = place.json("eval run sample:digits --json");
    for field in EVAL_FIELDS {
        assert_eq!(evaluated[field], trained[field], "{field}");
    }
}

#[test]
fn a_seed_fixes_every_byte_whatever_the_threads() {
    for (number, run) in RUNS.iter().enumerate() {
        let place = Place::new();
        let outcome = |name: &str, more: &str| {
            place.ok(&format!("{run} --out {name} -q {more}"));
            let checkpoint = format!("checkpoints/step-{:012}.safetensors", [25, 40, 40][number]);
            [
                WEIGHTS,
                "metrics.jsonl",
                &checkpoint,
                "model/preprocess.safetensors",
                "model/cfg.json",
            ]
            .map(|file| place.read(&format!("{name}/{file}")))
        };
        let first = outcome("first", "--threads 1");
        assert!(
            first == outcome("again", "--threads 1"),
            "two runs differ: {run}"
        );
        assert!(
            first == outcome("two", "--threads 2"),
            "two threads differ from one: {run}"
        );
        let other = outcome("other", "--seed 1");
        assert!(
            first[0] != other[0] && first[1] != other[1],
            "seed 1 gives what seed 0 gives: {run}"
        );
        if number > 0 {
            let in_order = outcome("in-order", "--no-shuffle");
            assert!(
                first[0] != in_order[0],
                "--no-shuffle changes nothing: {run}"
            );
        }
    }
}

#[test]
fn a_recorded_configuration_gives_the_run_again() {
    for run in RUNS {
        let place = Place::new();
        place.ok(&format!("{run} --out first -q --set rho=0.07 --lr 0.01"));
        place.ok("train --config first/config.toml --out again -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                place.read(&format!("first/{file}")) == place.read(&format!("again/{file}")),
                "{file}: {run}"
            );
        }
    }
}

/// What a flag says replaces what a file says, also where the file's way to say it is another.
#[test]
fn flags_win_over_a_configuration() {
    let place = Place::new();
    place.ok("train --rows 400 --latents 4 --batch 100 --steps 3 --clip 0.5 --out first -q");
    place.ok("train --config first/config.toml --epochs 2 --clip none --out again -q");
    let config: toml::Table = text(&place.read("again/config.toml")).parse().unwrap();
    assert_eq!(config["train"]["steps"].as_integer(), Some(8));
    assert_eq!(config["train"]["clip"].as_str(), Some("none"), "{config}");
}

#[test]
fn init_starts_from_given_weights() {
    let place = Place::new();
    place.ok("train --rows 400 --latents 12 --steps 30 --out first -q");
    let end = record(&place, "first", 29);
    place.ok("train --rows 400 --latents 12 --steps 1 --out next -q --init first --seed 5");
    let next = record(&place, "next", 0);
    assert!(next < end, "one more step from {end} ends at {next}");
    // From the seed's own weights a first step does not come near.
    place.ok("train --rows 400 --latents 12 --steps 1 --out fresh -q --seed 5");
    assert!(record(&place, "fresh", 0) > 1.2 * end);
}

fn record(place: &Place, run: &str, line: usize) -> f64 {
    let records = text(&place.read(&format!("{run}/metrics.jsonl")));
    let record: Value = serde_json::from_str(records.lines().nth(line).unwrap()).unwrap();
    record["loss"].as_f64().unwrap()
}

/// Ctrl-C in the middle, then `--resume`: nothing differs from a run that was never stopped.
#[test]
fn an_interrupted_run_resumes_byte_equal() {
    for run in [
        "train --latents 24 --steps 300",
        "train --latents 24 --batch 64 --steps 1500 --rho-estimate moving --lr 0.01",
        "train --latents 24 --batch 64 --steps 1500 --optimizer sgd",
    ] {
        let place = Place::new();
        place.ok(&format!("{run} --out whole -q"));
        let err = interrupt(&place, &format!("{run} --out parted"), 20);
        assert!(
            err.contains("go on with: rarefy train --out parted --resume"),
            "{err}"
        );
        assert!(!place.path("parted/model").exists());
        let stopped = text(&place.read("parted/metrics.jsonl")).lines().count();
        let all = text(&place.read("whole/metrics.jsonl")).lines().count();
        assert!(
            20 <= stopped && stopped < all,
            "stopped after {stopped} of {all}: {run}"
        );
        place.ok("train --out parted --resume -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                place.read(&format!("whole/{file}")) == place.read(&format!("parted/{file}")),
                "{file}: {run}"
            );
        }
        assert!(
            !place
                .everything()
                .iter()
                .any(|name| name.contains(".rarefy-")),
            "{:?}",
            place.everything()
        );
    }
}

/// Starts a run, sends it Ctrl-C once it has recorded some steps, and gives its stderr.
fn interrupt(place: &Place, words: &str, steps: usize) -> String {
    let mut command = place.command(words);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let records = place.path("parted/metrics.jsonl");
    let recorded = || {
        std::fs::read_to_string(&records)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let started = (0..60_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        recorded() >= steps
    });
    assert!(started, "no {steps} steps in a minute");
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(130), String::new()),
        "{err}"
    );
    err
}

/// Whether a run has converged is seen over several iterations, those before the interruption too.
#[test]
fn a_resumed_run_converges_where_an_unbroken_one_does() {
    let place = Place::new();
    let run = "train --rows 400 --latents 12 --tolerance 0.02";
    place.ok(&format!("{run} --steps 400 --out whole -q"));
    let steps = text(&place.read("whole/metrics.jsonl")).lines().count();
    assert!((10..400).contains(&steps), "it converges: {steps}");
    for stop in [steps - 6, steps - 2, steps] {
        place.ok(&format!("{run} --steps {stop} --out parted{stop} -q"));
        place.ok(&format!("train --resume --steps 400 --out parted{stop} -q"));
        for file in [WEIGHTS, "metrics.jsonl"] {
            assert!(
                place.read(&format!("whole/{file}")) == place.read(&format!("parted{stop}/{file}")),
                "stopped at {stop} of {steps}"
            );
        }
    }
}

/// Too large a learning rate ends a run before its numbers reach a checkpoint.
#[test]
fn a_run_that_runs_away_is_stopped() {
    let place = Place::new();
    let wild = "train --preprocess none --decoder linear --batch 50 --optimizer sgd --lr 10 --steps 200 --out wild -q";
    let output = place.run(wild);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("expected a finite objective and gradient") && said.contains("smaller --lr"),
        "{said}"
    );
    assert!(!place.path("wild/model").exists());
    assert_eq!(
        std::fs::read_dir(place.path("wild/checkpoints"))
            .unwrap()
            .count(),
        0
    );
}

/// Few enough rows for one batch: exact by itself, and a moving estimate if one asks for it; both resume.
#[test]
fn a_handful_of_rows_trains_and_resumes() {
    for estimate in ["", "--rho-estimate moving"] {
        let place = Place::new();
        let run = format!("train --rows 40 --latents 5 --optimizer adam {estimate} -q");
        place.ok(&format!("{run} --steps 9 --out whole"));
        place.ok(&format!("{run} --steps 4 --out parts"));
        place.ok("train --out parts --resume --steps 9 -q");
        assert!(place.read(&format!("whole/{WEIGHTS}")) == place.read(&format!("parts/{WEIGHTS}")));
    }
}

#[test]
fn mini_batches_stop_on_tolerance_and_tell_the_exact_mean() {
    let place = Place::new();
    let output = place.run("train --rows 400 --batch 100 --epochs 50 --tolerance 0.5 --out early");
    let said = text(&output.stderr);
    assert!(said.contains("converged after"), "{said}");
    // A run shorter than an epoch is audited at its end, beside the estimate that it used.
    let short = "train --rows 400 --batch 100 --steps 3 --rho-estimate batch --out short";
    let said = text(&place.run(short).stderr);
    assert!(
        said.contains("exact mean rho_hat") && said.contains("last batch"),
        "{said}"
    );
    let unused = text(
        &place
            .run("train --rows 100 --steps 1 --lr 3 --clip 1 --out unused")
            .stderr,
    );
    assert!(unused.contains("lr, clip without effect"), "{unused}");
}
