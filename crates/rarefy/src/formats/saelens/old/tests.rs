//! Folders before version 6 of `SAELens`. The expected codes were worked with NumPy.

use std::path::Path;

use serde_json::{Value, json};

use crate::model::Model;
use crate::tensors::Writer;

/// `W_enc [d_in, d_sae]`.
const W_ENC: [f32; 15] = [
    1.0, -2.0, 0.0, 3.0, -1.0, 2.0, 1.0, -1.0, 0.0, 2.0, 0.0, 1.0, 2.0, -1.0, 1.0,
];
const ROWS: [f32; 9] = [2.0, 1.0, -1.0, 0.0, 0.0, 3.0, 1.0, -1.0, 0.0];

/// Config as version 5 writes it, with other values for some keys.
fn config(changes: &Value) -> Value {
    let mut config = json!({
        "architecture": "standard", "d_in": 3, "d_sae": 5, "activation_fn_str": "relu", "activation_fn_kwargs": {},
        "apply_b_dec_to_input": true, "finetuning_scaling_factor": false, "context_size": 128,
        "model_name": "gpt2-small", "hook_name": "blocks.8.hook_resid_pre", "hook_layer": 8, "hook_head_index": null,
        "prepend_bos": true, "dataset_path": "text", "dataset_trust_remote_code": true,
        "normalize_activations": "none", "dtype": "torch.float32", "device": "cpu",
        "sae_lens_training_version": "5.3.0", "neuronpedia_id": null, "model_from_pretrained_kwargs": {},
        "seqpos_slice": [null],
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn write(folder: &Path, config: &Value, further: &[(&str, &[f32])]) {
    std::fs::write(folder.join("cfg.json"), config.to_string()).unwrap();
    let mut file = Writer::default();
    file.tensor("W_enc", &[3, 5], W_ENC);
    file.vector("b_enc", [0.5f32, 0.0, -0.5, 1.0, 0.0]);
    file.tensor("W_dec", &[5, 3], [0.5f32; 15]);
    file.vector("b_dec", [1.0f32, -1.0, 0.0]);
    for (name, values) in further {
        file.vector(*name, values);
    }
    file.write(&folder.join("sae_weights.safetensors")).unwrap();
}

/// Codes of [`ROWS`] under this config, or the error.
fn codes(changes: &Value, further: &[(&str, &[f32])]) -> Result<Vec<f32>, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &config(changes), further);
    let model = Model::load(folder.path()).map_err(|e| e.to_string())?;
    Ok(model.latents(&ROWS).0)
}

const TOP_2: [f32; 15] = [
    5.5, 0.0, 0.0, 5.0, 0.0, 0.0, 6.0, 0.0, 0.0, 6.0, 0.5, 0.0, 0.0, 1.0, 0.0,
];
const ALL_POSITIVE: [f32; 15] = [
    5.5, 0.0, 0.0, 5.0, 2.0, 1.5, 6.0, 4.5, 0.0, 6.0, 0.5, 0.0, 0.0, 1.0, 0.0,
];
const WITHOUT_CENTRE: [f32; 15] = [
    4.5, 0.0, 0.0, 8.0, 0.0, 0.5, 3.0, 5.5, 0.0, 3.0, 0.0, 0.0, 0.5, 4.0, 0.0,
];

#[test]
fn topk_in_the_activation_function_is_read_as_topk() {
    let arguments = json!({"k": 2});
    for changes in [
        json!({"activation_fn_str": "topk", "activation_fn_kwargs": arguments}),
        json!({"activation_fn_str": null, "activation_fn": "topk", "activation_fn_kwargs": arguments}),
        json!({"architecture": "topk", "activation_fn_str": "topk", "activation_fn_kwargs": arguments}),
        json!({"architecture": "topk", "activation_fn_str": null, "activation_fn_kwargs": {"k": 2, "signed": false}}),
        json!({"architecture": "topk", "activation_fn_str": null, "activation_fn_kwargs": null, "k": 2}),
    ] {
        assert_eq!(codes(&changes, &[]).unwrap(), TOP_2, "{changes}");
    }
}

#[test]
fn forms_of_the_same_value_are_read_alike() {
    for changes in [
        json!({}),
        json!({"normalize_activations": false}),
        json!({"normalize_activations": null}),
        json!({"apply_b_dec_to_input": null, "device": null, "dtype": null}),
        json!({"activation_fn_str": null, "activation_fn_kwargs": null}),
        json!({"reshape_activations": "hook_z", "unknown": null}),
        json!({"l1_coefficient": 5, "noise_scale": 0.1, "expansion_factor": 4, "hook_point": "x"}),
    ] {
        assert_eq!(codes(&changes, &[]).unwrap(), ALL_POSITIVE, "{changes}");
    }
    let raw = codes(&json!({"apply_b_dec_to_input": false}), &[]).unwrap();
    assert_eq!(raw, WITHOUT_CENTRE);
}

#[test]
fn keys_that_change_the_latents_are_refused_by_name() {
    for (changes, expected) in [
        (
            json!({"activation_fn_str": "tanh-relu"}),
            "activation_fn: expected relu or topk, got tanh-relu",
        ),
        (
            json!({"activation_fn_str": 3}),
            "activation_fn_str: expected a name, got 3",
        ),
        (
            json!({"activation_fn": "topk"}),
            "activation_fn: expected one name, got relu and topk",
        ),
        (
            json!({"activation_fn_str": "topk"}),
            "k: expected the number of active latents, got none",
        ),
        (
            json!({"activation_fn_kwargs": {"k": 2}}),
            "activation_fn_kwargs: k: expected no such argument",
        ),
        (
            json!({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2, "signed": true}}),
            "activation_fn_kwargs: signed: expected no such argument",
        ),
        (
            json!({"architecture": "gated", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}}),
            "topk does not fit the architecture gated",
        ),
        (
            json!({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2}, "sae_lens_version": "6.1.0"}),
            "topk does not fit the architecture standard",
        ),
        (
            json!({"architecture": "topk", "activation_fn_str": null}),
            "k: expected the number of active latents",
        ),
        (
            json!({"normalize_activations": true}),
            "got expected_average_only_in, a factor that the folder does not hold",
        ),
        (
            json!({"normalize_activations": "covariance_whitening"}),
            "got covariance_whitening",
        ),
        (
            json!({"normalize_activations": 3}),
            "normalize_activations: expected a name, true, false or null",
        ),
        (
            json!({"reshape_activations": "split"}),
            "reshape_activations: expected none or hook_z, got split",
        ),
        (
            json!({"finetuning_scaling_factor": true}),
            "scaling_factor: expected a tensor for finetuning_scaling_factor",
        ),
        (
            json!({"input_scale": 2.0}),
            "input_scale: unknown key with the value 2.0",
        ),
    ] {
        let error = codes(&changes, &[]).unwrap_err();
        assert!(error.contains(expected), "{changes}: {error}");
    }
}

