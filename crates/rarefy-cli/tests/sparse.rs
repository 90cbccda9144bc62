//! `TopK` and `BatchTopK` runs through the program: bytes, records, resuming, thresholds.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{Page, SPARSE_FIELDS, TestDir, all_fail, text};
use serde_json::Value;

const WEIGHTS: &str = "model/sae_weights.safetensors";

/// Runs whose latents die early, so that every part of a step is exercised.
const RUNS: [&str; 2] = [
    "train sample:words --rows 2000 --arch topk --latents 300 --k 4 --batch 256 --steps 45 --dead-after 300",
    "train sample:words --rows 2000 --arch batch-topk --latents 300 --k 3.5 --batch 256 --steps 45 --dead-after 300",
];

fn records(dir: &TestDir, run: &str) -> Vec<Value> {
    let text = text(&dir.read(&format!("{run}/metrics.jsonl")));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn sparse_run_is_byte_equal_over_threads_and_differs_by_seed() {
    for run in RUNS {
        let dir = TestDir::new();
        let outcome = |name: &str, more: &str| {
            dir.ok(&format!("{run} --out {name} -q {more}"));
            [
                WEIGHTS,
                "metrics.jsonl",
                "checkpoints/step-000000000045.safetensors",
                "model/cfg.json",
            ]
            .map(|file| dir.read(&format!("{name}/{file}")))
        };
        let first = outcome("first", "--threads 1");
        assert!(
            first == outcome("again", "--threads 1"),
            "two runs differ: {run}"
        );
        for threads in [2, 3] {
            let more = outcome(&format!("t{threads}"), &format!("--threads {threads}"));
            assert!(first == more, "{threads} threads differ from one: {run}");
        }
        for change in [
            "--seed 1",
            "--no-shuffle",
            "--clip none",
            "--aux-coefficient 0",
        ] {
            let name = change.replace(' ', "");
            let other = outcome(name.trim_start_matches('-'), change);
            assert!(first[0] != other[0], "{change} changes nothing: {run}");
        }
    }
}

#[test]
fn records_have_every_tenth_step_and_the_last() {
    for run in RUNS {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out run -q"));
        let records = records(&dir, "run");
        let steps: Vec<u64> = records
            .iter()
            .map(|r| r["step"].as_u64().unwrap())
            .collect();
        assert_eq!(steps, [10, 20, 30, 40, 45]);
        for record in &records {
            let number = |key: &str| record[key].as_f64().unwrap();
            let parts = number("reconstruction") + number("auxiliary");
            assert!((number("loss") - parts).abs() < 1e-12, "{record}");
            let k = if run.contains("batch-topk") { 3.5 } else { 4.0 };
            assert_eq!(number("l0"), k, "{record}");
            assert_eq!(number("rows_seen"), 256.0 * number("step"), "{record}");
            assert!(record.get("penalty").is_none() && record.get("rho_hat_mean").is_none());
        }
        let last = records.last().unwrap();
        assert!(
            last["auxiliary"].as_f64() > Some(0.0) && last["dead_fraction"].as_f64() > Some(0.0),
            "nothing is dead here, so this run tests little: {last}"
        );
        let (first, last) = (&records[0]["loss"], &last["loss"]);
        assert!(last.as_f64() < first.as_f64(), "{first} {last}");
    }
}

#[test]
fn sparse_run_from_recorded_configuration_is_byte_equal() {
    for run in RUNS {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out first -q --lr 0.003 --set aux_k=7"));
        dir.ok("train --config first/config.toml --out again -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                dir.read(&format!("first/{file}")) == dir.read(&format!("again/{file}")),
                "{file}: {run}"
            );
        }
    }
}

