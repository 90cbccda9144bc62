//! A trained model: architecture, parameters and the preprocessing that belongs to them.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::Result;
use crate::codes::Codes;
use crate::engine::{self, Centred, Encoder};
use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, Hyper, Info, Sparse, Variant};

/// Rows that one task encodes or decodes; fixed, so that results do not depend on threads.
const ROWS: usize = 256;

/// A model that encodes and decodes raw rows.
pub struct Model {
    /// The architecture's table line.
    pub info: &'static Info,
    /// Its options.
    pub hyper: Hyper,
    /// The architecture itself.
    pub architecture: Architecture,
    /// Values in a prepared row.
    pub d_in: usize,
    /// Number of latents.
    pub d_sae: usize,
    /// Applied to raw rows before the encoder, undone after the decoder.
    pub pipeline: Pipeline,
    /// Height and width, if a raw row is a grey image.
    pub image_shape: Option<(usize, usize)>,
    /// Not to be changed: the encoder below is made from them.
    params: Params,
    /// The sparse engine's form of the encoder, made when it is first needed.
    encoder: OnceLock<Encoder>,
}

impl Model {
    /// A model of parameters that have the architecture's blocks.
    ///
    /// # Errors
    /// What the architecture's options cannot be together.
    ///
    /// # Panics
    /// If `params` have other blocks.
    pub fn new(
        info: &'static Info,
        hyper: Hyper,
        params: Params,
        pipeline: Pipeline,
        image_shape: Option<(usize, usize)>,
    ) -> Result<Self> {
        let architecture = (info.build)(&hyper)?;
        let (d_in, d_sae) = (params.get("b_dec").len(), params.get("b_enc").len());
        assert_eq!(
            *params.layout(),
            architecture.layout(d_in, d_sae),
            "parameters of another architecture"
        );
        Ok(Self {
            info,
            hyper,
            architecture,
            d_in,
            d_sae,
            pipeline,
            image_shape,
            params,
            encoder: OnceLock::new(),
        })
    }

    /// Its parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Values in a raw row.
    pub fn raw_width(&self) -> usize {
        self.pipeline.d_in()
    }

    /// Sparse codes of raw rows `[n, raw_width]`, with the row means that the preprocessing
    /// removes.
    ///
    /// A sparse architecture's codes are all that it keeps, and never a matrix of rows by latents.
    /// Where every latent of every row says something, those above `threshold` are kept.
    pub fn codes(&self, raw: &[f32], threshold: f32) -> Codes {
        match &self.architecture {
            Architecture::Dense(variant) => {
                let (latents, context) = self.encode_dense(variant.as_ref(), raw);
                let mut codes = Codes::new(self.d_sae);
                codes.push_dense(&latents, threshold);
                codes.row_means = context.means;
                codes
            }
            Architecture::Sparse(sparse) => {
                let (rows, context) = self.prepare(raw);
                let mut codes = self.encode_sparse(sparse.as_ref(), &rows);
                codes.row_means = context.means;
                codes.keep_above(threshold);
                codes
            }
        }
    }

    /// Raw rows from sparse codes; row means come back where the codes hold them.
    pub fn decode_codes(&self, codes: &Codes) -> Vec<f32> {
        let context = RowContext {
            means: codes.row_means.clone(),
        };
        match &self.architecture {
            Architecture::Dense(_) => self.decode(&codes.to_dense(), &context),
            Architecture::Sparse(_) => {
                let mut x_hat = Vec::new();
                engine::decode(&self.params, codes, 0..codes.rows(), &mut x_hat);
                self.restore(&x_hat, &context)
            }
        }
    }

    /// Latents `[n, d_sae]` of raw rows `[n, raw_width]`, zeros and all, and what `decode` needs to
    /// restore row means that the preprocessing removes.
    pub fn encode(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        match &self.architecture {
            Architecture::Dense(variant) => self.encode_dense(variant.as_ref(), raw),
            Architecture::Sparse(_) => {
                let codes = self.codes(raw, 0.0);
                let dense = codes.to_dense();
                (
                    dense,
                    RowContext {
                        means: codes.row_means,
                    },
                )
            }
        }
    }

