//! Every command but `train`: what it writes, says and reads back.

mod common;

use std::process::Stdio;

use common::{EVAL_FIELDS, Place, SPARSE_FIELDS, noise, text};
use rarefy::data::OpenOptions;
use rarefy::preprocess::RowContext;
use serde_json::Value;

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
            text(&output.stderr).starts_with("warning: the preprocessing (row-mean) took each row");
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

    for arch in ["kl", "topk", "batch-topk"] {
        let checks = place.json(&format!("check gradients --arch {arch} --json"));
        assert_eq!(checks["passed"], true, "{checks}");
        assert!(checks["checks"].as_array().unwrap().len() >= 8, "{checks}");
    }
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
        ("metrics", "matched_cosine"),
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
        let forced = under(&place, path, "eval run sample:digits --json");
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

/// Figures that agree prove nothing if the variable is ignored: the program says what it runs on.
#[test]
fn forced_instructions_are_the_ones_used() {
    let place = Place::new();
    let bench = "bench objective --json --rows 64 --d-in 8 --latents 4 --repeats 1";
    let best = place.json(bench)["path"].clone();
    assert_eq!(under(&place, "nonsense", bench)["path"], best);
    assert_eq!(under(&place, "portable", bench)["path"], "Portable");
    // A machine without AVX2 ignores the wish by design.
    if best != "Portable" {
        assert_eq!(under(&place, "avx2", bench)["path"], "Avx2");
    }
}

const STEP: &str = "bench step --json --rows 64 --d-in 16 --latents 128 --k 4 --steps 2";

/// Latents that start dead stay so over a short measurement, and the auxiliary stage has work.
#[test]
fn a_step_is_timed_with_latents_dead() {
    let place = Place::new();
    let alive = place.json(STEP);
    let dead = place.json(&format!("{STEP} --dead 40"));
    assert_eq!((&alive["dead"], &dead["dead"]), (&0.into(), &40.into()));
    for measured in [&alive, &dead] {
        let stages = measured["stage_seconds"].as_object().unwrap();
        let named: Vec<&str> = stages.keys().map(String::as_str).collect();
        assert_eq!(
            named,
            ["auxiliary", "backward", "decode", "encode", "update"]
        );
        assert!(measured["samples_per_second"].as_f64() > Some(0.0));
    }
    let seconds = |measured: &Value| measured["stage_seconds"]["auxiliary"].as_f64();
    assert!(seconds(&dead) > seconds(&alive), "{dead} {alive}");
    // The table has a line for each number.
    let table = place.ok(&format!("{} --dead 40", STEP.replace("--json", "")));
    let lines: Vec<Vec<&str>> = table
        .lines()
        .rev()
        .take(2)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1][..4], ["d_in", "latents", "k", "dead"]);
    assert_eq!(lines[0][..4], ["16", "128", "4", "40"]);
}

/// Other architectures keep about as many latents as they are told, and the lecture's has no such step.
#[test]
fn a_step_of_any_sparse_architecture_is_timed() {
    let place = Place::new();
    for arch in ["relu", "jumprelu", "gated", "matryoshka", "groupmax"] {
        let measured = place.json(&format!("{STEP} --arch {arch}"));
        assert_eq!(measured["arch"], arch);
        let l0 = measured["l0"].as_f64().unwrap();
        assert!((1.0..12.0).contains(&l0), "{arch}: {l0}");
    }
    let refused = place.run(&format!("{STEP} --arch kl"));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("architecture kl has no step of the sparse engine"),
        "{said}"
    );
}

/// The program says how it looked for the largest latents: bytes gain nothing without instructions.
#[test]
fn a_step_says_what_it_searched_with() {
    let place = Place::new();
    let screen = |path: &str| under(&place, path, STEP)["screen"].to_string();
    assert!(screen("portable").contains("f32 products (this machine"));
    if under(&place, "nonsense", STEP)["machine"]["path"] != "Portable" {
        assert!(screen("nonsense").contains("products of bytes"));
    }
}

/// Sizes that no machine has room for are refused before anything is made.
#[test]
fn absurd_sizes_are_refused() {
    let place = Place::new();
    for (words, reason) in [
        (
            "bench step --latents 8 --k 9",
            "error: k must be at most the 8 latents, got 9",
        ),
        (
            "bench step --latents 40 --k 32 --dead 9",
            "error: dead must be at most 8, so that k of the 40 latents are alive, got 9",
        ),
        (
            "bench step --rows 4294967295 --d-in 4294967295 --latents 4294967295",
            "error: a step on 4294967295 rows of 4294967295 with 4294967295 latents takes about 1",
        ),
        (
            "bench step --d-in 9000000 --latents 100",
            "error: a step on 4096 rows of 9000000 with 100 latents takes about 129",
        ),
        (
            "bench objective --rows 4000000000 --d-in 4000000000",
            "error: the objective on 4000000000 rows of 4000000000 with 196 latents takes about 64",
        ),
    ] {
        let output = place.run(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.starts_with(reason), "{words}: {said}");
        assert_eq!(text(&output.stdout), "", "{words}");
    }
}

/// The JSON that the program prints with `RAREFY_CPU` set; nothing on stderr.
#[track_caller]
fn under(place: &Place, path: &str, words: &str) -> Value {
    let mut command = place.command(words);
    let output = command.env("RAREFY_CPU", path).output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `list metrics` explains what `eval` reports, all of it and nothing else.
#[test]
fn every_figure_of_eval_is_listed() {
    let place = Place::new();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names.dedup();
        names
    };
    let owned = |names: &[&str]| sorted(names.iter().map(|n| (*n).to_owned()).collect());
    let mut all = Vec::new();
    for (arch, fields) in [
        ("kl", &EVAL_FIELDS[..]),
        ("topk", &SPARSE_FIELDS),
        ("batch-topk", &SPARSE_FIELDS),
    ] {
        let run = format!("train --arch {arch} --rows 100 --latents 32 --steps 2 --out {arch} -q");
        place.ok(&run);
        let evaluated = place.json(&format!("eval {arch} sample:digits --json"));
        let reported = sorted(evaluated.as_object().unwrap().keys().cloned().collect());
        assert_eq!(reported, owned(fields), "{arch}");
        all.extend(reported);
    }
    let cross = "--with sample:digits --rows 100";
    place.ok(&format!(
        "train --arch topk --latents 32 --steps 2 --out cross -q {cross}"
    ));
    let evaluated = place.json(&format!("eval cross sample:digits --json {cross}"));
    all.extend(evaluated.as_object().unwrap().keys().cloned());
    let listed: Vec<&str> = rarefy::metrics::METRICS.iter().map(|m| m.0).collect();
    assert_eq!(sorted(all), owned(&listed));
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
