//! Models trained on synthetic rows, compared with the known dictionary.

use rarefy::architecture;
use rarefy::config;
use rarefy::data::Memory;
use rarefy::metrics::truth;
use rarefy::model::Model;
use rarefy::synth::{self, Directions, Hierarchy, Magnitudes, Spec, Truth};
use rarefy::variants::{self, Info, Options, VARIANTS};

const ROWS: usize = 10 * synth::BLOCK;

/// Options with which an architecture keeps two latents per row, as the data of [`synth::easy`] has. Other
/// architectures get k, if they have that option.
const TOLD: &[(&str, &str)] = &[
    // Each prefix must reconstruct the rows alone, but features of equal rates have no order. So there is one long
    // prefix only.
    ("matryoshka", "k = 2\nlevels = '0.75'"),
    // The default suits thousands of latents and leaves ten active latents per row here.
    ("jumprelu", "l0 = 0.065"),
    ("gated", "l1 = 0.57"),
];

/// Trains an architecture on the first rows of synthetic data, with its default settings.
fn trained(info: &'static Info, truth: &Truth, latents: usize, k: f64, steps: usize) -> Model {
    let rows = Memory::new("rows", truth.d_in(), truth.draw(0..ROWS).x);
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
    architecture(info.name).config(config).fit(&rows).unwrap()
}

#[test]
fn every_sparse_architecture_recovers_easy_dictionary() {
    let truth = synth::easy(1);
    let (mut tried, mut missed) = (0, Vec::new());
    for info in VARIANTS {
        let options = Options::check(info.options(), []).unwrap();
        if info.build(&options).unwrap().dense().is_some() {
            continue;
        }
        tried += 1;
        let model = trained(info, &truth, 48, truth.spec().unwrap().l0, 1500);
        let e = truth::evaluate(&model, &truth, ROWS..2 * ROWS).unwrap();
        let r = &e.recovery;
        let directions = r.recall > 0.9 && r.matched_cosine > 0.95;
        // Architectures with at most k latents per row miss further firing features, and groupmax also misses the
        // second feature of a group. Both cost up to 40 % of the firing.
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

/// The metrics of an untrained model are low, so the test above can fail.
#[test]
fn untrained_model_recovers_nothing() {
    let truth = synth::easy(1);
    let model = trained(variants::find("topk").unwrap(), &truth, 48, 2.0, 1);
    let e = truth::evaluate(&model, &truth, ROWS..ROWS + 2000).unwrap();
    let r = &e.recovery;
    assert!(r.recall < 0.1, "{}", r.recall);
    assert!(r.matched_cosine < 0.7, "{}", r.matched_cosine);
    assert!(e.firing_recall < 0.5, "{}", e.firing_recall);
    assert!(e.firing_correlation < 0.5, "{}", e.firing_correlation);
}

/// Chanin et al. 2025: with too few latents, a model learns sums of correlated features, but single independent
/// features.
#[test]
fn narrow_model_hedges_between_correlated_features() {
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

/// Chanin et al. 2024: with fewer active latents than firing features, a model drops the latents of parents, which
/// the latents of their children then contain.
#[test]
fn too_sparse_model_absorbs_parents() {
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
    // In 80 % of the rows of a parent, a child fires that can absorb the parent.
    let (sparse, right) = (absorption(1.0), absorption(1.5));
    assert!(
        sparse > 0.4 && sparse < 0.85 && right < 0.25,
        "{sparse}, {right}"
    );
}
