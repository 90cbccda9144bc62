//! `rarefy explain`: output in `docs/loss.md`, configurations, runs, missing data, refusals.

use crate::common::{TestDir, all_fail, noise, text};
use serde_json::Value;

/// Each block of the page that begins with a call must equal that call's output.
#[test]
fn outputs_in_loss_md_equal_the_program() {
    let page = include_str!("../../../docs/loss.md");
    let dir = TestDir::new();
    let mut calls = 0;
    for block in page.split("```").skip(1).step_by(2) {
        let Some(call) = block.strip_prefix("text\n$ rarefy ") else {
            continue;
        };
        let (words, expected) = call.split_once('\n').expect("an output below the call");
        assert_eq!(
            dir.ok(words).trim_end(),
            expected.trim_end(),
            "rarefy {words}"
        );
        calls += 1;
    }
    assert!(calls >= 3, "{calls} calls on the page");
}

#[test]
fn explain_names_target_and_schedules() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 5, &noise(1000));
    dir.write_npy("y.npy", 4, &noise(800));
    let short = "--latents 16 --steps 100 --batch 50";
    let said = dir.ok(&format!(
        "explain x.npy --target y.npy --arch relu {short} --preprocess layer-norm --preprocess-target scale"
    ));
    let head = "relu on x.npy: 200 rows of 5, after layer-norm to 4 of y.npy, after scale\nE|y| = ";
    assert!(said.starts_with(head), "{said}");
    let said = dir.ok(&format!(
        "explain x.npy --arch relu {short} --p-end 0.5 --p-from 40"
    ));
    assert!(said.contains("from step 40 on, p falls to 0.5"), "{said}");
    let said = dir.ok(&format!(
        "explain x.npy --arch topk --k 2 --k-start 8 {short}"
    ));
    assert!(
        said.contains("k goes from 8 to 2 over the first 50 steps"),
        "{said}"
    );
}

/// Run folder, `config.toml` and the flags that started the run give the same output.
#[test]
fn explain_of_a_run_equals_explain_of_its_flags() {
    let dir = TestDir::new();
    dir.write_npy("x.npy", 5, &noise(1000));
    let words = "x.npy --arch relu --l1 0.25 --latents 12 --steps 20 --batch 50";
    dir.ok(&format!("train {words} --out run -q"));
    let said = dir.json(&format!("explain {words} --json"));
    for call in [
        "explain run --json",
        "explain run/config.toml --json",
        "explain --config run/config.toml --json",
    ] {
        assert_eq!(dir.json(call), said, "{call}");
    }
    // Flags of a run folder are accepted, and flags win over a configuration.
    assert_eq!(
        dir.json(&format!("explain {words} --out run --force -q --json")),
        said
    );
    let other = dir.json("explain run --l1 0.5 --json");
    assert_eq!(coefficient(&other, "l1")["value"], 0.5);
    assert_eq!(
        (&said["batch"], &said["sparsity_warmup"]),
        (&50.into(), &2.into())
    );
    assert_eq!(
        (&said["options"]["l1"], &said["latents"]),
        (&0.25.into(), &12.into())
    );
    assert!(!dir.path("run-2").exists());
}

fn coefficient<'a>(said: &'a Value, option: &str) -> &'a Value {
    let all = said["coefficients"].as_array().unwrap();
    all.iter().find(|c| c["option"] == option).unwrap()
}

fn elsewhere(said: &Value, option: &str, convention: &str) -> Value {
    let others = coefficient(said, option)["elsewhere"].as_array().unwrap();
    let other = others.iter().find(|e| e["in"] == convention);
    other.map_or(Value::Null, |e| e["value"].clone())
}

/// Rows (3, 4) and (0, 1) have mean norm 3 and mean square 13.
#[test]
fn converted_coefficients_match_a_calculation_by_hand() {
    let dir = TestDir::new();
    dir.write_npy("two.npy", 2, &[3.0, 4.0, 0.0, 1.0]);
    let said = dir
        .json("explain two.npy --arch relu --l1 0.3 --latents 4 --from saelens-scaled:l1=5 --json");
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-12;
    assert!(
        near(&said["rows"]["mean_norm"], 3.0) && near(&said["rows"]["variance"], 4.5),
        "{said}"
    );
    // 0.3 s, with s = sqrt(2) / 3, and with s = 1 / sqrt(13); 0.3 / 2.
    assert!(near(
        &elsewhere(&said, "l1", "saelens-scaled"),
        0.1 * 2f64.sqrt()
    ));
    assert!(near(
        &elsewhere(&said, "l1", "dictionary-learning-scaled"),
        0.3 / 13f64.sqrt()
    ));
    assert!(near(&elsewhere(&said, "l1", "batchtopk"), 0.15));
    let from = &said["from"][0];
    assert!(
        near(&from["numbers"][0]["here"], 15.0 / 2f64.sqrt()),
        "{from}"
    );
    assert_eq!(from["flags"], "--l1 10.6066");
}

