//! `synth` and `truth`: rows from a dictionary, and the score of a model against it.

use crate::common::{TestDir, all_fail, text};
use rarefy::formats::codes;
use rarefy::metrics;
use rarefy::model::Model;
use rarefy::synth::Truth;

const SYNTH: &str =
    "synth --out data/rows.npy --d-in 24 --features 32 --l0 2 --magnitudes uniform --seed 3";

#[test]
fn synth_rows_and_codes_equal_the_library() {
    let dir = TestDir::new();
    let said = dir.json(&format!(
        "{SYNTH} --rows 5000 --hierarchy 1x2 --exclusive --noise 0.05 --centre 2 --codes codes.npz --json"
    ));
    assert_eq!(
        dir.everything(),
        [
            "codes.npz",
            "data",
            "data/rows.npy",
            "data/rows.truth.safetensors"
        ]
    );
    for (field, expected) in [
        ("out", "data/rows.npy"),
        ("truth", "data/rows.truth.safetensors"),
        ("codes", "codes.npz"),
    ] {
        assert_eq!(said[field], expected);
    }
    let (truth, rows) = Truth::load(&dir.path("data/rows.truth.safetensors")).unwrap();
    let spec = truth.spec().unwrap();
    assert_eq!((rows, spec.seed, spec.noise), (5000, 3, 0.05));
    let sample = truth.draw(0..5000);
    assert!(dir.read_npy("data/rows.npy") == sample.x);
    assert!(codes::read(&dir.path("codes.npz")).unwrap() == sample.codes);
    let l0 = sample.codes.values.len() as f64 / 5000.0;
    assert_eq!(said["l0"], l0);
    // A larger number of rows begins with the same rows.
    dir.ok(&format!(
        "{SYNTH} --rows 6000 --hierarchy 1x2 --exclusive --noise 0.05 --centre 2 --force"
    ));
    assert!(dir.read_npy("data/rows.npy")[..5000 * 24] == sample.x);
}

#[test]
fn batch_topk_recovers_the_dictionary() {
    let dir = TestDir::new();
    let said = dir.ok(&format!("{SYNTH} --rows 20000"));
    assert!(said.contains("20000 rows x 24 values, "), "{said}");
    assert!(
        said.ends_with("dictionary -> data/rows.truth.safetensors\n"),
        "{said}"
    );
    dir.ok("train data/rows.npy --arch batch-topk --k 2 --latents 48 --batch 512 --steps 1500 --lr 0.003 --out run -q");
    let found = dir.json("truth run data/rows.truth.safetensors --rows 3000 --json");
    for field in ["recall", "matched_cosine", "firing_f1"] {
        assert!(found[field].as_f64().unwrap() > 0.9, "{field}: {found}");
    }
    assert_eq!(
        (&found["features"], &found["rows"]),
        (&32.into(), &3000.into())
    );
    // The score is of fresh rows, which follow the written rows.
    let model = Model::load(&dir.path("run")).unwrap();
    let (truth, _) = Truth::load(&dir.path("data/rows.truth.safetensors")).unwrap();
    let fresh = metrics::truth::evaluate(&model, &truth, 20_000..23_000).unwrap();
    assert_eq!(found["firing_f1"], fresh.firing_f1);
    // The dictionary has no trees and no clusters.
    assert!(found.get("absorption").is_none() && found.get("hedging").is_none());
    let table = dir.ok("truth run data/rows.truth.safetensors");
    for line in ["features found (cosine above 0.9)", "firing: F1", "20000"] {
        assert!(table.contains(line), "{table}");
    }
    // A matrix of directions is scored without firing statistics.
    dir.write_npy("directions.npy", 24, truth.directions());
    let alone = dir.json("truth run directions.npy --json");
    for field in [
        "features",
        "latents",
        "matched_cosine",
        "recall",
        "latent_cosine",
    ] {
        assert_eq!(alone[field], found[field], "{field}");
    }
    assert!(alone.get("firing_f1").is_none());
    let table = text(&dir.run("truth run directions.npy").stdout);
    assert!(
        table.contains("matched pairs") && !table.contains("firing"),
        "{table}"
    );
}

#[test]
fn truth_of_hierarchy_and_clusters_has_absorption_and_hedging() {
    let dir = TestDir::new();
    dir.ok("synth --out rows.npy --rows 4000 --d-in 16 --features 24 --l0 2 --hierarchy 1x3 --correlation 0.5 --cluster 3");
    dir.ok("train rows.npy --arch topk --k 2 --latents 24 --steps 30 --out run -q");
    let found = dir.json("truth run rows.truth.safetensors --rows 2000 --json");
    for field in ["absorption", "hedging"] {
        let share = found[field].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{field}: {found}");
    }
    let table = dir.ok("truth run rows.truth.safetensors --rows 2000");
    assert!(
        table.contains("absorption") && table.contains("hedging"),
        "{table}"
    );
}

