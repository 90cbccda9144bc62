//! A trained model: architecture, parameters and the preprocessing that belongs to them.

mod accepted;
mod closed_form;
mod description;
mod encode;
mod fold;

#[doc(hidden)]
pub use closed_form::{ClosedForm, Rule};
#[doc(hidden)]
pub use description::ModelDescription;

use std::borrow::Cow;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::Result;
use crate::codes::Codes;
use crate::data::Value;
use crate::engine::{self, Centred, Encoder};
use crate::io_spec::IoSpec;
use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, Info, Objective, Options, Variant};

/// Rows that one task encodes or decodes; fixed, so that results do not depend on threads.
const ROWS: usize = 256;

/// Trained sparse autoencoder, transcoder or crosscoder together with its preprocessing: encodes raw rows to latents
/// and decodes latents to raw rows. Made by [`Builder::fit`](crate::Builder::fit),
/// [`Trainer::finish`](crate::Trainer::finish) or [`Model::load`].
///
/// Sizes named `d_in` and `d_out` count preprocessed values, sizes named `raw_d_in` and `raw_d_out` count the values of
/// the caller's rows. They differ only with preprocessing that changes the width, such as `pca`.
pub struct Model {
    description: ModelDescription,
    architecture: Architecture,
    /// Encoder form of the sparse engine, made from the parameters when it is first needed.
    encoder: OnceLock<Encoder>,
}

impl Model {
    /// Builds a model from weights of other code: `description` holds architecture, options, input and output columns,
    /// parameters and preprocessing ([`ModelDescription::new`]). Training and [`Model::load`] build models themselves.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for parameters with other blocks than the architecture has; an error of
    /// [`ModelDescription::architecture`].
    ///
    /// # Panics
    /// If `description.params` has no block `b_enc`.
    #[doc(hidden)]
    pub fn new(description: ModelDescription) -> Result<Self> {
        let architecture = description.architecture()?;
        Ok(Self {
            description: description.checked(&architecture)?,
            architecture,
            encoder: OnceLock::new(),
        })
    }

    /// Builds an autoencoder from given weights `params`, with `info` and `options` of the architecture
    /// ([`find`](crate::variants::find)). `pipeline` is the fitted preprocessing from raw rows to the encoder; the
    /// decoder's outputs are inverted by it. Use for weights trained elsewhere.
    ///
    /// # Errors
    /// As [`Model::new`].
    ///
    /// # Panics
    /// If `params` has no block `b_dec`.
    #[doc(hidden)]
    pub fn autoencoder(
        info: &'static Info,
        options: Options,
        params: Params,
        pipeline: Pipeline,
    ) -> Result<Self> {
        let io = IoSpec::autoencoder(params.get("b_dec").len());
        Self::new(ModelDescription::new(info, options, io, params).with_pipelines(pipeline, None))
    }

    /// Stores the shape `(height, width)` if each raw row is an image in row-major order, to draw the vectors of
    /// [`Model::filters`] as pictures; `None` if not. [`Model::raw_d_in`] must be `height * width`, or three times that
    /// for colour; [`Model::load`] refuses a saved model whose shape does not fit. Encoding and decoding do not use the shape.
    #[must_use]
    #[doc(hidden)]
    pub fn with_image_shape(mut self, image_shape: Option<(usize, usize)>) -> Self {
        self.description.image_shape = image_shape;
        self
    }

    /// Description of the model, as formats write it.
    #[doc(hidden)]
    pub fn description(&self) -> &ModelDescription {
        &self.description
    }

