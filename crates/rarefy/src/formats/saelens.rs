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
//! metadata. Of a matching pursuit there is the decoder alone.
//!
//! Read are also the models that `SAELens` keeps while it trains: their one `topk_threshold` is a scalar, and
//! their pre-activations are measured in the lengths of decoder rows, which goes into the weights here.

mod config;
mod weights;

use std::path::Path;

use crate::model::Model;
use crate::preprocess::Pipeline;
use crate::variants::{self, Architecture, Hyper};
use crate::{Error, Result, atomic};
use config::{Config, NORMALISED, normalised};

const CONFIG: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const PREPROCESS: &str = "preprocess.safetensors";
const PREPROCESS_TARGET: &str = "preprocess_target.safetensors";

/// Writes a model into a folder; each file is whole or not there.
///
/// # Errors
/// [`Error::Io`].
pub fn save(model: &Model, folder: &Path) -> Result<()> {
    weights::save(model, &folder.join(WEIGHTS))?;
    let pipeline = Some(&model.pipeline).filter(|_| normalised(model).is_none());
    save_pipeline(pipeline, &folder.join(PREPROCESS))?;
    save_pipeline(model.target.as_ref(), &folder.join(PREPROCESS_TARGET))?;
    let config = Config::of(model);
    atomic::write(folder.join(CONFIG), |out| {
        serde_json::to_writer_pretty(&mut *out, &config)?;
        out.write_all(b"\n")
    })
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

/// Whether `SAELens` prepares rows for this model as we do: there is nothing to do, or it has a word for it.
pub fn prepares_alike(model: &Model) -> bool {
    model.rows().is_identity() || normalised(model).is_some()
}

/// What `SAELens` calls a model that computes the same, if it has a name for it.
pub fn known_as(model: &Model) -> Option<String> {
    config::saelens_kind(model)
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
    let info = variants::find(config.arch())?;
    let hyper = Hyper::check(info.options(), config.options())?;
    let architecture = info.build(&hyper)?;
    let io = config.io(&path, &architecture)?;
    if let Architecture::Sparse(sparse) = &architecture {
        config.refuse_another_forward(&path, sparse)?;
    }
    let mut params = weights::load(&folder.join(WEIGHTS), &architecture, &io, config.d_sae)?;
    if config.rescale_acts_by_decoder_norm == Some(true) && architecture.dense().is_none() {
        params = variants::rescaled(&params);
    }
    let abroad = config.normalize_activations.as_str();
    let pipeline = match NORMALISED.iter().find(|(name, _)| *name == abroad) {
        Some((_, ours)) => Pipeline::of_rows(ours, io.d_in()),
        None => load_pipeline(&folder.join(PREPROCESS), io.d_in())?,
    };
    let target = match io.target_width() {
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
    let mut model = Model::bound(info, hyper, (io, params), pipeline, target)?;
    model.image_shape = config.metadata.image_shape;
    Ok(model)
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

#[cfg(test)]
mod tests;
