//! Several paths as one data set, and folders that are written whole.

use rarefy::data::OpenOptions;

use crate::common::{TestDir, npy, text};

/// Three shards of ten rows of four values; the values count from 0.
fn shards(dir: &TestDir) {
    for shard in 0..3 {
        let start = 40 * shard;
        let values: Vec<f32> = (start..start + 40).map(|v| v as f32).collect();
        dir.write_npy(&format!("d/{shard}.npy"), 4, &values);
    }
}

#[test]
fn every_command_takes_several_paths_as_one_data_set() {
    let dir = TestDir::new();
    shards(&dir);
    let info = dir.json("data info d/0.npy d/1.npy d/2.npy --json");
    assert_eq!((&info["rows"], &info["max"]), (&30.into(), &119.0.into()));
    let files = serde_json::json!(["d/0.npy", "d/1.npy", "d/2.npy"]);
    assert_eq!(info["files"], files);
    assert_eq!(info["files"], dir.json("data info d --json")["files"]);
    assert!(dir.ok("data info d").contains("3, from d/0.npy to d/2.npy"));

    let shard = "data shard d/2.npy d/0.npy --shard-rows 100 --out two --json";
    let written = dir.json(shard);
    let expected = serde_json::json!({
        "rows": 20, "d_in": 4, "shards": 1, "shard_rows": 100, "out": "two", "dtype": "float32", "rows_before": 0,
        "left_out": {"first": 0, "special": 0, "outliers": 0},
    });
    assert_eq!(written, expected);
    let refused = text(
        &dir.run("data shard d/2.npy --skip-first 1 --out three")
            .stderr,
    );
    assert!(
        refused.contains("needs the position of each row"),
        "{refused}"
    );
    let refused = dir.run("train d/0.npy --target d/1.npy --skip-bad-rows --out run");
    let refused = text(&refused.stderr);
    assert!(
        refused.contains("would leave out other rows of each file"),
        "{refused}"
    );
    let two = dir.path("two");
    let two = rarefy::data::open(two.to_str().unwrap(), &OpenOptions::default()).unwrap();
    let mut values = vec![0.0; 80];
    two.source.read(0, &mut values).unwrap();
    assert_eq!((values[0], values[40], two.source.rows()), (80.0, 0.0, 20));

    dir.ok("train d/0.npy d/1.npy d/2.npy --arch kl --latents 3 --steps 2 --preprocess scale --out run -q");
    let config = text(&dir.read("run/config.toml"));
    assert!(config.contains("path = \"d/0.npy\""), "{config}");
    assert!(
        config.contains("more = [\"d/1.npy\", \"d/2.npy\"]"),
        "{config}"
    );
    assert_eq!(dir.json("eval run d/0.npy d/1.npy --json")["rows"], 20);
    let encoded = dir.json("encode run d/0.npy d/1.npy d/2.npy --out codes.npz --json");
    assert_eq!(encoded["rows"], 30);
    // The report reads all paths of the run; one path given anew replaces all of them.
    dir.ok("report run");
    assert!(text(&dir.read("run/report.html")).contains("30 rows of 4"));
    dir.ok("report --data d/2.npy --data d/0.npy run");
    assert!(text(&dir.read("run/report-2.html")).contains("20 rows of 4"));
    dir.ok("train d/1.npy --config run/config.toml --out one -q");
    let config = text(&dir.read("one/config.toml"));
    assert!(!config.contains("more"), "{config}");
    let arch = "--arch topk --latents 8 --steps 2 --batch 10 --holdout 5";
    dir.ok(&format!("frontier d/0.npy d/1.npy {arch} --out front -q"));
    assert!(text(&dir.read("front/frontier.json")).contains("d/1.npy"));
}

