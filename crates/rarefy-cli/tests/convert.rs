//! `convert`: preprocessing folded into weights, models that SAELens can load.

use crate::common::{TestDir, all_fail, noise, npy, text};

fn dir_with_data() -> TestDir {
    let dir = TestDir::new();
    let x: Vec<f32> = noise(1800).iter().map(|v| 3.0 * v + 1.0).collect();
    dir.write("x.npy", npy(6, &x));
    dir
}

const TRAIN: &str = "train x.npy --latents 16 --batch 100 --steps 30 -q";

#[test]
fn convert_folds_preprocessing_into_weights() {
    let dir = dir_with_data();
    for steps in ["norm-average", "norm-square", "standardise,zca"] {
        dir.ok(&format!(
            "{TRAIN} --arch relu --preprocess {steps} --out run --force"
        ));
        // The run's cfg.json names the preprocessing, so that another library does not load it unprepared.
        let config = text(&dir.read("run/model/cfg.json"));
        assert!(
            config.contains("\"normalize_activations\": \"preprocess.safetensors\""),
            "{config}"
        );
        let out = format!("folded-{}", steps.len());
        let told = dir.json(&format!("convert run --out {out} --json"));
        assert_eq!(told["folded"], steps.replace(',', ", "));
        let config = text(&dir.read(&format!("{out}/cfg.json")));
        assert!(
            config.contains("\"normalize_activations\": \"none\""),
            "{config}"
        );
        assert!(!dir.path(&format!("{out}/preprocess.safetensors")).exists());
        for model in ["run", &out] {
            dir.ok(&format!("encode {model} x.npy --out {model}.npy"));
        }
        let (before, after) = (dir.read_npy("run.npy"), dir.read_npy(&format!("{out}.npy")));
        let apart = before.iter().zip(&after).map(|(a, b)| (a - b).abs());
        let size = before.iter().fold(0.0f32, |size, v| size.max(v.abs()));
        assert!(
            size > 0.0 && apart.fold(0.0f32, f32::max) < 1e-4 * size,
            "{steps}"
        );
    }
    // The norm of each row cannot be folded, but SAELens has a name for this normalisation.
    dir.ok(&format!(
        "{TRAIN} --arch topk --k 2 --preprocess layer-norm --out rows"
    ));
    dir.ok("convert rows --out rows-out");
    let config = text(&dir.read("rows-out/cfg.json"));
    assert!(
        config.contains("\"normalize_activations\": \"layer_norm\""),
        "{config}"
    );
    // Codes that hold the mean and scale of each row decode; other codes are refused.
    dir.ok("encode rows x.npy --out codes.parquet");
    dir.ok("decode rows codes.parquet --out back.npy");
    let said = dir.run("decode rows codes.npz --out back.npy");
    assert!(!said.status.success());
}

#[test]
fn convert_names_models_that_saelens_cannot_load() {
    let dir = dir_with_data();
    dir.write("y.npy", npy(3, &noise(900)));
    for (arch, known_as) in [
        ("relu", Some("standard")),
        ("batch-topk --k 2", Some("jumprelu")),
        ("matching-pursuit --k 2", Some("matching_pursuit")),
        ("groupmax --k 2", None),
        ("topk --k 2 --target y.npy", None),
    ] {
        dir.ok(&format!("{TRAIN} --arch {arch} --out run --force"));
        let told = dir.json("convert run --out out --json");
        assert_eq!(told["known_as"].as_str(), known_as, "{arch}");
        std::fs::remove_dir_all(dir.path("out")).unwrap();
        let said = dir.run("convert run --out out");
        let said = text(&said.stderr);
        assert_eq!(
            said.contains("cannot load this model"),
            known_as.is_none(),
            "{arch}: {said}"
        );
        std::fs::remove_dir_all(dir.path("out")).unwrap();
    }
}

#[test]
fn convert_of_nonlinear_preprocessing_is_refused() {
    let dir = dir_with_data();
    dir.ok(&format!(
        "{TRAIN} --arch relu --preprocess clip-sd:2 --out clipped"
    ));
    dir.ok(&format!(
        "{TRAIN} --arch matching-pursuit --k 2 --preprocess scale --out pursuit"
    ));
    dir.ok(&format!("{TRAIN} --arch relu --out plain"));
    dir.ok(&format!(
        "{TRAIN} --arch topk --k 2 --preprocess row-mean --out means"
    ));
    dir.write("y.npy", npy(6, &noise(1800)));
    dir.ok(&format!(
        "{TRAIN} --arch topk --k 2 --target y.npy --preprocess layer-norm --preprocess-target scale --out trans"
    ));
    dir.write("full/notes.txt", "mine");
    all_fail(&dir, REFUSED);
}

const REFUSED: &str = "$ convert clipped --out new
2 error: preprocessing `clip-sd:2` cannot be folded into the weights: it is not the same affine map for all rows
$ convert pursuit --out new
2 error: preprocessing cannot be folded into the weights of `matching-pursuit`: it encodes with its decoder, and encoder and decoder would become different matrices
$ convert means --out new
2 error: preprocessing `row-mean` cannot be folded into the weights: it is not the same affine map for all rows
$ convert trans --out new
2 error: preprocessing `(layer-norm | scale)` cannot be folded into the weights: it is not the same affine map for all rows
$ convert plain --out full
2 error: full holds other files; give a new or empty folder with --out
$ convert missing --out new
1 error: missing/cfg.json: No such file or directory (os error 2)
hint: a model is a run folder, or a folder with cfg.json and sae_weights.safetensors; it stands before the data
$ train missing.npy --arch topk --preprocess layer-norm --aux-unit absolute
2 error: `model.options.aux_unit` absolute cannot be combined with preprocessing layer-norm, which gives each row another unit; set `model.options.aux_unit` to residual or `model.options.aux_coefficient` to 0
hint: set `model.options.aux_unit` with --aux-unit, `model.options.aux_coefficient` with --aux-coefficient
$ train missing.npy --arch topk --preprocess norm-row,layer-norm
2 error: `data.preprocess` must be at most one of norm-row and layer-norm, because the codes of a row store one scale for decoding, got norm-row,layer-norm
hint: set `data.preprocess` with --preprocess
$ train missing.npy --arch topk --preprocess pca:0
2 error: `data.preprocess` must be pca, pca:K or pca:K:EPS, got pca:0
hint: set `data.preprocess` with --preprocess
$ train missing.npy --arch topk --preprocess layernorm
2 error: unknown preprocessing step `layernorm`, did you mean `layer-norm`? (known: scale, standardise, row-mean, norm-average, norm-square, norm-row, layer-norm, clip-sd, pca, zca)
$ train x.npy --with x.npy --arch topk --preprocess layer-norm --out new
2 error: preprocessing layer-norm cannot be inverted for a crosscoder, whose codes store no mean or scale of each row
";
