//! Models on disk. Orientation changes here and nowhere else: in memory a latent's weights are one row.

pub mod codes;
pub mod saelens;

use std::path::Path;

use crate::Result;
use crate::model::Model;

/// A model's way to disk and back stands here and not beside its mathematics: formats know models,
/// models know no formats.
impl Model {
    /// Reads a model folder, or the `model/` of a run folder.
    ///
    /// # Errors
    /// As [`saelens::load`].
    pub fn load(path: &Path) -> Result<Self> {
        let inner = path.join("model");
        saelens::load(if inner.is_dir() { &inner } else { path })
    }

    /// Writes `cfg.json`, `sae_weights.safetensors` and the preprocessing into a folder.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        saelens::save(self, folder)
    }
}