#[test]
fn tensors_that_change_the_latents_are_refused_by_name() {
    let ones = [1.0f32; 5];
    let of_ones = codes(
        &json!({"finetuning_scaling_factor": true}),
        &[("scaling_factor", &ones)],
    );
    assert_eq!(of_ones.unwrap(), ALL_POSITIVE);
    let factors = [1.0f32, 1.0, 1.5, 1.0, 1.0];
    for scaled in [true, false] {
        let changes = json!({"finetuning_scaling_factor": scaled});
        let error = codes(&changes, &[("scaling_factor", &factors)]).unwrap_err();
        assert!(
            error.contains("scaling_factor: expected 1 for every latent, got 1.5 at index 2"),
            "{error}"
        );
    }
    for name in ["threshold", "b_mag", "log_threshold"] {
        let error = codes(&json!({}), &[(name, &ones)]).unwrap_err();
        assert!(
            error.contains(&format!("{name}: unknown tensor")),
            "{error}"
        );
    }
}

#[test]
fn folder_without_an_architecture_is_standard() {
    let folder = tempfile::tempdir().unwrap();
    let mut bare = config(&json!({}));
    bare.as_object_mut().unwrap().remove("architecture");
    write(folder.path(), &bare, &[]);
    let model = Model::load(folder.path()).unwrap();
    assert_eq!(model.info().name, "relu");
}
