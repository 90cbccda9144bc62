//! Tests of the plan's errors, warnings and defaults.

use super::*;
use crate::config;

fn survey(min: f32, max: f32) -> Survey {
    Survey {
        rows: 1000,
        d_in: 2,
        min,
        max,
        mean: vec![0.0; 2],
        variance: vec![1.0; 2],
    }
}

fn plan(text: &str, survey: &Survey) -> Result<Plan> {
    Plan::new(&config::merge(&[text.parse().unwrap()])?, survey)
}

fn refusal(text: &str) -> String {
    plan(text, &survey(-1.0, 2.0))
        .err()
        .expect("an error")
        .to_string()
}

#[test]
fn invalid_configurations_are_refused_with_the_reason() {
    for (text, words) in [
        (
            "[model]\nlatents = 0",
            "`model.latents` must be at least 1, got 0",
        ),
        (
            "[model.options]\nrho = 1.0",
            "`model.options.rho` must be a number in (0, 1), got 1",
        ),
        (
            "[model.options]\nloss = 'cross-entropy'",
            "the data spans [-1, 2]",
        ),
        (
            "[model.options]\nloss = 'cross-entropy'\ndecoder = 'linear'",
            "cross-entropy",
        ),
        ("[train]\noptimizer = 'lbfgs'\nbatch = 10", "full batches"),
        (
            "[train]\nbatch = 10\n[model.options]\nrho_estimate = 'exact'",
            "all rows in every step, but a batch has 10",
        ),
        (
            "[train]\nbatch = 2000",
            "`train.batch` must be at most the 1000 rows of the data, got 2000",
        ),
        ("[train]\nsteps = 1\nepochs = 1", "not both"),
        (
            "[train]\nlr = -1.0",
            "`train.lr` must be a finite number above 0",
        ),
        ("[model]\ndecoder_norm = 'unit'", "L-BFGS"),
        ("[model]\ndecoder_norm = 'rescale'", "sigmoid latents"),
        (
            "[model]\narch = 'matching-pursuit'\ndecoder_norm = 'rescale'",
            "`model.decoder_norm` rescale cannot be combined with an encoder that is tied to the decoder",
        ),
        (
            "[model]\narch = 'topk'\ndecoder_norm = 'rescale'\n[train]\nresample_every = 5",
            "resampling",
        ),
        (
            "[model]\nlatents = 99999999999999999",
            "`model.latents` must be at most",
        ),
        ("[model]\narch = 'kI'", "did you mean `kl`"),
        (
            "[model]\narch = 'topk'\n[train]\noptimizer = 'lbfgs'",
            "L-BFGS needs a smooth objective, which topk does not have; set `train.optimizer` to adam",
        ),
        (
            "[model]\narch = 'batch-topk'\n[train]\noptimizer = 'sgd'",
            "some latents of batch-topk fire a thousand times as often as others; set `train.optimizer` to adam",
        ),
        (
            "[model]\narch = 'topk'\nlatents = 8\n[model.options]\nk = 9",
            "`model.options.k` must be at most the 8 latents, got 9",
        ),
        (
            "[model]\narch = 'topk'\n[model.options]\nk = 32",
            "`model.options.k` must be at most the 16 latents, got 32",
        ),
        (
            "[model]\narch = 'jumprelu'\nlatents = 8\n[model.options]\ntarget_l0 = 9",
            "`model.options.target_l0` must be at most the 8 latents, got 9",
        ),
        (
            "[model]\narch = 'batch-topk'\n[train]\nbatch = 3\n[model.options]\nk = 0.3",
            "keeps no latent in a batch",
        ),
        (
            "[model]\narch = 'topk'\n[model.options]\nk = 2.5",
            "`model.options.k` must be auto or a whole number not below 1, got 2.5",
        ),
        (
            "[model]\narch = 'topk'\n[model.options]\naux_k = 'some'",
            "`model.options.aux_k` must be auto or a whole number not below 1, got some",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(words), "{text}: {refusal}");
    }
}

#[test]
fn data_range_sets_the_decoder_and_batch_size_the_rho_estimate() {
    let of = |text: &str, s: &Survey| {
        let plan = plan(text, s).unwrap();
        (
            plan.options.text("decoder").to_owned(),
            plan.options.text("rho_estimate").to_owned(),
            plan.batch,
        )
    };
    assert_eq!(
        of("", &survey(0.0, 1.0)),
        ("sigmoid".into(), "exact".into(), 1000)
    );
    assert_eq!(
        of("[train]\nbatch = 100", &survey(-2.0, 1.0)),
        ("linear".into(), "moving".into(), 100)
    );
    let adam_exact = "[train]\noptimizer = 'adam'\n[model.options]\nrho_estimate = 'exact'";
    assert_eq!(of(adam_exact, &survey(-2.0, 1.0)).2, 1000);
    // A batch of all rows gives the exact rho_hat, requested or because the data is small.
    let few = Survey {
        rows: 40,
        ..survey(0.0, 1.0)
    };
    for text in ["[train]\nbatch = 40", "[train]\noptimizer = 'adam'"] {
        assert_eq!(of(text, &few), ("sigmoid".into(), "exact".into(), 40));
    }
}

