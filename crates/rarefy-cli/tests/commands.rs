//! Every command except `train`: files written, output printed, files read back.

use std::process::Stdio;

use crate::common::{EVAL_FIELDS, Page, SPARSE_FIELDS, TestDir, noise, text};
use rarefy::data::OpenOptions;
use rarefy::preprocess::RowContext;
use serde_json::Value;

/// Row means that the preprocessing removes are restored if the format of the codes holds them.
#[test]
fn codes_of_kl_decode_to_the_reconstruction_in_every_format() {
    let dir = TestDir::new();
    dir.ok("train sample:patches --rows 500 --steps 20 --out run -q");
    let model = rarefy::model::Model::load(&dir.path("run")).unwrap();
    let patches = rarefy::data::open("sample:patches", &OpenOptions::default()).unwrap();
    let mut raw = vec![0.0; 300 * 64];
    patches.source.read(0, &mut raw).unwrap();
    let whole = model.reconstruct_raw(&raw);
    let without_means = model.decode_latents(&model.latents(&raw).0, &RowContext::default());
    assert!(
        apart(&whole, &without_means) > 10.0,
        "row means matter here"
    );
    for format in ["npy", "npz", "safetensors", "parquet"] {
        let encoded = dir.json(&format!(
            "encode run sample:patches --rows 300 --out codes.{format} --json"
        ));
        assert_eq!(
            (&encoded["rows"], &encoded["latents"]),
            (&300.into(), &25.into())
        );
        let output = dir.run(&format!("decode run codes.{format} --out {format}-x.npy"));
        assert!(output.status.success());
        let warned =
            text(&output.stderr).starts_with("warning: preprocessing row-mean removed the mean");
        let values = dir.read_npy(&format!("{format}-x.npy"));
        let expected = if warned { &without_means } else { &whole };
        assert!(
            apart(&values, expected) < 1e-3,
            "{format}: {}",
            apart(&values, expected)
        );
        assert_eq!(warned, format == "npy", "{format}");
    }
    let dense = dir.read_npy("codes.npy");
    assert!(apart(&dense, &model.latents(&raw).0) == 0.0);
    // A threshold drops what lies below it, and only in sparse formats.
    dir.ok("encode run sample:patches --rows 300 --out some.npz --threshold 0.2");
    let some = rarefy::formats::codes::read(&dir.path("some.npz")).unwrap();
    assert_eq!(
        some.values.len(),
        dense.iter().filter(|h| **h > 0.2).count()
    );
}

