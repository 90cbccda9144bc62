//! Models built by hand from the known dictionary of their data, with known metrics.

use super::*;
use crate::data::Memory;
use crate::preprocess::Pipeline;
use crate::synth::{Directions, Hierarchy, Magnitudes, Spec};
use crate::variants::{self, Options};

/// Model that keeps every positive pre-activation, with given encoder and decoder rows.
fn model(w_enc: &[f32], w_dec: &[f32], b: (f32, &[f32]), pipeline: Pipeline) -> Model {
    let d_in = b.1.len();
    let d_sae = w_dec.len() / d_in;
    let info = variants::find("topk").unwrap();
    let options = Options::check(info.options(), [("k", d_sae.to_string())]).unwrap();
    let architecture = info.build(&options).unwrap();
    let mut params = crate::params::Params::zeros(
        &architecture.layout(&crate::io_spec::IoSpec::autoencoder(d_in), d_sae),
    );
    params.get_mut("w_enc").copy_from_slice(w_enc);
    params.get_mut("w_dec").copy_from_slice(w_dec);
    params.get_mut("b_enc").fill(b.0);
    params.get_mut("b_dec").copy_from_slice(b.1);
    Model::autoencoder(info, options, params, pipeline).unwrap()
}

fn family(correlation: f64, hierarchy: Option<Hierarchy>) -> Truth {
    Truth::new(&Spec {
        d_in: 12,
        features: 9,
        l0: 1.5,
        correlation,
        cluster: 3,
        hierarchy,
        directions: Directions::Orthogonal,
        magnitudes: Magnitudes::Constant,
        centre: 2.0,
        ..Spec::default()
    })
    .unwrap()
}

const TREES: Option<Hierarchy> = Some(Hierarchy {
    depth: 1,
    branch: 2,
    children: 0.8,
    exclusive: true,
});

/// Model whose encoder and decoder rows are the features, which are orthogonal and have strength 1.
fn perfect_model(truth: &Truth) -> Model {
    let d = truth.directions();
    model(d, d, (-0.5, truth.bias()), Pipeline::identity(12))
}

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-5, "{got} instead of {expected}");
}

#[test]
fn perfect_model_has_perfect_metrics() {
    for (truth, parents) in [(family(0.0, TREES), true), (family(0.5, None), false)] {
        let e = evaluate(&perfect_model(&truth), &truth, 0..10_000).unwrap();
        let r = &e.recovery;
        for full in [
            r.matched_cosine,
            r.feature_cosine,
            r.latent_cosine,
            r.recall,
        ] {
            near(full, 1.0);
        }
        assert_eq!((r.features, r.latents, e.rows), (9, 9, 10_000));
        assert_eq!(r.latents_without_feature, 0.0);
        for full in [e.firing_precision, e.firing_recall, e.firing_f1] {
            assert_eq!(full, 1.0);
        }
        near(e.firing_correlation, 1.0);
        near(e.hedging.unwrap(), 0.0);
        assert_eq!(e.absorption, parents.then_some(0.0));
        assert_eq!(e.l0, e.true_l0);
        assert!((e.l0 - 1.5).abs() < 0.1, "{}", e.l0);
    }
    // No feature has a partner or a child.
    let truth = family(0.0, None);
    let e = evaluate(&perfect_model(&truth), &truth, 0..10).unwrap();
    assert_eq!((e.hedging, e.absorption), (None, None));
}

