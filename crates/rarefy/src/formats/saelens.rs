//! `SAELens`'s layout: a folder with `cfg.json` and `sae_weights.safetensors`.
//!
//! `W_enc [d_in, d_sae]`, `b_enc [d_sae]`, `W_dec [d_sae, d_in]`, `b_dec [d_in]`, all f32. A tied
//! decoder is written out, so that other tools can use it. `architecture` in `cfg.json` names the
//! architecture and `options` holds its settings; unknown keys are ignored, as `SAELens` does.
//! Preprocessing, where there is any, is `preprocess.safetensors` beside them, and `normalize_activations` has that name,
//! so that `SAELens` refuses the model and does not give it raw rows: [`Model::folded`] is for it. Where rows are
//! normalised one by one, `SAELens` does the same, and has a word for it.
//!
//! A transcoder's decoder has `d_out` outputs, and a skip transcoder `W_skip [d_out, d_in]`; what its targets
//! went through is `preprocess_target.safetensors`. `SAELens` has transcoders that keep all above 0 or
//! above a threshold. For the others and for crosscoders it has no name, and they get one that it refuses.
//!
//! `SAELens` computes what we do with `topk`. A trained model with one threshold is its `jumprelu`,
//! whose `threshold [d_sae]` holds that value over and over; our own name for it is kept among the
//! metadata.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::binding::Binding;
use crate::data::{Element, transpose};
use crate::model::Model;
use crate::params::{Layout, Params};
use crate::preprocess::Pipeline;
use crate::tensors::{Reader, Writer};
use crate::variants::{self, Architecture, Hyper, Sparse};
use crate::{Error, Result, atomic};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const PREPROCESS: &str = "preprocess.safetensors";
const PREPROCESS_TARGET: &str = "preprocess_target.safetensors";

/// What we write to, and need from, `cfg.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Config {
    architecture: String,
    d_in: usize,
    /// Of a transcoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d_out: Option<usize>,
    d_sae: usize,
    #[serde(default)]
    dtype: String,
    #[serde(default)]
    device: String,
    /// `SAELens` takes true where a file does not say; a transcoder must say false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apply_b_dec_to_input: Option<bool>,
    /// Whether latents count by what they decode to; `SAELens` takes it for granted with `topk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rescale_acts_by_decoder_norm: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<usize>,
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
    /// Our own name, where another tool has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rarefy_architecture: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rarefy_version: Option<String>,
    /// Widths of a crosscoder's inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rarefy_inputs: Option<Vec<usize>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_shape: Option<(usize, usize)>,
}

/// Writes a model into a folder; each file is whole or not there.
///
/// # Errors
/// [`Error::Io`].
pub fn save(model: &Model, folder: &Path) -> Result<()> {
    let (binding, d_sae) = (&model.binding, model.d_sae);
    let (d_in, d_out) = (binding.d_in(), binding.d_out());
    let params = model.params();
    let w_enc = params.get("w_enc");
    let w_dec = params.find("w_dec").unwrap_or(w_enc);
    let mut file = Writer::default();
    file.transposed("W_enc", w_enc, d_sae, d_in);
    file.vector(bias_abroad(&model.architecture), params.get("b_enc"));
    file.tensor("W_dec", &[d_sae, d_out], w_dec);
    file.vector("b_dec", params.get("b_dec"));
    if binding.skip {
        file.tensor("W_skip", &[d_out, d_in], params.get("w_skip"));
    }
    for block in own_blocks(params.layout()) {
        let values = params.get(block);
        file.vector(block, values.repeat(d_sae / values.len()));
    }
    file.write(&folder.join(WEIGHTS))?;
    let normalised = normalised(model);
    let pipeline = Some(&model.pipeline).filter(|_| normalised.is_none());
    save_pipeline(pipeline, &folder.join(PREPROCESS))?;
    save_pipeline(model.target.as_ref(), &folder.join(PREPROCESS_TARGET))?;
    let Abroad {
        name,
        k,
        centred,
        rescaled,
    } = abroad(model);
    let config = Config {
        d_in,
        d_out: binding.target(),
        d_sae,
        dtype: "float32".into(),
        device: "cpu".into(),
        apply_b_dec_to_input: Some(centred),
        rescale_acts_by_decoder_norm: rescaled,
        k,
        normalize_activations: normalised
            .unwrap_or(if model.rows().is_identity() {
                "none"
            } else {
                PREPROCESS
            })
            .into(),
        reshape_activations: "none".into(),
        metadata: Metadata {
            rarefy_architecture: (name != model.info.name).then(|| model.info.name.into()),
            rarefy_inputs: binding.crosses().then(|| binding.inputs().to_vec()),
            rarefy_version: Some(env!("CARGO_PKG_VERSION").into()),
            image_shape: model.image_shape,
        },
        options: model
            .hyper
            .iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        architecture: name,
    };
    atomic::write(folder.join(CONFIG), |out| {
        serde_json::to_writer_pretty(&mut *out, &config)?;
        out.write_all(b"\n")
    })
}

