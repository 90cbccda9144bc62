//! Runs of kl through the program: files, bytes, resuming, convergence.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{EVAL_FIELDS, TestDir, text};
use serde_json::Value;

/// Fields of `train --json` beyond the fields of `eval --json`.
const RUN_FIELDS: [&str; 4] = ["run", "steps", "seconds", "samples_per_second"];

/// One small run per optimiser; adam with the moving estimate and shuffled rows.
const RUNS: [&str; 3] = [
    "train --rows 400 --latents 12 --steps 25",
    "train --rows 400 --latents 12 --batch 64 --steps 40 --rho-estimate moving",
    "train --rows 400 --latents 12 --batch 64 --steps 40 --optimizer sgd",
];

const WEIGHTS: &str = "model/sae_weights.safetensors";

/// The steps are what the training time says.
#[test]
fn timings_name_the_parts_of_a_run() {
    let dir = TestDir::new();
    let told = dir.json("train sample:digits --arch topk --latents 64 --k 4 --steps 60 --json");
    let parts = told["timings"].as_object().unwrap();
    let names: Vec<&str> = parts.keys().map(String::as_str).collect();
    let expected = [
        "evaluation",
        "preparation",
        "report",
        "saving",
        "start",
        "steps",
        "waiting",
    ];
    assert_eq!(names, expected);
    let mut seconds = parts.values().map(|part| part.as_f64().unwrap());
    assert!(seconds.all(|part| part >= 0.0), "{told}");
    let steps = told["timings"]["steps"].as_f64().unwrap();
    let training = told["seconds"].as_f64().unwrap();
    assert!(
        (steps - training).abs() < 0.2 * training + 0.05,
        "{steps} {training}"
    );
    let table = text(&dir.run("train sample:digits --steps 2 --timings").stdout);
    for part in [
        "part",
        "reading and preparing rows",
        "evaluation",
        "all",
        "100 %",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(!text(&dir.run("train sample:digits --steps 2").stdout).contains("100 %"));
}

#[test]
fn train_without_arguments_writes_a_run_on_digits() {
    let dir = TestDir::new();
    let output = dir.run("train");
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
    // Without a terminal there is no progress bar, only a line on the defaults and one at the end.
    assert!(
        err.lines().count() == 2 && !err.contains(['\r', '\u{1b}']),
        "{err}"
    );
    let files = dir.everything();
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
    let records = text(&dir.read("runs/kl-digits-1/metrics.jsonl"));
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
fn kl_on_digits_ends_near_rho_and_eval_agrees() {
    let dir = TestDir::new();
    let trained = dir.json("train --holdout 0 --json --out run");
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

    let evaluated = dir.json("eval run sample:digits --json");
    for field in EVAL_FIELDS {
        assert_eq!(evaluated[field], trained[field], "{field}");
    }
}

#[test]
fn kl_run_is_byte_equal_over_threads_and_differs_by_seed() {
    for (number, run) in RUNS.iter().enumerate() {
        let dir = TestDir::new();
        let outcome = |name: &str, more: &str| {
            dir.ok(&format!("{run} --out {name} -q {more}"));
            let checkpoint = format!("checkpoints/step-{:012}.safetensors", [25, 40, 40][number]);
            [
                WEIGHTS,
                "metrics.jsonl",
                &checkpoint,
                "model/preprocess.safetensors",
                "model/cfg.json",
            ]
            .map(|file| dir.read(&format!("{name}/{file}")))
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
fn kl_run_from_recorded_configuration_is_byte_equal() {
    for run in RUNS {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out first -q --set rho=0.07 --lr 0.01"));
        dir.ok("train --config first/config.toml --out again -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                dir.read(&format!("first/{file}")) == dir.read(&format!("again/{file}")),
                "{file}: {run}"
            );
        }
    }
}

/// `--epochs` replaces `train.steps` of the file, and `--clip none` replaces a number.
#[test]
fn flags_win_over_a_configuration_file() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --latents 4 --batch 100 --steps 3 --clip 0.5 --out first -q");
    dir.ok("train --config first/config.toml --epochs 2 --clip none --out again -q");
    let config: toml::Table = text(&dir.read("again/config.toml")).parse().unwrap();
    assert_eq!(config["train"]["steps"].as_integer(), Some(8));
    assert_eq!(config["train"]["clip"].as_str(), Some("none"), "{config}");
}

#[test]
fn init_of_kl_model_starts_from_its_weights() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --latents 12 --steps 30 --out first -q");
    let end = record(&dir, "first", 29);
    dir.ok("train --rows 400 --latents 12 --steps 1 --out next -q --init first --seed 5");
    let next = record(&dir, "next", 0);
    assert!(next < end, "one more step from {end} ends at {next}");
    // A first step from random weights does not come near this loss.
    dir.ok("train --rows 400 --latents 12 --steps 1 --out fresh -q --seed 5");
    assert!(record(&dir, "fresh", 0) > 1.2 * end);
}

fn record(dir: &TestDir, run: &str, line: usize) -> f64 {
    let records = text(&dir.read(&format!("{run}/metrics.jsonl")));
    let record: Value = serde_json::from_str(records.lines().nth(line).unwrap()).unwrap();
    record["loss"].as_f64().unwrap()
}

/// A run interrupted by Ctrl-C and resumed equals a run that was never stopped.
#[test]
fn an_interrupted_run_resumes_byte_equal() {
    for (run, signal) in [
        ("train --latents 24 --steps 300", "-INT"),
        (
            "train --latents 24 --batch 64 --steps 1500 --rho-estimate moving --lr 0.01",
            "-INT",
        ),
        (
            "train --latents 24 --batch 64 --steps 1500 --optimizer sgd",
            "-TERM",
        ),
    ] {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out whole -q"));
        let err = interrupt(&dir, &format!("{run} --out parted"), 20, signal);
        assert!(
            err.contains("continue with: rarefy train --out parted --resume"),
            "{err}"
        );
        assert!(!dir.path("parted/model").exists());
        let stopped = text(&dir.read("parted/metrics.jsonl")).lines().count();
        let all = text(&dir.read("whole/metrics.jsonl")).lines().count();
        assert!(
            20 <= stopped && stopped < all,
            "stopped after {stopped} of {all}: {run}"
        );
        dir.ok("train --out parted --resume -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                dir.read(&format!("whole/{file}")) == dir.read(&format!("parted/{file}")),
                "{file}: {run}"
            );
        }
        assert!(
            !dir.everything()
                .iter()
                .any(|name| name.contains(".rarefy-")),
            "{:?}",
            dir.everything()
        );
    }
}

/// Starts a run, sends a signal after some records, and returns stderr. The run ends within a second.
fn interrupt(dir: &TestDir, words: &str, steps: usize, signal: &str) -> String {
    let mut command = dir.command(words);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let records = dir.path("parted/metrics.jsonl");
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
        .args([signal, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let ended = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        child.try_wait().unwrap().is_some()
    });
    let output = child.wait_with_output().unwrap();
    assert!(ended, "it goes on a second later");
    let err = text(&output.stderr);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(130), String::new()),
        "{err}"
    );
    err
}