/// The latent of a parent is silent in rows with a child, whose latent contains the parent.
#[test]
fn absorption_equals_share_of_rows_with_a_child() {
    let truth = family(0.0, TREES);
    let d = truth.directions();
    let (mut w_enc, mut w_dec) = (d.to_vec(), d.to_vec());
    for (child, parent) in truth.parents().iter().enumerate() {
        let Some(parent) = parent else { continue };
        for t in 0..12 {
            w_enc[12 * parent + t] -= d[12 * child + t];
            w_dec[12 * child + t] += 0.8 * d[12 * parent + t];
        }
    }
    let absorbing = model(&w_enc, &w_dec, (-0.5, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&absorbing, &truth, 0..40_000).unwrap();
    // In 80 % of the rows of a parent one of its two children fires, never both.
    let absorption = e.absorption.unwrap();
    assert!((absorption - 0.8).abs() < 0.02, "{absorption}");
    assert_eq!(e.pairs.iter().filter(|p| p.absorbed.is_some()).count(), 3);
    // The decoder rows of parents contain no child, so there is no hedging.
    near(e.hedging.unwrap(), 0.0);
    // If no child's latent contains the parent, a silent parent is a miss and not absorption.
    let missing = model(&w_enc, d, (-0.5, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&missing, &truth, 0..10_000).unwrap();
    assert_eq!(e.absorption, Some(0.0));
    assert!(e.firing_recall < 0.8, "{}", e.firing_recall);
}

/// Each latent contains 0.75 times the next feature of its cluster.
#[test]
fn hedging_equals_share_of_mixed_in_partner() {
    let truth = family(0.5, None);
    let d = truth.directions();
    let mut w_dec = d.to_vec();
    for f in 0..9 {
        let next = f / 3 * 3 + (f + 1) % 3;
        (0..12).for_each(|t| w_dec[12 * f + t] += 0.75 * d[12 * next + t]);
    }
    let hedging = model(d, &w_dec, (-0.5, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&hedging, &truth, 0..10).unwrap();
    near(e.hedging.unwrap(), 0.6);
    near(e.recovery.matched_cosine, 0.8);
    assert_eq!(
        (e.recovery.recall, e.recovery.latents_without_feature),
        (0.0, 1.0)
    );
    // A model of zeros is about no feature, so hedging is not defined.
    let zeros = vec![0.0; 9 * 12];
    let silent = model(&zeros, &zeros, (0.0, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&silent, &truth, 0..100).unwrap();
    assert_eq!((e.hedging, e.recovery.matched_cosine), (None, 0.0));
    assert_eq!((e.l0, e.firing_f1, e.firing_correlation), (0.0, 0.0, 0.0));
}

#[test]
fn recovery_is_correct_with_fewer_and_more_latents_than_features() {
    let truth = family(0.0, None);
    let d = truth.directions();
    let some = compare(&d[..4 * 12], d, 12, Sign::Same);
    near(some.matched_cosine, 1.0);
    near(some.recall, 4.0 / 9.0);
    near(some.feature_cosine, 4.0 / 9.0);
    assert_eq!((some.matches.len(), some.latents_without_feature), (4, 0.0));
    let twice = compare(&d.repeat(2), d, 12, Sign::Same);
    near(twice.recall, 1.0);
    assert_eq!(
        (twice.matches.len(), twice.latents_without_feature),
        (9, 0.0)
    );
}

/// For columns of deviation 1 and 4, `standardise` maps the direction (0.6, 0.8) to that of (0.6, 0.2).
#[test]
fn directions_are_transformed_by_preprocessing() {
    let data = Memory::new("rows", 2, vec![0.0, 100.0, 2.0, 108.0]);
    let fit = |step: &str| Pipeline::fit(&[step.into()], &data).unwrap();
    let w = [1.0, 0.0, 0.6, 0.2];
    let of = |step: &str| {
        let model = model(&w, &w, (0.0, &[0.0, 0.0]), fit(step));
        dictionary(&model, &[1.0, 0.0, 0.6, 0.8], 2)
    };
    near(of("standardise").unwrap().matched_cosine, 1.0);
    let plain = (0.36 + 0.16) / (0.36f64 + 0.04).sqrt();
    near(
        of("scale").unwrap().matched_cosine,
        f64::midpoint(1.0, plain),
    );
    let error = of("clip-sd:3").unwrap_err().to_string();
    assert!(
        error.contains("preprocessing clip-sd:3 of the model is not linear"),
        "{error}"
    );
    let model = model(&w, &w, (0.0, &[0.0, 0.0]), Pipeline::identity(2));
    let error = dictionary(&model, &[1.0, 0.0, 0.0], 3)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "values of a direction of the known dictionary: expected 2, the columns of the model's data, got 3"
    );
}

/// The JSON output has the metrics of the table, in the same order.
#[test]
fn json_has_all_metrics_of_the_table_in_order() {
    let truth = family(0.5, TREES);
    let e = evaluate(&perfect_model(&truth), &truth, 0..100).unwrap();
    let text = serde_json::to_string(&e).unwrap();
    let at = |name: &str| {
        text.find(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    let places: Vec<usize> = METRICS.iter().map(|(name, _)| at(name)).collect();
    assert!(places.is_sorted(), "{text}");
    let value = serde_json::to_value(&e).unwrap();
    assert_eq!(value.as_object().unwrap().len(), METRICS.len(), "{text}");
}
