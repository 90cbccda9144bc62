//! Shards of saev, of all versions of their metadata.

use super::*;
use crate::data;

/// Folder of 3 examples of 2 layers with a [CLS] token and 2 others, of width 2, in files of 2 examples. Value: example, layer, token.
fn folder(metadata: &serde_json::Value, shards: Option<&serde_json::Value>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(METADATA), metadata.to_string()).unwrap();
    if let Some(shards) = shards {
        std::fs::write(dir.path().join(SHARDS), shards.to_string()).unwrap();
    }
    for file in 0..2 {
        let mut bytes = Vec::new();
        for example in 2 * file..2 * file + 2 {
            for (layer, token) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
                // The last file has room for an example that is not there.
                let value = if example < 3 {
                    100 * example + 10 * layer + token
                } else {
                    0
                };
                for value in [value as f32, -value as f32] {
                    bytes.extend(value.to_le_bytes());
                }
            }
        }
        std::fs::write(dir.path().join(format!("acts{file:06}.bin")), bytes).unwrap();
    }
    dir
}

fn version_2() -> (serde_json::Value, serde_json::Value) {
    (
        serde_json::json!({"family": "clip", "ckpt": "x", "layers": [6, 11], "content_tokens_per_example": 2, "cls_token": true,
            "d_model": 2, "n_examples": 3, "max_tokens_per_shard": 12, "data": "", "dataset": "/x", "pixel_agg": null,
            "dtype": "float32", "protocol": "2.1"}),
        serde_json::json!([{"name": "acts000000.bin", "n_examples": 2}, {"name": "acts000001.bin", "n_examples": 1}]),
    )
}

fn first_values(spec: &str) -> Vec<f32> {
    let dataset = data::open(spec, &OpenOptions::default()).unwrap();
    let mut values = vec![0.0; 2 * dataset.source.rows()];
    dataset.source.read(0, &mut values).unwrap();
    values.into_iter().step_by(2).collect()
}

#[test]
fn rows_of_a_layer_and_of_some_tokens_are_read() {
    let (metadata, shards) = version_2();
    let version_0 = serde_json::json!({"vit_family": "clip", "vit_ckpt": "x", "layers": [6, 11], "n_patches_per_img": 2,
        "cls_token": true, "d_vit": 2, "seed": 1, "n_imgs": 3, "n_patches_per_shard": 12, "data": ""});
    for dir in [folder(&metadata, Some(&shards)), folder(&version_0, None)] {
        let path = dir.path().display().to_string();
        assert_eq!(
            first_values(&format!("{path}::11")),
            [11.0, 12.0, 111.0, 112.0, 211.0, 212.0]
        );
        assert_eq!(first_values(&format!("{path}::6/cls")), [0.0, 100.0, 200.0]);
        assert_eq!(
            first_values(&format!("{path}::11/all"))[3..],
            [110.0, 111.0, 112.0, 210.0, 211.0, 212.0]
        );
        // Rows from the middle of an example to the middle of one in the next file.
        let dataset = data::open(&format!("{path}::6"), &OpenOptions::default()).unwrap();
        let mut middle = [0.0; 4];
        dataset.source.read(3, &mut middle).unwrap();
        assert_eq!(middle, [102.0, -102.0, 201.0, -201.0]);
        let places = dataset.places.unwrap();
        assert_eq!(
            (places.context(3), places.position(3), places.token(3)),
            (1, 1, None)
        );
    }
}

#[test]
fn labels_belong_to_the_tokens_without_cls() {
    let (metadata, shards) = version_2();
    let dir = folder(&metadata, Some(&shards));
    std::fs::write(dir.path().join(LABELS), [5, 6, 7, 8, 9, 10]).unwrap();
    let path = dir.path().display().to_string();
    let labels = |spec: String| data::open(&spec, &OpenOptions::default()).map(|data| data.labels);
    assert_eq!(
        labels(format!("{path}::6")).unwrap().unwrap(),
        ["5", "6", "7", "8", "9", "10"]
    );
    assert_eq!(labels(format!("{path}::6/all")).unwrap(), None);
    std::fs::write(dir.path().join(LABELS), [5]).unwrap();
    let why = labels(format!("{path}::6")).unwrap_err().to_string();
    assert!(
        why.contains("expected 6 labels, one for each token, got 1"),
        "{why}"
    );
}

#[test]
fn faults_are_named() {
    let (metadata, shards) = version_2();
    let why = |dir: &tempfile::TempDir, member: &str| {
        let spec = format!("{}{member}", dir.path().display());
        data::open(&spec, &OpenOptions::default())
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    let dir = folder(&metadata, Some(&shards));
    for (member, words) in [
        (
            "",
            "expected a choice of one layer, got 2 (6, 11); choose with",
        ),
        ("::7", "7"),
        ("::6/clx", "with content, cls or all for the tokens"),
        ("::6/all/all", "expected LAYER, TOKENS or LAYER/TOKENS"),
    ] {
        let got = why(&dir, member);
        assert!(got.contains(words), "{member}: {got}");
    }
    std::fs::write(dir.path().join("acts000001.bin"), [0; 40]).unwrap();
    assert!(
        why(&dir, "::6").contains("truncated: expected 48 bytes of data"),
        "{}",
        why(&dir, "::6")
    );
    let mut fewer = shards.clone();
    fewer[1]["n_examples"] = 0.into();
    let dir = folder(&metadata, Some(&fewer));
    assert!(
        why(&dir, "::6").contains(
            "expected 3 examples as in metadata.json, got 2: the shards are not complete"
        )
    );
    fewer[1]["name"] = "../acts000001.bin".into();
    assert!(why(&folder(&metadata, Some(&fewer)), "::6").contains("expected the name of a file"));
    for (key, value, words) in [
        (
            "dtype",
            "float16".into(),
            "expected the number type float32, got float16",
        ),
        ("d_model", 0.into(), "of at least 1, got [2, 3, 0, 3]"),
        ("n_examples", u64::MAX.into(), "of at least 1, got"),
        (
            "cls_token",
            7.into(),
            "expected the metadata of saev's shards: invalid type",
        ),
    ] {
        let mut other = metadata.clone();
        other[key] = value;
        let got = why(&folder(&other, Some(&shards)), "::6");
        assert!(got.contains(words), "{key}: {got}");
    }
}