/// What `SAELens` calls what we call so.
const NORMALISED: &[(&str, &str)] = &[
    ("constant_norm_rescale", "norm-row"),
    ("layer_norm", "layer-norm"),
];

/// What `SAELens` calls the model's preprocessing, if it has a word for it.
fn normalised(model: &Model) -> Option<&'static str> {
    let [step] = model.pipeline.names() else {
        return None;
    };
    let (abroad, _) = NORMALISED.iter().find(|(_, ours)| ours == step)?;
    (model.binding.name() == "autoencoder").then_some(abroad)
}

/// Writes a pipeline that does something.
fn save_pipeline(pipeline: Option<&Pipeline>, path: &Path) -> Result<()> {
    match pipeline.filter(|pipeline| !pipeline.is_identity()) {
        Some(pipeline) => pipeline.save(path),
        // An earlier model's would be applied to this one's rows.
        None if path.exists() => std::fs::remove_file(path).map_err(Error::io(path)),
        None => Ok(()),
    }
}

/// Blocks beside those that every architecture has.
fn own_blocks(layout: &Layout) -> impl Iterator<Item = &'static str> {
    let common = ["w_enc", "b_enc", "w_dec", "b_dec", "w_skip"];
    let names = layout.blocks().iter().map(|block| block.name);
    names.filter(move |name| !common.contains(name))
}

/// What `SAELens` calls the bias beside `W_enc`.
fn bias_abroad(architecture: &Architecture) -> &'static str {
    match architecture {
        Architecture::Sparse(sparse) if sparse.abroad() == variants::Abroad::Gated => "b_gate",
        _ => "b_enc",
    }
}

/// Our name for what `SAELens` calls so.
fn at_home(architecture: &str) -> &str {
    match architecture {
        "standard" | "transcoder" | "skip_transcoder" => "relu",
        "jumprelu_transcoder" | "jumprelu_skip_transcoder" => "jumprelu",
        "abstopk" => "abs-topk",
        same => same,
    }
}

/// What `SAELens` calls an architecture, and the keys that it wants.
struct Abroad {
    name: String,
    k: Option<usize>,
    /// Whether the decoder bias is taken off the rows before the encoder.
    centred: bool,
    rescaled: Option<bool>,
}