#[test]
fn info_and_inspect_agree_with_data_and_model() {
    let dir = TestDir::new();
    let info = dir.json("data info sample:digits --json");
    assert_eq!(
        (&info["rows"], &info["d_in"], &info["min"], &info["max"]),
        (&1797.into(), &64.into(), &0.0.into(), &16.0.into())
    );
    dir.ok("data shard sample:digits --shard-rows 1000 --out shards");
    assert_eq!(
        dir.everything(),
        [
            "shards",
            "shards/_manifest.json",
            "shards/cells",
            "shards/cells/shard-00000.jsonl",
            "shards/cells/shard-00001.jsonl",
            "shards/shard-00000.safetensors",
            "shards/shard-00001.safetensors"
        ]
    );
    let verified = dir.json("data verify shards --json");
    assert_eq!(
        (&verified["rows"], &verified["files"]),
        (&1797.into(), &4.into())
    );
    let shards = dir.json("data info shards --json");
    for field in [
        "rows",
        "d_in",
        "min",
        "max",
        "mean",
        "standard_deviation",
        "image_shape",
        "first_labels",
    ] {
        assert_eq!(info[field], shards[field], "{field}");
    }
    dir.ok("train shards --latents 4 --steps 2 --preprocess scale --out run -q");
    let model = dir.json("inspect run --json");
    assert_eq!(
        (&model["kind"], &model["d_in"], &model["d_sae"]),
        (&"run".into(), &64.into(), &4.into())
    );
    assert_eq!(dir.json("inspect shards --json")["rows"], 1797);
    assert!(
        dir.ok("inspect run")
            .contains("shapes agree, every weight is finite")
    );
}

#[test]
fn encode_does_not_overwrite_any_of_its_inputs() {
    let dir = TestDir::new();
    shards(&dir);
    dir.ok("train d --latents 3 --steps 2 --preprocess scale --out run -q");
    let before = dir.read("d/1.npy");
    let output = dir.run("encode run d/0.npy d/1.npy --out d/1.npy");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("which would be lost"));
    assert_eq!(dir.read("d/1.npy"), before);
}

#[test]
fn failed_shard_leaves_no_folder_and_an_empty_folder_stays_empty() {
    let dir = TestDir::new();
    let mut values: Vec<f32> = (0..40).map(|v| v as f32).collect();
    values[38] = f32::NAN;
    dir.write("nan.npy", npy(4, &values));
    std::fs::create_dir(dir.path("empty")).unwrap();
    let before = dir.everything();
    for out in ["new", "empty", "deep/er"] {
        let output = dir.run(&format!("data shard nan.npy --shard-rows 2 --out {out}"));
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    }
    let after = dir.everything();
    let after: Vec<&String> = after.iter().filter(|path| *path != "deep").collect();
    assert_eq!(after, before.iter().collect::<Vec<_>>());
    values[38] = 0.0;
    dir.write("good.npy", npy(4, &values));
    dir.ok("data shard good.npy --shard-rows 5 --out empty");
    assert_eq!(dir.json("data info empty --json")["rows"], 10);
}

/// A process that is killed after its first shard leaves a store that is refused, and continues to the bytes of one that was never stopped.
#[cfg(unix)]
#[test]
fn killed_shard_is_refused_until_it_is_continued() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &vec![1.0; 4 * 2000]);
    let command = |out: &str| format!("data shard x.npy --shard-rows 1 --out {out}");
    dir.ok(&command("whole"));
    for there in [false, true] {
        let out = format!("out-{there}");
        if there {
            std::fs::create_dir(dir.path(&out)).unwrap();
        }
        let mut child = dir.command(&command(&out)).spawn().unwrap();
        let first = dir.path(&format!("{out}/shard-00000.safetensors"));
        while !first.exists() {
            assert!(
                child.try_wait().unwrap().is_none(),
                "it ended before it was killed"
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for words in [
            "data info",
            "data verify",
            "train --latents 2 --steps 1 --out run",
        ] {
            let output = dir.run(&format!("{words} {out}"));
            assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
            assert!(
                text(&output.stderr).contains("not complete"),
                "{}",
                text(&output.stderr)
            );
        }
        dir.ok(&format!("{} --resume", command(&out)));
        dir.assert_equal_folders(&out, "whole");
    }
}

#[cfg(unix)]
#[test]
fn path_that_is_not_utf_8_is_refused_with_the_reason() {
    use std::os::unix::ffi::OsStrExt;
    let dir = TestDir::new();
    let odd = std::ffi::OsStr::from_bytes(b"b\xff.npy");
    for words in ["train", "data info", "eval run", "encode run --out c.npz"] {
        let output = dir.command(words).arg(odd).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains("expected a path in UTF-8"),
            "{words}: {error}"
        );
    }
}

