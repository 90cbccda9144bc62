//! File formats of codes and models: round trips, and files written by other packages.

use crate::fixtures::{expected, folder};
use rarefy::codes::Codes;
use rarefy::formats::codes::{self, FORMATS};
use rarefy::model::Model;
use safetensors::SafeTensors;

fn sample(row_means: bool) -> Codes {
    let mut codes = Codes::new(4);
    codes.push_dense(
        &[0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0],
        0.0,
    );
    if row_means {
        codes.row_means = vec![1.5, -2.0, 0.0];
    }
    codes
}

#[test]
fn every_format_of_codes_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = folder.path().join(format!("codes.{}", format.extension));
        for means in [false, true] {
            codes::write(&path, &sample(means)).unwrap();
            let back = codes::read(&path).unwrap();
            // A dense matrix has no room for row means.
            let kept = means && format.extension != "npy";
            assert_eq!(back, sample(kept), "{}", format.extension);
        }
        let nothing = Codes::new(4);
        if format.extension != "npy" {
            codes::write(&path, &nothing).unwrap();
            assert_eq!(codes::read(&path).unwrap(), nothing, "{}", format.extension);
        }
    }
}

/// Pieces of any sizes, an empty one among them, and more rows than a row group of parquet holds.
#[test]
fn codes_written_in_pieces_are_those_written_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Codes::new(5);
    let row = |i: usize| [0.0, (i % 7) as f32, 0.0, (i % 3) as f32, 1.0];
    for i in 0..70_000 {
        all.push_dense(&row(i), 0.0);
    }
    all.row_scales = (0..70_000).map(|i| (i % 11) as f32 + 0.5).collect();
    for format in FORMATS {
        let path = |name: &str| folder.path().join(format!("{name}.{}", format.extension));
        codes::write(&path("whole"), &all).unwrap();
        let mut writer = codes::Writer::create(&path("pieces"), 5).unwrap();
        let mut start = 0;
        for end in [0, 1, 30_000, 69_999, 70_000] {
            let mut piece = Codes::new(5);
            (start..end).for_each(|i| piece.push_dense(&row(i), 0.0));
            piece.row_scales = all.row_scales[start..end].to_vec();
            writer.push(&piece).unwrap();
            start = end;
        }
        assert!(!path("pieces").exists(), "{}", format.extension);
        writer.finish().unwrap();
        let [whole, pieces] = ["whole", "pieces"].map(|name| codes::read(&path(name)).unwrap());
        assert_eq!(whole, pieces, "{}", format.extension);
        assert_eq!(pieces.indices, all.indices, "{}", format.extension);
    }
}

#[test]
fn writer_refuses_pieces_that_do_not_fit_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = folder.path().join(format!("codes.{}", format.extension));
        let mut writer = codes::Writer::create(&path, 4).unwrap();
        writer.push(&sample(false)).unwrap();
        let mut refusal = |codes: &Codes| writer.push(codes).expect_err("an error").to_string();
        let why = refusal(&sample(true));
        assert!(why.contains("expected none, got means alone"), "{why}");
        let why = refusal(&Codes::new(5));
        assert!(why.contains("number of latents"), "{why}");
        let mut infinite = sample(false);
        infinite.values[2] = f32::INFINITY;
        let why = refusal(&infinite);
        assert!(why.contains("row 5, latent 0"), "{why}");
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(codes::Writer::create(&path, 0).is_err());
    }
}

#[test]
fn codes_written_by_other_packages_have_expected_values() {
    let all = expected().codes;
    assert_eq!(all.len(), 6);
    for fixture in all {
        let codes = codes::read(&folder().join(&fixture.file))
            .unwrap_or_else(|e| panic!("{}: {e}", fixture.file));
        assert_eq!(codes.d_sae, fixture.d_sae, "{}", fixture.file);
        let dense = codes.to_dense().into_iter().map(f64::from);
        assert!(dense.eq(fixture.dense), "{}", fixture.file);
        let means = codes.row_means.iter().copied().map(f64::from);
        assert!(means.eq(fixture.row_means), "{}", fixture.file);
        assert!(codes.values.iter().all(|v| *v != 0.0), "{}", fixture.file);
    }
}

#[test]
fn csc_matrix_is_refused() {
    let error = codes::read(&folder().join("codes/csc.npz")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("csc.npz: expected a scipy.sparse matrix in CSR"),
        "{error}"
    );
}

/// Models of every architecture in both forms of SAELens, inference and training; made by `golden/saved.py`.
#[test]
fn models_saved_by_saelens_give_equal_latents_and_reconstructions() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/saved");
    for (abroad, in_training) in [
        ("standard", "relu"),
        ("topk", "topk"),
        ("abstopk", "abs-topk"),
        ("batchtopk", "batch-topk"),
        ("matryoshka_batchtopk", "matryoshka"),
        ("jumprelu", "jumprelu"),
        ("gated", "gated"),
        ("matching_pursuit", "matching-pursuit"),
    ] {
        let one_threshold = ["batch-topk", "matryoshka"].contains(&in_training);
        let for_use = if one_threshold {
            "jumprelu"
        } else {
            in_training
        };
        for (name, arch) in [
            (abroad.to_owned(), for_use),
            (format!("{abroad}-training"), in_training),
        ] {
            let folder = golden.join(&name);
            let model = Model::load(&folder).unwrap();
            assert_eq!(model.info().name, arch, "{name}");
            let bytes = std::fs::read(folder.join("outputs.safetensors")).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let values = |key: &str| -> Vec<f32> {
                let data = file.tensor(key).unwrap().data().as_chunks().0;
                data.iter().map(|raw| f32::from_le_bytes(*raw)).collect()
            };
            let x = values("x");
            let (codes, _) = model.latents(&x);
            near(&codes, &values("latents"), &format!("{name}, latents"));
            near(
                &model.reconstruct_raw(&x),
                &values("x_hat"),
                &format!("{name}, x_hat"),
            );
            // Saving and loading keeps the parameters.
            let again = tempfile::tempdir().unwrap();
            model.save(again.path()).unwrap();
            let again = Model::load(again.path()).unwrap();
            assert_eq!(again.params(), model.params(), "{name}");
        }
    }
    let levels = Model::load(&golden.join("matryoshka_batchtopk-training")).unwrap();
    let [level] = levels
        .options()
        .text("levels")
        .split(',')
        .collect::<Vec<_>>()[..]
    else {
        panic!("one level beside all")
    };
    assert!(
        (level.parse::<f64>().unwrap() - 1.0 / 3.0).abs() < 1e-12,
        "{level}"
    );
}

#[track_caller]
fn near(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!(
            (got - expected).abs() < 1e-5,
            "{what} {at}: {got}, not {expected}"
        );
    }
}