fn abroad(model: &Model) -> Abroad {
    let name = model.info.name;
    let Architecture::Sparse(sparse) = &model.architecture else {
        return Abroad {
            name: name.into(),
            k: None,
            centred: false,
            rescaled: None,
        };
    };
    let binding = &model.binding;
    let skip = if binding.skip { "skip_" } else { "" };
    let kind = sparse.abroad();
    let name = match kind {
        variants::Abroad::Standard if binding.transcodes() => format!("{skip}transcoder"),
        variants::Abroad::JumpRelu if binding.transcodes() => format!("jumprelu_{skip}transcoder"),
        _ if binding.transcodes() || binding.crosses() => format!("{name} {}", binding.name()),
        variants::Abroad::TopK(_) => "topk".into(),
        variants::Abroad::AbsTopK(_) => "abstopk".into(),
        variants::Abroad::JumpRelu => "jumprelu".into(),
        variants::Abroad::Standard => "standard".into(),
        variants::Abroad::Gated => "gated".into(),
        variants::Abroad::Own => name.into(),
    };
    let k = match kind {
        variants::Abroad::TopK(k) | variants::Abroad::AbsTopK(k) => Some(k),
        _ => None,
    };
    Abroad {
        name,
        k,
        centred: binding.centre,
        rescaled: k.map(|_| false),
    }
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
    let name = config.metadata.rarefy_architecture.as_ref();
    let info = variants::find(name.map_or_else(|| at_home(&config.architecture), String::as_str))?;
    let hyper = Hyper::check(info.options, options(&config))?;
    let architecture = (info.build)(&hyper)?;
    if let Architecture::Sparse(sparse) = &architecture {
        refuse_another_forward(&path, &config, sparse.as_ref())?;
    }
    let binding = binding(&path, &config, &architecture)?;
    let mut params = weights(&folder.join(WEIGHTS), &architecture, &binding, config.d_sae)?;
    if config.rescale_acts_by_decoder_norm == Some(true) {
        // As `SAELens` keeps one that is still in training.
        params = variants::rescaled(&params);
    }
    let abroad = config.normalize_activations.as_str();
    let pipeline = match NORMALISED.iter().find(|(name, _)| *name == abroad) {
        Some((_, ours)) => Pipeline::of_rows(ours, binding.d_in()),
        None => load_pipeline(&folder.join(PREPROCESS), binding.d_in())?,
    };
    let target = match binding.target() {
        Some(width) => Some(load_pipeline(&folder.join(PREPROCESS_TARGET), width)?),
        None => None,
    };
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
    let mut model = Model::bound(info, hyper, (binding, params), pipeline, target)?;
    model.image_shape = config.metadata.image_shape;
    Ok(model)
}

/// What the model reads and writes, from sizes that a real model can have.
fn binding(path: &Path, config: &Config, architecture: &Architecture) -> Result<Binding> {
    let bad = |why: String| Err(Error::format(path, why));
    let Config {
        d_in, d_out, d_sae, ..
    } = *config;
    let widest = d_in.max(d_out.unwrap_or(0));
    if d_in == 0 || d_sae == 0 || d_out == Some(0) || widest.checked_mul(d_sae).is_none() {
        return bad(format!(
            "expected d_in and d_sae of a real model, got {d_in} and {d_sae}"
        ));
    }
    let whole = vec![d_in];
    let inputs = config.metadata.rarefy_inputs.as_ref().unwrap_or(&whole);
    let together = inputs
        .iter()
        .try_fold(0usize, |sum, width| sum.checked_add(*width));
    if inputs.contains(&0) || together != Some(d_in) {
        return bad(format!(
            "rarefy_inputs: expected widths that add up to d_in {d_in}, got {inputs:?}"
        ));
    }
    let dense = architecture.dense().is_some();
    if dense && d_out.is_some() {
        return bad(
            "d_out: expected none with this architecture, which gives its own input back".into(),
        );
    }
    let binding = Binding::new(inputs, d_out)?;
    let off = config.apply_b_dec_to_input;
    if binding.transcodes() && off == Some(true) {
        return bad("apply_b_dec_to_input: expected false with d_out, got true".into());
    }
    // A dense architecture takes nothing off its rows, whatever a file says.
    let centre = if dense || binding.transcodes() {
        binding.centre
    } else {
        off.unwrap_or(true)
    };
    let skip = config.architecture.contains("skip");
    Ok(binding.centred(centre).skipping(skip))
}

