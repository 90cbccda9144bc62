//! Tests of the advice: each fault with each cause.

use super::*;
use crate::config;

/// Evaluation with these counts out of 10 latents.
fn result(dead: usize, collapsed: Option<usize>, explained: f64) -> Evaluation {
    Evaluation {
        rows: 100,
        mse: 1.0,
        explained_variance: explained,
        explained_variance_by_input: Vec::new(),
        l0: 1.0,
        lifetime_sparsity: 0.0,
        population_sparsity: 0.0,
        dead_latents: dead,
        dead_fraction: dead as f64 / 10.0,
        always_on_latents: 0,
        rare_latents: None,
        frequent_latents: None,
        collapsed_latents: collapsed,
        loss: 1.0,
        reconstruction: 1.0,
        penalty: None,
        weight_decay: None,
        kl: None,
        latents: Vec::new(),
        activation_histogram: Vec::new(),
        population_histogram: Vec::new(),
    }
}

fn run(text: &str, variance: f64) -> (Plan, Survey) {
    let survey = Survey {
        rows: 1000,
        d_in: 4,
        min: -1.0,
        max: 1.0,
        mean: vec![0.0; 4],
        variance: vec![variance; 4],
    };
    let text = format!("[model]\nlatents = 10\n{text}");
    let config = config::merge(&[text.parse().unwrap()]).unwrap();
    (Plan::new(&config, &survey).unwrap(), survey)
}

fn of(text: &str, variance: f64, result: &Evaluation) -> Option<String> {
    let (plan, survey) = run(text, variance);
    advice(&plan, &survey, result)
}

/// A mask is advised where the architecture has one and the run had none.
#[test]
fn gap_names_settings_that_the_run_may_change() {
    for (text, masks) in [
        ("arch = 'topk'", true),
        ("arch = 'topk'\n[train]\nmask = 0.1", false),
        ("arch = 'matching-pursuit'", false),
        ("arch = 'kl'", false),
    ] {
        let (plan, _) = run(text, 1.0);
        let (training, held_out) = (result(0, None, 0.9), result(0, None, 0.8));
        let told = gap(&plan, &training, &held_out).expect(text);
        assert_eq!(told.contains("`train.mask`"), masks, "{text}: {told}");
        assert!(told.contains("`model.latents` to fewer"), "{told}");
        assert_eq!(gap(&plan, &training, &training), None);
    }
}

/// Evaluation of kl with rho 0.05 and this mean activation and L0.
fn kl(rho_hat_mean: f64, l0: f64, collapsed: usize) -> Evaluation {
    let kl = crate::metrics::KlEvaluation {
        rho: 0.05,
        rho_hat_mean,
        rho_hat_mean_deviation: 0.0,
        rho_hat_max_deviation: 0.0,
        omega: 0.0,
    };
    Evaluation {
        kl: Some(kl),
        l0,
        ..result(0, Some(collapsed), 0.3)
    }
}

