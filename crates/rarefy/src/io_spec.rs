//! What a model reads and what it writes.
//!
//! ```text
//! autoencoder   x -> x            pre = W_enc (x - b_dec) + b_enc      x_hat = W_dec^T f + b_dec
//! transcoder    x -> y            pre = W_enc x + b_enc                y_hat = W_dec^T f + b_dec (+ W_skip x)
//! crosscoder    x_1 .. x_M -> x   pre = sum_m W_enc_m x_m + b_enc      x_hat_m = W_dec_m^T f + b_dec_m
//! ```
//!
//! A row of training data is the inputs side by side, then the target. To the sparse engine all three are
//! one thing: rows of `d_in` values in, rows of `d_out` values out. A crosscoder's several inputs are one wide
//! row; only its decoder rows are measured differently, as the sum of their parts' lengths.

use crate::{Error, Result};

/// What a model reads and what it writes.
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
/// assert_eq!((cross.d_in(), cross.d_out(), cross.row()), (5, 5, 5));
/// // A decoder row of two parts, (3, 0, 4) and (0, 2), is 5 + 2 long.
/// assert_eq!(cross.length(&[3.0, 0.0, 4.0, 0.0, 2.0]), 7.0);
/// let transcoder = IoSpec::new(&[3], Some(4))?;
/// assert_eq!((transcoder.d_in(), transcoder.d_out(), transcoder.row()), (3, 4, 7));
/// assert!(!transcoder.centre); // b_dec has other values than a row
/// # Ok::<(), rarefy::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoSpec {
    inputs: Vec<usize>,
    target: Option<usize>,
    /// Whether the encoder takes `b_dec` off the rows.
    pub centre: bool,
    /// Whether the target is also predicted from the input directly, by a matrix `W_skip`.
    pub skip: bool,
}

impl IoSpec {
    /// Rows of `d_in` values, encoded and decoded.
    pub fn autoencoder(d_in: usize) -> Self {
        Self {
            inputs: vec![d_in],
            target: None,
            centre: true,
            skip: false,
        }
    }

    /// Inputs of these many values each, and a target of so many if it is other data.
    ///
    /// # Errors
    /// [`Error::Conflict`] for several inputs and a target together.
    ///
    /// # Panics
    /// If there is no input.
    pub fn new(inputs: &[usize], target: Option<usize>) -> Result<Self> {
        assert!(!inputs.is_empty(), "a model without inputs");
        if inputs.len() > 1 && target.is_some() {
            let why = "several inputs cannot be combined with a target: a crosscoder gives its own inputs back";
            return Err(Error::Conflict(why.into()));
        }
        Ok(Self {
            inputs: inputs.to_vec(),
            target,
            centre: inputs.len() == 1 && target.is_none(),
            skip: false,
        })
    }

    /// The same with or without an encoder that takes `b_dec` off its rows.
    #[must_use]
    pub fn centred(self, centre: bool) -> Self {
        Self { centre, ..self }
    }

    /// The same with or without `W_skip`.
    #[must_use]
    pub fn skipping(self, skip: bool) -> Self {
        Self { skip, ..self }
    }

    /// The same of other widths: as many inputs, and a target if there was one.
    pub(crate) fn of_widths(&self, inputs: &[usize], target: Option<usize>) -> Self {
        Self {
            inputs: inputs.to_vec(),
            target,
            ..self.clone()
        }
    }

    /// Values that the encoder reads.
    pub fn d_in(&self) -> usize {
        self.inputs.iter().sum()
    }

    /// Values that the decoder writes.
    pub fn d_out(&self) -> usize {
        self.target.unwrap_or_else(|| self.d_in())
    }

    /// Values in a row of training data.
    pub fn row(&self) -> usize {
        self.d_in() + self.target.unwrap_or(0)
    }

    /// Where the target begins in such a row: the input's own begin, if it is its own target.
    pub fn target_start(&self) -> usize {
        self.row() - self.d_out()
    }

    /// Widths of the inputs.
    pub fn inputs(&self) -> &[usize] {
        &self.inputs
    }

    /// Width of the target, if it is other data than the input.
    pub fn target(&self) -> Option<usize> {
        self.target
    }

    /// Whether the target is other data than the input.
    pub fn transcodes(&self) -> bool {
        self.target.is_some()
    }

    /// Whether there are several inputs.
    pub fn crosses(&self) -> bool {
        self.inputs.len() > 1
    }

    /// What such a model is called.
    pub fn name(&self) -> &'static str {
        match (self.transcodes(), self.crosses()) {
            (true, _) if self.skip => "skip transcoder",
            (true, _) => "transcoder",
            (false, true) => "crosscoder",
            (false, false) => "autoencoder",
        }
    }

    /// The parts of a decoder row.
    pub fn parts<'a>(&self, decoder_row: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        let widths = match self.target {
            Some(target) => vec![target],
            None => self.inputs.clone(),
        };
        let mut rest = decoder_row;
        widths.into_iter().map(move |width| {
            let (part, others) = rest.split_at(width);
            rest = others;
            part
        })
    }

    /// The lengths of the parts of a decoder row.
    pub fn lengths(&self, decoder_row: &[f32]) -> impl Iterator<Item = f64> {
        let length = |part: &[f32]| rarefy_kernels::vector::dot(part, part).sqrt();
        self.parts(decoder_row).map(length)
    }

    /// The length of a decoder row as penalties see it: the sum of its parts' lengths.
    pub fn length(&self, decoder_row: &[f32]) -> f64 {
        self.lengths(decoder_row).sum()
    }

    /// Inputs `[n, d_in]` and targets `[n, d_out]` of rows `[n, row]`.
    pub fn split(&self, rows: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for row in rows.chunks_exact(self.row()) {
            inputs.extend_from_slice(&row[..self.d_in()]);
            targets.extend_from_slice(&row[self.target_start()..]);
        }
        (inputs, targets)
    }
}
