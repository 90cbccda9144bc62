//! Model format of `SAELens`: a folder with `cfg.json` and `sae_weights.safetensors`.
//!
//! The weights are `W_enc [d_in, d_sae]`, `b_enc [d_sae]`, `W_dec [d_sae, d_in]` and `b_dec [d_in]`, in f32. A tied
//! decoder is written as `W_dec` too, for other programs. A matching pursuit has only `W_dec` and `b_dec`. A
//! transcoder's decoder has `d_out` outputs, and a skip transcoder has `W_skip [d_out, d_in]`.
//!
//! In `cfg.json`, `architecture` is the name of an architecture of `SAELens` that computes the same, if there is one. Our
//! own name is then in the metadata, and our options are in `options`. `SAELens` ignores unknown keys; a key or tensor that
//! is not understood and may change the latents is refused here. A trained model with one threshold for all latents is a `jumprelu` of `SAELens`: `threshold [d_sae]` repeats the value.
//! `SAELens` has no crosscoders, and has transcoders only with relu and jumprelu. Other models are saved under a name that
//! it refuses.
//!
//! Preprocessing is saved in `preprocess.safetensors`, and that of a transcoder's target in
//! `preprocess_target.safetensors`. `normalize_activations` then holds the name of the file, so that `SAELens` refuses
//! the model instead of encoding raw rows. [`Model::folded`](crate::model::Model::folded) makes a model without
//! preprocessing. Normalisations of single rows that `SAELens` has too are saved under its names instead.
//!
//! Checkpoints of a training run of `SAELens` can be read, too: they may hold a scalar `topk_threshold`, and
//! pre-activations scaled by decoder norms, which are multiplied into the weights.
//!
//! Folders before version 6 of `SAELens` name the activation function beside the architecture; see `old.rs`.

mod config;
mod known;
mod old;
mod weights;

use std::path::Path;

use super::{Compatibility, ModelFormat, Sniff};
use crate::io_spec::IoSpec;
use crate::model::ModelDescription;
use crate::preprocess::Pipeline;
use crate::variants::{self, Architecture, Options, SaelensKind};
use crate::{Error, Result, atomic};
use config::{Config, NORMALISATIONS};

/// Table line of this format.
pub const FORMAT: ModelFormat = ModelFormat {
    name: "saelens",
    program: "SAELens",
    place: "folder",
    summary: "cfg.json and sae_weights.safetensors, with preprocess.safetensors beside",
    sniff,
    load,
    save,
    compatibility,
};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const PREPROCESS: &str = "preprocess.safetensors";
const PREPROCESS_TARGET: &str = "preprocess_target.safetensors";

fn sniff(folder: &Path) -> Sniff {
    let exists = |name: &str| folder.join(name).exists();
    match (exists(CONFIG), exists(WEIGHTS)) {
        (true, true) => Sniff::Match,
        (true, false) | (false, true) => Sniff::Partial,
        (false, false) => Sniff::NoMatch,
    }
}

fn compatibility(model: &ModelDescription) -> Result<Compatibility> {
    let kind = kind(&model.architecture()?);
    Ok(Compatibility {
        architecture: config::saelens_name(kind, &model.io),
        preprocessing: model.is_of_raw_rows() || config::normalisation(model).is_some(),
    })
}

/// Architecture of `SAELens` that computes the same; a dense architecture has none.
fn kind(architecture: &Architecture) -> SaelensKind {
    match architecture {
        Architecture::Sparse(sparse) => sparse.saelens_kind(),
        Architecture::Dense(_) => SaelensKind::Own,
    }
}

fn save(model: &ModelDescription, folder: &Path) -> Result<()> {
    let architecture = model.architecture()?;
    weights::save(model, kind(&architecture), &folder.join(WEIGHTS))?;
    let pipeline = Some(&model.pipeline).filter(|_| config::normalisation(model).is_none());
    save_pipeline(pipeline, &folder.join(PREPROCESS))?;
    let target = model.target_pipeline.as_ref();
    save_pipeline(target, &folder.join(PREPROCESS_TARGET))?;
    let config = Config::new(model, &architecture);
    atomic::write(folder.join(CONFIG), |out| {
        serde_json::to_writer_pretty(&mut *out, &config)?;
        out.write_all(b"\n")
    })
}

/// Writes a pipeline with steps; without steps, removes the file.
fn save_pipeline(pipeline: Option<&Pipeline>, path: &Path) -> Result<()> {
    match pipeline.filter(|pipeline| !pipeline.is_identity()) {
        Some(pipeline) => pipeline.save(path),
        // The file of an earlier model would be applied to the rows of this one.
        None if path.exists() => std::fs::remove_file(path).map_err(Error::io(path)),
        None => Ok(()),
    }
}

fn load(folder: &Path) -> Result<ModelDescription> {
    let path = folder.join(CONFIG);
    let config = read_config(&path)?;
    let info = variants::find(config.architecture())?;
    let options = Options::check(info.options(), config.options())?;
    let architecture = info.build(&options)?;
    let io = config.io(&path, &architecture)?;
    let sparse = architecture.dense().is_none();
    if sparse {
        config.check_forward(&path, kind(&architecture))?;
    }
    let weights = folder.join(WEIGHTS);
    let params = weights::load(&weights, &architecture, &io, (config.d_sae, config.scaled))?;
    let (pipeline, target_pipeline) = load_pipelines(folder, &config, &io)?;
    config.check_image_shape(&path, pipeline.d_in())?;
    let mut model = ModelDescription::new(info, options, io, params)
        .with_pipelines(pipeline, target_pipeline)
        .with_image_shape(config.metadata.image_shape);
    model.scaled_by_decoder_norms = sparse && config.rescale_acts_by_decoder_norm == Some(true);
    Ok(model)
}

/// Reads `cfg.json`. Keys of old folders are brought to the form of version 6; unknown keys are refused.
fn read_config(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let mut config: Config =
        serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))?;
    old::upgrade(&mut config, path)?;
    known::refuse_unknown(path, &config.other)?;
    config.check_rows(path)?;
    Ok(config)
}

/// Preprocessing of the inputs, and of the target if there is one.
fn load_pipelines(
    folder: &Path,
    config: &Config,
    io: &IoSpec,
) -> Result<(Pipeline, Option<Pipeline>)> {
    let theirs = config.normalize_activations.as_str();
    let pipeline = match NORMALISATIONS.iter().find(|(name, _)| *name == theirs) {
        Some((_, ours)) => Pipeline::of_rows(ours, io.d_in()),
        None => load_pipeline(&folder.join(PREPROCESS), io.d_in())?,
    };
    let target = match io.target_width() {
        Some(width) => Some(load_pipeline(&folder.join(PREPROCESS_TARGET), width)?),
        None => None,
    };
    Ok((pipeline, target))
}

/// Reads a pipeline of rows with `width` preprocessed values; the identity if there is no file.
fn load_pipeline(path: &Path, width: usize) -> Result<Pipeline> {
    if !path.exists() {
        return Ok(Pipeline::identity(width));
    }
    let pipeline = Pipeline::load(path)?;
    if pipeline.d_out() != width {
        return Err(Error::Shape {
            what: format!("{}: values in a preprocessed row", path.display()),
            expected: width.to_string(),
            got: pipeline.d_out().to_string(),
        });
    }
    Ok(pipeline)
}

#[cfg(test)]
mod tests;
