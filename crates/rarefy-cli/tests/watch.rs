//! `rarefy watch`: pictures of runs that ended, run, or were killed; the folder is never changed.

use std::process::Stdio;
use std::time::Duration;

use crate::common::{TestDir, all_fail, text};

/// Names and contents of all files.
fn contents(dir: &TestDir) -> Vec<(String, Vec<u8>)> {
    let files = dir.everything().into_iter();
    let files = files.filter(|path| dir.path(path).is_file());
    files.map(|path| (path.clone(), dir.read(&path))).collect()
}

#[test]
fn picture_of_an_ended_run_has_its_curves_and_figures() {
    let dir = TestDir::new();
    dir.ok("train --rows 300 --arch topk --latents 16 --k 4 --batch 50 --steps 40 --holdout 40 -q --out topk");
    dir.ok("train --rows 100 --latents 4 --steps 6 --holdout 0 -q --out kl");
    let before = contents(&dir);
    // Standard output is no terminal here.
    let picture = dir.ok("watch topk");
    assert_eq!(picture, dir.ok("watch topk --once"));
    for part in [
        "topk   topk, 16 latents   ended",
        "step 40 of 40, 100.0 %",
        "finished model on held-out rows: explained variance",
        "2,000 rows",
        " loss ",
        " explained variance ",
        " L0 4.0000",
        " dead latents ",
        "10",
        "step 40",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    let is_dots = |c: char| ('\u{2801}'..='\u{28ff}').contains(&c);
    assert!(
        picture.chars().filter(|c| is_dots(*c)).count() > 80,
        "{picture}"
    );
    assert!(!picture.contains('\u{1b}') && picture.lines().all(|line| line.chars().count() <= 80));
    let dense = dir.ok("watch kl");
    for part in [
        "step 6 of 6",
        "on training rows",
        " penalty ",
        " mean rho_hat ",
        " reconstruction ",
    ] {
        assert!(dense.contains(part), "{part}: {dense}");
    }
    let state = dir.json("watch topk --json");
    assert_eq!(
        (&state["state"], &state["step"], &state["steps"]),
        (&"ended".into(), &40.into(), &40.into())
    );
    let last = text(&dir.read("topk/metrics.jsonl"));
    let last: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert_eq!(state["record"], last);
    assert_eq!(contents(&dir), before);
}

#[test]
fn run_in_progress_is_followed_and_its_death_is_seen() {
    let dir = TestDir::new();
    let mut train =
        dir.command("train --arch topk --latents 64 --k 4 --batch 50 --steps 1000000 -q --out run");
    let mut train = train.stdout(Stdio::null()).spawn().unwrap();
    let id = train.id();
    let mut steps = Vec::new();
    for _ in 0..3000 {
        std::thread::sleep(Duration::from_millis(20));
        if steps.len() == 3 {
            break;
        }
        if !dir.path("run/metrics.jsonl").exists() {
            continue;
        }
        let state = dir.json("watch run --json");
        assert_eq!(state["state"], "in progress");
        assert_eq!(
            (&state["process"], &state["steps"]),
            (&id.into(), &1_000_000.into())
        );
        let step = state["step"].as_u64().unwrap();
        if step > steps.last().copied().unwrap_or(0) {
            steps.push(step);
        }
    }
    assert_eq!(steps.len(), 3, "steps that were seen: {steps:?}");
    assert!(
        dir.ok("watch run")
            .contains(&format!("in progress, process {id}"))
    );
    train.kill().unwrap();
    train.wait().unwrap();
    if cfg!(target_os = "linux") {
        let picture = dir.ok("watch run");
        assert!(
            picture.contains(&format!("no process {id} on this machine")),
            "{picture}"
        );
    }
    // The next holder takes the lock of the killed run, although it was watched.
    let step = dir.json("watch run --json")["step"].as_u64().unwrap();
    let resumed = dir.run(&format!(
        "train --out run --resume --steps {} -q",
        step + 100
    ));
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!(dir.json("watch run --json")["state"], "ended");
}

#[test]
fn run_that_reads_its_rows_is_waited_for() {
    let dir = TestDir::new();
    dir.write("run/run.lock", std::process::id().to_string());
    let picture = dir.ok("watch run");
    assert!(
        picture.contains("in progress") && picture.contains("no records yet"),
        "{picture}"
    );
    assert_eq!(
        dir.json("watch run --json")["record"],
        serde_json::Value::Null
    );
}

#[test]
fn folder_without_records_of_a_run_is_refused() {
    let dir = TestDir::new();
    dir.ok("train --rows 100 --latents 4 --steps 2 -q --out run");
    dir.write("empty/notes.txt", "");
    dir.write("killed/config.toml", dir.read("run/config.toml"));
    dir.write("damaged/config.toml", dir.read("run/config.toml"));
    dir.write("damaged/metrics.jsonl", "{}\n");
    all_fail(
        &dir,
        "\
$ watch nun
1 error: nun: No such file or directory (os error 2)
hint: there is run
$ watch run/config.toml
1 error: run/config.toml: expected a run folder, got a file
$ watch empty
1 error: empty: expected a run folder, got no config.toml in it
$ watch killed
1 error: killed: the run has no records of its steps, and no process is writing it; start it with: rarefy train --out killed --resume
$ watch damaged --json
1 error: damaged/metrics.jsonl: line 1: missing field `step` at line 1 column 2
",
    );
}

#[test]
fn log_has_plain_lines_of_the_first_and_the_last_step() {
    let dir = TestDir::new();
    let lines = |words: &str| {
        let output = dir.run(words);
        let err = text(&output.stderr);
        assert!(
            output.status.success() && !err.contains(['\u{1b}', '\r']),
            "{err}"
        );
        let lines = err.lines().filter(|line| line.starts_with("step "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let train = "train --rows 300 --arch topk --latents 16 --k 4 --batch 50 --out run";
    let topk = lines(&format!("{train} --steps 25 --log-every 600"));
    assert_eq!((topk.len(), &*topk[0]), (2, "step 0/25"));
    for part in [
        "step 25/25  loss ",
        " % explained  L0 4.0  ",
        " % dead  ",
        " rows/s  00:00:",
        " elapsed  00:00:00 left",
    ] {
        assert!(topk[1].contains(part), "{part}: {}", topk[1]);
    }
    let resumed = lines("train --out run --resume --steps 40 --log-every 600");
    assert_eq!(resumed[0], "step 25/40");
    assert!(resumed[1].starts_with("step 40/40  loss "));
    let dense = lines("train --rows 100 --latents 4 --steps 6 --log-every 600 --out kl");
    assert!(
        dense[1].starts_with("step 6/6  loss ") && !dense[1].contains("L0"),
        "{dense:?}"
    );
    // Without the option, a program whose output is no terminal shows no progress.
    assert!(lines(&format!("{train} --steps 25 --force")).is_empty());
    let refused = dir.run(&format!("{train} --force -q --log-every 5"));
    assert_eq!(refused.status.code(), Some(2));
}
