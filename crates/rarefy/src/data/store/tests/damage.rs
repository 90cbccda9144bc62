//! Damaged stores: each change is found and named.

use super::*;

/// Errors of opening and of verifying a store behind a damage.
fn damaged(
    damage: &dyn Fn(&Path),
) -> (
    std::result::Result<(), String>,
    std::result::Result<(), String>,
) {
    let place = place();
    put(&dataset("rows", 25), &place, Number::Int8, Begin::New).unwrap();
    damage(&place.folder);
    let opened = open_store(&place.folder)
        .map(|_| ())
        .map_err(|e| e.to_string());
    let verified = verify(&place.folder, &mut go_on)
        .map(|_| ())
        .map_err(|e| e.to_string());
    (opened, verified)
}

/// Each change is found: at once where sizes and names differ, by `verify` where bytes of a shard do.
#[test]
fn damage_is_found_and_named() {
    let change = |name: &'static str, from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replacen(from, to, 1)).unwrap();
        }
    };
    let (opened, verified) = damaged(&|folder| {
        let path = folder.join("shard-00001.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 50;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert_eq!(opened, Ok(()));
    assert!(
        verified
            .unwrap_err()
            .contains("shard-00001.safetensors: damaged: expected the SHA-256")
    );
    let (opened, verified) = damaged(&|folder| {
        let path = folder.join("shard-00001.safetensors");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 4]).unwrap();
    });
    assert!(opened.unwrap_err().contains("truncated"));
    assert!(verified.is_err());
    let (opened, verified) =
        damaged(&|folder| fs::remove_file(folder.join("shard-00002.safetensors")).unwrap());
    assert!(opened.unwrap_err().contains("shard-00002.safetensors"));
    assert!(verified.unwrap_err().contains("shard-00002.safetensors"));
    let (opened, verified) = damaged(&change("cells/shard-00000.jsonl", "row", "Row"));
    assert_eq!(opened, Ok(()));
    assert!(
        verified
            .unwrap_err()
            .contains("cells/shard-00000.jsonl: damaged")
    );
    for (from, to, expected) in [
        ("\"rows\": 10,", "\"rows\": 9,", "its checksum"),
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("\"dtype\": \"int8\"", "\"dtype\": \"int4\"", "int4"),
        (
            "shard-00001.safetensors",
            "../shard-00001.safetensors",
            "its checksum",
        ),
        ("\"n_inputs\": 3", "\"n_inputs\": 4", "its checksum"),
        ("\"complete\": true", "\"complete\": false", "its checksum"),
        ("{", "[", "damaged manifest"),
    ] {
        let (opened, _) = damaged(&change(MANIFEST, from, to));
        let error = opened.unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

/// Edit of a manifest.
type Edit = fn(&mut serde_json::Value);

#[test]
fn manifest_without_checksum_is_held_against_the_shards() {
    let edits: [(Edit, &str); 4] = [
        (
            |m| m["shards"][0]["file"] = "../x".into(),
            "the name of a file",
        ),
        (|m| m["n_inputs"] = 4.into(), "rows of 4 values"),
        (|m| m["complete"] = false.into(), "not complete"),
        (
            |m| m["shards"][0]["rows"] = u64::MAX.into(),
            "more rows than a number can say",
        ),
    ];
    for (edit, expected) in edits {
        let (opened, _) = damaged(&|folder| {
            let path = folder.join(MANIFEST);
            let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            edit(&mut manifest);
            for key in ["crc32", "sources"] {
                manifest.as_object_mut().unwrap().remove(key);
            }
            fs::write(path, manifest.to_string()).unwrap();
        });
        let error = opened.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