/// A run stopped at any step and resumed equals a run that was never stopped.
#[test]
fn a_resumed_run_is_byte_equal() {
    // With the moving threshold, the weights also hold an average over all earlier steps.
    let moving = format!("{} --threshold-from moving", RUNS[1]);
    for run in [RUNS[0], RUNS[1], &moving] {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out whole -q"));
        for stop in [7, 20, 44] {
            let short = run.replace("--steps 45", &format!("--steps {stop}"));
            dir.ok(&format!("{short} --out parts{stop} -q"));
            dir.ok(&format!("train --out parts{stop} --resume --steps 45 -q"));
            for file in [
                WEIGHTS,
                "metrics.jsonl",
                "config.toml",
                "checkpoints/step-000000000045.safetensors",
            ] {
                assert!(
                    dir.read(&format!("whole/{file}")) == dir.read(&format!("parts{stop}/{file}")),
                    "stopped at {stop}: {file}: {run}"
                );
            }
        }
    }
}

#[test]
fn an_interrupted_run_resumes_byte_equal() {
    for run in RUNS {
        let dir = TestDir::new();
        let run = run.replace("--steps 45", "--steps 1200 --set train.checkpoint_every=0");
        dir.ok(&format!("{run} --out whole -q"));
        let err = interrupt(&dir, &format!("{run} --out parted"));
        assert!(err.contains("--out parted --resume"), "{err}");
        assert!(!dir.path("parted/model").exists());
        let stopped = records(&dir, "parted").len();
        assert!(
            (3..120).contains(&stopped),
            "stopped after {stopped} records"
        );
        dir.ok("train --out parted --resume -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                dir.read(&format!("whole/{file}")) == dir.read(&format!("parted/{file}")),
                "{file}: {run}"
            );
        }
    }
}

#[test]
fn settings_that_change_on_resuming_are_named() {
    let dir = TestDir::new();
    let run = RUNS[0];
    dir.ok(&format!("{run} --out run -q"));
    let output = dir.run("train --out run --resume --steps 60 --k 5");
    let err = text(&output.stderr);
    assert!(output.status.success(), "{err}");
    for line in [
        "warning: `train.steps` was 45 when the run began and is 60 from here on",
        "warning: `model.options.k` was 4 when the run began and is 5 from here on",
    ] {
        assert!(err.contains(line), "{err}");
    }
    assert_eq!(err.matches("when the run began").count(), 2, "{err}");
    let output = dir.run("train --out run --resume --steps 70 --k 5");
    let err = text(&output.stderr);
    assert_eq!(err.matches("when the run began").count(), 1, "{err}");
    // With no step left, the record would name settings that the weights were not trained with.
    let config = dir.read("run/config.toml");
    let output = dir.run("train --out run --resume --k 6");
    let err = text(&output.stderr);
    assert!(!output.status.success());
    assert!(
        err.contains("is finished, so its settings stay: `model.options.k` was 5"),
        "{err}"
    );
    assert!(dir.read("run/config.toml") == config);
}

/// Starts a run, sends Ctrl-C after some records, and returns stderr.
fn interrupt(dir: &TestDir, words: &str) -> String {
    let mut command = dir.command(words);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = dir.path("parted/metrics.jsonl");
    let started = (0..60_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().count() >= 3
    });
    assert!(started, "no 30 steps in a minute");
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    text(&output.stderr)
}

/// The calibrated threshold keeps exactly k latents per row, on average, on the rows of the calibration.
#[test]
fn batch_topk_has_l0_exactly_k_on_training_rows() {
    let dir = TestDir::new();
    let output = dir.run(&format!("{} --holdout 0 --out run", RUNS[1]));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("(L0 3.500), moving average") && said.contains("on 2000 training rows"),
        "{said}"
    );
    assert!(text(&dir.read("run/report.html")).contains("<dt>threshold</dt>"));
    let evaluated = dir.json("eval run sample:words --rows 2000 --json");
    assert_eq!(evaluated["l0"].as_f64(), Some(3.5));
    for field in SPARSE_FIELDS {
        assert!(!evaluated[field].is_null(), "no {field} in {evaluated}");
    }
    // The moving average gives another threshold, near the calibrated one.
    dir.ok(&format!(
        "{} --threshold-from moving --out moving -q",
        RUNS[1]
    ));
    let l0 = dir.json("eval moving sample:words --rows 2000 --json")["l0"]
        .as_f64()
        .unwrap();
    assert!(l0 != 3.5 && (1.0..6.0).contains(&l0), "{l0}");
}

