//! Models put together by hand, held against truths that they know.

use super::*;
use crate::data::Memory;
use crate::preprocess::Pipeline;
use crate::synth::{Directions, Hierarchy, Magnitudes, Spec};
use crate::variants::{self, Hyper};

/// A model that keeps every positive pre-activation, with these decoder rows.
fn model(w_enc: &[f32], w_dec: &[f32], b: (f32, &[f32]), pipeline: Pipeline) -> Model {
    let d_in = b.1.len();
    let d_sae = w_dec.len() / d_in;
    let info = variants::find("topk").unwrap();
    let hyper = Hyper::check(info.options(), [("k", d_sae.to_string())]).unwrap();
    let architecture = info.build(&hyper).unwrap();
    let mut params = crate::params::Params::zeros(
        &architecture.layout(&crate::io_spec::IoSpec::autoencoder(d_in), d_sae),
    );
    params.get_mut("w_enc").copy_from_slice(w_enc);
    params.get_mut("w_dec").copy_from_slice(w_dec);
    params.get_mut("b_enc").fill(b.0);
    params.get_mut("b_dec").copy_from_slice(b.1);
    Model::new(info, hyper, params, pipeline, None).unwrap()
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

/// At right angles and always of strength 1, features are read off their own directions.
fn knows_all(truth: &Truth) -> Model {
    let d = truth.directions();
    model(d, d, (-0.5, truth.bias()), Pipeline::identity(12))
}

#[track_caller]
fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-5, "{got} instead of {expected}");
}

#[test]
fn a_model_that_knows_the_truth_has_full_marks() {
    for (truth, parents) in [(family(0.0, TREES), true), (family(0.5, None), false)] {
        let e = evaluate(&knows_all(&truth), &truth, 0..10_000).unwrap();
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
    // Nobody has a partner, nobody a child.
    let truth = family(0.0, None);
    let e = evaluate(&knows_all(&truth), &truth, 0..10).unwrap();
    assert_eq!((e.hedging, e.absorption), (None, None));
}

/// Parents that are silent beside a child whose latent has them in it: absorbed in just those rows.
#[test]
fn absorption_is_the_share_of_rows_with_a_child() {
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
    // Of the rows of a parent 0.8 have one of its two children, never both.
    let absorption = e.absorption.unwrap();
    assert!((absorption - 0.8).abs() < 0.02, "{absorption}");
    assert_eq!(e.pairs.iter().filter(|p| p.absorbed.is_some()).count(), 3);
    // The parents' own directions are clean: it is no hedging.
    near(e.hedging.unwrap(), 0.0);
    // A parent's latent that is silent while no child's has it in it is a miss, and no absorption.
    let missing = model(&w_enc, d, (-0.5, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&missing, &truth, 0..10_000).unwrap();
    assert_eq!(e.absorption, Some(0.0));
    assert!(e.firing_recall < 0.8, "{}", e.firing_recall);
}

/// Latents that have three quarters of the next feature of their cluster in them.
#[test]
fn hedging_is_the_share_of_a_partner() {
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
    // One that is about no feature of the truth has nothing to say about partners.
    let zeros = vec![0.0; 9 * 12];
    let silent = model(&zeros, &zeros, (0.0, truth.bias()), Pipeline::identity(12));
    let e = evaluate(&silent, &truth, 0..100).unwrap();
    assert_eq!((e.hedging, e.recovery.matched_cosine), (None, 0.0));
    assert_eq!((e.l0, e.firing_f1, e.firing_correlation), (0.0, 0.0, 0.0));
}

#[test]
fn fewer_latents_than_features_and_more() {
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

/// Columns of deviation 1 and 4: behind `standardise` the direction (0.6, 0.8) is that of (0.6, 0.2).
#[test]
fn directions_go_through_the_preprocessing() {
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
        error.contains("preprocessing clip-sd:3 is not linear"),
        "{error}"
    );
    let model = model(&w, &w, (0.0, &[0.0, 0.0]), Pipeline::identity(2));
    let error = dictionary(&model, &[1.0, 0.0, 0.0], 3)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "values of a true direction: expected 2 as the model was trained on, got 3"
    );
}

/// `--json` has what the table says, in its order.
#[test]
fn the_table_is_what_is_told() {
    let truth = family(0.5, TREES);
    let e = evaluate(&knows_all(&truth), &truth, 0..100).unwrap();
    let text = serde_json::to_string(&e).unwrap();
    let at = |name: &str| {
        text.find(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    let places: Vec<usize> = METRICS.iter().map(|(name, _)| at(name)).collect();
    assert!(places.is_sorted(), "{text}");
    assert_eq!(text.matches("\":").count(), METRICS.len(), "{text}");
}
