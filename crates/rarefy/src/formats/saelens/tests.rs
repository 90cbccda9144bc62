//! Models there and back again.

use super::weights::tensor;
use super::*;
use crate::data::Memory;
use crate::model::Model;
use crate::tensors::{Reader, Writer};
use crate::variants::Info;
use crate::variants::{BiasStart, StartRows};
use rand::SeedableRng;

/// A model of 3 inputs and 5 latents as it starts from the seed, with a threshold if it has one.
fn made_up(info: &'static Info, options: Options) -> Model {
    let architecture = info.build(&options).unwrap();
    let rows = Memory::new("rows", 3, (0..12).map(|i| (i as f32).sin()).collect());
    let mut rng = crate::Rng::seed_from_u64(1);
    let mut params = architecture
        .init(
            (&IoSpec::autoencoder(3), BiasStart::Median),
            5,
            &StartRows::new(Box::new(rows)),
            &mut rng,
        )
        .unwrap();
    if params.find("threshold").is_some() {
        params.get_mut("threshold").fill(0.125);
    }
    if matches!(&architecture, Architecture::Sparse(sparse) if !sparse.pursues()) {
        // Not of length 1.
        params.get_mut("w_dec").iter_mut().for_each(|w| *w *= 2.0);
    }
    Model::autoencoder(info, options, params, Pipeline::identity(3))
        .unwrap()
        .with_image_shape(Some((1, 3)))
}

/// Every architecture comes back as itself, and is what another tool knows.
#[test]
fn every_architecture_reads_back_as_itself() {
    for info in variants::VARIANTS {
        let given = [("k", "2".to_owned())];
        let given = given
            .into_iter()
            .filter(|(name, _)| info.options().iter().any(|o| o.name == *name));
        let model = made_up(info, Options::check(info.options(), given).unwrap());
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let back = Model::load(folder.path()).unwrap();
        assert_eq!(back.info().name, info.name);
        assert_eq!(
            (back.params(), back.options()),
            (model.params(), model.options()),
            "{}",
            info.name
        );
        let text = std::fs::read_to_string(folder.path().join(CONFIG)).unwrap();
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let (name, centred) = match info.name {
            "relu" => ("standard", true),
            "abs-topk" => ("abstopk", true),
            "matching-pursuit" => ("matching_pursuit", true),
            "batch-topk" | "matryoshka" => ("jumprelu", true),
            "kl" => ("kl", false),
            same => (same, true),
        };
        assert_eq!(config["architecture"], name);
        assert_eq!(config["apply_b_dec_to_input"], centred);
        let bytes = std::fs::read(folder.path().join(WEIGHTS)).unwrap();
        let file = Reader::new(Path::new("weights"), &bytes).unwrap();
        if name == "jumprelu" {
            let thresholds = tensor(&file, folder.path(), "threshold", &[5]).unwrap();
            assert_eq!(thresholds, [0.125; 5]);
        }
        if name == "topk" {
            assert_eq!(
                (&config["k"], &config["rescale_acts_by_decoder_norm"]),
                (&2.into(), &false.into())
            );
        }
    }
}