#[test]
fn codes_of_40000_rows_decode_without_gaps_between_pieces() {
    let dir = TestDir::new();
    dir.write_npy("long.npy", 2, &noise(2 * 40_000));
    dir.ok("train long.npy --rows 200 --latents 3 --steps 5 --preprocess row-mean --decoder linear --out run -q");
    dir.ok("encode run long.npy --out codes.safetensors");
    dir.ok("decode run codes.safetensors --out x.npy");
    let model = rarefy::model::Model::load(&dir.path("run")).unwrap();
    assert!(
        apart(
            &dir.read_npy("x.npy"),
            &model.reconstruct_raw(&noise(2 * 40_000))
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
fn report_plot_and_check_write_their_results() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --latents 12 --steps 10 --out run -q");
    std::fs::remove_file(dir.path("run/report.html")).unwrap();
    assert_eq!(dir.ok("report run"), "run/report.html\n");
    let own = text(&dir.read("run/report.html"));
    assert!(
        own.contains("400 rows of 64") && own.starts_with("<!DOCTYPE html>"),
        "{}",
        &own[..200]
    );
    // Other data gets a page of its own.
    let other = dir.ok("report run --data sample:digits");
    assert_eq!(other, "run/report-digits.html\n");
    assert!(text(&dir.read("run/report-digits.html")).contains("1797 rows of 64"));
    assert!(own == text(&dir.read("run/report.html")));
    dir.ok("report run --out page.html");
    assert!(own == text(&dir.read("page.html")));

    dir.ok("plot penalty --rho 0.2 --out p.svg");
    let svg = text(&dir.read("p.svg"));
    assert!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{svg}"
    );

    for arch in ["kl", "topk", "batch-topk"] {
        let checks = dir.json(&format!("check gradients --arch {arch} --json"));
        assert_eq!(checks["passed"], true, "{checks}");
        assert!(checks["checks"].as_array().unwrap().len() >= 8, "{checks}");
    }
}

#[test]
fn labels_and_texts_name_the_rows_of_a_latent_in_the_report() {
    let dir = TestDir::new();
    let row = |i: usize| {
        let class = ["even", "odd"][i % 2];
        format!(
            r#"{{"x": [{}, {}, 1], "text": "sentence\nnumber {i}", "label": "{class}"}}"#,
            i % 2,
            i % 3
        )
    };
    let rows: Vec<String> = (0..30).map(row).collect();
    dir.write("rows.jsonl", rows.join("\n"));
    let info = dir.json("data info rows.jsonl --json");
    assert_eq!(info["first_texts"][2], "sentence number 2");
    assert!(dir.ok("data info rows.jsonl").contains("sentence number 2"));
    dir.ok("train rows.jsonl --arch topk --latents 4 --k 1 --steps 5 --batch 10 --out run -q");
    let page = Page::of(&dir, "run");
    assert_eq!(page.texts("row_text").len(), page.texts("row_label").len());
    assert!(
        page.texts("row_text")
            .contains(&"sentence\nnumber 1".into())
    );
    dir.ok("train rows.jsonl --exclude label --arch topk --latents 4 --k 1 --steps 5 --batch 10 --out plain -q");
    assert!(!Page::of(&dir, "plain").has("row_label"));
}

#[test]
fn missing_file_is_compared_with_those_beside_it() {
    let dir = TestDir::new();
    dir.write_npy("d/good.npy", 1, &[1.0]);
    for (given, there) in [("d/god.npy", Some("d/good.npy")), ("d/other.csv", None)] {
        let error = text(&dir.run(&format!("data info {given}")).stderr);
        assert!(error.contains("No such file"), "{error}");
        let hint = there.map(|there| format!("hint: there is {there}"));
        assert_eq!(error.lines().nth(1).map(str::to_owned), hint, "{error}");
    }
}

#[test]
fn patches_contain_the_pixels_of_the_image() {
    let dir = TestDir::new();
    dir.write("grey.png", PNG);
    dir.ok("data patches grey.png --size 2x3 --count 50 --out p.npy --seed 3");
    let patches = dir.read_npy("p.npy");
    assert_eq!(patches.len(), 50 * 6);
    // The image's pixel at (row, column) is 10 row + column, so every patch is a plane.
    for patch in patches.chunks_exact(6) {
        let at = |k: f32| patch[0] + k;
        assert_eq!(
            patch,
            [at(0.0), at(1.0), at(2.0), at(10.0), at(11.0), at(12.0)]
        );
    }
}

/// The grey picture has three equal channels in colour; the file's axes say so to the next reader.
#[test]
fn colour_patches_stay_colour_in_data_model_and_report() {
    let dir = TestDir::new();
    dir.write("grey.png", PNG);
    dir.ok("data patches grey.png --size 2x3 --count 50 --channels colour --out p.npy --seed 3");
    let info = dir.json("data info p.npy --json");
    for (field, expected) in [("rows", 50), ("d_in", 18), ("image_channels", 3)] {
        assert_eq!(info[field], expected, "{field}");
    }
    assert_eq!(info["image_shape"], serde_json::json!([2, 3]));
    dir.ok("train p.npy --latents 4 --steps 2 --out run -q");
    let page = Page::of(&dir, "run");
    assert_eq!(page.head["picture"]["channels"], 3);
    assert_eq!(page.bytes("filter_px").len(), 4 * 18);
}

#[test]
fn damaged_image_is_refused_unless_accepted() {
    let dir = TestDir::new();
    dir.write("cut.png", &PNG[..PNG.len() - 12]);
    let failed = dir.run("data patches cut.png --size 2x3 --count 5 --out p.npy");
    assert_eq!(failed.status.code(), Some(1));
    let error = text(&failed.stderr);
    assert!(error.contains("cut.png: damaged PNG image"), "{error}");
    assert!(error.contains("--accept-damaged"), "{error}");
    dir.ok("data patches cut.png --size 2x3 --count 5 --out p.npy --accept-damaged");
    assert_eq!(dir.read_npy("p.npy").len(), 30);
}

#[test]
fn list_prints_a_table_or_json() {
    let dir = TestDir::new();
    for (what, word) in [
        ("architectures", "weight_decay"),
        ("formats", "safetensors"),
        ("samples", "sample:words"),
        ("metrics", "rho_hat_mean"),
        ("metrics", "matched_cosine"),
        ("preprocessing", "zca"),
    ] {
        assert!(dir.ok(&format!("list {what}")).contains(word), "{what}");
        let listed = dir.json(&format!("list {what} --json"));
        assert!(
            !listed[what].is_null() && listed.to_string().contains(word),
            "{listed}"
        );
    }
}

/// Paths may differ in the last bits only, and print nothing on stderr.
#[test]
fn rarefy_cpu_changes_no_metric_beyond_rounding() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --latents 12 --steps 30 --out run -q");
    let plain = dir.json("eval run sample:digits --json");
    for path in ["portable", "avx2", "avx512", "nonsense"] {
        let forced = under(&dir, path, "eval run sample:digits --json");
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

/// Equal metrics prove nothing if the variable is ignored, so the path that `bench` reports is checked.
#[test]
fn rarefy_cpu_sets_the_path_that_bench_reports() {
    let dir = TestDir::new();
    let bench = "bench objective --json --rows 64 --d-in 8 --latents 4 --repeats 1";
    let best = dir.json(bench)["path"].clone();
    assert_eq!(under(&dir, "nonsense", bench)["path"], best);
    assert_eq!(under(&dir, "portable", bench)["path"], "Portable");
    // A machine without AVX2 ignores the variable by design.
    if best != "Portable" {
        assert_eq!(under(&dir, "avx2", bench)["path"], "Avx2");
    }
}

const STEP: &str = "bench step --json --rows 64 --d-in 16 --latents 128 --k 4 --steps 2";

#[test]
fn bench_step_with_dead_latents_times_the_auxiliary_stage() {
    let dir = TestDir::new();
    let alive = dir.json(STEP);
    let dead = dir.json(&format!("{STEP} --dead 40"));
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
    // The table has the same numbers.
    let table = dir.ok(&format!("{} --dead 40", STEP.replace("--json", "")));
    let lines: Vec<Vec<&str>> = table
        .lines()
        .rev()
        .take(2)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1][..4], ["d_in", "latents", "k", "dead"]);
    assert_eq!(lines[0][..4], ["16", "128", "4", "40"]);
}

