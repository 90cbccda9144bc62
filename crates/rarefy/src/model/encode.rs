//! Encoding rows in any form that a caller has.

use super::Model;
use std::ops::Range;

use crate::codes::Codes;
use crate::data::{Rows, Source};
use crate::preprocess::RowContext;
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
        let mut all = Codes::new(self.d_sae());
        self.encode_pieces(x.source(), 0.0, &mut |codes| {
            all.append(codes);
            Ok(())
        })?;
        Ok(all)
    }

    /// [`Model::encode`] piece by piece: `take` gets the codes of consecutive rows. While a piece is encoded, the next one is read
    /// and the one before is taken. Latents of a dense architecture are kept above `threshold`.
    ///
    /// # Errors
    /// As [`Model::encode`]; the error of `take`, which is called no more.
    #[doc(hidden)]
    pub fn encode_pieces(
        &self,
        source: &dyn Source,
        threshold: f32,
        take: &mut (dyn FnMut(Codes) -> Result<()> + Send),
    ) -> Result<()> {
        let mut pieces = self.pieces(source)?;
        let mut read = || {
            let rows = pieces.next();
            rows.map(|rows| self.prepared_range(source, rows))
                .transpose()
        };
        let (mut ready, mut encoded) = (read()?, None);
        while ready.is_some() || encoded.is_some() {
            let (now, before) = (ready.take(), encoded.take());
            let encode =
                |(rows, context): (Vec<f32>, RowContext)| self.codes_of(&rows, context, threshold);
            let (codes, next) = rayon::join(
                || now.map(encode),
                || {
                    before.map_or(Ok(()), &mut *take)?;
                    read()
                },
            );
            (encoded, ready) = (codes, next?);
        }
        Ok(())
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
        for rows in self.pieces(x.source())? {
            latents.extend(self.encode_dense_range(x.source(), rows)?);
        }
        Ok(latents)
    }

    /// [`Model::encode`] of a range of rows of a source that has the model's width; latents of a dense architecture are
    /// kept above `threshold`.
    ///
    /// # Errors
    /// As [`Source::read`].
    #[doc(hidden)]
    pub fn encode_range(
        &self,
        source: &dyn Source,
        rows: Range<usize>,
        threshold: f32,
    ) -> Result<Codes> {
        let (rows, context) = self.prepared_range(source, rows)?;
        Ok(self.codes_of(&rows, context, threshold))
    }

    /// [`Model::encode_dense`] of a range of rows of a source that has the model's width.
    ///
    /// # Errors
    /// As [`Source::read`].
    #[doc(hidden)]
    pub fn encode_dense_range(&self, source: &dyn Source, rows: Range<usize>) -> Result<Vec<f32>> {
        let (rows, context) = self.prepared_range(source, rows)?;
        Ok(self.latents_of(&rows, context).0)
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
        for rows in self.pieces(x.source())? {
            let (rows, context) = self.prepared_range(x.source(), rows)?;
            x_hat.extend(self.reconstruct_prepared(&rows, &context));
        }
        Ok(x_hat)
    }

    /// Ranges of rows that are encoded at a time.
    fn pieces(&self, source: &dyn Source) -> Result<impl Iterator<Item = Range<usize>>> {
        let (rows, width) = (source.rows(), source.d_in());
        if width != self.raw_d_in() {
            return Err(Error::Shape {
                what: format!("{}: values in a row", source.name()),
                expected: format!("{} as the model was trained on", self.raw_d_in()),
                got: width.to_string(),
            });
        }
        let starts = (0..rows).step_by(PIECE);
        Ok(starts.map(move |start| start..rows.min(start + PIECE)))
    }

    /// Prepared rows of a range, read with all digits that preprocessing needs, with their row context.
    fn prepared_range(
        &self,
        source: &dyn Source,
        rows: Range<usize>,
    ) -> Result<(Vec<f32>, RowContext)> {
        let (start, values) = (rows.start, rows.len() * source.d_in());
        if source.has_f64() && !self.pipeline().is_identity() {
            let mut raw = vec![0.0; values];
            source.read_f64(start, &mut raw)?;
            return Ok(self.prepare(&raw));
        }
        if let Some(all) = source.as_slice() {
            return Ok(self.prepare(&all[start * source.d_in()..][..values]));
        }
        let mut raw = vec![0.0_f32; values];
        source.read(start, &mut raw)?;
        if self.pipeline().is_identity() {
            return Ok((raw, RowContext::default()));
        }
        Ok(self.prepare(&raw))
    }
}
