//! `frontier`: points equal to `train`, resuming, refusals.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::common::{TestDir, all_fail, noise, text};
use serde_json::Value;

/// Flags that all models of these tests share.
const COMMON: &str = "sample:words --rows 1200 --latents 40 --batch 128 --steps 8 --seed 3";

fn points(frontier: &Value) -> &Vec<Value> {
    frontier["points"].as_array().unwrap()
}

/// Architecture and setting of each entry of a list.
fn places(of: &Value, list: &str) -> Vec<(String, String)> {
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = of[list].as_array().unwrap().iter();
    entries
        .map(|entry| (text(entry, "arch"), text(entry, "setting")))
        .collect()
}

#[test]
fn frontier_point_equals_train_with_the_same_settings() {
    let dir = TestDir::new();
    let found = dir.json(&format!(
        "frontier {COMMON} --arch topk,relu,batch-topk --set p=0.8 --set aux-coefficient=0 --out f --json"
    ));
    let ks = |arch: &str, ks: &[&str]| -> Vec<(String, String)> {
        ks.iter()
            .map(|k| (arch.to_owned(), (*k).to_owned()))
            .collect()
    };
    let there = places(&found, "points");
    assert_eq!(there.len(), 11);
    assert!(
        there[..5].iter().all(|(arch, _)| arch == "relu"),
        "in the table's order: {there:?}"
    );
    assert_eq!(there[5..8], ks("topk", &["8", "16", "32"]));
    assert_eq!(there[8..], ks("batch-topk", &["8", "16", "32"]));
    let skipped = [ks("topk", &["64", "128"]), ks("batch-topk", &["64", "128"])].concat();
    assert_eq!(places(&found, "skipped"), skipped);
    for (index, point) in points(&found).iter().enumerate() {
        // Only some points of each architecture are trained again: the ends and the middle.
        if ![0, 2, 4, 6, 10].contains(&index) {
            continue;
        }
        let word = |key: &str| point[key].as_str().unwrap();
        let (arch, option, setting) = (word("arch"), word("option"), word("setting"));
        let p = if arch == "relu" { "--p 0.8" } else { "" };
        let trained = dir.json(&format!(
            "train {COMMON} --arch {arch} --{option} {setting} {p} --aux-coefficient 0 --holdout 240 --out {arch}{index} --json"
        ));
        assert_eq!(point["l0"], trained["holdout_l0"], "{point}");
        let explained = &trained["holdout_explained_variance"];
        assert_eq!(point["explained_variance"], *explained, "{point}");
        assert!(
            explained.is_f64() && point["seconds"].as_f64() > Some(0.0),
            "{point}"
        );
    }
    // The settings of l1 are multiples of the default of `train`.
    dir.ok(&format!(
        "train {COMMON} --arch relu --holdout 240 --out middle -q"
    ));
    let config: toml::Table = text(&dir.read("middle/config.toml")).parse().unwrap();
    let taken = config["model"]["options"]["l1"].as_float().unwrap();
    for (index, factor) in [2.0, 1.4, 1.0, 0.5, 0.25].into_iter().enumerate() {
        let setting: f64 = there[index].1.parse().unwrap();
        assert!(
            (setting / (factor * taken) - 1.0).abs() < 0.005,
            "{setting} {taken}"
        );
    }
}

/// Target and further inputs are given as to `train`, and need not be repeated with --resume.
#[test]
fn frontier_of_transcoder_and_crosscoder_equals_train() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 6, &noise(2400));
    dir.write_npy("y.npy", 4, &noise(1600));
    let common = "x.npy --latents 40 --batch 128 --steps 8 --seed 3 --holdout 80";
    for (name, flags, of) in [
        (
            "t",
            "--target y.npy --skip --preprocess standardise --preprocess-target norm-square",
            "skip transcoder",
        ),
        ("c", "--with y.npy --with x.npy --centre true", "crosscoder"),
    ] {
        dir.ok(&format!(
            "frontier {common} {flags} --arch topk --out {name} -q"
        ));
        let went_on = dir.json(&format!(
            "frontier --out {name} --resume --arch gated --json"
        ));
        let there = points(&went_on);
        assert_eq!(there.len(), 3 + 5, "{went_on}");
        let trained = dir.json(&format!(
            "train {common} {flags} --arch topk --k 16 --out {name}-k --json"
        ));
        let point = there.iter().find(|p| p["setting"] == "16").unwrap();
        for key in ["l0", "explained_variance"] {
            assert_eq!(point[key], trained[&format!("holdout_{key}")], "{of} {key}");
        }
        let gated = there.iter().find(|p| p["arch"] == "gated").unwrap();
        let word = |key: &str| gated[key].as_str().unwrap();
        let (option, setting) = (word("option"), word("setting"));
        let trained = dir.json(&format!(
            "train {common} {flags} --arch gated --{option} {setting} --out {name}-g --json"
        ));
        assert_eq!(gated["l0"], trained["holdout_l0"], "{of} gated");
        assert_eq!(dir.json(&format!("inspect {name}-g --json"))["io"], of);
    }
}