#[test]
fn a_model_that_computes_something_else_is_refused() {
    let info = variants::find("topk").unwrap();
    let given = [("k", "2".to_owned())];
    let model = made_up(info, Options::check(info.options(), given).unwrap());
    let folder = tempfile::tempdir().unwrap();
    model.save(folder.path()).unwrap();
    let path = folder.path().join(CONFIG);
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        (
            "\"d_in\": 3,",
            "\"d_in\": 3, \"d_out\": 3,",
            "apply_b_dec_to_input: expected false with d_out, got true",
        ),
        (
            "\"normalize_activations\": \"none\"",
            "\"normalize_activations\": \"expected_average_only_in\"",
            "normalize_activations: expected none, constant_norm_rescale or layer_norm, got expected_average_only_in",
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}: {text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = Model::load(folder.path()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Pre-activations that are measured in the lengths of decoder rows are, here too.
    let from = "\"rescale_acts_by_decoder_norm\": false";
    std::fs::write(&path, text.replace(from, &from.replace("false", "true"))).unwrap();
    let rescaled = Model::load(folder.path()).unwrap();
    assert_eq!(rescaled.params(), &variants::rescaled(model.params()));
    assert_ne!(rescaled.params(), model.params());
    // Without our options, the k of the file counts and not our default.
    let from = text.find("\"options\"").unwrap();
    let bare = text[..from].trim_end().trim_end_matches(',').to_owned() + "}";
    std::fs::write(&path, bare).unwrap();
    assert_eq!(Model::load(folder.path()).unwrap().options().text("k"), "2");
}

#[test]
fn a_model_reads_back_as_itself_and_lies_on_disk_as_saelens_expects() {
    for tied in ["false", "true"] {
        let info = variants::find("kl").unwrap();
        let options = Options::check(info.options(), [("tied", tied.to_owned())]).unwrap();
        let model = made_up(info, options);
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path()).unwrap();
        let back = Model::load(folder.path()).unwrap();
        assert_eq!(
            (back.params(), back.options(), back.image_shape()),
            (model.params(), model.options(), Some((1, 3)))
        );

        let bytes = std::fs::read(folder.path().join(WEIGHTS)).unwrap();
        let file = Reader::new(Path::new("weights"), &bytes).unwrap();
        let w_enc = tensor(&file, folder.path(), "W_enc", &[3, 5]).unwrap();
        // W_enc[j, l] on disk is the weight of latent l for input j.
        assert_eq!(w_enc[5 + 4], model.params().get("w_enc")[4 * 3 + 1]);
        let w_dec = tensor(&file, folder.path(), "W_dec", &[5, 3]).unwrap();
        assert_eq!(
            w_dec,
            model
                .params()
                .find("w_dec")
                .unwrap_or(model.params().get("w_enc"))
        );
    }
}

#[test]
fn a_wrong_shape_names_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"architecture": "kl", "d_in": 3, "d_sae": 2}"#;
    std::fs::write(folder.path().join(CONFIG), config).unwrap();
    let mut weights = Writer::default();
    weights.tensor("W_enc", &[2, 3], [0.0f32; 6]);
    weights.write(&folder.path().join(WEIGHTS)).unwrap();
    let error = Model::load(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("W_enc: expected [3, 2], got [2, 3]"),
        "{error}"
    );
}

/// Whatever a sparse architecture is bound as, its model comes back as it was, and computes the same.
#[test]
fn every_binding_reads_back_as_itself() {
    let transcoder = || IoSpec::new(&[3], Some(2)).unwrap();
    let io_specs = [
        IoSpec::autoencoder(3).with_centre(false),
        IoSpec::new(&[1, 2], None).unwrap(),
        transcoder(),
        transcoder().with_skip(true),
    ];
    for info in variants::VARIANTS {
        for io in &io_specs {
            let given = info.dial.filter(|dial| dial.option == "k");
            let given = given.map(|_| ("k", "2".to_owned()));
            let options = Options::check(info.options(), given).unwrap();
            let architecture = info.build(&options).unwrap();
            match &architecture {
                Architecture::Sparse(sparse) if !sparse.pursues() => {}
                _ => continue,
            }
            let mut rng = crate::Rng::seed_from_u64(1);
            let rows = Memory::new("rows", io.row_width(), vec![0.5; 4 * io.row_width()]);
            let rows = StartRows::new(Box::new(rows));
            let mut params = architecture
                .init((io, BiasStart::Median), 6, &rows, &mut rng)
                .unwrap();
            params.get_mut("b_enc").fill(0.75);
            if io.skip {
                params.get_mut("w_skip")[1] = 7.0;
            }
            let target = io.target_width().map(Pipeline::identity);
            let description = ModelDescription::new(info, options, io.clone(), params);
            let pipeline = Pipeline::identity(io.d_in());
            let model = Model::new(description.with_pipelines(pipeline, target)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            model.save(folder.path()).unwrap();
            let back = Model::load(folder.path()).unwrap();
            assert_eq!((back.io_spec(), back.params()), (io, model.params()));
            let x = [0.25, -1.0, 2.0];
            assert_eq!(
                back.reconstruct_raw(&x),
                model.reconstruct_raw(&x),
                "{}",
                info.name
            );
            assert_eq!(back.reconstruct_raw(&x).len(), io.d_out());
        }
    }
}

/// `SAELens` computes `ReLU(pre) [pre > threshold]`: a threshold below 0 lets no negative value through.
#[test]
fn threshold_below_zero_acts_like_zero() {
    let info = variants::find("jumprelu").unwrap();
    let options = Options::check(info.options(), []).unwrap();
    let model = made_up(info, options.clone());
    let with = |threshold: f32| {
        let mut params = model.params().clone();
        params.get_mut("threshold").fill(threshold);
        Model::autoencoder(info, options.clone(), params, Pipeline::identity(3)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    with(-10.0).save(folder.path()).unwrap();
    let x = [0.25, -1.0, 2.0];
    let latents = with(0.0).latents(&x);
    assert!(
        latents.0.contains(&0.0),
        "a negative pre-activation: {latents:?}"
    );
    assert_eq!(Model::load(folder.path()).unwrap().latents(&x), latents);
}