/// Convergence is measured over several iterations, including iterations before the interruption.
#[test]
fn resumed_run_converges_at_the_same_step() {
    let dir = TestDir::new();
    let run = "train --rows 400 --latents 12 --tolerance 0.02";
    dir.ok(&format!("{run} --steps 400 --out whole -q"));
    let steps = text(&dir.read("whole/metrics.jsonl")).lines().count();
    assert!((10..400).contains(&steps), "it converges: {steps}");
    for stop in [steps - 6, steps - 2, steps] {
        dir.ok(&format!("{run} --steps {stop} --out parted{stop} -q"));
        dir.ok(&format!("train --resume --steps 400 --out parted{stop} -q"));
        for file in [WEIGHTS, "metrics.jsonl"] {
            assert!(
                dir.read(&format!("whole/{file}")) == dir.read(&format!("parted{stop}/{file}")),
                "stopped at {stop} of {steps}"
            );
        }
    }
}

/// A learning rate that is too large ends the run before a checkpoint is written.
#[test]
fn diverged_run_stops_without_checkpoint() {
    let dir = TestDir::new();
    let wild = "train --preprocess none --decoder linear --batch 50 --optimizer sgd --lr 10 --steps 200 --out wild -q";
    let output = dir.run(wild);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("expected a finite objective and gradient") && said.contains("smaller --lr"),
        "{said}"
    );
    assert!(!dir.path("wild/model").exists());
    assert_eq!(
        std::fs::read_dir(dir.path("wild/checkpoints"))
            .unwrap()
            .count(),
        0
    );
}

