//! `compare`: figures, settings that differ, the page, evaluation on the same rows.

use crate::common::{TestDir, text};
use serde_json::Value;

/// Two runs that differ in k.
fn two_runs() -> (TestDir, Vec<Value>) {
    let dir = TestDir::new();
    let train = |k: usize| {
        let common =
            "train sample:words --rows 2000 --arch topk --latents 40 --batch 128 --steps 20 --json";
        dir.json(&format!("{common} --k {k} --out runs/k{k}"))
    };
    let told = vec![train(4), train(8)];
    (dir, told)
}

#[test]
fn figures_are_those_that_training_printed() {
    let (dir, told) = two_runs();
    let compared = dir.json("compare runs/k4 runs/k8 --json");
    for (run, told) in compared["runs"].as_array().unwrap().iter().zip(&told) {
        for (name, of_held_out) in [
            ("explained_variance", "holdout_explained_variance"),
            ("l0", "holdout_l0"),
            ("mse", "holdout_mse"),
        ] {
            assert_eq!(run["training"][name], told[name]);
            assert_eq!(run["held_out"][name], told[of_held_out]);
        }
        assert!(run["settings"]["model.options.k"].is_u64(), "{run}");
    }
    let table = dir.ok("compare runs/k4 runs/k8");
    let (figures, settings) = table.split_once("\n\n").unwrap();
    // A header, two runs, and a line on the rows of the figures.
    assert_eq!(figures.lines().count(), 4);
    assert!(figures.ends_with("of held-out rows, all else of training rows."));
    let names: Vec<&str> = settings
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(names, ["model.options.k"]);
    assert!(
        dir.ok("compare runs/k4 runs/k4")
            .contains("All settings are the same.")
    );
}

#[test]
fn models_are_evaluated_on_the_same_rows_with_data() {
    let (dir, _) = two_runs();
    let compared = dir.json("compare runs/k4 runs/k8 --data sample:words --json");
    for (i, run) in ["runs/k4", "runs/k8"].into_iter().enumerate() {
        let evaluated = dir.json(&format!("eval {run} sample:words --json"));
        let found = &compared["runs"][i]["training"];
        assert_eq!(found["explained_variance"], evaluated["explained_variance"]);
        assert!(compared["runs"][i]["held_out"].is_null());
    }
}

#[test]
fn page_has_tables_and_curves() {
    let (dir, _) = two_runs();
    dir.ok("compare runs/k4 runs/k8 --out page.html");
    let page = text(&dir.read("page.html"));
    for words in [
        "model.options.k",
        "objective (log)",
        "explained variance, %",
        "id=\"frontier\"",
        ">k4<",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn runs_without_figures_or_on_other_rows_are_named() {
    let (dir, _) = two_runs();
    std::fs::remove_file(dir.path("runs/k4/figures.json")).unwrap();
    dir.ok("train sample:digits --latents 8 --steps 5 --out runs/digits -q");
    let told = dir.run("compare runs/k4 runs/k8 runs/digits");
    assert!(told.status.success());
    let notes = text(&told.stderr);
    assert!(notes.contains("k4 has no figures"), "{notes}");
    assert!(
        notes.contains("the runs have other rows to train on"),
        "{notes}"
    );
    assert!(
        notes.contains("the runs prepare their rows differently"),
        "{notes}"
    );
    // Figures of training rows are not those of held-out rows.
    dir.ok("train sample:digits --latents 8 --steps 5 --holdout 0 --out runs/whole -q");
    let table = dir.ok("compare runs/digits runs/whole");
    assert!(
        table.contains("No rows are held out in whole: all figures there are of training rows."),
        "{table}"
    );
    let failed = dir.run("compare runs/none");
    assert_eq!(failed.status.code(), Some(1));
    // Words do not fit a model of digits.
    let failed = dir.run("compare runs/k8 runs/digits --data sample:words");
    assert!(
        text(&failed.stderr).contains("digits"),
        "{}",
        text(&failed.stderr)
    );
}

/// Transcoders need their targets; a page is no file of another kind.
#[test]
fn transcoders_are_compared_on_their_targets_and_pages_are_html() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 4, &crate::common::noise(400));
    dir.write_npy("y.npy", 4, &crate::common::noise(400));
    dir.ok("train x.npy --target y.npy --latents 8 --k 2 --steps 5 --batch 50 --out t -q");
    let compared = dir.json("compare t --data x.npy --target y.npy --json");
    let evaluated = dir.json("eval t x.npy --target y.npy --json");
    assert_eq!(compared["runs"][0]["training"]["mse"], evaluated["mse"]);
    let failed = dir.run("compare t --out x.npy");
    assert_eq!(failed.status.code(), Some(2));
    assert!(text(&failed.stderr).contains("a file that ends with .html"));
}
