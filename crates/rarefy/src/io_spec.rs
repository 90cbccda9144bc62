//! Columns that a model reads and columns that its decoder writes.
//!
//! ```text
//! autoencoder   x -> x            pre = W_enc (x - b_dec) + b_enc      x_hat = W_dec^T f + b_dec
//! transcoder    x -> y            pre = W_enc x + b_enc                y_hat = W_dec^T f + b_dec (+ W_skip x)
//! crosscoder    x_1 .. x_M -> x   pre = sum_m W_enc_m x_m + b_enc      x_hat_m = W_dec_m^T f + b_dec_m
//! ```
//!
//! A row of training data is `[x_1 | .. | x_M | target]`, and has a target only for a transcoder. The sparse engine
//! sees rows of `d_in` values in and rows of `d_out` values out in all three cases. The inputs of a crosscoder
//! form one wide row. Only the norm of its decoder rows differs: it is the sum of the norms of the parts.

use std::borrow::Cow;

use crate::{Error, Result};

/// Input and output columns of a model: autoencoder, transcoder or crosscoder.
///
/// # Source
/// Dunefsky et al. 2024, *Transcoders find interpretable LLM feature circuits*, arXiv:2406.11944; Paulo et al. 2025,
/// *Transcoders beat sparse autoencoders for interpretability*, arXiv:2501.18823 (`skip`); Lindsey et al. 2024, *Sparse
/// crosscoders for cross-layer features and model diffing*.
///
/// # Example
/// ```
/// use rarefy::io_spec::IoSpec;
/// let cross = IoSpec::new(&[3, 2], None)?;
/// assert_eq!((cross.d_in(), cross.d_out(), cross.row_width()), (5, 5, 5));
/// // A decoder row of two parts, (3, 0, 4) and (0, 2), has norm 5 + 2.
/// assert_eq!(cross.decoder_norm(&[3.0, 0.0, 4.0, 0.0, 2.0]), 7.0);
/// let transcoder = IoSpec::new(&[3], Some(4))?;
/// assert_eq!((transcoder.d_in(), transcoder.d_out(), transcoder.row_width()), (3, 4, 7));
/// assert!(!transcoder.centre); // b_dec belongs to the target, not to the input
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoSpec {
    inputs: Vec<usize>,
    target: Option<usize>,
    /// If true, the encoder subtracts `b_dec [d_in]` from its input: `pre = W_enc (x - b_dec) + b_enc`.
    pub centre: bool,
    /// If true, the decoder adds `W_skip x`, with `W_skip [d_out, d_in]`.
    pub skip: bool,
}

impl IoSpec {
    /// Autoencoder of rows `[n, d_in]`: one input, which is also the target, with `centre`.
    pub fn autoencoder(d_in: usize) -> Self {
        Self {
            inputs: vec![d_in],
            target: None,
            centre: true,
            skip: false,
        }
    }

    /// Model of inputs with these widths, and of a separate target of the given width if there is one.
    ///
    /// One input is an autoencoder, one input with a target is a transcoder, several inputs are a crosscoder.
    /// `centre` is true for an autoencoder only.
    ///
    /// # Errors
    /// [`Error::Conflict`] for several inputs and a target together.
    ///
    /// # Panics
    /// If `inputs` is empty.
    pub fn new(inputs: &[usize], target: Option<usize>) -> Result<Self> {
        assert!(!inputs.is_empty(), "a model needs at least one input");
        if inputs.len() > 1 && target.is_some() {
            let why = "several inputs cannot be combined with a target: a crosscoder reconstructs its own inputs";
            return Err(Error::Conflict(why.into()));
        }
        Ok(Self {
            inputs: inputs.to_vec(),
            target,
            centre: inputs.len() == 1 && target.is_none(),
            skip: false,
        })
    }

    /// Sets `centre`.
    #[must_use]
    pub fn with_centre(self, centre: bool) -> Self {
        Self { centre, ..self }
    }

    /// Sets `skip`.
    #[must_use]
    pub fn with_skip(self, skip: bool) -> Self {
        Self { skip, ..self }
    }

    /// Copy with other input and target widths; `centre` and `skip` stay.
    pub(crate) fn with_widths(&self, inputs: &[usize], target: Option<usize>) -> Self {
        Self {
            inputs: inputs.to_vec(),
            target,
            ..self.clone()
        }
    }

    /// Number of values that the encoder reads from a row: the sum of the input widths.
    pub fn d_in(&self) -> usize {
        self.inputs.iter().sum()
    }

    /// Number of values that the decoder writes for a row: the target's width, else `d_in`.
    pub fn d_out(&self) -> usize {
        self.target.unwrap_or_else(|| self.d_in())
    }

    /// Number of values in a row of training data, `[inputs | target]`.
    pub fn row_width(&self) -> usize {
        self.d_in() + self.target.unwrap_or(0)
    }

    /// First column of the `d_out` target columns in a row of training data; 0 without a separate target.
    pub fn target_start(&self) -> usize {
        self.row_width() - self.d_out()
    }

    /// Width of each input; a crosscoder has several.
    pub fn input_widths(&self) -> &[usize] {
        &self.inputs
    }

    /// Width of a transcoder's target, `None` without a separate target.
    pub fn target_width(&self) -> Option<usize> {
        self.target
    }

    /// True for a transcoder: the decoder predicts a separate target instead of the input.
    pub fn has_target(&self) -> bool {
        self.target.is_some()
    }

    /// True for a crosscoder: several inputs share the latents.
    pub fn has_several_inputs(&self) -> bool {
        self.inputs.len() > 1
    }

    /// Name of this kind of model: `autoencoder`, `transcoder`, `skip transcoder` or `crosscoder`.
    pub fn name(&self) -> &'static str {
        match (self.has_target(), self.has_several_inputs()) {
            (true, _) if self.skip => "skip transcoder",
            (true, _) => "transcoder",
            (false, true) => "crosscoder",
            (false, false) => "autoencoder",
        }
    }

    /// Slices of a decoder row `[d_out]`: one for each input of a crosscoder, else the whole row.
    pub fn decoder_parts<'a>(&self, decoder_row: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        let widths = match self.target {
            Some(target) => vec![target],
            None => self.inputs.clone(),
        };
        let mut rest = decoder_row;
        widths.into_iter().map(move |width| {
            let (part, after) = rest.split_at(width);
            rest = after;
            part
        })
    }

    /// Euclidean norm of each of the [`IoSpec::decoder_parts`] of a decoder row `[d_out]`.
    pub fn decoder_part_norms(&self, decoder_row: &[f32]) -> impl Iterator<Item = f64> {
        let norm = |part: &[f32]| rarefy_kernels::vector::dot(part, part).sqrt();
        self.decoder_parts(decoder_row).map(norm)
    }

    /// Norm of a decoder row `[d_out]` in penalties: the sum of the norms of its parts.
    pub fn decoder_norm(&self, decoder_row: &[f32]) -> f64 {
        self.decoder_part_norms(decoder_row).sum()
    }

    /// Inputs `[n, d_in]` and targets `[n, d_out]` of rows `[n, row_width]`; copied only if the target is another.
    pub fn split<'a>(&self, rows: &'a [f32]) -> (Cow<'a, [f32]>, Cow<'a, [f32]>) {
        if self.target.is_none() {
            return (rows.into(), rows.into());
        }
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for row in rows.chunks_exact(self.row_width()) {
            inputs.extend_from_slice(&row[..self.d_in()]);
            targets.extend_from_slice(&row[self.target_start()..]);
        }
        (inputs.into(), targets.into())
    }
}
