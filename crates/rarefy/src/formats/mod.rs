//! Formats of models and of codes on disk.
//!
//! A model format is one file of this module and one line of [`MODEL_FORMATS`]. It converts between files and a
//! [`ModelDescription`]. Files with another order of rows and columns are transposed here: in memory row j of both
//! matrices belongs to latent j.

pub mod codes;
mod foreign;
pub mod saelens;

use std::path::{Path, PathBuf};

use crate::model::{Model, ModelDescription};
use crate::{Error, Result};

pub use foreign::refused_model;

/// Every model format, in the order of lists and documentation.
pub const MODEL_FORMATS: &[ModelFormat] = &[saelens::FORMAT];

/// Table line of a model format.
pub struct ModelFormat {
    /// Name in lists and for `convert`.
    pub name: &'static str,
    /// Program that defines the format.
    pub program: &'static str,
    /// Kind of path that holds a model: `folder` or `file`.
    pub place: &'static str,
    /// Files of a model, for lists.
    pub summary: &'static str,
    /// Says if a path holds a model in this format, from the names of its files.
    pub sniff: fn(&Path) -> Sniff,
    /// Reads a model.
    pub load: fn(&Path) -> Result<ModelDescription>,
    /// Writes a model; each file is replaced as a whole.
    pub save: fn(&ModelDescription, &Path) -> Result<()>,
    /// Says how the format's program would read the model.
    pub compatibility: fn(&ModelDescription) -> Result<Compatibility>,
}

/// Result of [`ModelFormat::sniff`], from the worst match to the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sniff {
    /// No file of the format.
    NoMatch,
    /// Some files of the format, but not all that a model needs.
    Partial,
    /// All files of the format.
    Match,
}

/// Support of a model by the program that defines a format.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compatibility {
    /// The program's name for an architecture that computes the same; `None` if it cannot open the model.
    pub architecture: Option<String>,
    /// True if the program preprocesses rows as the model does. If false, [`Model::folded`] is needed first.
    pub preprocessing: bool,
}

/// Finds a model format by its name.
///
/// # Errors
/// [`Error::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static ModelFormat> {
    let mut formats = MODEL_FORMATS.iter();
    formats.find(|format| format.name == name).ok_or_else(|| {
        let known = MODEL_FORMATS.iter().map(|format| format.name);
        Error::unknown("model format", name, known)
    })
}

/// Finds the model in a model folder or in the `model/` of a run folder, and its format.
///
/// `None` if no format recognises the path. The best match wins, and the first line of the table among equals.
pub fn locate(path: &Path) -> Option<(PathBuf, &'static ModelFormat)> {
    let path = model_path(path);
    let rank = |format: &&'static ModelFormat| (format.sniff)(&path);
    let best = MODEL_FORMATS.iter().rev().max_by_key(rank)?;
    (rank(&best) > Sniff::NoMatch).then_some((path, best))
}

/// Path of the model itself: `model/` of a run folder, else the path as it is.
fn model_path(path: &Path) -> PathBuf {
    let inner = path.join("model");
    if inner.is_dir() {
        inner
    } else {
        path.to_path_buf()
    }
}

/// Reading and writing is defined here, not beside the mathematics: formats know models, models know no format.
impl Model {
    /// Reads a model from a folder: one written by [`Model::save`] or by `SAELens` (`cfg.json` and
    /// `sae_weights.safetensors`), or the run folder of a `rarefy train`, which holds the model in `model/`.
    ///
    /// # Errors
    /// [`Error::Io`] for a missing file, [`Error::Format`] for a damaged one or a model of another library, [`Error::Shape`] with the name of the
    /// tensor, [`Error::Unknown`] for an unknown architecture. The error for a path without a model names the missing
    /// file of the first format.
    pub fn load(path: &Path) -> Result<Self> {
        if let Some(error) = refused_model(path) {
            return Err(error);
        }
        let (path, format) = locate(path).unwrap_or_else(|| (model_path(path), &MODEL_FORMATS[0]));
        Self::new((format.load)(&path)?)
    }

    /// Writes the model into `folder`, created if missing, in the format of `SAELens`: `cfg.json`,
    /// `sae_weights.safetensors` and files of the preprocessing, if any. Files of an earlier model are replaced.
    /// [`Model::load`] reads the folder.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Conflict`] for the folder of a run, which has its model in `model/`.
    pub fn save(&self, folder: &Path) -> Result<()> {
        if folder.join("config.toml").exists() {
            let path = folder.display();
            return Err(Error::Conflict(format!(
                "{path} is the folder of a run, and its model is in {path}/model: save into another folder"
            )));
        }
        (saelens::FORMAT.save)(self.description(), folder)
    }
}
