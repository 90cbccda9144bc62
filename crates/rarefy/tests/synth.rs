//! Models trained on rows of a known dictionary, held against it.

use rarefy::config;
use rarefy::data::{Memory, survey};
use rarefy::metrics::truth;
use rarefy::model::Model;
use rarefy::plan::Plan;
use rarefy::preprocess::Pipeline;
use rarefy::synth::{self, Directions, Hierarchy, Magnitudes, Spec, Truth};
use rarefy::train::{self, Silent, State};
use rarefy::variants::{self, Hyper, Info, VARIANTS};

const ROWS: usize = 10 * synth::BLOCK;

/// A run on a truth's first rows, with k where there is one; everything that is not said is the
/// architecture's own.
fn trained(info: &'static Info, truth: &Truth, latents: usize, k: f64, steps: usize) -> Model {
    let spec = truth.spec();
    let rows = Memory::new("rows", spec.d_in, truth.draw(0..ROWS).x);
    let k = if info.options.iter().any(|option| option.name == "k") {
        format!("[model.options]\nk = {k}")
    } else {
        String::new()
    };
    let text = format!(
        "[model]\narch = '{}'\nlatents = {latents}\n{k}\n[train]\nbatch = 512\nlr = 0.003\nsteps = {steps}",
        info.name
    );
    let config = config::merge(&[text.parse().unwrap()]).unwrap();
    let plan = Plan::new(&config, &survey(&rows).unwrap()).unwrap();
    let start = State::new(&plan, &rows, None).unwrap();
    let params = train::train(&plan, &rows, start, &mut Silent)
        .unwrap()
        .params;
    Model::new(
        info,
        plan.hyper,
        params,
        Pipeline::identity(spec.d_in),
        None,
    )
    .unwrap()
}

#[test]
fn every_sparse_architecture_finds_an_easy_dictionary() {
    let truth = synth::easy(1);
    let mut tried = 0;
    for info in VARIANTS {
        let hyper = Hyper::check(info.options, []).unwrap();
        if (info.build)(&hyper).unwrap().dense().is_some() {
            continue;
        }
        tried += 1;
        let model = trained(info, &truth, 48, truth.spec().l0, 1500);
        let e = truth::evaluate(&model, &truth, ROWS..2 * ROWS).unwrap();
        let (name, r) = (info.name, &e.recovery);
        assert!(r.recall > 0.9, "{name}: recall {}", r.recall);
        assert!(r.matched_cosine > 0.95, "{name}: {}", r.matched_cosine);
        // A row with more features than k, or fewer, is wrong for topk whatever it has learned.
        let (f1, correlation) = (e.firing_f1, e.firing_correlation);
        assert!(
            f1 > 0.7 && correlation > 0.85,
            "{name}: {f1}, {correlation}"
        );
    }
    assert!(tried >= 2, "topk and batch-topk at least");
}

/// The figures are low where nothing was learned, or the test above could not fail.
#[test]
fn a_run_of_no_length_finds_nothing() {
    let truth = synth::easy(1);
    let model = trained(variants::find("topk").unwrap(), &truth, 48, 2.0, 1);
    let e = truth::evaluate(&model, &truth, ROWS..ROWS + 2000).unwrap();
    let r = &e.recovery;
    assert!(r.recall < 0.1, "{}", r.recall);
    assert!(r.matched_cosine < 0.7, "{}", r.matched_cosine);
    assert!(e.firing_f1 < 0.5, "{}", e.firing_f1);
}

/// Chanin et al. 2025: of features that fire together a model with too few latents learns the sum, of
/// independent ones it learns some.
#[test]
fn narrow_models_hedge_between_features_that_fire_together() {
    let hedging = |correlation| {
        let truth = Truth::new(&Spec {
            d_in: 24,
            features: 24,
            l0: 1.0,
            directions: Directions::Orthogonal,
            correlation,
            cluster: 4,
            ..Spec::default()
        });
        let truth = truth.unwrap();
        let model = trained(variants::find("batch-topk").unwrap(), &truth, 8, 1.0, 1000);
        let e = truth::evaluate(&model, &truth, ROWS..ROWS + 2000).unwrap();
        e.hedging.unwrap()
    };
    let (together, apart) = (hedging(0.5), hedging(1e-6));
    assert!(together > 0.4 && apart < 0.25, "{together}, {apart}");
}

/// Chanin et al. 2024: a model that may keep fewer latents than there are features saves those of
/// parents, whose children say it for them.
#[test]
fn models_that_are_too_sparse_absorb_parents() {
    let truth = Truth::new(&Spec {
        d_in: 24,
        features: 24,
        l0: 1.5,
        directions: Directions::Orthogonal,
        magnitudes: Magnitudes::Uniform,
        hierarchy: Some(Hierarchy {
            depth: 1,
            branch: 2,
            children: 0.8,
            exclusive: true,
        }),
        ..Spec::default()
    });
    let truth = truth.unwrap();
    let absorption = |k| {
        let model = trained(variants::find("batch-topk").unwrap(), &truth, 36, k, 1500);
        let e = truth::evaluate(&model, &truth, ROWS..ROWS + 2000).unwrap();
        e.absorption.unwrap()
    };
    // Of a parent's rows 0.8 have a child that could say it.
    let (sparse, right) = (absorption(1.0), absorption(1.5));
    assert!(
        sparse > 0.4 && sparse < 0.85 && right < 0.25,
        "{sparse}, {right}"
    );
}
