//! `synth` and `truth`: from a dictionary to rows, to a model, and back to the dictionary.

mod common;

use common::{Place, all_fail, text};
use rarefy::formats::codes;
use rarefy::metrics;
use rarefy::model::Model;
use rarefy::synth::Truth;

const SYNTH: &str =
    "synth --out data/rows.npy --d-in 24 --features 32 --l0 2 --magnitudes uniform --seed 3";

#[test]
fn rows_and_codes_are_those_of_the_truth() {
    let place = Place::new();
    let said = place.json(&format!(
        "{SYNTH} --rows 5000 --hierarchy 1x2 --exclusive --noise 0.05 --centre 2 --codes codes.npz --json"
    ));
    assert_eq!(
        place.everything(),
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
    let (truth, rows) = Truth::load(&place.path("data/rows.truth.safetensors")).unwrap();
    assert_eq!(
        (rows, truth.spec().seed, truth.spec().noise),
        (5000, 3, 0.05)
    );
    let sample = truth.draw(0..5000);
    assert!(place.read_npy("data/rows.npy") == sample.x);
    assert!(codes::read(&place.path("codes.npz")).unwrap() == sample.codes);
    let l0 = sample.codes.values.len() as f64 / 5000.0;
    assert_eq!(said["l0"], l0);
    // More rows begin with the same.
    place.ok(&format!(
        "{SYNTH} --rows 6000 --hierarchy 1x2 --exclusive --noise 0.05 --centre 2 --force"
    ));
    assert!(place.read_npy("data/rows.npy")[..5000 * 24] == sample.x);
}

#[test]
fn a_model_finds_the_dictionary() {
    let place = Place::new();
    let said = place.ok(&format!("{SYNTH} --rows 20000"));
    assert!(said.contains("20000 rows x 24 values, "), "{said}");
    assert!(
        said.ends_with("the truth -> data/rows.truth.safetensors\n"),
        "{said}"
    );
    place.ok("train data/rows.npy --arch batch-topk --k 2 --latents 48 --batch 512 --steps 1500 --lr 0.003 --out run -q");
    let found = place.json("truth run data/rows.truth.safetensors --rows 3000 --json");
    for field in ["recall", "matched_cosine", "firing_f1"] {
        assert!(found[field].as_f64().unwrap() > 0.9, "{field}: {found}");
    }
    assert_eq!(
        (&found["features"], &found["rows"]),
        (&32.into(), &3000.into())
    );
    // It is measured on the rows behind those that were written.
    let model = Model::load(&place.path("run")).unwrap();
    let (truth, _) = Truth::load(&place.path("data/rows.truth.safetensors")).unwrap();
    let fresh = metrics::truth::evaluate(&model, &truth, 20_000..23_000).unwrap();
    assert_eq!(found["firing_f1"], fresh.firing_f1);
    // Nobody is a child or a partner.
    assert!(found.get("absorption").is_none() && found.get("hedging").is_none());
    let table = place.ok("truth run data/rows.truth.safetensors");
    for line in ["features found (cosine above 0.9)", "firing: F1", "20000"] {
        assert!(table.contains(line), "{table}");
    }
    // The directions alone, as any file of them.
    place.write_npy("directions.npy", 24, truth.directions());
    let alone = place.json("truth run directions.npy --json");
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
    let table = text(&place.run("truth run directions.npy").stdout);
    assert!(
        table.contains("matched pairs") && !table.contains("firing"),
        "{table}"
    );
}

#[test]
fn hierarchies_and_clusters_have_figures_of_their_own() {
    let place = Place::new();
    place.ok("synth --out rows.npy --rows 4000 --d-in 16 --features 24 --l0 2 --hierarchy 1x3 --correlation 0.5 --cluster 3");
    place.ok("train rows.npy --arch topk --k 2 --latents 24 --steps 30 --out run -q");
    let found = place.json("truth run rows.truth.safetensors --rows 2000 --json");
    for field in ["absorption", "hedging"] {
        let share = found[field].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{field}: {found}");
    }
    let table = place.ok("truth run rows.truth.safetensors --rows 2000");
    assert!(
        table.contains("absorption") && table.contains("hedging"),
        "{table}"
    );
}

#[test]
fn failures() {
    let place = Place::new();
    place.ok("synth --out rows.npy --rows 100 --d-in 8 --features 8 --l0 1");
    place.ok("train rows.npy --arch topk --k 1 --steps 3 --preprocess clip-sd:3 --out clipped -q");
    place.write_npy("narrow.npy", 3, &[1.0, 0.0, 0.0]);
    std::fs::create_dir(place.path("folder.npy")).unwrap();
    all_fail(&place, FAILURES);
}

const FAILURES: &str = "$ synth --out rows.npy
2 error: rows.npy is there already, and models may have been trained on it; replace it by --force, or give another --out
$ synth --out new.npy --codes rows.npy
2 error: rows.npy is there already, and models may have been trained on it; replace it by --force, or give another --out
$ truth rows.npy rows.truth.safetensors
1 error: rows.npy/cfg.json: Not a directory (os error 20)
hint: rows.npy is a file, where a model's folder stands first, then the data
$ synth --out rows.txt
2 error: out must be a file that ends in .npy, got rows.txt
$ synth --out folder.npy
1 error: folder.npy: expected a file to write, got a folder
$ synth --out x.npy --codes x.txt
2 error: unknown ending of a codes file `txt` (known: npy, npz, safetensors, parquet)
$ synth --out x.npy --l0 200
2 error: l0 must be above 0 and at most 128, where every second row has each, got 200
$ synth --out x.npy --noise -1
2 error: noise must be a finite number not below 0, got -1
$ synth --out x.npy --hierarchy 2
2 error: hierarchy must be DEPTHxBRANCH, such as 2x3, got 2
$ synth --out x.npy --hierarchy 9x9
2 error: features must be at least one tree of depth 9 and branch 9, got 256
$ synth --out x.npy --hierarchy 1x3 --exclusive --children 1.5
2 error: children must be above 0 and at most the 1 that fires at a time, got 1.5
$ synth --out x.npy --directions orthogonal
2 error: 256 features cannot be orthogonal in 64 dimensions; take random directions
$ truth clipped rows.truth.safetensors
2 error: the model's preprocessing clip-sd:3 is not linear: behind it a direction has no place; train without it to hold the model against a truth
$ truth clipped narrow.npy
1 error: values of a true direction: expected 8 as the model was trained on, got 3
$ truth clipped nothing.safetensors
1 error: nothing.safetensors: No such file or directory (os error 2)
";
