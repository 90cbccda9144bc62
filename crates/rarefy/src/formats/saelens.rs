//! `SAELens`'s layout: a folder with `cfg.json` and `sae_weights.safetensors`.
//!
//! `W_enc [d_in, d_sae]`, `b_enc [d_sae]`, `W_dec [d_sae, d_in]`, `b_dec [d_in]`, all f32. A tied
//! decoder is written out, so that other tools can use it. `architecture` in `cfg.json` names our
//! architecture and `options` holds its settings; unknown keys are ignored, as `SAELens` does.
//! Preprocessing, where there is any, is `preprocess.safetensors` beside them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::{Element, transpose};
use crate::model::Model;
use crate::params::{Layout, Params};
use crate::preprocess::Pipeline;
use crate::tensors::{Reader, Writer};
use crate::variants::{self, Hyper};
use crate::{Error, Result, atomic};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const PREPROCESS: &str = "preprocess.safetensors";

/// What we write to, and need from, `cfg.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    architecture: String,
    d_in: usize,
    d_sae: usize,
    #[serde(default)]
    dtype: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    apply_b_dec_to_input: bool,
    #[serde(default)]
    normalize_activations: String,
    #[serde(default)]
    reshape_activations: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rarefy_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_shape: Option<(usize, usize)>,
}

/// Writes a model into a folder; each file is whole or not there.
///
/// # Errors
/// [`Error::Io`].
pub fn save(model: &Model, folder: &Path) -> Result<()> {
    let (d_in, d_sae) = (model.d_in, model.d_sae);
    let w_enc = model.params.get("w_enc");
    let w_dec = model.params.find("w_dec").unwrap_or(w_enc);
    let mut file = Writer::default();
    file.tensor("W_enc", &[d_in, d_sae], &transpose(w_enc, d_sae, d_in));
    file.vector("b_enc", model.params.get("b_enc"));
    file.tensor("W_dec", &[d_sae, d_in], w_dec);
    file.vector("b_dec", model.params.get("b_dec"));
    file.write(&folder.join(WEIGHTS))?;
    let preprocess = folder.join(PREPROCESS);
    if !model.pipeline.is_identity() {
        model.pipeline.save(&preprocess)?;
    } else if preprocess.exists() {
        // An earlier model's would be applied to this one's rows.
        std::fs::remove_file(&preprocess).map_err(Error::io(&preprocess))?;
    }
    let config = Config {
        architecture: model.info.name.into(),
        d_in,
        d_sae,
        dtype: "float32".into(),
        device: "cpu".into(),
        apply_b_dec_to_input: false,
        normalize_activations: "none".into(),
        reshape_activations: "none".into(),
        metadata: Metadata {
            rarefy_version: Some(env!("CARGO_PKG_VERSION").into()),
            image_shape: model.image_shape,
        },
        options: model
            .hyper
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
    };
    atomic::write(folder.join(CONFIG), |out| {
        serde_json::to_writer_pretty(&mut *out, &config)?;
        out.write_all(b"\n")
    })
}

/// Reads a model from a folder.
///
/// # Errors
/// [`Error::Io`] for a missing file; [`Error::Format`] for a damaged one; [`Error::Shape`] naming
/// the tensor; [`Error::Unknown`] for an architecture that is not ours.
pub fn load(folder: &Path) -> Result<Model> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let config: Config =
        serde_json::from_str(&text).map_err(|e| Error::format(&path, e.to_string()))?;
    let info = variants::find(&config.architecture)?;
    let given = config.options.iter().map(|(k, v)| (k.as_str(), v.clone()));
    let hyper = Hyper::check(info.options, given)?;
    let variant = (info.build)(&hyper)?;
    let (d_in, d_sae) = (config.d_in, config.d_sae);
    if d_in == 0 || d_sae == 0 || d_in.checked_mul(d_sae).is_none() {
        let why = format!("expected d_in and d_sae of a real model, got {d_in} and {d_sae}");
        return Err(Error::format(&path, why));
    }
    let params = weights(
        &folder.join(WEIGHTS),
        &variant.layout(d_in, d_sae),
        d_in,
        d_sae,
    )?;
    let preprocess = folder.join(PREPROCESS);
    let pipeline = if preprocess.exists() {
        Pipeline::load(&preprocess)?
    } else {
        Pipeline::identity(d_in)
    };
    if pipeline.d_out() != d_in {
        return Err(Error::Shape {
            what: format!(
                "{}: values that the preprocessing gives",
                preprocess.display()
            ),
            expected: d_in.to_string(),
            got: pipeline.d_out().to_string(),
        });
    }
    let raw = pipeline.d_in();
    if let Some((height, width)) = config.metadata.image_shape
        && height.checked_mul(width) != Some(raw)
    {
        return Err(Error::Shape {
            what: format!("{}: image_shape", path.display()),
            expected: format!("{raw} pixels"),
            got: format!("{height} x {width}"),
        });
    }
    Ok(Model {
        info,
        hyper,
        variant,
        params,
        d_in,
        d_sae,
        pipeline,
        image_shape: config.metadata.image_shape,
    })
}

