//! `frontier` with lists of latents and of k, and its kept models.

use crate::common::{TestDir, all_fail, text};
use serde_json::Value;

fn points(frontier: &Value) -> &Vec<Value> {
    frontier["points"].as_array().unwrap()
}

/// Lists of latents and of k give a line for each number of latents; kept models are runs.
#[test]
fn lists_of_latents_and_k_are_trained_and_their_models_kept() {
    let dir = TestDir::new();
    let lists = "--arch topk --latents 30,40 --k 2,4 --keep-models";
    let common = "sample:words --rows 600 --batch 128 --steps 5 --out f";
    let found = dir.json(&format!("frontier {common} {lists} --json"));
    let of = |found: &Value| -> Vec<(u64, String)> {
        let place = |p: &Value| {
            (
                p["latents"].as_u64().unwrap(),
                p["setting"].as_str().unwrap().to_owned(),
            )
        };
        points(found).iter().map(place).collect()
    };
    let expected = [
        (30, "2".to_owned()),
        (30, "4".into()),
        (40, "2".into()),
        (40, "4".into()),
    ];
    assert_eq!(of(&found), expected);
    for (point, (latents, k)) in points(&found).iter().zip(&expected) {
        let run = format!("f/models/topk-{latents}-k-{k}");
        let inspected = dir.json(&format!("inspect {run} --json"));
        assert_eq!(inspected["d_sae"], *latents);
        let figures: Value =
            serde_json::from_slice(&dir.read(&format!("{run}/figures.json"))).unwrap();
        assert_eq!(figures["held_out"]["l0"], point["l0"]);
    }
    assert_eq!(
        dir.ok("compare f/models/topk-30-k-2 f/models/topk-40-k-2")
            .matches("topk-")
            .count(),
        4
    );
    let failed = dir.run("compare f");
    let why = text(&failed.stderr);
    assert!(
        why.contains("the models of a frontier are in f/models"),
        "{why}"
    );
    // A resumed frontier keeps its lists, and takes further entries.
    let more = dir.json("frontier --out f --resume --k 8 --json");
    assert_eq!(points(&more).len(), 6);
    assert_eq!(more["choices"]["k"], serde_json::json!([2.0, 4.0, 8.0]));
    let table = dir.ok("frontier --out f --resume");
    assert!(
        table.contains("topk 30") && table.contains("topk 40"),
        "{table}"
    );
    // Without the lists, another frontier in its place has none of its models.
    dir.ok(&format!(
        "frontier {common} --arch topk --latents 30 --k 2 --force"
    ));
    assert!(!dir.path("f/models/topk-30-k-2").exists());
    all_fail(
        &dir,
        "$ frontier sample:words --arch relu --k 4
2 error: --k has no meaning here: none of the architectures has an option k
",
    );
}