#[test]
fn codes_of_topk_decode_to_the_reconstruction_in_every_format() {
    for run in RUNS {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out run -q"));
        let model = rarefy::model::Model::load(&dir.path("run")).unwrap();
        let words = rarefy::data::open("sample:words", &rarefy::data::OpenOptions::default());
        let mut raw = vec![0.0; 300 * 50];
        words.unwrap().source.read(0, &mut raw).unwrap();
        let (codes, whole) = (model.codes(&raw, 0.0), model.reconstruct_raw(&raw));
        let most = if run.contains("batch-topk") { 300 } else { 4 };
        assert!(
            codes
                .offsets
                .windows(2)
                .all(|ends| ends[1] - ends[0] <= most)
        );
        for format in ["npy", "npz", "safetensors", "parquet"] {
            dir.ok(&format!(
                "encode run sample:words --rows 300 --out codes.{format}"
            ));
            let read = rarefy::formats::codes::read(&dir.path(&format!("codes.{format}")));
            assert_eq!(read.unwrap(), codes, "{format}");
            dir.ok(&format!("decode run codes.{format} --out {format}-x.npy"));
            assert_eq!(dir.read_npy(&format!("{format}-x.npy")), whole, "{format}");
        }
        dir.ok("encode run sample:words --rows 300 --out some.npz --threshold 3");
        let some = rarefy::formats::codes::read(&dir.path("some.npz")).unwrap();
        let above = codes.values.iter().filter(|v| **v > 3.0).count();
        assert_eq!((some.rows(), some.values.len()), (300, above));
        assert!((1..codes.values.len()).contains(&above), "{above}");
    }
}

/// The report of a sparse model has no charts of the KL penalty.
#[test]
fn topk_on_words_reaches_explained_variance_and_reports_top_words() {
    let dir = TestDir::new();
    let run = "train sample:words --arch topk --latents 512 --k 8 --batch 1024 --steps 200 --out run --json";
    let trained = dir.json(run);
    let number = |key: &str| trained[key].as_f64().unwrap();
    assert_eq!((number("rows"), number("l0")), (9500.0, 8.0));
    // The two limits leave room for other processors.
    assert!(number("explained_variance") > 0.75, "{trained}");
    assert!(number("dead_fraction") < 0.05, "{trained}");
    assert_eq!(number("loss"), number("mse"));

    let page = text(&dir.read("run/report.html"));
    assert!(page.contains("Explained variance over the steps"));
    // L0 is 8 at every step, so there is no chart of it.
    assert!(!page.contains("Active latents in a row over the steps"));
    assert!(page.contains("squared error"));
    assert!(!page.contains("<section id=\"penalty\">"));
    // Latents have the names of their most active words.
    let page = Page::of(&dir, "run");
    assert_eq!(
        page.texts("name")
            .iter()
            .filter(|name| !name.is_empty())
            .count(),
        512 - trained["dead_latents"].as_u64().unwrap() as usize
    );
    let inspected = dir.json("inspect run --json");
    assert_eq!(
        (&inspected["architecture"], &inspected["options"]["k"]),
        (&"topk".into(), &"8".into())
    );
}

#[test]
fn init_of_sparse_model_starts_from_its_weights() {
    for run in RUNS {
        let dir = TestDir::new();
        dir.ok(&format!("{run} --out first -q"));
        let one = run.replace("--steps 45", "--steps 1");
        dir.ok(&format!("{one} --out next -q --init first"));
        dir.ok(&format!("{one} --out fresh -q"));
        let loss = |run: &str| records(&dir, run)[0]["loss"].as_f64().unwrap();
        assert!(loss("next") < 0.8 * loss("fresh"));
    }
}