/// Reads the parameters; memory is taken only for what the file really holds.
fn weights(path: &Path, layout: &Layout, d_in: usize, d_sae: usize) -> Result<Params> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = Reader::new(path, &bytes)?;
    let mut blocks = Vec::new();
    for block in layout.blocks() {
        let (name, shape) = match block.name {
            "w_enc" => ("W_enc", vec![d_in, d_sae]),
            "w_dec" => ("W_dec", vec![d_sae, d_in]),
            "b_enc" => ("b_enc", vec![d_sae]),
            "b_dec" => ("b_dec", vec![d_in]),
            other => (other, vec![block.rows, block.cols]),
        };
        let values = tensor(&file, path, name, &shape)?;
        blocks.push(if name == "W_enc" {
            transpose(&values, d_in, d_sae)
        } else {
            values
        });
    }
    let mut params = Params::zeros(layout);
    for (block, values) in layout.blocks().iter().zip(blocks) {
        params.get_mut(block.name).copy_from_slice(&values);
    }
    Ok(params)
}

fn tensor(file: &Reader, path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let tensor = file.view(name)?;
    if tensor.shape() != shape {
        return Err(Error::Shape {
            what: format!("{}: {name}", path.display()),
            expected: format!("{shape:?}"),
            got: format!("{:?}", tensor.shape()),
        });
    }
    let Some(element @ (Element::F16 | Element::Bf16 | Element::F32 | Element::F64)) =
        Element::of_tensor(tensor.dtype())
    else {
        let got = tensor.dtype();
        return Err(file.bad(format!(
            "{name}: expected a floating-point tensor, got {got:?}"
        )));
    };
    let mut values = vec![0.0; shape.iter().product()];
    element.convert(tensor.data(), false, &mut values);
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::format(
            path,
            format!(
                "{name}: expected finite weights, got {} at index {at}",
                values[at]
            ),
        ));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_model_reads_back_as_itself_and_lies_on_disk_as_saelens_expects() {
        for tied in ["false", "true"] {
            let info = variants::find("kl").unwrap();
            let hyper = Hyper::check(info.options, [("tied", tied.to_owned())]).unwrap();
            let variant = (info.build)(&hyper).unwrap();
            let params = variant.init(&variant.layout(3, 5), &mut crate::Rng::seed_from_u64(1));
            let pipeline = Pipeline::identity(3);
            let model = Model {
                info,
                hyper,
                variant,
                params,
                d_in: 3,
                d_sae: 5,
                pipeline,
                image_shape: Some((1, 3)),
            };
            let folder = tempfile::tempdir().unwrap();
            save(&model, folder.path()).unwrap();
            let back = load(folder.path()).unwrap();
            assert_eq!(
                (back.params, back.hyper, back.image_shape),
                (model.params.clone(), model.hyper, Some((1, 3)))
            );

            let bytes = std::fs::read(folder.path().join(WEIGHTS)).unwrap();
            let file = Reader::new(Path::new("weights"), &bytes).unwrap();
            let w_enc = tensor(&file, folder.path(), "W_enc", &[3, 5]).unwrap();
            // W_enc[j, l] on disk is the weight of latent l for input j.
            assert_eq!(w_enc[5 + 4], model.params.get("w_enc")[4 * 3 + 1]);
            let w_dec = tensor(&file, folder.path(), "W_dec", &[5, 3]).unwrap();
            assert_eq!(
                w_dec,
                model
                    .params
                    .find("w_dec")
                    .unwrap_or(model.params.get("w_enc"))
            );
        }
    }

    #[test]
    fn a_wrong_shape_names_the_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"architecture": "kl", "d_in": 3, "d_sae": 2}"#;
        std::fs::write(folder.path().join(CONFIG), config).unwrap();
        let mut weights = Writer::default();
        weights.tensor("W_enc", &[2, 3], &[0.0f32; 6]);
        weights.write(&folder.path().join(WEIGHTS)).unwrap();
        let error = load(folder.path()).err().unwrap().to_string();
        assert!(
            error.contains("W_enc: expected [3, 2], got [2, 3]"),
            "{error}"
        );
    }
}