/// All rows fit in one batch; tested with the exact and the moving estimate of `rho_hat`.
#[test]
fn run_on_40_rows_resumes_byte_equal() {
    for estimate in ["", "--rho-estimate moving"] {
        let dir = TestDir::new();
        let run = format!("train --rows 40 --latents 5 --optimizer adam {estimate} -q");
        dir.ok(&format!("{run} --steps 9 --out whole"));
        dir.ok(&format!("{run} --steps 4 --out parts"));
        dir.ok("train --out parts --resume --steps 9 -q");
        assert!(dir.read(&format!("whole/{WEIGHTS}")) == dir.read(&format!("parts/{WEIGHTS}")));
    }
}

#[test]
fn mini_batch_run_stops_on_tolerance_and_prints_the_exact_mean() {
    let dir = TestDir::new();
    let output = dir.run("train --rows 400 --batch 100 --epochs 50 --tolerance 0.5 --out early");
    let said = text(&output.stderr);
    assert!(said.contains("converged after"), "{said}");
    // A run shorter than an epoch prints the exact mean at its end, beside the estimate.
    let short = "train --rows 400 --batch 100 --steps 3 --rho-estimate batch --out short";
    let said = text(&dir.run(short).stderr);
    assert!(
        said.contains("exact mean rho_hat") && said.contains("last batch"),
        "{said}"
    );
    let unused = text(
        &dir.run("train --rows 100 --steps 1 --lr 3 --clip 1 --out unused")
            .stderr,
    );
    assert!(
        unused.contains("`train.lr`, `train.clip` have no effect"),
        "{unused}"
    );
}

/// Pictures of bytes are scaled and get the lecture's model; the note says so, and --preprocess none leaves them.
#[test]
fn pictures_of_bytes_are_scaled_by_default() {
    let dir = TestDir::new();
    let mut idx = vec![0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 3];
    idx.extend((0..240_u32).map(|v| (v * 7 % 256) as u8));
    dir.write("train-images-idx3-ubyte", idx);
    let said = dir.run("train train-images-idx3-ubyte --latents 4 --steps 3 --out run");
    let said = text(&said.stderr);
    assert!(
        said.contains(
            "kl (--arch topk for sparse codes), bytes scaled to 0..1 (--preprocess none)"
        ),
        "{said}"
    );
    let config = text(&dir.read("run/config.toml"));
    assert!(config.contains("preprocess = [\"scale\"]"), "{config}");
    dir.ok("train train-images-idx3-ubyte --preprocess none --latents 4 --steps 3 --out plain -q");
    assert!(!text(&dir.read("plain/config.toml")).contains("scale\"]"));
    // Rows without axes for pictures are vectors.
    dir.write_npy("x.npy", 6, &crate::common::noise(240));
    let said = dir.run("train x.npy --latents 4 --k 2 --steps 3 --batch 20 --out vectors");
    assert!(
        text(&said.stderr).contains("40 rows: topk (--arch kl for the lecture's model)"),
        "{}",
        text(&said.stderr)
    );
}
