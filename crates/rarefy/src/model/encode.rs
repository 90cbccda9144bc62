//! Encoding rows in any form that a caller has.

use super::Model;
use crate::codes::Codes;
use crate::data::{Rows, Source};
use crate::{Error, Result};

/// Rows that are read and encoded at a time.
const PIECE: usize = 1 << 14;

impl Model {
    /// Encodes raw rows of width `raw_d_in` to sparse codes: the active latents of each row as a CSR matrix
    /// `[n, d_sae]`. The model's preprocessing is applied here. A transcoder's rows hold the input only.
    ///
    /// A sigmoid latent is never 0, so codes of `kl` hold all latents of all rows; [`Model::encode_dense`] gives the same
    /// values as a matrix. [`Codes::keep_above`] drops values below a threshold.
    ///
    /// # Errors
    /// [`Error::Shape`] for rows of another width than the model was trained on; errors of reading
    /// the rows.
    pub fn encode<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Codes> {
        let x = x.into().check()?;
        let mut codes = Codes::new(self.d_sae());
        self.pieces(x.source(), &mut |raw| codes.append(self.codes(raw, 0.0)))?;
        Ok(codes)
    }

    /// Encodes raw rows of width `raw_d_in` to a dense row-major matrix `[n, d_sae]`, zeros included; a transcoder's
    /// rows hold the input only. The model's preprocessing is applied here. The matrix takes `4 n d_sae` bytes;
    /// [`Model::encode`] stores active latents only.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_dense<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<f32>> {
        let x = x.into().check()?;
        let mut latents = Vec::new();
        self.pieces(x.source(), &mut |raw| latents.extend(self.latents(raw).0))?;
        Ok(latents)
    }

    /// Encodes and decodes raw rows of width `raw_d_in`, and returns reconstructions in raw units, row-major
    /// `[n, raw_d_out]`. Mean and divisor of each row that preprocessing removed are restored. A transcoder returns its
    /// prediction of the target; its rows hold the input only, and no mean of the input is added.
    ///
    /// # Errors
    /// As [`Model::encode`].
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Source;
    /// let digits = rarefy::data::open("sample:digits", &Default::default())?;
    /// let model = rarefy::topk(8).latents(128).steps(20).batch(256).fit(&digits)?;
    /// let x_hat = model.reconstruct(&digits)?;
    /// assert_eq!(x_hat.len(), 1797 * 64);
    /// assert_eq!(x_hat, model.decode(&model.encode(&digits)?)?);
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn reconstruct<'a>(&self, x: impl Into<Rows<'a>>) -> Result<Vec<f32>> {
        let x = x.into().check()?;
        let mut x_hat = Vec::new();
        self.pieces(x.source(), &mut |raw| {
            x_hat.extend(self.reconstruct_raw(raw));
        })?;
        Ok(x_hat)
    }

    /// Calls `f` with the raw rows, a piece at a time.
    fn pieces(&self, source: &dyn Source, f: &mut dyn FnMut(&[f32])) -> Result<()> {
        let width = source.d_in();
        if width != self.raw_d_in() {
            return Err(Error::Shape {
                what: format!("{}: values in a row", source.name()),
                expected: format!("{} as the model was trained on", self.raw_d_in()),
                got: width.to_string(),
            });
        }
        if let Some(all) = source.as_slice() {
            all.chunks(PIECE * width).for_each(f);
            return Ok(());
        }
        let mut buffer = vec![0.0; PIECE.min(source.rows()) * width];
        let mut start = 0;
        while start < source.rows() {
            let count = PIECE.min(source.rows() - start);
            let raw = &mut buffer[..count * width];
            source.read(start, raw)?;
            f(raw);
            start += count;
        }
        Ok(())
    }
}
