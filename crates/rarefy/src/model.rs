//! A trained model: architecture, parameters and the preprocessing that belongs to them.

use rayon::prelude::*;

use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Hyper, Info, Variant};

/// Rows that one task encodes or decodes; fixed, so that results do not depend on threads.
const ROWS: usize = 256;

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
    /// Values in a prepared row.
    pub d_in: usize,
    /// Number of latents.
    pub d_sae: usize,
    /// Applied to raw rows before the encoder, undone after the decoder.
    pub pipeline: Pipeline,
    /// Height and width, if a raw row is a grey image.
    pub image_shape: Option<(usize, usize)>,
}

impl Model {
    /// Values in a raw row.
    pub fn raw_width(&self) -> usize {
        self.pipeline.d_in()
    }

    /// Latents `[n, d_sae]` of raw rows `[n, raw_width]`, and what `decode` needs to restore row
    /// means that the preprocessing removes.
    pub fn encode(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        let tasks: Vec<_> = raw
            .par_chunks(ROWS * self.raw_width())
            .map(|raw| {
                let (rows, context) = self.pipeline.apply(raw);
                let mut latents = Vec::new();
                self.variant.encode(&self.params, &rows, &mut latents);
                (latents, context.means)
            })
            .collect();
        let (latents, means): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
        (
            latents.concat(),
            RowContext {
                means: means.concat(),
            },
        )
    }

    /// Raw rows from latents; row means come back only from their context.
    pub fn decode(&self, latents: &[f32], context: &RowContext) -> Vec<f32> {
        let tasks: Vec<_> = latents
            .par_chunks(ROWS * self.d_sae)
            .enumerate()
            .map(|(task, latents)| {
                let mut x_hat = Vec::new();
                self.variant.decode(&self.params, latents, &mut x_hat);
                let n = latents.len() / self.d_sae;
                let means = context
                    .means
                    .get(task * ROWS..task * ROWS + n)
                    .unwrap_or_default()
                    .to_vec();
                self.pipeline.invert(&x_hat, &RowContext { means })
            })
            .collect();
        tasks.concat()
    }

    /// Raw rows encoded and decoded, row means restored.
    pub fn reconstruct(&self, raw: &[f32]) -> Vec<f32> {
        let (latents, context) = self.encode(raw);
        self.decode(&latents, &context)
    }

    /// For each latent the raw-space input of norm 1 that activates it most: `w / |w|`, with the
    /// encoder row w pulled back through the linear preprocessing.
    ///
    /// # Source
    /// Ng, *Sparse autoencoder* (CS294A lecture notes), visualising a trained autoencoder.
    pub fn filters(&self) -> Vec<Vec<f32>> {
        let rows = self.params.get("w_enc").chunks_exact(self.d_in);
        rows.map(|w| {
            let mut filter = self.pipeline.pull_back(w);
            let norm = rarefy_kernels::vector::dot(&filter, &filter).sqrt() as f32;
            filter
                .iter_mut()
                .filter(|_| norm > 0.0)
                .for_each(|v| *v /= norm);
            filter
        })
        .collect()
    }
}
