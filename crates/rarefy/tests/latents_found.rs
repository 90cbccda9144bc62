//! Latents, their associations and probes against plain f64 loops over the dense codes.

use rarefy::data::{self, Dataset, Memory};
use rarefy::latents::{
    Association, Features, Kind, Responses, Target, associations, measure, nearest, probe,
};
use rarefy::model::Model;

fn digits() -> (Model, Dataset<'static>, Vec<f64>) {
    let digits = data::open("sample:digits", &data::OpenOptions::default()).unwrap();
    let builder = rarefy::topk(4).latents(32).steps(150).batch(128).seed(1);
    let model = builder.fit(&digits).unwrap();
    let codes = model.encode_dense(&digits).unwrap();
    (model, digits, codes.into_iter().map(f64::from).collect())
}

fn column(codes: &[f64], latent: usize) -> Vec<f64> {
    codes.iter().skip(latent).step_by(32).copied().collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let (mx, my) = (mean(x), mean(y));
    let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    product(x, mx, y, my) / (product(x, mx, x, mx) * product(y, my, y, my)).sqrt()
}

fn near(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() < 1e-9 * (1.0 + expected.abs()),
        "{got}, expected {expected}"
    );
}

#[test]
fn rates_means_and_top_rows_are_those_of_the_codes() {
    let (model, digits, codes) = digits();
    for latent in measure(&model, &digits, 5).unwrap() {
        let values = column(&codes, latent.latent);
        let active: Vec<f64> = values.iter().copied().filter(|v| *v != 0.0).collect();
        near(
            latent.firing_rate,
            active.len() as f64 / values.len() as f64,
        );
        near(latent.mean, mean(&active));
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
        let top: Vec<usize> = latent.top.iter().map(|top| top.row).collect();
        assert_eq!(top, order[..5]);
        near(latent.max, values[order[0]]);
    }
}

#[test]
fn associations_with_classes_are_those_of_the_counts() {
    let (model, digits, codes) = digits();
    let labels = digits.labels.clone().unwrap();
    let target = Target::of_labels(&labels, Kind::Auto).unwrap();
    let found = associations(&model, digits.source.as_ref(), &target).unwrap();
    assert_eq!(found.len(), 320);
    for Association {
        latent,
        class,
        correlation: r,
        odds_ratio,
        active,
        inactive,
        p,
        q,
    } in found
    {
        let class = class.unwrap();
        let values = column(&codes, latent);
        let is_class: Vec<f64> = labels
            .iter()
            .map(|l| f64::from(u8::from(*l == class)))
            .collect();
        near(r, correlation(&values, &is_class));
        let count = |is_active: bool, of_class: f64| {
            let rows = values.iter().zip(&is_class);
            rows.filter(|(v, c)| (**v != 0.0) == is_active && **c == of_class)
                .count() as f64
        };
        let [a, b, c, d] = [
            count(true, 1.0),
            count(true, 0.0),
            count(false, 1.0),
            count(false, 0.0),
        ];
        near(
            odds_ratio.unwrap(),
            (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)),
        );
        near(active, a / (a + b));
        near(inactive, c / (c + d));
        assert!(p <= q * (1.0 + 1e-12) && q <= 1.0);
    }
}

#[test]
fn associations_with_a_score_are_correlations_and_missing_scores_are_left_out() {
    let (model, digits, codes) = digits();
    // Activation of latent 3 and a little noise, far from zero.
    let score = |(row, v): (usize, &f64)| 1e6 + v + 0.1 * (row as f64).sin();
    let scores: Vec<f64> = column(&codes, 3).iter().enumerate().map(score).collect();
    let text = |(row, v): (usize, &f64)| {
        if row % 7 == 0 {
            String::new()
        } else {
            v.to_string()
        }
    };
    let labels: Vec<String> = scores.iter().enumerate().map(text).collect();
    let target = Target::of_labels(&labels, Kind::Auto).unwrap();
    let found = associations(&model, digits.source.as_ref(), &target).unwrap();
    assert_eq!((found.len(), found[0].latent), (32, 3));
    let known = |values: &[f64]| -> Vec<f64> {
        let rows = values.iter().enumerate();
        rows.filter(|(row, _)| row % 7 != 0)
            .map(|(_, v)| *v)
            .collect()
    };
    for association in &found {
        let values = known(&column(&codes, association.latent));
        let r = correlation(&values, &known(&scores));
        assert!(
            (association.correlation - r).abs() < 1e-7,
            "{} {r}",
            association.correlation
        );
        let active = values
            .iter()
            .zip(known(&scores))
            .filter(|(v, _)| **v != 0.0);
        let active: Vec<f64> = active.map(|(_, y)| y).collect();
        near(association.active, mean(&active));
    }
    let (baseline, probes) = probe(&model, digits.source.as_ref(), &target).unwrap();
    assert_eq!(baseline, 0.0);
    assert_eq!(probes[0].features, Features::Latents(1));
    // The noise has the variance 0.005.
    let spread = known(&column(&codes, 3));
    let variance = mean(
        &spread
            .iter()
            .map(|v| (v - mean(&spread)).powi(2))
            .collect::<Vec<_>>(),
    );
    let expected = variance / (variance + 0.005);
    assert!(
        (probes[0].score - expected).abs() < 0.01,
        "{probes:?}, expected {expected}"
    );
}

