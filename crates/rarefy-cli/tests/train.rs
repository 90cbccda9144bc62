//! The program from training to reconstruction: what it promises of runs, on small ones.

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Place, noise, text};
use rarefy::data::OpenOptions;
use rarefy::preprocess::RowContext;
use serde_json::Value;

/// What `eval --json` has at least; `train --json` has the same and the four of the run.
const EVAL_FIELDS: [&str; 11] = [
    "rows",
    "mse",
    "explained_variance",
    "l0",
    "dead_latents",
    "dead_fraction",
    "rho",
    "rho_hat_mean",
    "rho_hat_max_deviation",
    "omega",
    "loss",
];
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
            [WEIGHTS, "metrics.jsonl"].map(|file| place.read(&format!("{name}/{file}")))
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
    assert!(config["train"].get("clip").is_none(), "{config}");
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

/// Encode and decode through every format give the model's reconstruction; the means of rows that
/// the preprocessing removes come back where the format carries them.
#[test]
fn codes_decode_to_the_reconstruction() {
    let place = Place::new();
    place.ok("train sample:patches --rows 500 --steps 20 --out run -q");
    let model = rarefy::model::Model::load(&place.path("run")).unwrap();
    let patches = rarefy::data::open("sample:patches", &OpenOptions::default()).unwrap();
    let mut raw = vec![0.0; 300 * 64];
    patches.source.read(0, &mut raw).unwrap();
    let whole = model.reconstruct(&raw);
    let without_means = model.decode(&model.encode(&raw).0, &RowContext::default());
    assert!(
        apart(&whole, &without_means) > 10.0,
        "row means matter here"
    );
    for format in ["npy", "npz", "safetensors", "parquet"] {
        let encoded = place.json(&format!(
            "encode run sample:patches --rows 300 --out codes.{format} --json"
        ));
        assert_eq!(
            (&encoded["rows"], &encoded["latents"]),
            (&300.into(), &25.into())
        );
        let output = place.run(&format!("decode run codes.{format} --out {format}-x.npy"));
        assert!(output.status.success());
        let warned =
            text(&output.stderr).starts_with("warning: the preprocessing removed each row's mean");
        let values = place.read_npy(&format!("{format}-x.npy"));
        let expected = if warned { &without_means } else { &whole };
        assert!(
            apart(&values, expected) < 1e-3,
            "{format}: {}",
            apart(&values, expected)
        );
        assert_eq!(warned, format == "npy", "{format}");
    }
    let dense = place.read_npy("codes.npy");
    assert!(apart(&dense, &model.encode(&raw).0) == 0.0);
    // A threshold drops what lies below it, and only in sparse formats.
    place.ok("encode run sample:patches --rows 300 --out some.npz --threshold 0.2");
    let some = rarefy::formats::codes::read(&place.path("some.npz")).unwrap();
    assert_eq!(
        some.values.len(),
        dense.iter().filter(|h| **h > 0.2).count()
    );
}

/// Codes of more rows than one piece: chunks meet where they should.
#[test]
fn pieces_of_codes_meet() {
    let place = Place::new();
    place.write_npy("long.npy", 2, &noise(2 * 40_000));
    place.ok("train long.npy --rows 200 --latents 3 --steps 5 --preprocess row-mean --decoder linear --out run -q");
    place.ok("encode run long.npy --out codes.safetensors");
    place.ok("decode run codes.safetensors --out x.npy");
    let model = rarefy::model::Model::load(&place.path("run")).unwrap();
    assert!(
        apart(
            &place.read_npy("x.npy"),
            &model.reconstruct(&noise(2 * 40_000))
        ) == 0.0
    );
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn reports_plots_and_checks() {
    let place = Place::new();
    place.ok("train --rows 400 --latents 12 --steps 10 --out run -q");
    std::fs::remove_file(place.path("run/report.html")).unwrap();
    assert_eq!(place.ok("report run"), "run/report.html\n");
    let own = text(&place.read("run/report.html"));
    assert!(
        own.contains("400 rows of 64") && own.starts_with("<!DOCTYPE html>"),
        "{}",
        &own[..200]
    );
    place.ok("report run --data sample:digits");
    assert!(text(&place.read("run/report.html")).contains("1797 rows of 64"));

    place.ok("plot penalty --rho 0.2 --out p.svg");
    let svg = text(&place.read("p.svg"));
    assert!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );

    let checks = place.json("check gradients --json");
    assert_eq!(checks["passed"], true);
    assert!(checks["checks"].as_array().unwrap().len() >= 8, "{checks}");
}