#[test]
fn roles_of_columns_are_in_the_json_of_data_info_and_set_by_flags() {
    let dir = TestDir::new();
    dir.write("x.csv", "id,a,b,class,note\n5,1,2,u,x\n6,3,4,,y\n");
    let roles = |flags: &str| {
        let info = dir.json(&format!("data info x.csv --json {flags}"));
        let columns = info["columns"].as_array().unwrap().clone();
        let roles: Vec<String> = columns.iter().map(|c| c["role"].to_string()).collect();
        (roles.join(" ").replace('"', ""), info["d_in"].clone())
    };
    let (expected, two) = (
        "id data data label left-out".to_owned(),
        serde_json::json!(2),
    );
    assert_eq!(roles(""), (expected, two));
    assert_eq!(
        roles("--columns b --label note").0,
        "id left-out data left-out label"
    );
    let shown = text(&dir.run("data info x.csv").stderr);
    let note = "x.csv: 2 of 5 columns are data: a, b; label: class; left out: id (name of an id), note (text)";
    assert!(shown.contains(note), "{shown}");
}

/// Noise of size 1 around 10^9, which `f32` holds in steps of 64.
#[test]
fn digits_beyond_f32_reach_models_shards_and_summaries() {
    let dir = TestDir::new();
    let noise = |at: usize| (at as f64 * 12.9898).sin() + (at as f64 * 4.1).cos();
    let rows = |offset: f64| (0..300 * 4).flat_map(move |at| (offset + noise(at)).to_le_bytes());
    let array = |bytes: Vec<u8>| {
        let header = rarefy::data::npy::header_of("<f8", &[300, 4]);
        [header, bytes].concat()
    };
    dir.write("far.npy", array(rows(1e9).collect()));
    dir.write("near.npy", array(rows(0.0).collect()));
    let info = dir.json("data info far.npy --json");
    let near = dir.json("data info near.npy --json");
    let deviation = |info: &serde_json::Value| info["standard_deviation"].as_f64().unwrap();
    assert_eq!(info["constant_columns"], 0);
    assert!((deviation(&info) - deviation(&near)).abs() < 1e-5);
    dir.ok("data shard far.npy --shard-rows 200 --out shards");
    for data in ["far.npy", "shards"] {
        let flags =
            "--arch topk --k 2 --latents 8 --steps 60 --batch 50 --seed 1 --preprocess standardise";
        let run = |data: &str, out: &str| {
            let done = dir.json(&format!("train {data} {flags} --out {out} --json"));
            dir.ok(&format!("encode {out} {data} --out {out}.npy"));
            let eval = dir.json(&format!("eval {out} {data} --json"));
            assert_eq!(eval["explained_variance"], done["explained_variance"]);
            (
                eval["explained_variance"].as_f64().unwrap(),
                dir.read_npy(&format!("{out}.npy")),
            )
        };
        let (far, codes) = run(data, &format!("run-{data}"));
        let (near, expected) = run("near.npy", &format!("run-near-{data}"));
        assert!((far - near).abs() < 1e-3, "{data}: {far}, expected {near}");
        let active = |codes: &[f32]| codes.iter().map(|v| *v != 0.0).collect::<Vec<_>>();
        let same = active(&codes)
            .iter()
            .zip(active(&expected))
            .filter(|(a, b)| **a == *b)
            .count();
        assert!(
            same * 100 > codes.len() * 98,
            "{data}: {same} of {}",
            codes.len()
        );
    }
}

#[test]
fn second_writer_of_a_store_is_refused() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &[1.0; 40]);
    dir.ok("data shard x.npy --out store");
    let lock = std::fs::File::create(dir.path("store/run.lock")).unwrap();
    std::fs::write(dir.path("store/run.lock"), "4711").unwrap();
    lock.lock().unwrap();
    for flag in ["--append", "--resume", ""] {
        let output = dir.run(&format!("data shard x.npy --out store {flag}"));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("held by process 4711"), "{error}");
    }
    assert_eq!(dir.json("data info store --json")["rows"], 10);
}
