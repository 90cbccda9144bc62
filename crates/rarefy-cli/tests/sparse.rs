//! `TopK` and `BatchTopK` through the program: what it promises of runs, on small ones.

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Place, SPARSE_FIELDS, all_fail, text};
use serde_json::Value;

const WEIGHTS: &str = "model/sae_weights.safetensors";

/// Runs with dead latents soon, so that every part of a step has something to do.
const RUNS: [&str; 2] = [
    "train sample:words --rows 2000 --arch topk --latents 300 --k 4 --batch 256 --steps 45 --dead-after 300",
    "train sample:words --rows 2000 --arch batch-topk --latents 300 --k 3.5 --batch 256 --steps 45 --dead-after 300",
];

fn records(place: &Place, run: &str) -> Vec<Value> {
    let text = text(&place.read(&format!("{run}/metrics.jsonl")));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_seed_fixes_every_byte_whatever_the_threads() {
    for run in RUNS {
        let place = Place::new();
        let outcome = |name: &str, more: &str| {
            place.ok(&format!("{run} --out {name} -q {more}"));
            [
                WEIGHTS,
                "metrics.jsonl",
                "checkpoints/step-000000000045.safetensors",
                "model/cfg.json",
            ]
            .map(|file| place.read(&format!("{name}/{file}")))
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
fn records_are_of_every_tenth_step_and_the_last() {
    for run in RUNS {
        let place = Place::new();
        place.ok(&format!("{run} --out run -q"));
        let records = records(&place, "run");
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
fn a_recorded_configuration_gives_the_run_again() {
    for run in RUNS {
        let place = Place::new();
        place.ok(&format!("{run} --out first -q --lr 0.003 --set aux_k=7"));
        place.ok("train --config first/config.toml --out again -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                place.read(&format!("first/{file}")) == place.read(&format!("again/{file}")),
                "{file}: {run}"
            );
        }
    }
}

/// Stopped at any step and resumed with more: nothing differs from a run that was never stopped.
#[test]
fn a_resumed_run_is_byte_equal() {
    // With the moving threshold, the average over the steps before is in the weights too.
    let moving = format!("{} --threshold-from moving", RUNS[1]);
    for run in [RUNS[0], RUNS[1], &moving] {
        let place = Place::new();
        place.ok(&format!("{run} --out whole -q"));
        for stop in [7, 20, 44] {
            let short = run.replace("--steps 45", &format!("--steps {stop}"));
            place.ok(&format!("{short} --out parts{stop} -q"));
            place.ok(&format!("train --out parts{stop} --resume --steps 45 -q"));
            for file in [
                WEIGHTS,
                "metrics.jsonl",
                "config.toml",
                "checkpoints/step-000000000045.safetensors",
            ] {
                assert!(
                    place.read(&format!("whole/{file}"))
                        == place.read(&format!("parts{stop}/{file}")),
                    "stopped at {stop}: {file}: {run}"
                );
            }
        }
    }
}

#[test]
fn an_interrupted_run_resumes_byte_equal() {
    for run in RUNS {
        let place = Place::new();
        let run = run.replace("--steps 45", "--steps 4000 --set train.checkpoint_every=0");
        place.ok(&format!("{run} --out whole -q"));
        let err = interrupt(&place, &format!("{run} --out parted"));
        assert!(err.contains("--out parted --resume"), "{err}");
        assert!(!place.path("parted/model").exists());
        let stopped = records(&place, "parted").len();
        assert!(
            (3..400).contains(&stopped),
            "stopped after {stopped} records"
        );
        place.ok("train --out parted --resume -q");
        for file in [WEIGHTS, "metrics.jsonl", "config.toml"] {
            assert!(
                place.read(&format!("whole/{file}")) == place.read(&format!("parted/{file}")),
                "{file}: {run}"
            );
        }
    }
}

/// Starts a run, sends it Ctrl-C once it has some records, and gives its stderr.
fn interrupt(place: &Place, words: &str) -> String {
    let mut command = place.command(words);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = place.path("parted/metrics.jsonl");
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

/// The calibrated threshold keeps exactly k a row of the rows that it was calibrated on.
#[test]
fn batch_topk_has_exactly_k_latents_a_row_on_its_own_data() {
    let place = Place::new();
    let output = place.run(&format!("{} --out run", RUNS[1]));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("(L0 3.500), moving average") && said.contains("on 2000 training rows"),
        "{said}"
    );
    assert!(text(&place.read("run/report.html")).contains("<dt>threshold</dt>"));
    let evaluated = place.json("eval run sample:words --rows 2000 --json");
    assert_eq!(evaluated["l0"].as_f64(), Some(3.5));
    for field in SPARSE_FIELDS {
        assert!(!evaluated[field].is_null(), "no {field} in {evaluated}");
    }
    // The moving average is another threshold, and near.
    place.ok(&format!(
        "{} --threshold-from moving --out moving -q",
        RUNS[1]
    ));
    let l0 = place.json("eval moving sample:words --rows 2000 --json")["l0"]
        .as_f64()
        .unwrap();
    assert!(l0 != 3.5 && (1.0..6.0).contains(&l0), "{l0}");
}

/// Encode and decode through every format give the model's reconstruction.
#[test]
fn codes_decode_to_the_reconstruction() {
    for run in RUNS {
        let place = Place::new();
        place.ok(&format!("{run} --out run -q"));
        let model = rarefy::model::Model::load(&place.path("run")).unwrap();
        let words = rarefy::data::open("sample:words", &rarefy::data::OpenOptions::default());
        let mut raw = vec![0.0; 300 * 50];
        words.unwrap().source.read(0, &mut raw).unwrap();
        let (codes, whole) = (model.codes(&raw, 0.0), model.reconstruct(&raw));
        let most = if run.contains("batch-topk") { 300 } else { 4 };
        assert!(
            codes
                .offsets
                .windows(2)
                .all(|ends| ends[1] - ends[0] <= most)
        );
        for format in ["npy", "npz", "safetensors", "parquet"] {
            place.ok(&format!(
                "encode run sample:words --rows 300 --out codes.{format}"
            ));
            let read = rarefy::formats::codes::read(&place.path(&format!("codes.{format}")));
            assert_eq!(read.unwrap(), codes, "{format}");
            place.ok(&format!("decode run codes.{format} --out {format}-x.npy"));
            assert_eq!(
                place.read_npy(&format!("{format}-x.npy")),
                whole,
                "{format}"
            );
        }
        place.ok("encode run sample:words --rows 300 --out some.npz --threshold 3");
        let some = rarefy::formats::codes::read(&place.path("some.npz")).unwrap();
        let above = codes.values.iter().filter(|v| **v > 3.0).count();
        assert_eq!((some.rows(), some.values.len()), (300, above));
        assert!((1..codes.values.len()).contains(&above), "{above}");
    }
}

/// Words: what a short run must reach, a report without the lecture's charts, a model that says what it is.
#[test]
fn words_are_explained_and_reported() {
    let place = Place::new();
    let run = "train sample:words --arch topk --latents 512 --k 8 --batch 1024 --steps 200 --out run --json";
    let trained = place.json(run);
    let number = |key: &str| trained[key].as_f64().unwrap();
    assert_eq!((number("rows"), number("l0")), (10_000.0, 8.0));
    // Measured: see below; the two limits leave room for another kind of processor.
    assert!(number("explained_variance") > 0.75, "{trained}");
    assert!(number("dead_fraction") < 0.05, "{trained}");
    assert_eq!(number("loss"), number("mse"));

    let page = text(&place.read("run/report.html"));
    assert!(page.contains("Explained variance over the steps"));
    // Eight of every row at every step.
    assert!(!page.contains("Active latents in a row over the steps"));
    assert!(page.contains("squared error"));
    assert!(!page.contains("rho_hat") && !page.contains("<section id=\"penalty\">"));
    // Words that a latent likes are what a reader looks for.
    assert!(page.contains("most active on"));
    let inspected = place.json("inspect run --json");
    assert_eq!(
        (&inspected["architecture"], &inspected["options"]["k"]),
        (&"topk".into(), &"8".into())
    );
}

/// A trained model of one run starts another.
#[test]
fn init_starts_from_given_weights() {
    for run in RUNS {
        let place = Place::new();
        place.ok(&format!("{run} --out first -q"));
        let one = run.replace("--steps 45", "--steps 1");
        place.ok(&format!("{one} --out next -q --init first"));
        place.ok(&format!("{one} --out fresh -q"));
        let loss = |run: &str| records(&place, run)[0]["loss"].as_f64().unwrap();
        assert!(loss("next") < 0.8 * loss("fresh"));
    }
}

/// Weights that would mean something else are no start.
#[test]
fn init_is_a_model_of_the_same_kind() {
    let place = Place::new();
    place.write_npy("x.npy", 6, &common::noise(1200));
    place.write_npy("y.npy", 6, &common::noise(1200));
    let train = "--arch topk --k 2 --latents 16 --batch 50 --steps 3";
    place.ok(&format!(
        "train x.npy --target y.npy {train} --out trans -q"
    ));
    place.ok(&format!(
        "train x.npy --preprocess standardise {train} --out scaled -q"
    ));
    let call = format!("train x.npy {train} --init trans --out new");
    let error = "2 error: trans is a model of the kind transcoder with centre false, and this run is of autoencoder with centre true";
    all_fail(&place, &format!("$ {call}\n{error}\n"));
    let said = place.run(&format!("train x.npy {train} --init scaled --out other"));
    assert!(said.status.success());
    let said = text(&said.stderr);
    assert!(
        said.contains("scaled was trained on rows that were prepared in another way"),
        "{said}"
    );
    let said = place.run(&format!(
        "train x.npy --preprocess standardise {train} --init scaled --out same"
    ));
    assert!(!text(&said.stderr).contains("another way"));
}

#[test]
fn settings_that_make_no_sense() {
    let place = Place::new();
    place.write_npy("narrow.npy", 3, &common::noise(60));
    all_fail(&place, SENSELESS);
}

const SENSELESS: &str = "$ train --arch topk --k 0 --out run
2 error: k must be auto or a whole number not below 1, got 0
$ train --arch topk --k 2.5 --out run
2 error: k must be auto or a whole number not below 1, got 2.5
$ train --arch topk --k 65 --latents 64 --out run
2 error: k must be at most the 64 latents, got 65
$ train narrow.npy --arch topk --k 32 --out run
2 error: k must be at most the 24 latents, got 32
$ train --arch batch-topk --k 64.5 --latents 64 --out run
2 error: k must be at most the 64 latents, got 64.5
$ train --arch batch-topk --k 0 --out run
2 error: k must be auto or a number above 0, got 0
$ train --arch batch-topk --k 0.1 --batch 9 --out run
2 error: k 0.1 keeps no latent at all in a batch of 9; take a larger k or batch
$ train --arch topk --aux-k none --out run
2 error: aux_k must be auto or a whole number not below 1, got none
$ train --arch topk --dead-after 0 --out run
2 error: dead_after must be auto or a whole number not below 1, got 0
$ train --arch topk --aux-coefficient -1 --out run
2 error: aux_coefficient must be a number not below 0, got -1
$ train --arch batch-topk --threshold-decay 1 --out run
2 error: threshold_decay must be a number in (0, 1), got 1
$ train --arch topk --rho 0.1 --out run
2 error: architecture topk has no option rho; it is one of kl
$ train --k 3 --out run
2 error: architecture kl has no option k; it is one of topk, batch-topk, abs-topk, groupmax, matryoshka, matching-pursuit
$ train --arch topk --optimizer lbfgs --out run
2 error: optimizer lbfgs follows a smooth objective, and here it jumps where a row changes its latents; architecture topk is trained by `--optimizer adam`
$ train --arch batch-topk --optimizer sgd --out run
2 error: optimizer sgd has one step length for all latents, and here some fire a thousand times as often as others; architecture batch-topk is trained by `--optimizer adam`
$ train --arch topk --k 4 --clip 0 --out run
2 error: clip must be a finite number above 0, got 0
";