#[test]
fn probes_of_classes_rise_with_the_latents_and_noise_has_none() {
    let (model, digits, _) = digits();
    let labels = digits.labels.clone().unwrap();
    let target = Target::of_labels(&labels, Kind::Auto).unwrap();
    let (baseline, probes) = probe(&model, digits.source.as_ref(), &target).unwrap();
    assert!((baseline - 183.0 / 1797.0).abs() < 1e-9);
    let scores: Vec<f64> = probes.iter().map(|probe| probe.score).collect();
    let features: Vec<Features> = probes.iter().map(|probe| probe.features).collect();
    let of = Features::Latents;
    assert_eq!(
        features,
        [of(1), of(5), of(20), of(32), Features::Inputs(64)]
    );
    assert!(
        scores.windows(2).all(|pair| pair[0] < pair[1]),
        "{scores:?}"
    );
    // RidgeClassifier of scikit-learn 1.9 has 93 % on these folds.
    assert!((0.90..0.96).contains(&scores[4]), "{scores:?}");
    let shuffled: Vec<String> = (0..1797)
        .map(|row| (row * 7919 % 1797).to_string())
        .collect();
    let noise = Target::of_labels(&shuffled, Kind::Score).unwrap();
    let (_, probes) = probe(&model, digits.source.as_ref(), &noise).unwrap();
    assert!(probes.iter().all(|probe| probe.score < 0.05), "{probes:?}");
}

#[test]
fn neighbours_have_the_largest_cosines_and_share_rows() {
    let (model, digits, codes) = digits();
    let rows: Vec<&[f32]> = model.params().get("w_dec").chunks(64).collect();
    let cosine = |a: &[f32], b: &[f32]| -> f64 {
        let dot = |x: &[f32], y: &[f32]| -> f64 {
            x.iter()
                .zip(y)
                .map(|(x, y)| f64::from(*x) * f64::from(*y))
                .sum()
        };
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for (latent, found) in nearest(&model, 3).iter().enumerate() {
        let mut all: Vec<(usize, f64)> = (0..32)
            .filter(|o| *o != latent)
            .map(|o| (o, cosine(rows[latent], rows[o])))
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        assert_eq!(found.len(), 3);
        for (found, (other, cosine)) in found.iter().zip(all) {
            assert_eq!(found.latent, other);
            assert!((found.similarity - cosine).abs() < 1e-5);
        }
    }
    let is_active = |latent: usize| {
        column(&codes, latent)
            .iter()
            .map(|v| *v != 0.0)
            .collect::<Vec<_>>()
    };
    let responses = Responses::of(&model, digits.source.as_ref()).unwrap();
    for found in &responses.together(4)[3] {
        let rows = is_active(3).into_iter().zip(is_active(found.latent));
        let (mut both, mut either) = (0.0, 0.0);
        for (a, b) in rows {
            both += f64::from(u8::from(a && b));
            either += f64::from(u8::from(a || b));
        }
        assert!((found.similarity - both / either).abs() < 1e-6);
    }
}

#[test]
fn targets_that_say_nothing_are_refused() {
    let refusal = |labels: &[&str], kind| {
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        Target::of_labels(&labels, kind).unwrap_err().to_string()
    };
    assert!(refusal(&["a", "a", ""], Kind::Auto).contains("got 1 different words"));
    assert!(refusal(&["1", "x"], Kind::Score).contains("got `x` in row 1, counted from 0"));
    // A mistake among many numbers is named, and is no class.
    let mut scores: Vec<String> = (0..40).map(|at| format!("{at}.5")).collect();
    scores[7] = "high".into();
    let error = Target::of_labels(&scores, Kind::Auto).unwrap_err();
    assert!(error.to_string().contains("`high` in row 7"), "{error}");
    assert!(refusal(&["", "NA"], Kind::Score).contains("no number in any row"));
    let texts = ["a b".to_owned(), "c".to_owned()];
    let error = Target::of_words(&texts, "d").unwrap_err().to_string();
    assert!(error.contains("0 of 2"), "{error}");
    let (model, ..) = digits();
    let rows = Memory::new("rows", 64, vec![0.5; 128]);
    let target = Target::Score(vec![Some(1.0); 3]);
    let error = associations(&model, &rows, &target)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("expected 2, one for each row, got 3"),
        "{error}"
    );
}

#[test]
fn missing_scores_are_counted_and_left_out() {
    let labels = ["0.5", "NA", "", "nan", "1.5"].map(str::to_owned);
    let target = Target::of_labels(&labels, Kind::Auto).unwrap();
    assert_eq!(
        target,
        Target::Score(vec![Some(0.5), None, None, None, Some(1.5)])
    );
    assert_eq!((target.rows(), target.missing()), (5, 3));
    // Among words, `NA` is a class as any other.
    let labels = ["NA", "DE", "NA", ""].map(str::to_owned);
    let Target::Class { names, .. } = Target::of_labels(&labels, Kind::Auto).unwrap() else {
        panic!("words are classes");
    };
    assert_eq!(names, ["DE", "NA"]);
}