/// Reads a pipeline, if there is one, that gives rows of `width` values.
fn load_pipeline(path: &Path, width: usize) -> Result<Pipeline> {
    if !path.exists() {
        return Ok(Pipeline::identity(width));
    }
    let pipeline = Pipeline::load(path)?;
    if pipeline.d_out() != width {
        return Err(Error::Shape {
            what: format!("{}: values that the preprocessing gives", path.display()),
            expected: width.to_string(),
            got: pipeline.d_out().to_string(),
        });
    }
    Ok(pipeline)
}

/// Our options, with the `k` of a file that another tool wrote.
fn options(config: &Config) -> BTreeMap<&str, String> {
    let mut options: BTreeMap<_, _> = config
        .options
        .iter()
        .map(|(k, v)| (k.as_str(), v.clone()))
        .collect();
    if let Some(k) = config.k {
        options.insert("k", k.to_string());
    }
    options
}

/// A model that computes something else than its architecture does here would load and give wrong
/// numbers.
fn refuse_another_forward(path: &Path, config: &Config, sparse: &dyn Sparse) -> Result<()> {
    let refuse = |key: &str, expected: &str, got: &str| {
        let why = format!("{key}: expected {expected}, got {got}");
        Err(Error::format(path, why))
    };
    if sparse.pursues() && config.apply_b_dec_to_input == Some(false) {
        return refuse("apply_b_dec_to_input", "true", "false");
    }
    if sparse.pursues() && config.rescale_acts_by_decoder_norm == Some(true) {
        return refuse("rescale_acts_by_decoder_norm", "false", "true");
    }
    let known = NORMALISED.iter().map(|(abroad, _)| *abroad);
    let mut known = ["", "none", PREPROCESS].into_iter().chain(known);
    let normalised = config.normalize_activations.as_str();
    if known.all(|name| name != normalised) {
        let expected = "none, constant_norm_rescale or layer_norm";
        return refuse("normalize_activations", expected, normalised);
    }
    Ok(())
}

/// Reads the parameters; memory is taken only for what the file really holds.
fn weights(
    path: &Path,
    architecture: &Architecture,
    binding: &Binding,
    d_sae: usize,
) -> Result<Params> {
    let (d_in, d_out) = (binding.d_in(), binding.d_out());
    let layout = &architecture.layout(binding, d_sae);
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = Reader::new(path, &bytes)?;
    let mut blocks = Vec::new();
    for block in layout.blocks() {
        let (name, shape) = match block.name {
            "w_enc" => ("W_enc", vec![d_in, d_sae]),
            "w_dec" => ("W_dec", vec![d_sae, d_out]),
            "w_skip" => ("W_skip", vec![d_out, d_in]),
            "b_enc" => (bias_abroad(architecture), vec![d_sae]),
            "b_dec" => ("b_dec", vec![d_out]),
            own => (own, vec![d_sae]),
        };
        let values = tensor(&file, path, name, &shape)?;
        blocks.push(match name {
            "W_enc" => transpose(&values, d_in, d_sae),
            "threshold" if block.cols == 1 => vec![one_value(path, &values)?],
            _ => values,
        });
    }
    let mut params = Params::zeros(layout);
    for (block, values) in layout.blocks().iter().zip(blocks) {
        params.get_mut(block.name).copy_from_slice(&values);
    }
    Ok(params)
}

/// The threshold that all latents share.
fn one_value(path: &Path, thresholds: &[f32]) -> Result<f32> {
    let first = thresholds[0];
    if first < 0.0 {
        let why = format!("threshold: expected a number not below 0, got {first}");
        return Err(Error::format(path, why));
    }
    match thresholds.iter().position(|v| *v != first) {
        None => Ok(first),
        Some(at) => Err(Error::format(
            path,
            format!(
                "threshold: expected one value for all latents, got {first} and, at index {at}, {}",
                thresholds[at]
            ),
        )),
    }
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
mod tests;