#[test]
fn data_and_models_are_described() {
    let place = Place::new();
    let info = place.json("data info sample:digits --json");
    assert_eq!(
        (&info["rows"], &info["d_in"], &info["min"], &info["max"]),
        (&1797.into(), &64.into(), &0.0.into(), &16.0.into())
    );
    place.ok("data shard sample:digits --shard-rows 1000 --out shards");
    assert_eq!(
        place.everything(),
        ["shards", "shards/shard-00000.npy", "shards/shard-00001.npy"]
    );
    let shards = place.json("data info shards --json");
    for field in ["rows", "d_in", "min", "max", "mean", "standard_deviation"] {
        assert_eq!(info[field], shards[field], "{field}");
    }
    place.ok("train shards --latents 4 --steps 2 --preprocess scale --out run -q");
    let model = place.json("inspect run --json");
    assert_eq!(
        (&model["kind"], &model["d_in"], &model["d_sae"]),
        (&"run".into(), &64.into(), &4.into())
    );
    assert_eq!(place.json("inspect shards --json")["rows"], 1797);
    assert!(
        place
            .ok("inspect run")
            .contains("shapes agree, every weight is finite")
    );
}

#[test]
fn patches_are_cut_from_images() {
    let place = Place::new();
    place.write("grey.png", PNG);
    place.ok("data patches grey.png --size 2x3 --count 50 --out p.npy --seed 3");
    let patches = place.read_npy("p.npy");
    assert_eq!(patches.len(), 50 * 6);
    // The picture's pixel at (row, column) is 10 row + column, so every patch is a plane.
    for patch in patches.chunks_exact(6) {
        let at = |k: f32| patch[0] + k;
        assert_eq!(
            patch,
            [at(0.0), at(1.0), at(2.0), at(10.0), at(11.0), at(12.0)]
        );
    }
}

#[test]
fn lists_are_tables_or_objects() {
    let place = Place::new();
    for (what, word) in [
        ("architectures", "weight_decay"),
        ("formats", "safetensors"),
        ("samples", "sample:words"),
        ("metrics", "rho_hat_mean"),
        ("preprocessing", "zca"),
    ] {
        assert!(place.ok(&format!("list {what}")).contains(word), "{what}");
        let listed = place.json(&format!("list {what} --json"));
        assert!(
            !listed[what].is_null() && listed.to_string().contains(word),
            "{listed}"
        );
    }
}

/// The paths may differ in the last bits, not in what they mean; and they say nothing.
#[test]
fn forced_instructions_give_the_same_figures() {
    let place = Place::new();
    place.ok("train --rows 400 --latents 12 --steps 30 --out run -q");
    let plain = place.json("eval run sample:digits --json");
    for path in ["portable", "avx2", "avx512", "nonsense"] {
        let mut command = place.command("eval run sample:digits --json");
        let output = command.env("RAREFY_CPU", path).output().unwrap();
        assert_eq!(
            (output.status.code(), text(&output.stderr)),
            (Some(0), String::new())
        );
        let forced: Value = serde_json::from_slice(&output.stdout).unwrap();
        for field in EVAL_FIELDS {
            let (a, b) = (
                plain[field].as_f64().unwrap(),
                forced[field].as_f64().unwrap(),
            );
            // One latent that crosses 0.5 in one row moves l0 by a row's share.
            let allowed = 1e-4 * a.abs() + if field == "l0" { 2.0 / 1797.0 } else { 0.0 };
            assert!((a - b).abs() <= allowed, "{path}, {field}: {a} and {b}");
        }
    }
}

/// `rarefy ... | head` and `2>&1 | head`: the reader goes away, the work is done all the same.
#[test]
fn a_reader_that_leaves_stops_nothing() {
    let place = Place::new();
    for (words, code) in [
        ("list architectures", 0),
        ("train --rows 400 --latents 12 --steps 5 --out run", 0),
        (
            "train --rows 400 --latents 12 --batch 8 --steps 200 --out mini",
            0,
        ),
        ("eval run sample:digits", 0),
        ("train missing.npy", 1),
    ] {
        let mut command = place.command(words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{words}");
    }
    assert!(place.path("mini/report.html").exists());
}

/// A grey 8 x 5 picture (width x height) whose pixel at (row, column) is 10 row + column.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 8, 0, 0, 0, 5, 8, 0, 0,
    0, 0, 93, 250, 242, 137, 0, 0, 0, 53, 73, 68, 65, 84, 120, 218, 99, 96, 96, 100, 98, 102, 97,
    101, 99, 103, 224, 226, 230, 225, 229, 227, 23, 16, 100, 16, 17, 21, 19, 151, 144, 148, 146,
    102, 144, 147, 87, 80, 84, 82, 86, 81, 101, 208, 208, 212, 210, 214, 209, 213, 211, 7, 0, 53,
    217, 3, 173, 225, 131, 106, 208, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];