#[test]
fn small_batch_with_batch_estimate_warns() {
    let coarse = plan(
        "[train]\nbatch = 90\n[model.options]\nrho_estimate = 'batch'",
        &survey(0.0, 1.0),
    )
    .unwrap();
    assert!(
        coarse.warnings[0].contains("rho * batch = 4.50"),
        "{:?}",
        coarse.warnings
    );
    let fine = plan(
        "[train]\nbatch = 100\n[model.options]\nrho_estimate = 'batch'",
        &survey(0.0, 1.0),
    )
    .unwrap();
    assert!(fine.warnings.is_empty());
}

/// Biases have the scale of the data, and Adam's steps do not.
#[test]
fn very_small_or_large_data_warns() {
    let scaled = |scale: f64| Survey {
        mean: vec![0.6 * scale; 2],
        variance: vec![0.64 * scale * scale; 2],
        ..survey(-1.0, 1.0)
    };
    let warnings = |text: &str, scale: f64| plan(text, &scaled(scale)).unwrap().warnings;
    for near in [1.1e-3, 1.0, 0.9e3] {
        assert!(warnings(TOPK, near).is_empty(), "{near}");
    }
    let constant = &warnings(TOPK, 0.0)[0];
    assert!(constant.contains("are the same"), "{constant}");
    let tiny = &warnings(TOPK, 0.9e-3)[0];
    assert!(
        tiny.starts_with("the data has a root mean square of 9.0e-4, and a step of Adam moves a bias by about 6.4e-3, which is large in comparison"),
        "{tiny}"
    );
    let huge = &warnings(TOPK, 1.1e3)[0];
    assert!(
        huge.contains("which is negligible in comparison; the step scale"),
        "{huge}"
    );
    // L-BFGS searches the length of its steps, so no warning.
    assert!(warnings("", 1e-6).is_empty());
}

#[test]
fn plan_of_a_resolved_config_is_unchanged() {
    let s = survey(0.0, 1.0);
    let few = Survey {
        rows: 40,
        ..s.clone()
    };
    for (text, survey) in [
        ("[train]\nbatch = 100", &s),
        ("", &s),
        ("[train]\noptimizer = 'adam'", &few),
        (
            "[train]\noptimizer = 'sgd'\n[model.options]\nrho_estimate = 'moving'",
            &few,
        ),
        ("[train]\nbatch = 40", &few),
        ("[train]\nbatch = 40\nclip = 1", &s),
        (TOPK, &s),
        (TOPK, &few),
        (
            "[model]\narch = 'batch-topk'\ndecoder_norm = 'free'\n[train]\nclip = 'none'\nepochs = 3\n[model.options]\nk = 2.5",
            &s,
        ),
    ] {
        let first = plan(text, survey).unwrap().config;
        assert_eq!(Plan::new(&first, survey).unwrap().config, first, "{text}");
    }
}

const TOPK: &str = "[model]\narch = 'topk'\n[model.options]\nk = 4";

/// Defaults of sparse architectures, and settings that replace them.
#[test]
fn defaults_of_topk_and_kl_are_as_documented() {
    let rows = 100_000;
    let survey = Survey {
        rows,
        ..survey(-1.0, 1.0)
    };
    let p = plan(TOPK, &survey).unwrap();
    assert_eq!((p.optimizer, p.batch), (OptimizerKind::Adam, 4096));
    assert_eq!(
        (p.d_sae, p.clip, p.decoder_norm),
        (16, Some(1.0), DecoderNorm::Unit)
    );
    // 20 passes of 24 batches would be 480.
    assert_eq!(p.steps, 1000);
    assert!((p.lr - 2e-4 * 32.0).abs() < 1e-12, "{}", p.lr);
    let of = |name: &str| p.options.text(name).to_owned();
    // Two passes are 200,000 rows and a tenth of the run 409,600.
    assert_eq!(
        (of("aux_k"), of("dead_after")),
        ("1".into(), "200000".into())
    );

    let kl = plan("", &survey).unwrap();
    assert_eq!(
        (kl.d_sae, kl.clip, kl.decoder_norm),
        (64, None, DecoderNorm::Free)
    );
    let said = format!("{TOPK}\n[train]\nclip = 'none'\nepochs = 2\nbatch = 1000");
    let p = plan(&said, &survey).unwrap();
    assert_eq!((p.clip, p.steps, p.batch), (None, 200, 1000));
    assert_eq!(p.options.text("dead_after"), "20000");
}