#[test]
fn frontier_files_table_and_json_agree() {
    let dir = TestDir::new();
    let run = format!("frontier {COMMON} --arch topk,relu --at 20");
    let output = dir.run(&format!("{run} --out f"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(!err.contains(['\r', '\u{1b}']), "{err}");
    for said in [
        "8 models of 40 latents, 8 steps of 128 rows each: 960 rows to train on, 240 held out\n",
        "skipped topk k 64: `model.options.k` must be at most the 40 latents, got 64\n",
        "\n8/8 topk k 32: L0 ",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
    let kept: Value = serde_json::from_slice(&dir.read("f/frontier.json")).unwrap();
    assert_eq!(dir.everything(), ["f", "f/frontier.json", "f/frontier.svg"]);
    assert!(
        out.ends_with("\nresults  f/frontier.json\nplot     f/frontier.svg\n"),
        "{out}"
    );
    // topk's L0 at k = 16 is below 20 and at k = 32 above it, so the value at 20 is interpolated.
    let of = |arch: &str| {
        let points = points(&kept).iter().filter(|p| p["arch"] == arch);
        let number = |p: &Value, key: &str| p[key].as_f64().unwrap();
        let mut points: Vec<(f64, f64)> = points
            .map(|p| (number(p, "l0"), number(p, "explained_variance")))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let pair = of("topk")
        .windows(2)
        .map(|w| (w[0], w[1]))
        .find(|(a, b)| a.0 <= 20.0 && 20.0 <= b.0);
    let (a, b) = pair.expect("points on both sides of 20");
    let share = (20f64.ln() - a.0.ln()) / (b.0.ln() - a.0.ln());
    let expected = (1.0 - share) * a.1 + share * b.1;
    let compared = kept["architectures"].as_array().unwrap();
    assert_eq!(
        (&compared[0]["arch"], &compared[1]["arch"]),
        (&"relu".into(), &"topk".into())
    );
    let got = compared[1]["explained_variance_at"].as_f64().unwrap();
    assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    // The table shows the interpolated value beside topk's first point, and all numbers of all points.
    let line = out
        .lines()
        .find(|line| line.trim_start().starts_with("topk "))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        words[1..4],
        [format!("{got:.4}").as_str(), "k", "8"],
        "{out}"
    );
    assert!(out.lines().next().unwrap().contains("at L0 20"), "{out}");
    for point in points(&kept) {
        let (l0, explained) = (&point["l0"], &point["explained_variance"]);
        let (l0, explained) = (l0.as_f64().unwrap(), explained.as_f64().unwrap());
        let said = out.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&point["setting"].as_str().unwrap())
                && words.contains(&format!("{l0:.2}").as_str())
                && words.contains(&format!("{explained:.4}").as_str())
                && words.contains(&point["dead_latents"].to_string().as_str())
        });
        assert!(said, "{point}: {out}");
        assert!(
            point.get("seconds").is_none(),
            "no clock in the file: {point}"
        );
    }
    let svg = text(&dir.read("f/frontier.svg"));
    assert!(svg.starts_with("<svg") && svg.contains(">relu</text>") && svg.contains("L0 = 20"));
    // --json prints the same object, plus paths and seconds.
    let mut told = dir.json(&format!("{run} --out g --json -q"));
    assert_eq!(
        (&told["out"], &told["plot"]),
        (&"g".into(), &"g/frontier.svg".into())
    );
    let own = told.as_object_mut().unwrap();
    own.remove("out");
    own.remove("plot");
    for point in told["points"].as_array_mut().unwrap() {
        assert!(point.as_object_mut().unwrap().remove("seconds").is_some());
    }
    assert_eq!(told, kept);
    assert_eq!(text(&dir.run(&format!("{run} --out h -q")).stdout), "");
}

