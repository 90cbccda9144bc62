//! A trained model: architecture, parameters and the preprocessing that belongs to them.

mod params;

use std::path::Path;

use crate::variants::{Hyper, Info, Variant};
use crate::Result;

pub use params::{Block, Layout, Params};

/// A model that encodes and decodes raw rows.
pub struct Model {
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options.
    pub hyper: Hyper,
    /// The architecture itself.
    pub variant: Box<dyn Variant>,
    /// Its parameters.
    pub params: Params,
    /// Values in a preprocessed row.
    pub d_in: usize,
    /// Number of latents.
    pub d_sae: usize,
    // /// Applied to raw rows before the encoder, undone after the decoder.
    // pub pipeline: Pipeline,
    /// Height and width, if a raw row is a grey image.
    pub image_shape: Option<(usize, usize)>,
}

impl Model {
    /// Reads a model folder, or the `model/` of a run folder.
    ///
    /// # Errors
    /// [`crate::Error::Io`], [`crate::Error::Format`], [`crate::Error::Shape`] naming the tensor.
    pub fn load(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }

    /// Writes `cfg.json`, `sae_weights.safetensors` and the preprocessing into a folder.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn save(&self, folder: &Path) -> Result<()> {
        let _ = folder;
        todo!()
    }

    /// Latents `[n, d_sae]` of raw rows `[n, width]`.
    pub fn encode(&self, raw: &[f32]) -> Vec<f32> {
        let _ = raw;
        todo!()
    }

    /// Raw rows back from latents; a per-row mean that the preprocessing dropped stays dropped.
    pub fn decode(&self, latents: &[f32]) -> Vec<f32> {
        let _ = latents;
        todo!()
    }

    /// Raw rows encoded and decoded, per-row means restored.
    pub fn reconstruct(&self, raw: &[f32]) -> Vec<f32> {
        let _ = raw;
        todo!()
    }

    /// For each latent the input of norm 1 that activates it most, in raw space: `w / |w|`
    /// pulled back through the linear preprocessing.
    pub fn filters(&self) -> Vec<Vec<f32>> {
        todo!()
    }
}
