//! A trained model: architecture, parameters and the preprocessing that belongs to them.

mod encode;
mod fold;

use std::borrow::Cow;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::codes::Codes;
use crate::engine::{self, Centred, Encoder};
use crate::io_spec::IoSpec;
use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, Hyper, Info, Objective, Variant};
use crate::{Error, Result};

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
    /// What it reads and writes, in prepared values.
    pub io: IoSpec,
    /// Number of latents.
    pub d_sae: usize,
    /// Applied to raw rows before the encoder and, without a `target`, undone after the decoder.
    pub pipeline: Pipeline,
    /// What a transcoder's targets go through, undone after the decoder.
    pub target: Option<Pipeline>,
    /// Height and width, if a raw row is a grey image.
    pub image_shape: Option<(usize, usize)>,
    /// Not to be changed: the encoder below is made from them.
    params: Params,
    /// The sparse engine's form of the encoder, made when it is first needed.
    encoder: OnceLock<Encoder>,
}

impl Model {
    /// An autoencoder of parameters that have the architecture's blocks.
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
        let io = IoSpec::autoencoder(params.get("b_dec").len());
        let mut model = Self::bound(info, hyper, (io, params), pipeline, None)?;
        model.image_shape = image_shape;
        Ok(model)
    }

    /// A model of any binding; `target` prepares what a transcoder predicts.
    ///
    /// # Errors
    /// As [`Model::new`].
    ///
    /// # Panics
    /// If `params` have other blocks than architecture and binding want.
    pub fn bound(
        info: &'static Info,
        hyper: Hyper,
        (io, params): (IoSpec, Params),
        pipeline: Pipeline,
        target: Option<Pipeline>,
    ) -> Result<Self> {
        let architecture = info.build(&hyper)?;
        let d_sae = params.get("b_enc").len();
        assert_eq!(
            *params.layout(),
            architecture.layout(&io, d_sae),
            "parameters of another architecture or io"
        );
        Ok(Self {
            info,
            hyper,
            architecture,
            io,
            d_sae,
            pipeline,
            target,
            image_shape: None,
            params,
            encoder: OnceLock::new(),
        })
    }

    /// Its parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Values in a raw row that it encodes.
    pub fn raw_width(&self) -> usize {
        self.pipeline.d_in()
    }

    /// Values in a raw row that it decodes to.
    pub fn raw_out(&self) -> usize {
        self.output().d_in()
    }

    /// What rows of training data go through: inputs side by side, then the target.
    pub fn rows(&self) -> Cow<'_, Pipeline> {
        match &self.target {
            None => Cow::Borrowed(&self.pipeline),
            Some(target) => Cow::Owned(Pipeline::side_by_side(vec![
                self.pipeline.clone(),
                target.clone(),
            ])),
        }
    }

    /// Values in a raw row of each input.
    pub fn widths(&self) -> Vec<usize> {
        if self.pipeline.is_identity() {
            self.io.input_widths().to_vec()
        } else {
            self.pipeline.widths()
        }
    }

    /// Refuses data (by its name) of other inputs than the model was trained on.
    ///
    /// # Errors
    /// [`Error::Shape`] that says how many inputs of which width there are, and what is missing.
    pub fn check_inputs(&self, name: &str, given: &IoSpec) -> Result<()> {
        let widths = self.widths();
        if given.input_widths() == widths {
            return Ok(());
        }
        let sizes = |widths: &[usize]| {
            let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
            widths.join(" + ")
        };
        let hint = if widths.len() > given.input_widths().len() {
            "; a crosscoder's further inputs are given by `--with DATA`"
        } else {
            ""
        };
        Err(Error::Shape {
            what: format!("{name}: values in a row"),
            expected: format!("{} as the model was trained on{hint}", sizes(&widths)),
            got: sizes(given.input_widths()),
        })
    }

    /// Refuses rows of another binding than the model's: inputs, and a transcoder's target.
    ///
    /// # Errors
    /// As [`Model::check_inputs`]; [`Error::Conflict`] for a target that is missing or too much.
    pub fn check_given(&self, name: &str, given: &IoSpec) -> Result<()> {
        self.check_inputs(name, given)?;
        let expected = self.target.as_ref().map(Pipeline::d_in);
        match (expected, given.target_width()) {
            (expected, got) if expected == got => Ok(()),
            (Some(_), None) => Err(Error::Conflict(
                "the model is a transcoder: say by `--target DATA` what it is to predict".into(),
            )),
            (None, Some(_)) => Err(Error::Conflict(format!(
                "the model is an {} and predicts its own input: leave out the target",
                self.io.name()
            ))),
            (expected, got) => Err(Error::Shape {
                what: "values in a row of the target".into(),
                expected: format!("{} as the model was trained on", expected.unwrap_or(0)),
                got: got.unwrap_or(0).to_string(),
            }),
        }
    }

    /// What decoded rows went through.
    pub fn output(&self) -> &Pipeline {
        self.target.as_ref().unwrap_or(&self.pipeline)
    }

    /// Sparse codes of raw rows `[n, raw_width]`, with the row means that the preprocessing
    /// removes.
    ///
    /// A sparse architecture's codes are all that it keeps, and never a matrix of rows by latents.
    /// Where every latent of every row says something, those above `threshold` are kept.
    pub fn codes(&self, raw: &[f32], threshold: f32) -> Codes {
        match &self.architecture {
            Architecture::Dense(variant) => {
                let (latents, context) = self.latents_dense(variant.as_ref(), raw);
                let mut codes = Codes::new(self.d_sae);
                codes.push_dense(&latents, threshold);
                (codes.row_means, codes.row_scales) = (context.means, context.scales);
                codes
            }
            Architecture::Sparse(sparse) => {
                let (rows, context) = self.prepare(raw);
                let mut codes = self.encode_sparse(sparse, &rows);
                (codes.row_means, codes.row_scales) = (context.means, context.scales);
                codes.keep_above(threshold);
                codes
            }
        }
    }

    /// Raw rows from sparse codes; row means come back where the codes hold them. Of a skip transcoder this is
    /// what its latents say, without `W_skip x`: [`Model::reconstruct`] has both.
    pub fn decode_codes(&self, codes: &Codes) -> Vec<f32> {
        let context = RowContext {
            means: codes.row_means.clone(),
            scales: codes.row_scales.clone(),
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
    pub fn latents(&self, raw: &[f32]) -> (Vec<f32>, RowContext) {
        match &self.architecture {
            Architecture::Dense(variant) => self.latents_dense(variant.as_ref(), raw),
            Architecture::Sparse(_) => {
                let codes = self.codes(raw, 0.0);
                let dense = codes.to_dense();
                (
                    dense,
                    RowContext {
                        means: codes.row_means,
                        scales: codes.row_scales,
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
                codes.row_scales.clone_from(&context.scales);
                self.decode_codes(&codes)
            }
        }
    }

    /// Raw rows encoded and decoded (a transcoder's to its target), row means restored.
    pub fn reconstruct(&self, raw: &[f32]) -> Vec<f32> {
        match &self.architecture {
            Architecture::Dense(variant) => {
                let (latents, context) = self.latents_dense(variant.as_ref(), raw);
                self.decode_dense(variant.as_ref(), &latents, &context)
            }
            Architecture::Sparse(sparse) => {
                let (rows, context) = self.prepare(raw);
                let codes = self.encode_sparse(sparse, &rows);
                self.restore(&self.decode_sparse(&codes, &rows), &context)
            }
        }
    }

    /// For each latent the raw-space input of norm 1 that activates it most: `w / |w|`, with the
    /// encoder row w pulled back through the linear preprocessing.
    ///
    /// # Source
    /// Ng, *Sparse autoencoder* (CS294A lecture notes), visualising a trained autoencoder.
    pub fn filters(&self) -> Vec<Vec<f32>> {
        let rows = self.params.get("w_enc").chunks_exact(self.io.d_in());
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
    pub(crate) fn encode_sparse(&self, sparse: &Objective, rows: &[f32]) -> Codes {
        let encoder = self.encoder.get_or_init(|| Encoder::new(&self.params));
        let mut codes = Codes::new(self.d_sae);
        let mut centred = Vec::new();
        let x = if self.io.centre {
            centred.resize(rows.len(), 0.0);
            engine::centre(rows, self.params.get("b_dec"), &mut centred);
            &centred
        } else {
            rows
        };
        let rows = Centred {
            x,
            w_enc: self.params.get("w_enc"),
            b_enc: self.params.get("b_enc"),
        };
        sparse.encode_trained(&self.params, encoder, &rows, &mut codes);
        codes
    }

    /// Prepared outputs from codes and the prepared rows that they came of.
    pub(crate) fn decode_sparse(&self, codes: &Codes, rows: &[f32]) -> Vec<f32> {
        let (mut base, mut x_hat) = (Vec::new(), Vec::new());
        if self.io.skip {
            engine::skip(&self.params, rows, &mut base);
        }
        engine::decode_on(&self.params, codes, 0..codes.rows(), &base, &mut x_hat);
        x_hat
    }

    fn latents_dense(&self, variant: &dyn Variant, raw: &[f32]) -> (Vec<f32>, RowContext) {
        let tasks: Vec<_> = raw
            .par_chunks(ROWS * self.raw_width())
            .map(|raw| {
                let (rows, context) = self.pipeline.apply(raw);
                let mut latents = Vec::new();
                variant.encode(&self.params, &rows, &mut latents);
                (latents, context)
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
                (rows, context)
            })
            .collect();
        join(tasks)
    }

    /// Raw rows from prepared ones, on all threads.
    fn restore(&self, rows: &[f32], context: &RowContext) -> Vec<f32> {
        let width = self.io.d_out();
        let tasks: Vec<_> = rows
            .par_chunks(ROWS * width)
            .enumerate()
            .map(|(task, rows)| {
                let n = rows.len() / width;
                self.output().invert(rows, &part(context, task, n))
            })
            .collect();
        tasks.concat()
    }
}

/// Tasks' values and what they took from their rows, in order.
fn join(tasks: Vec<(Vec<f32>, RowContext)>) -> (Vec<f32>, RowContext) {
    let mut all = (Vec::new(), RowContext::default());
    for (values, context) in tasks {
        all.0.extend(values);
        all.1.append(context);
    }
    all
}

/// The context of a task's rows.
fn part(context: &RowContext, task: usize, n: usize) -> RowContext {
    context.of(task * ROWS..task * ROWS + n)
}