#[test]
fn init_from_model_of_other_kind_is_refused() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 6, &crate::common::noise(1200));
    dir.write_npy("y.npy", 6, &crate::common::noise(1200));
    let train = "--arch topk --k 2 --latents 16 --batch 50 --steps 3";
    dir.ok(&format!(
        "train x.npy --target y.npy {train} --out trans -q"
    ));
    dir.ok(&format!(
        "train x.npy --preprocess standardise {train} --out scaled -q"
    ));
    let call = format!("train x.npy {train} --init trans --out new");
    let error = "2 error: trans is the model of a run with transcoder with centre false, and this run has autoencoder with centre true";
    all_fail(&dir, &format!("$ {call}\n{error}\n"));
    let said = dir.run(&format!("train x.npy {train} --init scaled --out other"));
    assert!(said.status.success());
    let said = text(&said.stderr);
    assert!(
        said.contains("scaled was trained with other preprocessing"),
        "{said}"
    );
    let said = dir.run(&format!(
        "train x.npy --preprocess standardise {train} --init scaled --out same"
    ));
    assert!(!text(&said.stderr).contains("another way"));
}

#[test]
fn sparse_settings_out_of_range_are_refused() {
    let dir = TestDir::new();
    dir.write_npy("narrow.npy", 3, &crate::common::noise(60));
    all_fail(&dir, SENSELESS);
}

const SENSELESS: &str = "$ train --arch topk --k 0 --out run
2 error: `model.options.k` must be auto or a whole number not below 1, got 0
hint: set `model.options.k` with --k
$ train --arch topk --k 2.5 --out run
2 error: `model.options.k` must be auto or a whole number not below 1, got 2.5
hint: set `model.options.k` with --k
$ train --arch topk --k 65 --latents 64 --out run
2 error: `model.options.k` must be at most the 64 latents, got 65
hint: set `model.options.k` with --k
$ train narrow.npy --arch topk --k 32 --out run
2 error: `model.options.k` must be at most the 24 latents, got 32
hint: set `model.options.k` with --k
$ train --arch batch-topk --k 64.5 --latents 64 --out run
2 error: `model.options.k` must be at most the 64 latents, got 64.5
hint: set `model.options.k` with --k
$ train --arch batch-topk --k 0 --out run
2 error: `model.options.k` must be auto or a number above 0, got 0
hint: set `model.options.k` with --k
$ train --arch batch-topk --k 0.1 --batch 9 --out run
2 error: `model.options.k` of 0.1 keeps no latent in a batch of 9; increase `model.options.k` or `train.batch`
hint: set `model.options.k` with --k, `train.batch` with --batch
$ train --arch topk --aux-k none --out run
2 error: `model.options.aux_k` must be auto or a whole number not below 1, got none
hint: set `model.options.aux_k` with --aux-k
$ train --arch topk --dead-after 0 --out run
2 error: `model.options.dead_after` must be auto or a whole number not below 1, got 0
hint: set `model.options.dead_after` with --dead-after
$ train --arch topk --aux-coefficient -1 --out run
2 error: `model.options.aux_coefficient` must be a number not below 0, got -1
hint: set `model.options.aux_coefficient` with --aux-coefficient
$ train --arch batch-topk --threshold-decay 1 --out run
2 error: `model.options.threshold_decay` must be a number in (0, 1), got 1
hint: set `model.options.threshold_decay` with --threshold-decay
$ train --arch topk --rho 0.1 --out run
2 error: architecture topk has no option `rho`; set `model.options.k`, by which it is sparse, or `model.arch` to an architecture that has it: kl
hint: set `model.options.k` with --k, `model.arch` with --arch
$ train --arch kl --k 3 --out run
2 error: architecture kl has no option `k`; set `model.options.rho`, by which it is sparse, or `model.arch` to an architecture that has it: topk, batch-topk, abs-topk, groupmax, matryoshka, matching-pursuit
hint: set `model.options.rho` with --rho, `model.arch` with --arch
$ train --arch topk --optimizer lbfgs --out run
2 error: L-BFGS needs a smooth objective, which topk does not have; set `train.optimizer` to adam
hint: set `train.optimizer` with --optimizer
$ train --arch batch-topk --optimizer sgd --out run
2 error: SGD has one learning rate for all latents, but some latents of batch-topk fire a thousand times as often as others; set `train.optimizer` to adam
hint: set `train.optimizer` with --optimizer
$ train --arch topk --k 4 --clip 0 --out run
2 error: `train.clip` must be a finite number above 0, got 0
hint: set `train.clip` with --clip
";
