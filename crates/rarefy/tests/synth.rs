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

/// What an architecture has to be told to keep the two latents a row that [`synth::easy`] has. One that is
/// not here is told k, if it has one.
const TOLD: &[(&str, &str)] = &[
    // Prefixes must explain the rows alone, and of features that fire alike none comes first.
    ("matryoshka", "k = 2\nlevels = '0.75'"),
    // What is taken by default leaves ten latents a row and is right for thousands of latents.
    ("jumprelu", "l0 = 0.065"),
    ("gated", "l1 = 0.57"),
];

/// A run on a truth's first rows; everything that is not said is the architecture's own.
fn trained(info: &'static Info, truth: &Truth, latents: usize, k: f64, steps: usize) -> Model {
    let spec = truth.spec();
    let rows = Memory::new("rows", spec.d_in, truth.draw(0..ROWS).x);
    let has_k = info.options().iter().any(|option| option.name == "k");
    let told = TOLD.iter().find(|(name, _)| *name == info.name);
    let options = match told {
        Some((_, options)) => (*options).to_owned(),
        None if has_k => format!("k = {k}"),
        None => String::new(),
    };
    let text = format!(
        "[model]\narch = '{}'\nlatents = {latents}\n[model.options]\n{options}\n[train]\nbatch = 512\nlr = 0.003\nsteps = {steps}",
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
    let (mut tried, mut missed) = (0, Vec::new());
    for info in VARIANTS {
        let hyper = Hyper::check(info.options(), []).unwrap();
        if info.build(&hyper).unwrap().dense().is_some() {
            continue;
        }
        tried += 1;
        let model = trained(info, &truth, 48, truth.spec().l0, 1500);
        let e = truth::evaluate(&model, &truth, ROWS..2 * ROWS).unwrap();
        let r = &e.recovery;
        let directions = r.recall > 0.9 && r.matched_cosine > 0.95;
        // Who keeps at most k a row misses what a row has more, groupmax also two of one group: that is
        // how they are, and costs up to four tenths of the firing.
        if !(directions && e.firing_recall > 0.55 && e.firing_correlation > 0.75) {
            missed.push(format!(
                "{}: recall {}, cosine {}, firing {}, correlation {}",
                info.name, r.recall, r.matched_cosine, e.firing_recall, e.firing_correlation
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
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
    assert!(e.firing_recall < 0.5, "{}", e.firing_recall);
    assert!(e.firing_correlation < 0.5, "{}", e.firing_correlation);
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