    /// Table line of the architecture.
    #[doc(hidden)]
    pub fn info(&self) -> &'static Info {
        self.description.info
    }

    /// Options of the architecture.
    #[doc(hidden)]
    pub fn options(&self) -> &Options {
        &self.description.options
    }

    /// Architecture with its options.
    #[doc(hidden)]
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Input and output columns, in preprocessed values.
    #[doc(hidden)]
    pub fn io_spec(&self) -> &IoSpec {
        &self.description.io
    }

    /// Parameters: `w_enc [d_sae, d_in]`, `b_enc [d_sae]`, `w_dec [d_sae, d_out]`, `b_dec [d_out]` and more.
    #[doc(hidden)]
    pub fn params(&self) -> &Params {
        &self.description.params
    }

    /// Width of a preprocessed row as the encoder reads it, the number of columns of the encoder weights. Equal to
    /// [`Model::raw_d_in`] unless a step such as `pca` changes the width.
    pub fn d_in(&self) -> usize {
        self.io_spec().d_in()
    }

    /// Width of a row as the decoder writes it, before preprocessing is inverted: [`Model::d_in`], or the width of a
    /// transcoder's preprocessed target.
    pub fn d_out(&self) -> usize {
        self.io_spec().d_out()
    }

    /// Number of latents, the width of the rows of [`Model::encode_dense`].
    pub fn d_sae(&self) -> usize {
        self.description.d_sae()
    }

    /// Width of a raw row, before preprocessing, that [`Model::encode`] takes. Differs from [`Model::d_in`] only if a
    /// preprocessing step such as `pca` changes the width. A crosscoder's row holds all inputs side by side; a
    /// transcoder's row holds no target.
    pub fn raw_d_in(&self) -> usize {
        self.pipeline().d_in()
    }

    /// Width of a raw row that [`Model::decode`] and [`Model::reconstruct`] return: [`Model::raw_d_in`], or the width
    /// of a transcoder's raw target.
    pub fn raw_d_out(&self) -> usize {
        self.output_pipeline().d_in()
    }

    /// Width of each input within a raw row, in order; the sum is [`Model::raw_d_in`]. A crosscoder has several inputs,
    /// other models one.
    pub fn raw_input_widths(&self) -> Vec<usize> {
        if self.pipeline().is_identity() {
            self.io_spec().input_widths().to_vec()
        } else {
            self.pipeline().widths()
        }
    }

    /// Shape `(height, width)` of the image that each raw row is, in row-major order; [`Model::raw_d_in`] is
    /// `height * width`, or three times that for colour. `None` if rows are no images or the shape is not known.
    pub fn image_shape(&self) -> Option<(usize, usize)> {
        self.description.image_shape
    }

    /// Fitted preprocessing that [`Model::encode`] applies to raw input rows. [`Model::decode`] inverts the same
    /// pipeline, except in a transcoder.
    #[doc(hidden)]
    pub fn pipeline(&self) -> &Pipeline {
        &self.description.pipeline
    }

    /// Fitted preprocessing of a transcoder's target; [`Model::decode`] inverts this pipeline to return raw target
    /// rows. `None` for an autoencoder or crosscoder.
    #[doc(hidden)]
    pub fn target_pipeline(&self) -> Option<&Pipeline> {
        self.description.target_pipeline.as_ref()
    }

    /// Pipeline that [`Model::decode`] inverts to turn decoder outputs into raw rows: [`Model::target_pipeline`] of a
    /// transcoder, else [`Model::pipeline`].
    #[doc(hidden)]
    pub fn output_pipeline(&self) -> &Pipeline {
        self.description.output_pipeline()
    }

    /// Pipeline of complete rows of training data, `[inputs | target]`.
    #[doc(hidden)]
    pub fn row_pipeline(&self) -> Cow<'_, Pipeline> {
        match self.target_pipeline() {
            None => Cow::Borrowed(self.pipeline()),
            Some(target) => Cow::Owned(Pipeline::side_by_side(vec![
                self.pipeline().clone(),
                target.clone(),
            ])),
        }
    }

    /// Sparse codes of raw rows `[n, raw_d_in]`, with the row means that the preprocessing
    /// removes.
    ///
    /// The codes of a sparse architecture hold all active latents; no matrix of rows by latents is built. The codes of
    /// a dense architecture hold the latents above `threshold`.
    #[doc(hidden)]
    pub fn codes(&self, raw: &[f32], threshold: f32) -> Codes {
        let (rows, context) = self.prepare(raw);
        self.codes_of(&rows, context, threshold)
    }

    /// Codes of prepared rows.
    fn codes_of(&self, rows: &[f32], context: RowContext, threshold: f32) -> Codes {
        let mut codes = match &self.architecture {
            Architecture::Dense(variant) => {
                let latents = self.encode_prepared(variant.as_ref(), rows);
                let mut codes = Codes::new(self.d_sae());
                codes.push_dense(&latents, threshold);
                codes
            }
            Architecture::Sparse(sparse) => {
                let mut codes = self.encode_sparse(sparse, rows);
                codes.keep_above(threshold);
                codes
            }
        };
        (codes.row_means, codes.row_scales) = (context.means, context.scales);
        codes
    }

    /// Decodes sparse codes of [`Model::encode`] to rows in raw units, row-major `[n, raw_d_out]`: preprocessing is
    /// inverted here, except clipping by `clip-sd`. Row means and divisors that preprocessing removed are restored from
    /// the codes.
    ///
    /// Of a skip transcoder, the term `W_skip x` is left out; [`Model::reconstruct`] includes the term.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for codes of another number of latents, or whose arrays do not fit together.
    pub fn decode(&self, codes: &Codes) -> Result<Vec<f32>> {
        codes.check(self.d_sae())?;
        Ok(self.decode_codes(codes))
    }

    /// [`Model::decode`] of codes that are known to be sound.
    fn decode_codes(&self, codes: &Codes) -> Vec<f32> {
        let context = RowContext {
            means: codes.row_means.clone(),
            scales: codes.row_scales.clone(),
        };
        match &self.architecture {
            Architecture::Dense(_) => self.decode_latents(&codes.to_dense(), &context),
            Architecture::Sparse(_) => {
                let mut x_hat = Vec::new();
                engine::decode(self.params(), codes, 0..codes.rows(), &mut x_hat);
                self.restore(&x_hat, &context)
            }
        }
    }

    /// Encodes raw rows, row-major `[n, raw_d_in]`, to a dense row-major matrix `[n, d_sae]`. The returned
    /// [`RowContext`] holds row means and divisors that preprocessing removed; [`Model::decode_latents`] needs both to
    /// return to raw units.
    #[doc(hidden)]
    pub fn latents(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        let (rows, context) = self.prepare(raw);
        self.latents_of(&rows, context)
    }

    /// Dense latents of prepared rows.
    fn latents_of(&self, rows: &[f32], context: RowContext) -> (Vec<f32>, RowContext) {
        let latents = match &self.architecture {
            Architecture::Dense(variant) => self.encode_prepared(variant.as_ref(), rows),
            Architecture::Sparse(sparse) => self.encode_sparse(sparse, rows).to_dense(),
        };
        (latents, context)
    }

    /// Decodes dense latents, row-major `[n, d_sae]`, to rows in raw units, `[n, raw_d_out]`. `context` is that of
    /// [`Model::latents`]; an empty one, `RowContext::default()`, leaves out row means and divisors that preprocessing
    /// removed.
    #[doc(hidden)]
    pub fn decode_latents(&self, latents: &[f32], context: &RowContext) -> Vec<f32> {
        match &self.architecture {
            Architecture::Dense(variant) => self.decode_dense(variant.as_ref(), latents, context),
            Architecture::Sparse(_) => {
                let mut codes = Codes::new(self.d_sae());
                codes.push_nonzero(latents);
                codes.row_means.clone_from(&context.means);
                codes.row_scales.clone_from(&context.scales);
                self.decode_codes(&codes)
            }
        }
    }

    /// [`Model::reconstruct`] of whole rows in memory, row-major `[n, raw_d_in]`.
    #[doc(hidden)]
    pub fn reconstruct_raw(&self, raw: &[f32]) -> Vec<f32> {
        let (rows, context) = self.prepare(raw);
        self.reconstruct_prepared(&rows, &context)
    }

    /// Reconstructions in raw units of prepared rows.
    fn reconstruct_prepared(&self, rows: &[f32], context: &RowContext) -> Vec<f32> {
        match &self.architecture {
            Architecture::Dense(variant) => {
                let latents = self.encode_prepared(variant.as_ref(), rows);
                self.decode_dense(variant.as_ref(), &latents, context)
            }
            Architecture::Sparse(sparse) => {
                let codes = self.encode_sparse(sparse, rows);
                self.restore(&self.decode_sparse(&codes, rows), context)
            }
        }
    }

    /// Returns a vector of `raw_d_in` values for each of the `d_sae` latents: the raw input of length 1 that raises its
    /// pre-activation most. Use to draw latents as pictures. Computed as `w / |w|`, with the encoder row w pulled back
    /// through the linear part of the preprocessing.
    ///
    /// # Source
    /// Ng, *Sparse autoencoder* (CS294A lecture notes), visualising a trained autoencoder.
    pub fn filters(&self) -> Vec<Vec<f32>> {
        let rows = self
            .params()
            .get("w_enc")
            .chunks_exact(self.io_spec().d_in());
        rows.map(|w| {
            let mut filter = self.pipeline().pull_back(w);
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
    pub(crate) fn encode_sparse(&self, sparse: &Objective, rows: &[f32]) -> Codes {
        let encoder = self.encoder.get_or_init(|| Encoder::new(self.params()));
        let mut codes = Codes::new(self.d_sae());
        let mut centred = Vec::new();
        let x = if self.io_spec().centre {
            centred.resize(rows.len(), 0.0);
            engine::centre(rows, self.params().get("b_dec"), &mut centred);
            &centred
        } else {
            rows
        };
        let rows = Centred {
            x,
            w_enc: self.params().get("w_enc"),
            b_enc: self.params().get("b_enc"),
        };
        sparse.encode_trained(self.params(), encoder, &rows, &mut codes);
        codes
    }

    /// Prepared outputs from codes and the prepared rows that they came of.
    pub(crate) fn decode_sparse(&self, codes: &Codes, rows: &[f32]) -> Vec<f32> {
        let (mut base, mut x_hat) = (Vec::new(), Vec::new());
        if self.io_spec().skip {
            engine::skip(self.params(), rows, &mut base);
        }
        engine::decode_on(self.params(), codes, 0..codes.rows(), &base, &mut x_hat);
        x_hat
    }

    /// Latents of a dense architecture from prepared rows, on all threads.
    fn encode_prepared(&self, variant: &dyn Variant, rows: &[f32]) -> Vec<f32> {
        let tasks = rows.par_chunks(ROWS * self.io_spec().d_in()).map(|rows| {
            let mut latents = Vec::new();
            variant.encode(self.params(), rows, &mut latents);
            latents
        });
        tasks.collect::<Vec<_>>().concat()
    }

    fn decode_dense(
        &self,
        variant: &dyn Variant,
        latents: &[f32],
        context: &RowContext,
    ) -> Vec<f32> {
        let tasks: Vec<_> = latents
            .par_chunks(ROWS * self.d_sae())
            .enumerate()
            .map(|(task, latents)| {
                let mut x_hat = Vec::new();
                variant.decode(self.params(), latents, &mut x_hat);
                let n = latents.len() / self.d_sae();
                self.pipeline().invert(&x_hat, &part(context, task, n))
            })
            .collect();
        tasks.concat()
    }

    /// Prepared rows from raw ones, on all threads, and what preprocessing removed of each row.
    fn prepare<V: Value>(&self, raw: &[V]) -> (Vec<f32>, RowContext) {
        let tasks = raw.par_chunks(ROWS * self.raw_d_in()).map(|raw| {
            let (rows, context) = self.pipeline().apply_in(raw);
            (V::narrowed(rows), context)
        });
        let mut all = (Vec::new(), RowContext::default());
        for (rows, context) in tasks.collect::<Vec<_>>() {
            all.0.extend(rows);
            all.1.append(context);
        }
        all
    }

    /// Raw rows from prepared ones, on all threads.
    fn restore(&self, rows: &[f32], context: &RowContext) -> Vec<f32> {
        let width = self.io_spec().d_out();
        let tasks: Vec<_> = rows
            .par_chunks(ROWS * width)
            .enumerate()
            .map(|(task, rows)| {
                let n = rows.len() / width;
                self.output_pipeline().invert(rows, &part(context, task, n))
            })
            .collect();
        tasks.concat()
    }
}

/// The context of a task's rows.
fn part(context: &RowContext, task: usize, n: usize) -> RowContext {
    context.of(task * ROWS..task * ROWS + n)
}