    /// Raw rows from latents `[n, d_sae]`; row means come back only from their context.
    pub fn decode(&self, latents: &[f32], context: &RowContext) -> Vec<f32> {
        match &self.architecture {
            Architecture::Dense(variant) => self.decode_dense(variant.as_ref(), latents, context),
            Architecture::Sparse(_) => {
                let mut codes = Codes::new(self.d_sae);
                codes.push_nonzero(latents);
                codes.row_means.clone_from(&context.means);
                self.decode_codes(&codes)
            }
        }
    }

    /// Raw rows encoded and decoded, row means restored.
    pub fn reconstruct(&self, raw: &[f32]) -> Vec<f32> {
        match &self.architecture {
            Architecture::Dense(variant) => {
                let (latents, context) = self.encode_dense(variant.as_ref(), raw);
                self.decode_dense(variant.as_ref(), &latents, &context)
            }
            Architecture::Sparse(_) => self.decode_codes(&self.codes(raw, 0.0)),
        }
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

    /// Codes of prepared rows.
    pub(crate) fn encode_sparse(&self, sparse: &dyn Sparse, rows: &[f32]) -> Codes {
        let encoder = self.encoder.get_or_init(|| Encoder::new(&self.params));
        let mut codes = Codes::new(self.d_sae);
        let mut centred = vec![0.0; rows.len()];
        engine::centre(rows, self.params.get("b_dec"), &mut centred);
        let rows = Centred {
            x: &centred,
            w_enc: self.params.get("w_enc"),
            b_enc: self.params.get("b_enc"),
        };
        sparse.encode_trained(&self.params, encoder, &rows, &mut codes);
        codes
    }

    fn encode_dense(&self, variant: &dyn Variant, raw: &[f32]) -> (Vec<f32>, RowContext) {
        let tasks: Vec<_> = raw
            .par_chunks(ROWS * self.raw_width())
            .map(|raw| {
                let (rows, context) = self.pipeline.apply(raw);
                let mut latents = Vec::new();
                variant.encode(&self.params, &rows, &mut latents);
                (latents, context.means)
            })
            .collect();
        join(tasks)
    }

    fn decode_dense(
        &self,
        variant: &dyn Variant,
        latents: &[f32],
        context: &RowContext,
    ) -> Vec<f32> {
        let tasks: Vec<_> = latents
            .par_chunks(ROWS * self.d_sae)
            .enumerate()
            .map(|(task, latents)| {
                let mut x_hat = Vec::new();
                variant.decode(&self.params, latents, &mut x_hat);
                let n = latents.len() / self.d_sae;
                self.pipeline.invert(&x_hat, &part(context, task, n))
            })
            .collect();
        tasks.concat()
    }

    /// Prepared rows from raw ones, on all threads.
    fn prepare(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        let tasks: Vec<_> = raw
            .par_chunks(ROWS * self.raw_width())
            .map(|raw| {
                let (rows, context) = self.pipeline.apply(raw);
                (rows, context.means)
            })
            .collect();
        join(tasks)
    }

    /// Raw rows from prepared ones, on all threads.
    fn restore(&self, rows: &[f32], context: &RowContext) -> Vec<f32> {
        let tasks: Vec<_> = rows
            .par_chunks(ROWS * self.d_in)
            .enumerate()
            .map(|(task, rows)| {
                let n = rows.len() / self.d_in;
                self.pipeline.invert(rows, &part(context, task, n))
            })
            .collect();
        tasks.concat()
    }
}

/// Tasks' values and row means, in order.
fn join(tasks: Vec<(Vec<f32>, Vec<f32>)>) -> (Vec<f32>, RowContext) {
    let (values, means): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    (
        values.concat(),
        RowContext {
            means: means.concat(),
        },
    )
}

/// The context of a task's rows.
fn part(context: &RowContext, task: usize, n: usize) -> RowContext {
    let means = context.means.get(task * ROWS..task * ROWS + n);
    RowContext {
        means: means.unwrap_or_default().to_vec(),
    }
}
