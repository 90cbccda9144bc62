//! `sae_weights.safetensors`: our parameter blocks under the names and in the orientation of `SAELens`.

use std::path::Path;

use super::kind;
use rarefy_kernels::matmul::transpose;

use crate::data::Element;
use crate::io_spec::IoSpec;
use crate::model::ModelDescription;
use crate::params::{Layout, Params};
use crate::tensors::{Reader, Writer};
use crate::variants::{Architecture, SaelensKind};
use crate::{Error, Result};

/// Scalar threshold of all latents in a training checkpoint.
const SHARED_THRESHOLD: &str = "topk_threshold";

/// Factors of the latents in a folder before version 6.
const SCALING: &str = "scaling_factor";

/// Tensor that holds our `b_enc`.
fn encoder_bias(kind: SaelensKind) -> &'static str {
    match kind {
        SaelensKind::Gated => "b_gate",
        _ => "b_enc",
    }
}

/// Names of the per-latent parameter blocks, and of the threshold.
fn further_blocks(layout: &Layout) -> impl Iterator<Item = &'static str> {
    let common = ["w_enc", "b_enc", "w_dec", "b_dec", "w_skip"];
    let names = layout.blocks().iter().map(|block| block.name);
    names.filter(move |name| !common.contains(name))
}

/// True for a matching pursuit: the encoder is the decoder, and is not saved.
fn encodes_by_decoder(kind: SaelensKind) -> bool {
    matches!(kind, SaelensKind::Pursuit { .. })
}

/// Writes the parameters; one threshold of all latents is repeated for each.
pub(super) fn save(model: &ModelDescription, kind: SaelensKind, path: &Path) -> Result<()> {
    let (io, params, d_sae) = (&model.io, &model.params, model.d_sae());
    let (d_in, d_out) = (io.d_in(), io.d_out());
    let w_enc = params.get("w_enc");
    let w_dec = params.find("w_dec").unwrap_or(w_enc);
    let mut file = Writer::default();
    if !encodes_by_decoder(kind) {
        file.transposed("W_enc", w_enc, d_sae, d_in);
        file.vector(encoder_bias(kind), params.get("b_enc"));
    }
    file.tensor("W_dec", &[d_sae, d_out], w_dec);
    file.vector("b_dec", params.get("b_dec"));
    if io.skip {
        file.tensor("W_skip", &[d_out, d_in], params.get("w_skip"));
    }
    for block in further_blocks(params.layout()) {
        let values = params.get(block);
        file.vector(block, values.repeat(d_sae / values.len()));
    }
    file.write(path)
}

/// Reads the parameters. A tensor is allocated only after its shape was found in the file. Tensors that are not
/// understood are refused. If `scaled`, the file must hold the factors of an old folder.
pub(super) fn load(
    path: &Path,
    architecture: &Architecture,
    io: &IoSpec,
    (d_sae, scaled): (usize, bool),
) -> Result<Params> {
    let (d_in, d_out) = (io.d_in(), io.d_out());
    let layout = &architecture.layout(io, d_sae);
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = Reader::new(path, &bytes)?;
    let kind = kind(architecture);
    let by_decoder = encodes_by_decoder(kind);
    refuse_scaling(&file, path, (d_sae, scaled))?;
    let mut blocks = Vec::new();
    // The decoder of tied weights is written for other programs and not read.
    let mut read = vec![SCALING, "W_dec"];
    for block in layout.blocks() {
        let (name, shape) = match block.name {
            "w_enc" if by_decoder => ("W_dec", vec![d_sae, d_in]),
            // Never used: a pursuit has no encoder bias.
            "b_enc" if by_decoder => {
                blocks.push(vec![0.0; d_sae]);
                continue;
            }
            "w_enc" => ("W_enc", vec![d_in, d_sae]),
            "w_dec" => ("W_dec", vec![d_sae, d_out]),
            "w_skip" => ("W_skip", vec![d_out, d_in]),
            "b_enc" => (encoder_bias(kind), vec![d_sae]),
            "b_dec" => ("b_dec", vec![d_out]),
            "threshold" if block.cols == 1 && file.has(SHARED_THRESHOLD) => {
                (SHARED_THRESHOLD, vec![])
            }
            per_latent => (per_latent, vec![d_sae]),
        };
        let values = tensor(&file, path, name, &shape)?;
        read.push(name);
        blocks.push(match name {
            "W_enc" => transpose(&values, d_in, d_sae),
            "threshold" | SHARED_THRESHOLD => {
                // SAELens applies ReLU beside the threshold, so that one below 0 acts like 0.
                let values: Vec<f32> = values.iter().map(|theta| theta.max(0.0)).collect();
                match block.cols {
                    1 => vec![one_value(path, &values)?],
                    _ => values,
                }
            }
            _ => values,
        });
    }
    if let Some(other) = file.names().find(|name| !read.contains(name)) {
        let why =
            format!("{other}: unknown tensor, which may change the latents or the reconstruction");
        return Err(Error::format(path, why));
    }
    let mut params = Params::zeros(layout);
    for (block, values) in layout.blocks().iter().zip(blocks) {
        params.get_mut(block.name).copy_from_slice(&values);
    }
    Ok(params)
}

/// Refuses factors of latents, unless all are 1. Old folders multiply the latents by them before decoding.
fn refuse_scaling(file: &Reader, path: &Path, (d_sae, scaled): (usize, bool)) -> Result<()> {
    if !file.has(SCALING) {
        if scaled {
            let why =
                format!("{SCALING}: expected a tensor for finetuning_scaling_factor, got none");
            return Err(Error::format(path, why));
        }
        return Ok(());
    }
    let factors = tensor(file, path, SCALING, &[d_sae])?;
    // The tolerance of SAELens.
    match factors
        .iter()
        .position(|factor| (factor - 1.0).abs() > 1e-5)
    {
        None => Ok(()),
        Some(at) => Err(Error::format(
            path,
            format!(
                "{SCALING}: expected 1 for every latent, got {} at index {at}; multiply the factors into W_dec first",
                factors[at]
            ),
        )),
    }
}

/// Single value of equal thresholds.
fn one_value(path: &Path, thresholds: &[f32]) -> Result<f32> {
    let first = thresholds[0];
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

/// Reads a floating-point tensor of this shape with finite values.
pub(super) fn tensor(file: &Reader, path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
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
    let mut values = vec![0.0_f32; shape.iter().product()];
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
