//! Run folders: names claimed at once, locks, runs that ended early, damaged checkpoints, advice after a bad run.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::common::{TestDir, text};

const SMALL: &str = "train --rows 100 --latents 4";

/// Text of stderr of a call that must fail.
#[track_caller]
fn fails(dir: &TestDir, words: &str) -> String {
    let output = dir.run(words);
    assert!(!output.status.success(), "{words}");
    text(&output.stderr)
}

#[test]
fn eight_runs_started_at_once_get_eight_folders() {
    let dir = TestDir::new();
    let start = |seed: usize| {
        let mut command = dir.command(&format!("{SMALL} --steps 2 -q --seed {seed}"));
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let runs: Vec<_> = (0..8).map(start).collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let seed = |n: usize| {
        let config = text(&dir.read(&format!("runs/kl-digits-{n}/config.toml")));
        config
            .lines()
            .find(|line| line.starts_with("seed = "))
            .unwrap()
            .to_owned()
    };
    let seeds: BTreeSet<String> = (1..=8).map(seed).collect();
    assert_eq!(seeds.len(), 8);
    assert!(
        !dir.everything()
            .iter()
            .any(|file| file.ends_with("run.lock"))
    );
}

#[test]
fn failed_run_leaves_no_folder() {
    let dir = TestDir::new();
    fails(&dir, "train missing.npy");
    fails(&dir, "train missing.npy --out a/b");
    assert_eq!(dir.everything(), [""; 0]);
}

#[test]
fn folder_of_a_live_run_is_refused_with_its_process_id() {
    let dir = TestDir::new();
    dir.ok(&format!("{SMALL} --steps 2 --out run -q"));
    let lock = std::fs::File::create(dir.path("run/run.lock")).unwrap();
    std::fs::write(dir.path("run/run.lock"), "4711").unwrap();
    lock.lock().unwrap();
    let before = dir.read("run/config.toml");
    for words in [
        "--steps 3 --out run --force",
        "--out run --resume --steps 9",
        "--out run",
    ] {
        let error = fails(&dir, &format!("{SMALL} {words}"));
        assert!(
            error.contains("a run in progress, held by process 4711"),
            "{error}"
        );
    }
    assert_eq!(dir.read("run/config.toml"), before);
    drop(lock);
    dir.ok(&format!("{SMALL} --steps 3 --out run --force -q"));
}

#[test]
fn run_without_a_checkpoint_begins_at_step_0() {
    let dir = TestDir::new();
    dir.ok(&format!("{SMALL} --steps 5 --out whole -q"));
    dir.write("killed/config.toml", dir.read("whole/config.toml"));
    dir.write("killed/checkpoints/.rarefy-abc", "half");
    let error = fails(&dir, &format!("{SMALL} --steps 5 --out killed"));
    assert!(
        error.contains("a run without a checkpoint; start it from step 0 with --resume"),
        "{error}"
    );
    let output = dir.run("train --out killed --resume");
    let err = text(&output.stderr);
    assert!(
        output.status.success() && err.contains("starting from step 0"),
        "{err}"
    );
    let weights = "model/sae_weights.safetensors";
    assert_eq!(
        dir.read(&format!("killed/{weights}")),
        dir.read(&format!("whole/{weights}"))
    );
    assert!(!dir.path("killed/checkpoints/.rarefy-abc").exists());
}

#[test]
fn rest_of_a_run_without_a_configuration_is_replaced_with_force() {
    let dir = TestDir::new();
    dir.write("rest/.rarefy-abc", "");
    std::fs::create_dir(dir.path("rest/checkpoints")).unwrap();
    let error = fails(&dir, &format!("{SMALL} --steps 1 --out rest"));
    assert!(
        error.contains("rest of a run without config.toml; replace it with --force"),
        "{error}"
    );
    dir.ok(&format!("{SMALL} --steps 1 --out rest --force -q"));
}

#[test]
fn older_checkpoint_is_used_if_the_newest_is_damaged() {
    let dir = TestDir::new();
    let train = format!("{SMALL} --steps 30 --set checkpoint_every=10 -q --out");
    dir.ok(&format!("{train} whole"));
    dir.ok(&format!("{train} run"));
    let newest = "run/checkpoints/step-000000000030.safetensors";
    let mut bytes = dir.read(newest);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    dir.write(newest, &bytes);
    std::fs::remove_file(dir.path("run/metrics.jsonl")).unwrap();
    let output = dir.run("train --out run --resume");
    let err = text(&output.stderr);
    assert!(output.status.success(), "{err}");
    for expected in [
        "damaged: expected the checksum",
        "an older checkpoint is used",
        "continuing from step 20",
        "metrics.jsonl is missing",
    ] {
        assert!(err.contains(expected), "{expected}: {err}");
    }
    let weights = "model/sae_weights.safetensors";
    assert_eq!(
        dir.read(&format!("run/{weights}")),
        dir.read(&format!("whole/{weights}"))
    );
}

#[test]
fn checkpoint_without_a_checksum_is_read_and_nan_is_refused() {
    let dir = TestDir::new();
    dir.ok(&format!("{SMALL} --steps 5 --out run -q"));
    let path = "run/checkpoints/step-000000000005.safetensors";
    let whole = dir.read(path);
    let sum = whole.windows(8).position(|w| w == b"\\\"crc32\\").unwrap();
    // Another key: the file then has no checksum.
    let mut old = whole.clone();
    old[sum + 2..sum + 7].copy_from_slice(b"crc00");
    dir.write(path, &old);
    dir.ok("train --out run --resume --steps 6 -q");
    let length = usize::try_from(u64::from_le_bytes(old[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&old[8..8 + length]).unwrap();
    let start = header["params"]["data_offsets"][0].as_u64().unwrap();
    let params = 8 + length + usize::try_from(start).unwrap();
    let mut nan = old.clone();
    nan[params..params + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    dir.ok(&format!("{SMALL} --steps 5 --out run -q --force"));
    dir.write(path, &nan);
    let error = fails(&dir, "train --out run --resume --steps 6");
    assert!(
        error.contains("params: expected finite numbers, got NaN at index 0"),
        "{error}"
    );
    assert!(
        error.contains("no older checkpoint can be read; start again with --force"),
        "{error}"
    );
}

#[test]
fn resume_on_other_data_names_both() {
    let dir = TestDir::new();
    let values: Vec<f32> = (0..300).map(|i| (i as f32).sin()).collect();
    dir.write_npy("x.npy", 3, &values);
    let moved: Vec<f32> = values.iter().map(|v| v + 1.0).collect();
    dir.write_npy("y.npy", 3, &moved);
    dir.ok("train x.npy --latents 4 --steps 5 --out run -q");
    let error = fails(&dir, "train y.npy --out run --resume --steps 9");
    assert!(
        error.contains("run was trained on x.npy, not on y.npy"),
        "{error}"
    );
    let error = fails(&dir, "train x.npy --out run --resume --steps 3");
    assert!(error.contains("5 steps are done"), "{error}");
}

#[test]
fn bad_result_names_its_cause_and_the_flag() {
    let dir = TestDir::new();
    for (words, cause, flag) in [
        (
            "--arch relu --l1 1e6",
            "the sparsity penalty is too large",
            "--l1",
        ),
        (
            "--arch jumprelu --threshold 1e6",
            "the threshold is too large",
            "--threshold",
        ),
        (
            "--arch kl --weight-decay 10",
            "the weight decay is too large",
            "--weight-decay",
        ),
        (
            "--arch relu --lr 10",
            "the learning rate is too high",
            "--lr",
        ),
    ] {
        let call = format!("train --rows 300 --latents 16 --steps 50 --out run --force {words}");
        let output = dir.run(&call);
        let err = text(&output.stderr);
        assert!(
            err.contains(cause) && err.contains(&format!("with {flag}")),
            "{words}: {err}"
        );
    }
}

#[test]
fn model_of_another_library_is_named() {
    let dir = TestDir::new();
    dir.write(
        "sp/cfg.json",
        r#"{"activation": "topk", "expansion_factor": 4, "d_in": 6}"#,
    );
    dir.write("sp/sae.safetensors", "x");
    dir.write("dl/config.json", "{}");
    dir.write("dl/ae.pt", "PK");
    dir.write("params.npz", "x");
    for (path, library) in [
        ("sp", "sparsify"),
        ("dl", "dictionary_learning"),
        ("params.npz", "Gemma Scope"),
    ] {
        for command in [
            "encode PATH sample:digits --out c.npy",
            "eval PATH sample:digits",
            "inspect PATH",
        ] {
            if path == "params.npz" && command.starts_with("inspect") {
                continue;
            }
            let error = fails(&dir, &command.replace("PATH", path));
            assert!(
                error.contains(library) && error.contains("sae_weights.safetensors"),
                "{error}"
            );
        }
    }
}

#[test]
fn named_tables_are_read_with_the_columns_of_the_run() {
    let dir = TestDir::new();
    let pixels: Vec<String> = (0..16).map(|at| format!("p{at}")).collect();
    let line = |row: usize| {
        let values = (0..16).map(|at| (row * (at + 3) % 17).to_string());
        values.collect::<Vec<_>>().join(",")
    };
    let lines = |with_digit: bool| {
        let head = if with_digit { "digit," } else { "" };
        let rows = (0..60).map(|row| {
            let digit = format!("{},", row % 10);
            format!("{}{}", if with_digit { &*digit } else { "" }, line(row))
        });
        let rows: Vec<String> = rows.collect();
        format!("{head}{}\n{}\n", pixels.join(","), rows.join("\n"))
    };
    dir.write("digits.csv", lines(true));
    dir.write("new.csv", lines(false));
    let train = "train digits.csv --latents 8 --k 2 --steps 3";
    let said = text(&dir.run(&format!("{train} --out all")).stderr);
    assert!(said.contains("`digit` is an input too"), "{said}");
    assert!(said.contains("`data.label` is set with --label"), "{said}");
    let said = text(&dir.run(&format!("{train} --label digit --out run")).stderr);
    assert!(!said.contains("an input too"), "{said}");
    let own = dir.json("eval run --json");
    for file in ["digits.csv", "new.csv"] {
        assert_eq!(dir.json(&format!("eval run {file} --json")), own, "{file}");
    }
    let classes = dir.json("latents run digits.csv --target digit --json");
    assert!(
        classes["associations"]
            .as_array()
            .is_some_and(|found| !found.is_empty()),
        "{classes}"
    );
    dir.ok("report run --data digits.csv");
    dir.ok("report run --data new.csv");
}
