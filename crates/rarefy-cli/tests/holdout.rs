//! `--holdout`: rows excluded from training, through the program.

use crate::common::{TestDir, all_fail, text};
use rarefy::data::OpenOptions;
use rarefy::model::Model;

const RUN: &str = "train sample:words --rows 2000 --arch batch-topk --latents 300 --k 3.5 --batch 256 --steps 45 --dead-after 300";

/// Writes the first 2000 words as two files: every tenth row, and all further rows.
fn two_files(dir: &TestDir) {
    let words = rarefy::data::open("sample:words", &OpenOptions::default()).unwrap();
    let mut rows = vec![0.0; 2000 * 50];
    words.source.read(0, &mut rows).unwrap();
    let of = |tenth: bool| {
        let rows = rows.chunks_exact(50).enumerate();
        let chosen = rows.filter(|(row, _)| row.is_multiple_of(10) == tenth);
        chosen.flat_map(|(_, row)| row.to_vec()).collect::<Vec<_>>()
    };
    dir.write_npy("held.npy", 50, &of(true));
    dir.write_npy("others.npy", 50, &of(false));
}

#[test]
fn batch_topk_has_l0_exactly_k_on_held_out_rows() {
    let dir = TestDir::new();
    two_files(&dir);
    let output = dir.run(&format!(
        "{RUN} --preprocess standardise --holdout 200 --out run --json"
    ));
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("(L0 3.500), moving average") && said.contains("on 200 held-out rows"),
        "{said}"
    );
    let trained: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(trained["holdout_l0"], 3.5);
    let held = dir.json("eval run held.npy --json");
    assert_eq!((&held["rows"], &held["l0"]), (&200.into(), &3.5.into()));
    assert_eq!(
        held["explained_variance"],
        trained["holdout_explained_variance"]
    );
    // The further metrics are those of the training rows.
    let others = dir.json("eval run others.npy --json");
    for field in crate::common::SPARSE_FIELDS {
        assert_eq!(others[field], trained[field], "{field}");
    }
    // The run equals a run on the training rows alone, including the fitted preprocessing.
    let alone = RUN.replace("sample:words --rows 2000", "others.npy");
    dir.ok(&format!(
        "{alone} --preprocess standardise --holdout 0 --out alone -q"
    ));
    let file = |run: &str| dir.read(&format!("{run}/model/preprocess.safetensors"));
    assert!(file("run") == file("alone"));
    let params = |run: &str| Model::load(&dir.path(run)).unwrap().params().clone();
    let (run, alone) = (params("run"), params("alone"));
    assert!(run.get("threshold") != alone.get("threshold"));
    for block in ["w_enc", "b_enc", "w_dec", "b_dec"] {
        assert!(run.get(block) == alone.get(block), "{block}");
    }
}

#[test]
fn held_out_metrics_equal_eval_on_the_held_out_rows() {
    let dir = TestDir::new();
    two_files(&dir);
    for arch in ["kl", "topk --k 4", "batch-topk --k 4"] {
        let run = format!(
            "train sample:words --rows 2000 --arch {arch} --latents 20 --batch 256 --steps 9"
        );
        let trained = dir.json(&format!("{run} --holdout 200 --json --out run --force"));
        let held = dir.json("eval run held.npy --json");
        assert_eq!(trained["holdout_l0"], held["l0"], "{arch}");
        // Without data, the rows of the run are told apart.
        let both = dir.json("eval run --json");
        assert_eq!(both["held_out"], held, "{arch}");
        assert_eq!(both["training"]["l0"], trained["l0"], "{arch}");
        let (told, found) = (
            &trained["holdout_explained_variance"],
            &held["explained_variance"],
        );
        assert!(told.is_f64() && told == found, "{arch}: {told} {found}");
        let table = dir.ok(&format!("{run} --holdout 200 --out run --force"));
        let first = table.lines().next().unwrap();
        assert!(
            first.ends_with("training") && first.contains("held-out"),
            "{table}"
        );
        let variance = told.as_f64().map(|v| format!("{v:.5}")).unwrap();
        let line = table
            .lines()
            .find(|line| line.contains("explained variance"));
        assert!(line.unwrap().contains(&variance), "{table}");
        let without = dir.json(&format!("{run} --holdout 0 --json --out run --force"));
        assert!(without.get("holdout_l0").is_none(), "{without}");
    }
}

#[test]
fn twentieth_of_enough_rows_is_held_out_by_default() {
    let dir = TestDir::new();
    let run = "train sample:words --arch topk --k 4 --latents 200 --batch 100 --steps 300";
    let trained = dir.run(&format!("{run} --rows 1000 --json --out run"));
    let (out, said) = (text(&trained.stdout), text(&trained.stderr));
    let trained: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&trained["rows"], &trained["holdout_rows"]),
        (&950.into(), &50.into())
    );
    assert!(text(&dir.read("run/config.toml")).contains("\nholdout = 50\n"));
    let gap = "950 rows are few for 200 latents; set `train.mask` to 0.2, `model.latents` to fewer";
    assert!(
        said.contains(gap) && said.contains("of the variance of held-out rows"),
        "{said}"
    );
    let page = text(&dir.read("run/report.html"));
    assert!(
        page.contains("of 50 held-out rows;"),
        "the report says so too"
    );
    let before = page.clone();
    dir.ok("report run");
    assert_eq!(
        text(&dir.read("run/report.html")),
        before,
        "the same rows are held out"
    );
    for none in [
        "--rows 999",
        "--rows 1000 --holdout 0",
        "--rows 1000 --batch 1000",
    ] {
        let run = run.replace(
            "--batch 100 --steps 300",
            if none.contains("--batch") {
                "--steps 3"
            } else {
                "--batch 100 --steps 3"
            },
        );
        let trained = dir.json(&format!("{run} {none} --json --out none --force"));
        assert!(trained.get("holdout_rows").is_none(), "{none}: {trained}");
    }
}

