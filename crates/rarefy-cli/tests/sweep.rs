//! Sweeps: members equal to the same runs alone, failures, resuming.

use crate::common::{TestDir, text};

const FLAGS: &str = "sample:words --rows 1500 --arch topk --latents 32 --batch 100 --steps 30 -q";

#[test]
fn each_member_has_the_bytes_of_its_run_alone() {
    let dir = TestDir::new();
    // Runs of other lengths, batches and preprocessing, which share less.
    let sweep =
        "--sweep k=2,4 --sweep lr=1e-3,3e-4 --sweep preprocess=none,standardise --out sweep";
    let told = dir.ok(&format!("train {FLAGS} {sweep} --json"));
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["runs"].as_array().unwrap().len(), 8);
    assert_eq!(told["failed"], serde_json::json!([]));
    assert!(dir.path("sweep/sweep.html").exists());
    for (k, lr, steps) in [
        (2, "1e-3", "none"),
        (4, "3e-4", "standardise"),
        (4, "1e-3", "none"),
    ] {
        dir.ok(&format!(
            "train {FLAGS} --k {k} --lr {lr} --preprocess {steps} --out alone"
        ));
        dir.assert_equal_folders("alone", &format!("sweep/k={k},lr={lr},preprocess={steps}"));
        std::fs::remove_dir_all(dir.path("alone")).unwrap();
    }
    let axes = "--sweep arch=topk,batch-topk,relu,kl --sweep batch=50,100 --sweep steps=7,30";
    dir.ok(&format!("train {FLAGS} {axes} --out mixed"));
    for (arch, batch, steps) in [
        ("relu", 50, 7),
        ("batch-topk", 100, 30),
        ("kl", 100, 7),
        ("topk", 50, 30),
    ] {
        let flags = format!("--arch {arch} --batch {batch} --steps {steps}");
        let all = FLAGS
            .replace("--arch topk ", "")
            .replace("--batch 100 --steps 30 ", "");
        dir.ok(&format!("train {all} {flags} --out alone"));
        dir.assert_equal_folders(
            "alone",
            &format!("mixed/arch={arch},batch={batch},steps={steps}"),
        );
        std::fs::remove_dir_all(dir.path("alone")).unwrap();
    }
}

#[test]
fn member_that_fails_stops_no_other_and_is_named() {
    let dir = TestDir::new();
    let output = dir.run(&format!(
        "train {FLAGS} --k 4 --sweep lr=1e-3,1e38 --out sweep --json"
    ));
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("1 of 2 models failed, sweep/lr=1e38 first"),
        "{error}"
    );
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["runs"].as_array().unwrap().len(), 1);
    assert_eq!(told["failed"][0]["run"], "sweep/lr=1e38");
    dir.ok(&format!("train {FLAGS} --k 4 --lr 1e-3 --out alone"));
    dir.assert_equal_folders("alone", "sweep/lr=1e-3");
}

#[test]
fn sweep_that_was_stopped_continues_where_each_member_was() {
    let dir = TestDir::new();
    let sweep = "--set checkpoint_every=5 --sweep k=2,4,8";
    dir.ok(&format!("train {FLAGS} {sweep} --out whole"));
    dir.ok(&format!("train {FLAGS} {sweep} --out part"));
    // One member is not begun, one is at an earlier step, one is finished.
    std::fs::remove_dir_all(dir.path("part/k=2")).unwrap();
    for file in [
        "model",
        "figures.json",
        "report.html",
        "checkpoints/step-000000000030.safetensors",
    ] {
        let path = dir.path(&format!("part/k=4/{file}"));
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.unwrap();
    }
    dir.ok("train --out part --resume -q");
    for member in ["k=2", "k=4", "k=8"] {
        dir.assert_equal_folders(&format!("part/{member}"), &format!("whole/{member}"));
    }
    assert_eq!(dir.read("part/sweep.toml"), dir.read("whole/sweep.toml"));
    // Nothing is left to do; the tables are printed again.
    let told = dir.ok("train --out part --resume");
    assert!(told.contains("k=8"), "{told}");
}