/// Few rows for each latent of a default number of latents.
#[test]
fn values_are_hidden_by_default_where_rows_are_few() {
    let mask = |rows: usize, width: usize, text: &str| {
        let survey = Survey {
            rows,
            d_in: width,
            min: -1.0,
            max: 1.0,
            mean: vec![0.0; width],
            variance: vec![1.0; width],
        };
        plan(text, &survey).unwrap().mask()
    };
    let topk = "[model]\narch = 'topk'\n";
    assert_eq!(mask(4750, 384, topk), 0.4);
    assert_eq!(mask(4750, 50, topk), 0.13);
    // 14,250 rows are 53 for each of 270 latents: (70 - 52.8) / 30 of the largest mask.
    assert_eq!(mask(14_250, 384, topk), 0.23);
    assert_eq!(mask(50_000, 384, topk), 0.0);
    assert_eq!(mask(4750, 384, &format!("{topk}latents = 160")), 0.0);
    assert_eq!(mask(4750, 384, &format!("{topk}[train]\nmask = 0")), 0.0);
    assert_eq!(
        mask(50_000, 384, &format!("{topk}[train]\nmask = 0.5")),
        0.5
    );
    assert_eq!(mask(4750, 384, ""), 0.0);
}

#[test]
fn largest_k_and_unchanged_p_are_accepted_at_the_start_of_a_run() {
    for (text, k_start, p) in [
        (
            "[model]\narch = 'topk'\nlatents = 8\noptions = { k = 2 }\n[train]\nk_start = 8\nsteps = 10",
            4.0,
            None,
        ),
        (
            "[model]\narch = 'relu'\nlatents = 8\n[train]\nsteps = 100\np_end = 1.0",
            1.0,
            Some((1.0, 1.0, 50)),
        ),
    ] {
        let plan = plan(text, &survey(-1.0, 2.0)).unwrap();
        assert_eq!(plan.schedules().k_start, k_start, "{text}");
        assert_eq!(plan.schedules().p, p, "{text}");
    }
}

#[test]
fn schedules_of_k_and_p_out_of_range_are_refused() {
    for (text, words) in [
        (
            "[model]\narch = 'topk'\nlatents = 8\noptions = { k = 2 }\n[train]\nk_start = 9",
            "`train.k_start` must be at most the 8 latents, got 9",
        ),
        (
            "[model]\narch = 'topk'\nlatents = 8\noptions = { k = 2 }\n[train]\nsteps = 10\nk_start = 4\nk_anneal = 12",
            "`train.k_anneal` must be at most the 10 steps of the run, got 12",
        ),
        (
            "[model]\narch = 'relu'\nlatents = 8\n[train]\np_end = 0.01",
            "`train.p_end` must be a finite number above 0.01, got 0.01",
        ),
        (
            "[model]\narch = 'topk'\nlatents = 8\noptions = { k = 2 }\n[train]\np_end = 0.5",
            "the penalty of this architecture has no p: remove `train.p_end`",
        ),
        (
            "[model]\narch = 'relu'\nlatents = 8\n[train]\nk_start = 9",
            "remove `train.k_start`",
        ),
        (
            "[model]\narch = 'kl'\nlatents = 8\n[train]\nk_start = 9",
            "this architecture has no k that changes during a run: remove `train.k_start`",
        ),
    ] {
        let why = refusal(text);
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn wanted_l0_alone_sets_penalty_threshold_and_weight() {
    let of = |options: &str| {
        let text = format!("[model]\narch = 'jumprelu'\nlatents = 100\n[model.options]\n{options}");
        plan(&text, &survey(-1.0, 1.0)).unwrap()
    };
    let aimed = of("target_l0 = 5");
    assert_eq!(aimed.options().text("penalty"), "target");
    assert!(aimed.warnings().is_empty(), "{:?}", aimed.warnings());
    let other = of("target_l0 = 5\npenalty = 'step'");
    assert_eq!(other.options().text("penalty"), "step");
    assert!(other.warnings()[0].contains("`model.options.target_l0` has no effect"));
    let number = |plan: &Plan, name: &str| plan.options().find_number(name).unwrap();
    // The weight is the variance, 0.006 of it without a target. The first encoder of 2 inputs and 100 latents has rows of length
    // 0.04, and a normal variable exceeds 1.64 with a chance of a twentieth.
    let ratio = number(&aimed, "l0") / number(&other, "l0");
    assert!((ratio * 0.006 - 1.0).abs() < 0.01, "{ratio}");
    assert!((number(&aimed, "threshold") / (0.04 * 1.645) - 1.0).abs() < 0.01);
    // A recorded configuration has every option with its default.
    let recorded = of("penalty = 'target'\ntarget_l0 = 32\ntanh_scale = '4'");
    assert!(recorded.warnings().is_empty(), "{:?}", recorded.warnings());
}
