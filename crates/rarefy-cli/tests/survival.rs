//! Runs that are killed, or whose disk is full: they continue to the bytes of a run that was never stopped.
#![cfg(unix)]

use std::process::Command;
use std::time::Instant;

use crate::common::{TestDir, text};

/// Runs with checkpoints every few steps.
const RUNS: [(&str, &str); 4] = [
    (
        "kl",
        "sample:digits --arch kl --latents 16 --steps 25 --set checkpoint_every=3",
    ),
    (
        "windows",
        "rows.npy --memory 32KiB --arch topk --k 4 --latents 64 --batch 128 --steps 90 --set checkpoint_every=4",
    ),
    (
        "jumprelu",
        "sample:words --rows 2000 --arch jumprelu --latents 64 --batch 100 --steps 90 --resample-every 20 --ema 0.9 \
         --set checkpoint_every=4",
    ),
    (
        "sweep",
        "sample:words --rows 2000 --arch batch-topk --latents 64 --batch 100 --steps 60 --set checkpoint_every=4 --sweep k=2,4,8",
    ),
];

/// Kills of each run, evenly over its time.
const KILLS: u32 = 3;

/// A folder with rows that do not fit in the memory of [`RUNS`].
fn folder() -> TestDir {
    let dir = TestDir::new();
    let values = (0..4000 * 6).map(|i| (i as f32 * 0.37).sin() + (i as f32 * 0.011).cos());
    dir.write_npy("rows.npy", 6, &values.collect::<Vec<f32>>());
    dir
}

/// Continues a run; one that was killed before it wrote its settings begins anew.
fn resume(dir: &TestDir, command: &str, out: &str) {
    let begun = ["config.toml", "sweep.toml", "_manifest.json"];
    if begun
        .iter()
        .any(|file| dir.path(&format!("{out}/{file}")).exists())
    {
        dir.ok(&format!("{command} --resume"));
    } else {
        dir.ok(command);
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "kills are spread over the time of a run"
)]
fn killed_runs_continue_to_the_bytes_of_whole_ones() {
    let dir = folder();
    let train = RUNS.map(|(name, flags)| (name, format!("train {flags} -q")));
    let shard = (
        "store",
        "data shard rows.npy --dtype f16 --shard-rows 40".to_owned(),
    );
    for (name, command) in train.into_iter().chain([shard]) {
        let started = Instant::now();
        dir.ok(&format!("{command} --out {name}"));
        let whole = started.elapsed();
        for kill in 0..KILLS {
            let out = format!("{name}-{kill}");
            let command = format!("{command} --out {out}");
            let mut child = dir.command(&command).spawn().unwrap();
            std::thread::sleep(whole * (2 * kill + 1) / (2 * KILLS));
            child.kill().unwrap();
            child.wait().unwrap();
            resume(&dir, &command, &out);
            dir.assert_equal_folders(&out, name);
        }
    }
}

#[test]
fn full_disk_is_told_and_the_run_goes_on_when_there_is_room() {
    let dir = folder();
    let train = RUNS.map(|(name, flags)| (name, format!("train {flags} -q")));
    let shard = (
        "store",
        "data shard rows.npy --dtype f16 --shard-rows 2000".to_owned(),
    );
    for (name, command) in train.into_iter().chain([shard]) {
        dir.ok(&format!("{command} --out {name}"));
        // The largest file in blocks of 512 bytes: settings, then checkpoints, then the report are too large.
        for (at, blocks) in [0, 3, 60, 400].into_iter().enumerate() {
            let out = format!("{name}-{at}");
            let command = format!("{command} --out {out}");
            let program = env!("CARGO_BIN_EXE_rarefy");
            // The signal for a file that grows too large is ignored, so that the write fails as on a full disk.
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec {program} {command}");
            let mut limited = Command::new("sh");
            limited.args(["-c", &script]).current_dir(dir.path("."));
            let output = limited.output().unwrap();
            let error = text(&output.stderr);
            if output.status.success() {
                assert!(blocks >= 60, "{name}, {blocks} blocks");
            } else {
                assert_eq!(
                    output.status.code(),
                    Some(1),
                    "{name}, {blocks} blocks: {error}"
                );
                assert!(
                    error.contains("File too large"),
                    "{name}, {blocks} blocks: {error}"
                );
            }
            let left = dir.everything();
            let left = left.iter().find(|path| path.contains(".rarefy-"));
            assert_eq!(left, None, "{name}, {blocks} blocks");
            resume(&dir, &command, &out);
            dir.assert_equal_folders(&out, name);
        }
    }
}

/// Rows in one file, in a store and in memory; one thread and two.
#[test]
fn weights_depend_neither_on_threads_nor_on_the_place_of_the_rows() {
    let dir = folder();
    dir.ok("data shard rows.npy --shard-rows 300 --out store");
    let flags = "--arch topk --k 4 --latents 64 --batch 128 --steps 70 --resample-every 20 -q";
    for memory in ["32KiB", "1GiB"] {
        let mut expected = None;
        for (data, threads) in [("rows.npy", 1), ("rows.npy", 2), ("store", 1), ("store", 2)] {
            dir.ok(&format!(
                "train {data} {flags} --memory {memory} --threads {threads} --out run --force"
            ));
            let weights = dir.read("run/model/sae_weights.safetensors");
            let expected = expected.get_or_insert_with(|| weights.clone());
            assert!(weights == *expected, "{data}, {threads} threads, {memory}");
        }
    }
}