#[test]
fn sweeps_that_cannot_work_are_refused_before_anything_is_written() {
    let dir = TestDir::new();
    for (flags, expected) in [
        ("--sweep k", "KEY=VALUE,VALUE"),
        ("--sweep k=2,,4", "without an empty value"),
        ("--sweep k=2,2", "each key and each value once"),
        (
            "--sweep k=2 --sweep model.options.k=4",
            "each key and each value once",
        ),
        ("--sweep kk=2,4", "unknown config key"),
        ("--sweep data.path=a.npy,b.npy", "a key of the model"),
        ("--sweep threads=1,2", "a key of the model"),
        ("--sweep k=4,0", "`model.options.k`"),
        ("--sweep arch=topk,bogus", "bogus"),
    ] {
        let output = dir.run(&format!("train {FLAGS} {flags} --out sweep"));
        assert_eq!(output.status.code(), Some(2), "{flags}");
        assert!(
            text(&output.stderr).contains(expected),
            "{flags}: {}",
            text(&output.stderr)
        );
        assert_eq!(dir.everything(), [""; 0], "{flags}");
    }
    dir.ok(&format!("train {FLAGS} --sweep k=2,4 --out sweep"));
    for (flags, expected) in [
        ("--sweep k=2,4", "holds a sweep already"),
        ("--sweep k=2,8 --resume", "a sweep of other values"),
    ] {
        let output = dir.run(&format!("train {FLAGS} {flags} --out sweep"));
        assert!(
            text(&output.stderr).contains(expected),
            "{flags}: {}",
            text(&output.stderr)
        );
    }
    dir.ok(&format!("train {FLAGS} --sweep k=2,4 --out sweep --force"));
    dir.ok(&format!("train {FLAGS} --out run"));
    let output = dir.run(&format!("train {FLAGS} --sweep k=2,4 --out run --force"));
    assert!(text(&output.stderr).contains("holds other files and no sweep"));
}

#[test]
fn sweep_over_architectures_takes_the_settings_of_a_sample_for_each() {
    let dir = TestDir::new();
    dir.ok("train sample:digits --sweep arch=topk,kl --latents 16 --steps 5 --out sweep -q");
    for arch in ["topk", "kl"] {
        dir.ok(&format!(
            "train sample:digits --arch {arch} --latents 16 --steps 5 --out {arch} -q"
        ));
        dir.assert_equal_folders(arch, &format!("sweep/arch={arch}"));
    }
}

#[test]
fn finished_sweep_takes_more_steps_and_refuses_other_settings() {
    let dir = TestDir::new();
    dir.ok(&format!("train {FLAGS} --sweep k=2,4 --out sweep"));
    let output = dir.run("train --out sweep --resume --k 3 --batch 50");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    dir.ok("train --out sweep --resume --steps 40 -q");
    let config = text(&dir.read("sweep/k=4/config.toml"));
    assert!(config.contains("steps = 40"), "{config}");
}

#[test]
fn member_that_cannot_be_resumed_stops_no_other() {
    let dir = TestDir::new();
    dir.ok(&format!("train {FLAGS} --sweep k=2,4,8 --out sweep"));
    dir.write("sweep/k=2/config.toml", "[model");
    std::fs::remove_file(dir.path("sweep/k=4/figures.json")).unwrap();
    std::fs::remove_dir_all(dir.path("sweep/k=8")).unwrap();
    dir.write("sweep/k=8/notes.txt", "mine");
    let output = dir.run("train --out sweep --resume --json");
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let failed: Vec<_> = told["failed"].as_array().unwrap().iter().collect();
    let named = failed.iter().map(|member| member["run"].as_str().unwrap());
    assert_eq!(
        named.collect::<Vec<_>>(),
        ["sweep/k=2", "sweep/k=8"],
        "{error}"
    );
    assert!(dir.path("sweep/k=4/figures.json").exists());
}
