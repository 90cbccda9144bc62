//! Model as plain data, between files and [`Model`](super::Model).

use crate::io_spec::IoSpec;
use crate::params::Params;
use crate::preprocess::Pipeline;
use crate::variants::{Architecture, Info, Options, rescaled};
use crate::{Error, Result};

/// Architecture, options, parameters and preprocessing of a model, independent of any file format.
///
/// [Formats](crate::formats) read files into a description and write a description into files.
/// [`Model::new`](super::Model::new) checks it.
///
/// Row j of every matrix belongs to latent j: `w_enc [d_sae, d_in]`, `w_dec [d_sae, d_out]`. Further blocks are
/// `b_enc [d_sae]`, `b_dec [d_out]`, `w_skip [d_out, d_in]` with [`IoSpec::skip`], and the architecture's per-latent
/// parameters. [`IoSpec::centre`] says if the encoder subtracts `b_dec`.
#[derive(Clone)]
#[non_exhaustive]
pub struct ModelDescription {
    /// Table line of the architecture.
    pub info: &'static Info,
    /// Options of the architecture.
    pub options: Options,
    /// Input and output columns, in preprocessed values.
    pub io: IoSpec,
    /// Parameters, with the blocks of [`Architecture::layout`].
    pub params: Params,
    /// If true, decoder rows have any norm, and `pre` is `decoder_norm * (W_enc (x - b_dec) + b_enc)`.
    /// [`Model::new`](super::Model::new) multiplies the norms into the encoder and divides the decoder rows by them.
    pub scaled_by_decoder_norms: bool,
    /// Preprocessing of raw input rows. Without a target it is also inverted after the decoder.
    pub pipeline: Pipeline,
    /// Preprocessing of a transcoder's target, inverted after the decoder.
    pub target_pipeline: Option<Pipeline>,
    /// Height and width of a raw row that is an image, grey or colour.
    pub image_shape: Option<(usize, usize)>,
}

impl ModelDescription {
    /// Description of a model without preprocessing.
    pub fn new(info: &'static Info, options: Options, io: IoSpec, params: Params) -> Self {
        Self {
            pipeline: Pipeline::identity(io.d_in()),
            target_pipeline: io.target_width().map(Pipeline::identity),
            info,
            options,
            io,
            params,
            scaled_by_decoder_norms: false,
            image_shape: None,
        }
    }

    /// Sets the preprocessing of the inputs and of a transcoder's target.
    #[must_use]
    pub fn with_pipelines(self, inputs: Pipeline, target: Option<Pipeline>) -> Self {
        Self {
            pipeline: inputs,
            target_pipeline: target,
            ..self
        }
    }

    /// Sets the height and width of a raw row that is a grey image.
    #[must_use]
    pub fn with_image_shape(self, image_shape: Option<(usize, usize)>) -> Self {
        Self {
            image_shape,
            ..self
        }
    }

    /// Number of latents.
    pub fn d_sae(&self) -> usize {
        self.params.get("b_enc").len()
    }

    /// Architecture with these options.
    ///
    /// # Errors
    /// [`Error::Conflict`] or [`Error::Hyper`] for options that cannot be combined.
    pub fn architecture(&self) -> Result<Architecture> {
        self.info.build(&self.options)
    }

    /// True if the encoder subtracts `b_dec`: [`IoSpec::centre`] of a sparse architecture. A dense one never does.
    pub(crate) fn centres(&self, architecture: &Architecture) -> bool {
        self.io.centre && architecture.dense().is_none()
    }

    /// Pipeline whose inverse turns decoded rows into raw ones: the target's, else the input's.
    pub(crate) fn output_pipeline(&self) -> &Pipeline {
        self.target_pipeline.as_ref().unwrap_or(&self.pipeline)
    }

    /// True if neither inputs nor target are preprocessed.
    pub(crate) fn is_of_raw_rows(&self) -> bool {
        self.pipeline.is_identity() && self.output_pipeline().is_identity()
    }

    /// Checks the blocks against the architecture's layout, and multiplies decoder norms into the weights.
    pub(super) fn checked(mut self, architecture: &Architecture) -> Result<Self> {
        let expected = architecture.layout(&self.io, self.d_sae());
        if *self.params.layout() != expected {
            let shapes = |layout: &crate::params::Layout| {
                let blocks = layout.blocks().iter();
                let shapes: Vec<String> = blocks
                    .map(|block| format!("{} [{}, {}]", block.name, block.rows, block.cols))
                    .collect();
                shapes.join(", ")
            };
            return Err(Error::Shape {
                what: format!("parameters of {} {}", self.info.name, self.io.name()),
                expected: shapes(&expected),
                got: shapes(self.params.layout()),
            });
        }
        if self.scaled_by_decoder_norms {
            self.params = rescaled(&self.params);
            self.scaled_by_decoder_norms = false;
        }
        Ok(self)
    }
}