#[test]
fn run_with_holdout_resumes_and_repeats_byte_equal() {
    let dir = TestDir::new();
    dir.ok(&format!("{RUN} --holdout 200 --out whole -q"));
    let config = text(&dir.read("whole/config.toml"));
    assert!(config.contains("\nholdout = 200\n"), "{config}");
    dir.ok("train --config whole/config.toml --out again -q");
    let short = RUN.replace("--steps 45", "--steps 7");
    dir.ok(&format!("{short} --holdout 200 --out parts -q"));
    dir.ok("train --out parts --resume --steps 45 -q");
    for other in ["again", "parts"] {
        for file in [
            "model/sae_weights.safetensors",
            "metrics.jsonl",
            "config.toml",
            "checkpoints/step-000000000045.safetensors",
        ] {
            assert!(
                dir.read(&format!("whole/{file}")) == dir.read(&format!("{other}/{file}")),
                "{other}: {file}"
            );
        }
    }
}

#[test]
fn resume_with_other_holdout_is_refused() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --holdout 100 --latents 4 --steps 2 --out run -q");
    all_fail(&dir, RESUMED);
}

#[test]
fn holdout_out_of_range_is_refused() {
    all_fail(&TestDir::new(), SENSELESS);
}

const RESUMED: &str = "$ train --out run --resume --holdout 0
2 error: run/checkpoints/step-000000000002.safetensors: the checkpoint has data with 300 rows of 64 from 0 to 1, mean 3.037565e-1, this run has 400 rows of 64 from 0 to 1, mean 3.054663e-1
$ train --out run --resume --holdout 99
2 error: run/checkpoints/step-000000000002.safetensors: the checkpoint has data with 300 rows of 64 from 0 to 1, mean 3.037565e-1, this run has 301 rows of 64 from 0 to 1, mean 3.044604e-1
";

const SENSELESS: &str = "$ train --holdout 1797 --out run
2 error: `data.holdout` must be less than the 1797 rows of sample:digits, got 1797
hint: set `data.holdout` with --holdout
$ train --rows 100 --holdout 101 --out run
2 error: `data.holdout` must be less than the 100 rows of sample:digits, got 101
hint: set `data.holdout` with --holdout
$ train --holdout 1697 --batch 101 --out run
2 error: `train.batch` must be at most the 100 training rows (1697 are held out), got 101
hint: set `train.batch` with --batch
$ train --arch batch-topk --k 0.25 --holdout 3 --out run
2 error: `model.options.k` of 0.25 keeps no latent in 3 held-out rows; increase `model.options.k` or `data.holdout`
hint: set `model.options.k` with --k, `data.holdout` with --holdout
$ train --holdout -1 --out run
2 error: invalid value '-1' for '--holdout <N>': expected a whole number not below 0

For more information, try '--help'.
$ train --set data.holdout=-1 --out run
2 error: --set data.holdout=-1: invalid value: integer `-1`, expected a whole number not below 0
";

/// A model that is worse than the mean of its rows has learned nothing by heart, however far its figures are apart.
#[test]
fn hopeless_model_is_not_said_to_know_rows_by_heart() {
    let dir = TestDir::new();
    let output = dir.run(
        "train sample:digits --arch topk --latents 2048 --k 64 --steps 2 --lr 0.1 --out run --json",
    );
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let explained = |name: &str| found[name].as_f64().unwrap();
    let (seen, unseen) = (
        explained("explained_variance"),
        explained("holdout_explained_variance"),
    );
    assert!(seen < 0.0 && seen - unseen > 0.5, "{seen} {unseen}");
    let err = text(&output.stderr);
    assert!(!err.contains("set `model.latents` to fewer"), "{err}");
    let page = String::from_utf8(dir.read("run/report.html")).unwrap();
    assert!(page.contains("worse than the mean of the rows") && !page.contains("by heart"));
}

#[test]
fn rows_of_the_run_are_the_default_of_eval_and_encode() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &crate::common::noise(4000));
    dir.ok("train x.npy --arch topk --latents 6 --k 2 --steps 20 --batch 50 --out run -q");
    let told = dir.run("encode run --out codes.npy --quiet");
    assert!(told.stdout.is_empty() && told.stderr.is_empty());
    dir.ok("encode run x.npy --out again.npy");
    assert!(dir.read("codes.npy") == dir.read("again.npy"));
    let table = dir.ok("eval run");
    assert!(
        table.contains("held-out") && table.contains(" 950"),
        "{table}"
    );
    let named = dir.run("eval run x.npy");
    let note = String::from_utf8(named.stderr).unwrap();
    assert!(
        note.contains("the model was trained on these rows"),
        "{note}"
    );
    let compared = dir.run("compare run --data x.npy");
    let note = String::from_utf8(compared.stderr).unwrap();
    assert!(note.contains("run was trained on x.npy"), "{note}");
    let own = dir.run("encode run --out x.npy");
    assert!(!own.status.success(), "the data of the run is kept");
    std::fs::rename(dir.path("x.npy"), dir.path("moved.npy")).unwrap();
    for words in [
        "eval run",
        "encode run --out c.npz",
        "latents run",
        "report run",
    ] {
        let failed = dir.run(words);
        let error = String::from_utf8(failed.stderr).unwrap();
        let expected = "the data of the run, x.npy, is not there: give the path where it is now";
        assert!(error.contains(expected), "{words}: {error}");
    }
    dir.ok("eval run moved.npy");
    let failed = dir.run("eval run/model");
    let error = String::from_utf8(failed.stderr).unwrap();
    assert!(error.contains("give the data behind the model"), "{error}");
}