#[test]
fn kl_that_misses_rho_or_is_faint_gets_advice() {
    for (text, variance, result, expected) in [
        (
            "arch = 'kl'",
            100.0,
            kl(0.36, 4.0, 0),
            "0.36, 7.2 times rho: values with a root mean square of 10 saturate",
        ),
        (
            "arch = 'kl'",
            1.0,
            kl(0.2, 4.0, 0),
            "0.20, 4.0 times rho: increase `model.options.beta`, which is 1",
        ),
        (
            "arch = 'kl'",
            1.0,
            kl(0.05, 0.04, 0),
            "0.040 latents are active per row, and 30 % of the variance is explained: increase `model.options.rho`",
        ),
        (
            "arch = 'kl'\n[train]\noptimizer = 'adam'",
            1.0,
            kl(0.05, 0.04, 0),
            "steps are few; increase `train.steps`",
        ),
        (
            "arch = 'kl'",
            1.0,
            kl(0.05, 4.0, 3),
            "3 of 10 latents are collapsed to constants",
        ),
    ] {
        let told = of(text, variance, &result).expect(expected);
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(of("arch = 'kl'", 1.0, &kl(0.06, 4.0, 2)), None);
}

#[test]
fn codes_that_are_not_sparse_get_advice() {
    let of_l0 = |l0: f64, frequent: usize| Evaluation {
        l0,
        frequent_latents: Some(frequent),
        ..result(0, None, 0.5)
    };
    let target = "arch = 'jumprelu'\n[model.options]\npenalty = 'target'\ntarget_l0 = 2";
    let told = of(target, 1.0, &of_l0(4.0, 0)).unwrap();
    assert!(
        told.starts_with(
            "4.0 latents are active per row, and the target is 2: increase `train.steps`"
        ),
        "{told}"
    );
    assert_eq!(of(target, 1.0, &of_l0(2.9, 0)), None);
    let told = of("arch = 'relu'", 1.0, &of_l0(4.0, 6)).unwrap();
    assert!(
        told.starts_with("6 of 10 latents are active on more than 10 %"),
        "{told}"
    );
    assert!(told.contains("increase `model.options.l1`"), "{told}");
    assert_eq!(of("arch = 'topk'", 1.0, &of_l0(4.0, 6)), None);
}

#[test]
fn each_cause_is_named_with_its_field() {
    let (dead, bad) = (result(10, None, 0.0), result(0, None, -1.0));
    let collapsed = result(0, Some(10), 0.0);
    for (text, variance, result, expected) in [
        (
            "arch = 'relu'\noptions = { l1 = 1e6 }",
            1.0,
            &dead,
            "10 of 10 latents are dead: the sparsity penalty is too large: `model.options.l1` is 1000000.0, and above 4.0",
        ),
        (
            "arch = 'gated'\noptions = { l1 = 3 }",
            1.0,
            &dead,
            "decrease `model.options.l1`, which is 3",
        ),
        (
            "arch = 'jumprelu'\noptions = { l0 = 3 }",
            1.0,
            &dead,
            "decrease `model.options.l0`, which is 3",
        ),
        (
            "arch = 'jumprelu'\noptions = { threshold = 3 }",
            1.0,
            &dead,
            "`model.options.threshold = 3` is above the mean length of a row, 2.000",
        ),
        (
            "arch = 'topk'\noptions = { k = 1 }",
            1.0,
            &dead,
            "increase `model.options.k`, which is 1, decrease `model.latents`",
        ),
        (
            "arch = 'topk'\noptions = { k = 1 }\n[train]\nlr = 5",
            1.0,
            &dead,
            "latents are dead: the learning rate is too high: `train.lr = 5`",
        ),
        ("arch = 'kl'", 1.0, &dead, "increase `model.options.beta`"),
        (
            "arch = 'kl'\noptions = { weight_decay = 0.1, rho = 0.01 }",
            1.0,
            &collapsed,
            "10 of 10 latents are collapsed to constants: the weight decay is too large",
        ),
        (
            "arch = 'kl'\noptions = { weight_decay = 1e-5, beta = 1000 }",
            1.0,
            &collapsed,
            "decrease `model.options.beta`, which is 1000",
        ),
        (
            "arch = 'relu'\n[train]\nlr = 5",
            1.0,
            &bad,
            "worse than predicting the mean: the learning rate is too high",
        ),
        (
            "arch = 'relu'",
            1e8,
            &bad,
            "the values are large, with a root mean square of 10000",
        ),
        (
            "arch = 'relu'",
            1e-6,
            &bad,
            "the values are small, with a root mean square of 0.0010",
        ),
        (
            "arch = 'relu'\n[train]\nsteps = 20",
            1.0,
            &bad,
            "20 steps are few; increase `train.steps`",
        ),
        (
            "arch = 'relu'\n[train]\nsteps = 2000",
            1.0,
            &bad,
            "increase `train.steps`, change `train.lr`",
        ),
    ] {
        let advice = of(text, variance, result).expect(text);
        assert!(advice.contains(expected), "{text}: {advice}");
    }
}

#[test]
fn good_result_gets_no_advice() {
    for good in [result(8, None, 0.5), result(0, Some(2), 0.01)] {
        assert_eq!(of("arch = 'kl'", 1.0, &good), None);
    }
}
