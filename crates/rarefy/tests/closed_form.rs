//! The closed form of a model computes what the model computes.

use rarefy::data::{Memory, Source};
use rarefy::model::{ClosedForm, Model, Rule};

/// Latents of a row by the formula of [`ClosedForm`].
fn latents(form: &ClosedForm, row: &[f32]) -> Vec<f64> {
    let dot = |w: &[f32]| -> f64 {
        w.iter()
            .zip(row)
            .map(|(w, x)| f64::from(*w) * f64::from(*x))
            .sum()
    };
    let rows = form.w_enc.chunks_exact(row.len()).zip(&form.b_enc);
    let pre: Vec<f64> = rows.map(|(w, b)| dot(w) + f64::from(*b)).collect();
    let keep = |k: usize, size: fn(f64) -> f64| {
        let mut order: Vec<usize> = (0..pre.len()).filter(|j| size(pre[*j]) > 0.0).collect();
        order.sort_by(|a, b| size(pre[*b]).total_cmp(&size(pre[*a])));
        let mut kept = vec![0.0; pre.len()];
        order.iter().take(k).for_each(|j| kept[*j] = pre[*j]);
        kept
    };
    match &form.rule {
        Rule::Sigmoid => pre.iter().map(|p| 1.0 / (1.0 + (-p).exp())).collect(),
        Rule::Largest(k) => keep(*k, |p| p),
        Rule::LargestMagnitudes(k) => keep(*k, f64::abs),
        Rule::Above(thresholds) => {
            let pairs = pre.iter().zip(thresholds);
            pairs
                .map(|(p, t)| if *p > f64::from(*t) { *p } else { 0.0 })
                .collect()
        }
    }
}

/// Reconstruction of latents by the formula of [`ClosedForm`].
fn decoded(form: &ClosedForm, latents: &[f64]) -> Vec<f64> {
    let width = form.b_dec.len();
    let mut row: Vec<f64> = form.b_dec.iter().map(|b| f64::from(*b)).collect();
    for (z, w) in latents.iter().zip(form.w_dec.chunks_exact(width)) {
        row.iter_mut()
            .zip(w)
            .for_each(|(x, w)| *x += z * f64::from(*w));
    }
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let outputs = row
        .into_iter()
        .map(|v| if form.sigmoid_output { sigmoid(v) } else { v });
    let units = form.scale.iter().zip(&form.shift);
    outputs
        .zip(units)
        .map(|(v, (scale, shift))| v * f64::from(*scale) + f64::from(*shift))
        .collect()
}

fn assert_same(name: &str, model: &Model, data: &dyn Source) {
    let form = model
        .closed_form()
        .unwrap_or_else(|| panic!("{name} has a closed form"));
    let width = model.raw_d_in();
    let mut rows = vec![0.0; 50 * width];
    data.read(0, &mut rows).unwrap();
    let (expected, rebuilt) = (
        model
            .encode_dense(&Memory::new("rows", width, rows.clone()))
            .unwrap(),
        model.reconstruct_raw(&rows),
    );
    let far = rebuilt
        .iter()
        .fold(0.0_f32, |most, v| most.max(v.abs()))
        .max(1.0);
    for (i, row) in rows.chunks_exact(width).enumerate() {
        let found = latents(&form, row);
        let own = &expected[i * model.d_sae()..(i + 1) * model.d_sae()];
        for (j, (found, own)) in found.iter().zip(own).enumerate() {
            assert!(
                (found - f64::from(*own)).abs() < 1e-3 * f64::from(far),
                "{name}, row {i}, latent {j}: {found} for {own}"
            );
        }
        let own = &rebuilt[i * width..(i + 1) * width];
        for (found, own) in decoded(&form, &found).iter().zip(own) {
            assert!(
                (found - f64::from(*own)).abs() < 1e-3 * f64::from(far),
                "{name}, row {i}: {found} for {own}"
            );
        }
    }
}

#[test]
fn closed_forms_give_the_latents_and_reconstructions_of_their_models() {
    let digits =
        rarefy::data::open("sample:digits", &rarefy::data::OpenOptions::default()).unwrap();
    let source = digits.source.as_ref();
    let train = |builder: rarefy::Builder| builder.latents(24).steps(60).fit(&digits).unwrap();
    assert_same("kl", &train(rarefy::kl()), source);
    assert_same(
        "kl, prepared",
        &train(rarefy::kl().preprocess(["scale"])),
        source,
    );
    assert_same(
        "kl, tied",
        &train(rarefy::kl().option("tied", true).preprocess(["scale"])),
        source,
    );
    assert_same("topk", &train(rarefy::topk(4).batch(128)), source);
    assert_same(
        "topk, prepared",
        &train(rarefy::topk(4).batch(128).preprocess(["standardise"])),
        source,
    );
    assert_same("abs-topk", &train(rarefy::abs_topk(4).batch(128)), source);
    assert_same(
        "batch-topk",
        &train(rarefy::batch_topk(4).batch(128)),
        source,
    );
    assert_same("jumprelu", &train(rarefy::jumprelu().batch(128)), source);
    assert_same("relu", &train(rarefy::relu().batch(128)), source);
    assert!(train(rarefy::gated().batch(128)).closed_form().is_none());
    assert!(
        train(rarefy::topk(4).batch(128).preprocess(["norm-row"]))
            .closed_form()
            .is_none()
    );
}