/// Architectures without a k have about the number of active latents asked for. kl has no step of the sparse engine.
#[test]
fn bench_step_times_every_sparse_architecture_and_refuses_kl() {
    let dir = TestDir::new();
    for arch in ["relu", "jumprelu", "gated", "matryoshka", "groupmax"] {
        let measured = dir.json(&format!("{STEP} --arch {arch}"));
        assert_eq!(measured["arch"], arch);
        let l0 = measured["l0"].as_f64().unwrap();
        assert!((1.0..12.0).contains(&l0), "{arch}: {l0}");
    }
    let refused = dir.run(&format!("{STEP} --arch kl"));
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.contains("architecture kl has no step of the sparse engine"),
        "{said}"
    );
}

#[test]
fn bench_step_names_the_arithmetic_of_the_selection() {
    let dir = TestDir::new();
    let screen = |path: &str| under(&dir, path, STEP)["screen"].to_string();
    assert!(screen("portable").contains("f32 products (this machine"));
    if under(&dir, "nonsense", STEP)["machine"]["path"] != "Portable" {
        assert!(screen("nonsense").contains("products of bytes"));
    }
}

#[test]
fn bench_sizes_beyond_memory_are_refused() {
    let dir = TestDir::new();
    for (words, reason) in [
        (
            "bench step --latents 8 --k 9",
            "error: `--k` must be at most the 8 latents, got 9",
        ),
        (
            "bench step --latents 40 --k 32 --dead 9",
            "error: `--dead` must be at most 8, so that k of the 40 latents are alive, got 9",
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
        let output = dir.run(words);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.starts_with(reason), "{words}: {said}");
        assert_eq!(text(&output.stdout), "", "{words}");
    }
}

