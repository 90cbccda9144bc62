//! Round trips and textbook properties of each preprocessing step.

use super::*;
use crate::data::{self, OpenOptions};

fn names(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a - b).abs() <= tolerance * b.abs().max(1.0))
}

#[test]
fn invertible_pipelines_round_trip_in_memory_and_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let patches = data::open("sample:patches", &OpenOptions::default()).unwrap();
    let raw = patches.source.as_slice().unwrap();
    for chain in [
        "scale",
        "scale:0.1:0.9",
        "standardise",
        "row-mean",
        "pca",
        "zca:0.1",
        "row-mean,zca:0.1,scale:0.1:0.9",
    ] {
        let pipeline = Pipeline::fit(&names(chain), patches.source.as_ref()).unwrap();
        let (rows, context) = pipeline.apply(&raw[..6400]);
        let back = pipeline.invert(&rows, &context);
        assert!(close(&back, &raw[..6400], 2e-3), "{chain}");
        let path = folder.path().join("preprocess.safetensors");
        pipeline.save(&path).unwrap();
        assert_eq!(Pipeline::load(&path).unwrap(), pipeline, "{chain}");
    }
}

#[test]
fn whitened_columns_are_uncorrelated_with_variance_one() {
    let patches = data::open("sample:patches", &OpenOptions::default()).unwrap();
    for chain in ["pca:20", "zca:0"] {
        let pipeline = Pipeline::fit(&names(chain), patches.source.as_ref()).unwrap();
        let rows = Prepared::new(patches.source.as_ref(), &pipeline)
            .in_memory(1 << 30)
            .unwrap()
            .unwrap();
        let d = rows.d_in();
        let x = rows.as_slice().unwrap();
        for (i, j) in [(0, 0), (0, 1), (3, 3), (5, 17), (19, 19)] {
            let product: f64 = x
                .chunks_exact(d)
                .map(|row| f64::from(row[i]) * f64::from(row[j]))
                .sum();
            let want = f64::from(u8::from(i == j));
            assert!(
                (product / rows.rows() as f64 - want).abs() < 2e-3,
                "{chain} {i} {j}: {}",
                product / rows.rows() as f64
            );
        }
    }
}

#[test]
fn stanford_preprocessing_scales_to_0_1_to_0_9() {
    let patches = data::open("sample:patches", &OpenOptions::default()).unwrap();
    let pipeline = Pipeline::fit(
        &names("row-mean,clip-sd:3,scale:0.1:0.9"),
        patches.source.as_ref(),
    )
    .unwrap();
    let s = data::survey(&Prepared::new(patches.source.as_ref(), &pipeline)).unwrap();
    assert!((s.min - 0.1).abs() < 1e-5 && (s.max - 0.9).abs() < 1e-5);
    // The range is three standard deviations to both sides of the mean, which becomes 0.5.
    assert!((s.grand_mean() - 0.5).abs() < 5e-3);
}

#[test]
fn pulled_back_direction_equals_numerical_gradient_by_raw_row() {
    let patches = data::open(
        "sample:patches",
        &OpenOptions {
            rows: Some(2000),
            ..Default::default()
        },
    )
    .unwrap();
    let mut raw = vec![0.0; 64];
    patches.source.read(7, &mut raw).unwrap();
    let pipeline = Pipeline::fit(
        &names("row-mean,zca:0.1,scale:0.1:0.9"),
        patches.source.as_ref(),
    )
    .unwrap();
    let weights: Vec<f32> = (0..64).map(|i| (i as f32).sin()).collect();
    let gradient = pipeline.pull_back(&weights);
    let value = |raw: &[f32]| -> f64 {
        pipeline
            .apply(raw)
            .0
            .iter()
            .zip(&weights)
            .map(|(x, w)| f64::from(*x) * f64::from(*w))
            .sum()
    };
    for j in [0, 13, 63] {
        let (mut up, mut down) = (raw.clone(), raw.clone());
        up[j] += 8.0;
        down[j] -= 8.0;
        let numerical = (value(&up) - value(&down)) / 16.0;
        assert!(
            (numerical - f64::from(gradient[j])).abs() < 1e-5,
            "{j}: {numerical} {}",
            gradient[j]
        );
    }
}

#[test]
fn invalid_step_names_and_arguments_are_refused() {
    let data = Memory::new("d", 2, vec![1.0, 2.0, 3.0, 5.0]);
    for (text, expected) in [
        ("standardize", "did you mean `standardise`?"),
        (
            "scale:1:0",
            "`data.preprocess` must be scale or scale:LOW:HIGH",
        ),
        ("pca:3", "at most 2 components"),
        ("pca:1.5", "pca:K"),
        (
            "layer-norm,row-mean",
            "at most one of row-mean and layer-norm",
        ),
        ("clip-sd", "clip-sd:K"),
        ("zca:x", "zca:EPS"),
        (
            "row-mean,scale,row-mean",
            "at most one of row-mean and layer-norm",
        ),
    ] {
        let error = Pipeline::fit(&names(text), &data).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