/// A dictionary is data: the rows that it draws are those that `synth` writes.
#[test]
fn dictionary_of_a_benchmark_is_data_and_gives_the_rows_that_are_written() {
    let dir = TestDir::new();
    let synth = "synth --like synthsaebench-16k --d-in 8 --features 4096 --rows 3000 --seed 3";
    let said = dir.ok(&format!("{synth} --out drawn.truth.safetensors"));
    assert_eq!(
        said,
        "dictionary of 4096 features in 8 dimensions, 3000 rows to draw -> drawn.truth.safetensors\n"
    );
    let said = dir.json(&format!("{synth} --out stored.npy --json"));
    assert!(
        (20.0..40.0).contains(&said["l0"].as_f64().unwrap()),
        "{said}"
    );
    let train = "--arch topk --k 4 --latents 32 --steps 20 --batch 100 --holdout 0 -q";
    dir.ok(&format!(
        "train drawn.truth.safetensors {train} --out drawn"
    ));
    dir.ok(&format!("train stored.npy {train} --out stored"));
    let weights = |run: &str| {
        std::fs::read(dir.path(&format!("{run}/model/sae_weights.safetensors"))).unwrap()
    };
    assert!(weights("drawn") == weights("stored"));
    for command in [
        "data info drawn.truth.safetensors",
        "eval drawn",
        "latents drawn",
    ] {
        dir.ok(command);
    }
    let found = dir.json("truth drawn drawn.truth.safetensors --rows 2000 --json");
    let published = &found["synth_sae_bench"];
    assert!(published["f1_score"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(published["sae_l0"], found["l0"]);
    let table = dir.ok("truth drawn drawn.truth.safetensors --rows 2000");
    assert!(table.contains("SynthSAEBench: F1"), "{table}");
}

#[test]
fn invalid_synth_and_truth_calls_are_refused() {
    let dir = TestDir::new();
    dir.ok("synth --out rows.npy --rows 100 --d-in 8 --features 8 --l0 1");
    dir.ok("train rows.npy --arch topk --k 1 --steps 3 --preprocess clip-sd:3 --out clipped -q");
    dir.write_npy("narrow.npy", 3, &[1.0, 0.0, 0.0]);
    std::fs::create_dir(dir.path("folder.npy")).unwrap();
    all_fail(&dir, FAILURES);
}

const FAILURES: &str = "$ synth --out rows.npy
2 error: rows.npy exists, and models may have been trained on it; replace it with --force, or give another --out
$ synth --out new.npy --codes rows.npy
2 error: rows.npy exists, and models may have been trained on it; replace it with --force, or give another --out
$ truth rows.npy rows.truth.safetensors
1 error: rows.npy: a file; expected a run folder, or a model's folder with cfg.json and sae_weights.safetensors as rarefy and SAELens write it
hint: give the folder of a model first, then the data
$ synth --out rows.txt
2 error: `--out` must be a file that ends in .npy or .truth.safetensors, got rows.txt
$ synth --like synthsaebench-16k --features 100 --out bench.truth.safetensors
2 error: `features` must be at least the 128 trees and at most 5592405, got 100
$ synth --out new.truth.safetensors --codes codes.npz
2 error: --codes needs rows that are written; give an --out that ends in .npy
$ synth --out folder.npy
1 error: folder.npy: expected a file to write, got a folder
$ synth --out x.npy --codes x.txt
2 error: unknown extension of a codes file `txt` (known: npy, npz, safetensors, parquet)
$ synth --out x.npy --l0 200
2 error: `l0` must be above 0 and at most 128, the sum if each feature fires in every second row, got 200
$ synth --out x.npy --noise -1
2 error: `noise` must be a finite number not below 0, got -1
$ synth --out x.npy --hierarchy 2
2 error: `--hierarchy` must be DEPTHxBRANCH, such as 2x3, got 2
$ synth --out x.npy --hierarchy 9x9
2 error: `features` must be at least the size of one tree of `hierarchy.depth` 9 and `hierarchy.branch` 9, got 256
$ synth --out x.npy --hierarchy 1x3 --exclusive --children 1.5
2 error: `hierarchy.children` must be above 0 and at most the 1 child that fires at a time, got 1.5
$ synth --out x.npy --directions orthogonal
2 error: `features` = 256 cannot be orthogonal in `d_in` = 64 dimensions; use random `directions`
$ truth clipped rows.truth.safetensors
2 error: preprocessing clip-sd:3 of the model is not linear, so directions cannot be transformed by it; train without it to compare the model with a known dictionary
$ truth clipped narrow.npy
1 error: values of a direction of the known dictionary: expected 8, the columns of the model's data, got 3
$ truth clipped rows.npy
2 error: rows.npy lies beside a dictionary, as rows of `rarefy synth` do; give the dictionary, rows.truth.safetensors, or move a matrix of directions elsewhere
$ truth clipped nothing.safetensors
1 error: nothing.safetensors: No such file or directory (os error 2)
";