#[test]
fn resumed_frontier_equals_uninterrupted_frontier() {
    let dir = TestDir::new();
    let run = format!("frontier {COMMON} -q --set p=0.8");
    dir.ok(&format!("{run} --arch relu,topk --threads 1 --out whole"));
    let both = |folder: &str| {
        ["frontier.json", "frontier.svg"].map(|file| text(&dir.read(&format!("{folder}/{file}"))))
    };
    let whole = both("whole");
    // One architecture first; --resume adds another without repeating the flags.
    dir.ok(&format!("{run} --arch relu --threads 2 --out later"));
    dir.ok("frontier --arch topk --out later --resume -q");
    assert!(both("later") == whole, "{}", both("later")[0]);
    // Missing points are trained, and the plot is drawn again.
    let kept: Value = serde_json::from_str(&whole[0]).unwrap();
    for (name, missing) in [
        ("none", 0..8),
        ("first", 0..3),
        ("middle", 2..6),
        ("last", 7..8),
    ] {
        let mut part = kept.clone();
        part["points"].as_array_mut().unwrap().drain(missing);
        part["architectures"][0]["explained_variance_at"] = Value::Null;
        dir.write(&format!("{name}/frontier.json"), part.to_string());
        dir.ok(&format!("frontier --out {name} --resume -q"));
        assert!(both(name) == whole, "{name}");
    }
    // Existing points are kept as they are, not trained again.
    let mut odd = kept.clone();
    odd["points"][3]["dead_latents"] = 39.into();
    dir.write("odd/frontier.json", odd.to_string());
    dir.ok("frontier --out odd --resume -q");
    let again: Value = serde_json::from_slice(&dir.read("odd/frontier.json")).unwrap();
    assert_eq!(again, odd);
    // --at may change with --resume: the points stay the same.
    dir.ok("frontier --out odd --resume --at 11 -q");
    let again: Value = serde_json::from_slice(&dir.read("odd/frontier.json")).unwrap();
    assert_eq!(
        (&again["at_l0"], &again["points"]),
        (&11.0.into(), &odd["points"])
    );
    assert!(again["architectures"][1]["explained_variance_at"].is_f64());
    // Another seed gives other points.
    dir.ok(&format!("{run} --arch relu,topk --seed 4 --out odd --force").replace("--seed 3", ""));
    assert!(both("odd")[1] != whole[1]);
}