/// JSON that the program prints with `RAREFY_CPU` set; stderr must be empty.
#[track_caller]
fn under(dir: &TestDir, path: &str, words: &str) -> Value {
    let mut command = dir.command(words);
    let output = command.env("RAREFY_CPU", path).output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `list metrics` has exactly the metrics that `eval` reports.
#[test]
fn every_metric_of_eval_is_listed() {
    let dir = TestDir::new();
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
        dir.ok(&run);
        let evaluated = dir.json(&format!("eval {arch} sample:digits --json"));
        let reported = sorted(evaluated.as_object().unwrap().keys().cloned().collect());
        assert_eq!(reported, owned(fields), "{arch}");
        all.extend(reported);
    }
    let cross = "--with sample:digits --rows 100";
    dir.ok(&format!(
        "train --arch topk --latents 32 --steps 2 --out cross -q {cross}"
    ));
    let evaluated = dir.json(&format!("eval cross sample:digits --json {cross}"));
    all.extend(evaluated.as_object().unwrap().keys().cloned());
    let listed: Vec<&str> = rarefy::metrics::METRICS.iter().map(|m| m.0).collect();
    assert_eq!(sorted(all), owned(&listed));
}

/// `rarefy ... | head` and `2>&1 | head`: the work is finished after the pipe is closed.
#[test]
fn closed_pipe_does_not_stop_a_command() {
    let dir = TestDir::new();
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
        let mut command = dir.command(words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code), "{words}");
    }
    assert!(dir.path("mini/report.html").exists());
}

/// Grey 8 x 5 image (width x height) whose pixel at (row, column) is 10 row + column.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 8, 0, 0, 0, 5, 8, 0, 0,
    0, 0, 93, 250, 242, 137, 0, 0, 0, 53, 73, 68, 65, 84, 120, 218, 99, 96, 96, 100, 98, 102, 97,
    101, 99, 103, 224, 226, 230, 225, 229, 227, 23, 16, 100, 16, 17, 21, 19, 151, 144, 148, 146,
    102, 144, 147, 87, 80, 84, 82, 86, 81, 101, 208, 208, 212, 210, 214, 209, 213, 211, 7, 0, 53,
    217, 3, 173, 225, 131, 106, 208, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];

/// An output that is an input would replace the data, the photograph or the model.
#[test]
fn outputs_that_are_inputs_are_refused_and_nothing_is_lost() {
    let dir = TestDir::new();
    dir.write_npy("in.npy", 4, &noise(400));
    dir.ok("train in.npy --arch topk --k 2 --latents 8 --steps 5 --batch 50 --out run -q");
    dir.ok("encode run in.npy --out codes.npz");
    dir.write("grey.png", PNG);
    let before: Vec<Vec<u8>> = ["in.npy", "codes.npz", "grey.png", "run/model/cfg.json"]
        .map(|name| dir.read(name))
        .into();
    for words in [
        "encode run in.npy --out ./in.npy",
        "encode run in.npy --out run/model/sae_weights.safetensors",
        "data patches grey.png --size 2x3 --count 5 --out grey.png",
        "synth --rows 10 --out s.npy --codes s.npy",
        "synth --rows 10 --out s.npy --codes s.truth.safetensors",
    ] {
        let output = dir.run(words);
        let err = text(&output.stderr);
        assert!(!output.status.success(), "{words}");
        assert!(err.contains("would be lost"), "{words}: {err}");
    }
    let after: Vec<Vec<u8>> = ["in.npy", "codes.npz", "grey.png", "run/model/cfg.json"]
        .map(|name| dir.read(name))
        .into();
    assert!(before == after);
    // A new file in a run's folder is not refused.
    dir.ok("encode run in.npy --out run/codes.npz");
    dir.ok("encode run in.npy --out run/codes.npz");
}