#[test]
fn explain_without_data_leaves_data_dependent_values_unknown() {
    let dir = TestDir::new();
    dir.write(
        "relu.toml",
        "[data]\npath = 'gone.npy'\n[model]\narch = 'relu'\n",
    );
    let output =
        dir.run("explain relu.toml --from april-2024 --from batchtopk:l1=0.5 --from saelens:l1=2");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert_eq!(
        err,
        "warning: gone.npy does not exist: values that depend on the data are unknown\n"
    );
    assert!(out.contains("+ l1/m sum_i sum_j f_ij |w_j|"), "{out}");
    assert!(
        out.contains("lambda 5 is here l1 unknown without the data"),
        "{out}"
    );
    assert!(out.contains("  --l1 2\n"), "{out}");
    let said = dir.json("explain relu.toml --json");
    assert_eq!(
        (&said["rows"], &said["open"]),
        (&Value::Null, &vec!["l1"].into())
    );

    dir.write(
        "levels.toml",
        "[data]\npath = 'gone.npy'\n[model]\narch = 'matryoshka'\n",
    );
    let out = dir.ok("explain levels.toml");
    assert!(
        out.contains("+ 0.2/m sum_i |x_i - x_hat_i(level 5)|^2"),
        "{out}"
    );

    dir.write_npy("x.npy", 5, &noise(1000));
    dir.ok("train x.npy --arch batch-topk --k 2 --latents 12 --steps 5 --out run -q");
    let with = dir.json("explain run --json");
    std::fs::remove_file(dir.path("x.npy")).unwrap();
    let without = dir.json("explain run --json");
    assert_eq!(with["options"], without["options"]);
    assert_eq!(with["objective"][3], without["objective"][3]);
    assert_eq!(elsewhere(&without, "k", "dictionary-learning-scaled"), 2.0);
    assert_eq!(
        elsewhere(&without, "aux_coefficient", "dictionary-learning-scaled"),
        Value::Null
    );
}

#[test]
fn latex_prints_one_align_environment() {
    let dir = TestDir::new();
    let out = dir.ok("explain --arch gated --l1 0.3 --latex");
    assert!(
        out.starts_with("\\begin{align*}\n") && out.ends_with("\\end{align*}\n"),
        "{out}"
    );
    assert!(
        out.contains(r"+ \frac{0.3}{m} \sum_i \sum_j \max(0, p_{ij})"),
        "{out}"
    );
}

#[test]
fn invalid_conversions_are_refused() {
    let dir = TestDir::new();
    dir.write("kl.toml", "[model]\narch = 'kl'\n");
    all_fail(&dir, REFUSALS);
}

const REFUSALS: &str = "\
$ explain --arch relu --from saelnes:l1=5
2 error: unknown convention `saelnes`, did you mean `saelens`? (known: saelens, saelens-scaled, dictionary-learning, dictionary-learning-scaled, sparsify, openai, batchtopk, deepmind, april-2024, january-2025, ng, matlab)
$ explain --from saelens:l1=5
2 error: architecture kl has no option `l1`; set `model.arch` to an architecture that has it: relu, gated
hint: set `model.arch` with --arch
$ explain --from openai
2 error: openai has no coefficient of kl; set `model.arch` to one of: topk
hint: set `model.arch` with --arch
$ explain --arch relu --from saelens:l0_coefficient=5
2 error: architecture relu has no option `l0`; set `model.arch` to an architecture that has it: jumprelu
hint: set `model.arch` with --arch
$ explain --arch relu --from saelens:l1=five
2 error: `the published coefficients` must be COEFFICIENT=NUMBER after the colon, got l1=five
$ explain --arch relu --from saelens
2 error: `from` must be saelens:COEFFICIENT=NUMBER for relu, got saelens
$ explain kl.toml --config kl.toml
2 error: kl.toml and --config are two configurations; give one of them
$ explain --arch topk --k 0
2 error: `model.options.k` must be auto or a whole number not below 1, got 0
hint: set `model.options.k` with --k
";