/// Ctrl-C keeps the finished points.
#[test]
fn interrupted_frontier_resumes_byte_equal() {
    let dir = TestDir::new();
    let run =
        "frontier sample:words --rows 2000 --latents 64 --batch 256 --steps 150 --arch topk,gated";
    dir.ok(&format!("{run} --out whole -q"));
    let command = dir
        .command(&format!("{run} --out parted"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = command.unwrap();
    let finished = || {
        let file = std::fs::read(dir.path("parted/frontier.json")).unwrap_or_default();
        let there: Option<Value> = serde_json::from_slice(&file).ok();
        there.map_or(0, |there| points(&there).len())
    };
    let started = (0..60_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        finished() >= 2
    });
    assert!(started, "no two points in a minute");
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
    let there = finished();
    let note = format!(
        "interrupted after {there} of 9 points; continue with: rarefy frontier --out parted --resume\n"
    );
    assert!((2..9).contains(&there) && err.ends_with(&note), "{err}");
    let output = dir.run("frontier --out parted --resume");
    let err = text(&output.stderr);
    let first = err.lines().find(|line| line.contains(": L0 ")).unwrap();
    assert!(first.starts_with(&format!("{}/9 ", there + 1)), "{err}");
    for file in ["frontier.json", "frontier.svg"] {
        let of = |folder: &str| dir.read(&format!("{folder}/{file}"));
        assert!(of("whole") == of("parted"), "{file}");
    }
}

/// All points beside the diverged one are trained.
#[test]
fn diverged_model_of_a_frontier_is_skipped() {
    let dir = TestDir::new();
    dir.ok("frontier sample:words --rows 300 --latents 8 --batch 100 --steps 40 --arch relu --set lr=1e30 --out wild -q");
    let wild: Value = serde_json::from_slice(&dir.read("wild/frontier.json")).unwrap();
    assert_eq!(
        points(&wild).len() + wild["skipped"].as_array().unwrap().len(),
        5
    );
    let why = wild["skipped"][0]["why"].as_str().unwrap();
    assert!(
        why.contains("expected a finite objective and gradient"),
        "{why}"
    );
    let before = dir.read("wild/frontier.json");
    dir.ok("frontier --out wild --resume -q");
    assert!(dir.read("wild/frontier.json") == before);
}

#[test]
fn frontier_without_arch_leaves_out_matching_pursuit_and_kl() {
    let dir = TestDir::new();
    let output =
        dir.run("frontier sample:words --rows 300 --latents 8 --batch 100 --steps 1 --out all");
    let err = text(&output.stderr);
    assert!(output.status.success(), "{err}");
    let slow =
        "matching-pursuit is left out, because it takes many times as long; add it with --arch\n";
    assert!(err.starts_with(slow), "{err}");
    let all: Value = serde_json::from_slice(&dir.read("all/frontier.json")).unwrap();
    let names: Vec<&str> = all["architectures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["arch"].as_str().unwrap())
        .collect();
    for name in [
        "relu",
        "topk",
        "batch-topk",
        "jumprelu",
        "gated",
        "matryoshka",
    ] {
        assert!(names.contains(&name), "{names:?}");
        assert!(
            points(&all).iter().any(|point| point["arch"] == name),
            "{name}"
        );
    }
    assert!(
        !names.contains(&"matching-pursuit") && !names.contains(&"kl"),
        "{names:?}"
    );
    // Each architecture has five settings, either trained or skipped.
    let settled = points(&all).len() + all["skipped"].as_array().unwrap().len();
    assert_eq!(settled, 5 * names.len());
}

#[test]
fn folder_of_a_frontier_in_progress_is_refused() {
    let dir = TestDir::new();
    let command =
        "frontier sample:words --rows 300 --latents 8 --batch 100 --steps 2 --arch relu --out f";
    dir.write("f/run.lock", "4711");
    dir.write("f/.rarefy-rest", "a part of a file");
    let lock = std::fs::File::open(dir.path("f/run.lock")).unwrap();
    lock.lock().unwrap();
    let output = dir.run(command);
    let error = text(&output.stderr);
    assert!(error.contains("held by process 4711"), "{error}");
    drop(lock);
    dir.ok(&format!("{command} -q"));
    let files = dir.everything();
    assert!(
        files.iter().any(|file| file.ends_with("frontier.json")),
        "{files:?}"
    );
    let rest = |file: &String| file.contains("run.lock") || file.contains(".rarefy-");
    assert!(!files.iter().any(rest), "{files:?}");
}

#[test]
fn invalid_frontiers_are_refused() {
    let dir = TestDir::new();
    dir.write("file", "in the way");
    dir.write("broken/frontier.json", "{\"version\": 1,");
    dir.write("empty/notes.txt", "no frontier");
    dir.ok("frontier sample:words --rows 300 --latents 12 --batch 100 --steps 2 --arch topk --set lr=0.001 --out there -q");
    let kept: Value = serde_json::from_slice(&dir.read("there/frontier.json")).unwrap();
    let changed = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut other = kept.clone();
        change(&mut other);
        dir.write(&format!("{name}/frontier.json"), other.to_string());
    };
    changed("newer", &|of| of["version"] = 2.into());
    changed("odd", &|of| of["points"][0]["setting"] = "9".into());
    changed("data", &|of| of["data"] = "other rows".into());
    changed("config", &|of| of["config"]["train"]["sede"] = 3.into());
    all_fail(&dir, FAILURES);
}

const FAILURES: &str = "$ frontier sample:words --arch topk,kl --out f
2 error: architecture kl has no option that makes it sparser or denser
$ frontier sample:words --arch topk,tpok --out f
2 error: unknown architecture `tpok`, did you mean `topk`? (known: kl, relu, topk, batch-topk, abs-topk, groupmax, jumprelu, gated, matryoshka, matching-pursuit)
$ frontier sample:words --arch topk --rows 300 --latents 4 --out f
2 error: nothing can be trained: `model.options.k` must be at most the 4 latents, got 8
hint: set `model.options.k` with --k
$ frontier sample:words --arch topk --rows 300 --batch 241 --out f
2 error: `train.batch` must be at most the 240 training rows (60 are held out), got 241
hint: set `train.batch` with --batch
$ frontier sample:words --arch topk --steps 0 --out f
2 error: `train.steps` must be at least 1, got 0
hint: set `train.steps` with --steps
$ frontier sample:words --arch topk --holdout 0 --out f
2 error: `holdout` must be at least 1, because a frontier is measured on held-out rows, got 0
$ frontier sample:words --arch topk --rows 300 --holdout 300 --out f
2 error: `data.holdout` must be less than the 300 rows of sample:words, got 300
hint: set `data.holdout` with --holdout
$ frontier sample:words --arch topk --threads 0 --out f
2 error: `train.threads` must be between 1 and 1024, got 0
hint: set `train.threads` with --threads
$ frontier sample:words --arch topk --at 0 --out f
2 error: `at` must be a finite number above 0, got 0
$ frontier sample:words --arch topk --at -3 --out f
2 error: `at` must be a finite number above 0, got -3
$ frontier sample:words --arch topk,relu --set k=16 --out f
2 error: the frontier varies option k itself (8, 16, 32, 64, 128); remove it from --set
$ frontier sample:words --arch topk,relu --set rho=0.1 --out f
2 error: none of relu, topk has the option rho
$ frontier sample:words --arch jumprelu --set target_l0=8 --out f
2 error: under a target, the weight that the frontier varies does not set L0: train each target with `rarefy train DATA --arch jumprelu --target-l0 N --out RUN`, then `rarefy compare RUN...`
$ frontier sample:words --arch relu --rows 300 --set l1=-1 --out f
2 error: `model.options.l1` must be auto or a number not below 0, got -1
hint: set `model.options.l1` with --set model.options.l1=VALUE
$ frontier sample:words --arch relu --set model.arch=topk --out f
2 error: --set model.arch cannot be used with a frontier: architectures are chosen by --arch
$ frontier sample:words --arch relu --set steps --out f
2 error: `--set` must be KEY=VALUE, got steps
$ frontier sample:words --arch relu --set steps=many --out f
2 error: --set steps=many: invalid type: string \"many\", expected a whole number not below 0
$ frontier sample:words --arch topk --rows 300 --set optimizer=lbfgs --out f
2 error: L-BFGS needs a smooth objective, which topk does not have; set `train.optimizer` to adam
hint: set `train.optimizer` with --set train.optimizer=VALUE
$ frontier nothing.npy --arch topk --out f
1 error: nothing.npy: No such file or directory (os error 2)
$ frontier sample:words --arch topk --out file
1 error: file: expected a folder to write to, got a file
$ frontier sample:words --arch topk --out there
2 error: there holds a frontier already; continue it with --resume, replace it with --force, or give another --out
$ frontier --out f --resume
2 error: f has no frontier.json to resume from
$ frontier --out empty --resume
2 error: empty has no frontier.json to resume from
$ frontier --out broken --resume
1 error: broken/frontier.json: expected a file written by `rarefy frontier`: EOF while parsing a value at line 1 column 14
$ frontier --out newer --resume
1 error: newer/frontier.json: expected version 1, got 2
$ frontier --out odd --resume -q
1 error: odd/frontier.json: this frontier no longer has the setting 9 of topk
$ frontier --out config --resume -q
1 error: config/frontier.json: config: unknown config key `train.sede`, did you mean `train.seed`?
$ frontier --out there --resume --steps 3 -q
2 error: there/frontier.json has train.steps 2, and this call has train.steps 3; give another --out
$ frontier --out there --resume --set lr_warmup=1 -q
2 error: there/frontier.json has train.lr_warmup 0, and this call has train.lr_warmup 1; give another --out
$ frontier --out there --resume --set clip=2 -q
2 error: there/frontier.json has no train.clip, and this call has train.clip 2.0; give another --out
$ frontier sample:digits --out there --resume -q
2 error: there/frontier.json has data.path \"sample:words\", and this call has data.path \"sample:digits\"; give another --out
";
