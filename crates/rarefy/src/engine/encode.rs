//! Encoding of rows into sparse codes by an [`Encoder`].

use rayon::prelude::*;

use super::encoder::{Centred, Encoder};
use super::keep::KeptRow;
use super::select::select;
use super::selection::Selection;
use crate::codes::Codes;
use crate::params::Params;

impl Encoder {
    /// Encodes rows after subtracting `b_dec` and appends their codes: `pre = w_enc (x - b_dec) + b_enc`.
    ///
    /// # Shapes
    /// `x`: `[n, d_in]`; `codes` has the same `d_sae` as the encoder.
    /// # Panics
    /// If the sizes of the parameters, the codes or the rows differ from the encoder's, or `selection` does not
    /// fit its latents (see [`Selection`]).
    #[track_caller]
    pub fn encode(&self, params: &Params, x: &[f32], selection: Selection, codes: &mut Codes) {
        let b_dec = params.get("b_dec");
        assert!(
            b_dec.len() == self.d_in && x.len().is_multiple_of(self.d_in),
            "x and b_dec must be rows of {} inputs, got {} and {} values",
            self.d_in,
            x.len(),
            b_dec.len()
        );
        let mut centred = vec![0.0; x.len()];
        centre(x, b_dec, &mut centred);
        self.encode_as_is(params, &centred, selection, codes);
    }

    /// Encodes rows without subtracting `b_dec` and appends their codes: `pre = w_enc x + b_enc`.
    ///
    /// # Shapes
    /// Same as [`Encoder::encode`]; `params` needs no `b_dec`.
    /// # Panics
    /// Same as [`Encoder::encode`].
    #[track_caller]
    pub fn encode_as_is(
        &self,
        params: &Params,
        x: &[f32],
        selection: Selection,
        codes: &mut Codes,
    ) {
        assert!(
            codes.d_sae == self.d_sae,
            "codes must be over the encoder's {} latents, got {}",
            self.d_sae,
            codes.d_sae
        );
        let rows = Centred {
            x,
            w_enc: params.get("w_enc"),
            b_enc: params.get("b_enc"),
        };
        self.encode_centred(&rows, selection, codes);
    }

    /// Encodes rows with the encoder weights and biases in `rows`, and appends their codes.
    ///
    /// # Shapes
    /// `codes` may have more latents than the encoder.
    /// # Panics
    /// Same as [`Encoder::encode`].
    #[track_caller]
    pub fn encode_centred(&self, rows: &Centred, selection: Selection, codes: &mut Codes) {
        self.check(rows);
        selection.check(self.d_sae);
        append(&select(self, rows, selection), codes);
    }

    /// Panics if the sizes of rows or weights differ from the encoder's, as they would be read at wrong positions.
    #[track_caller]
    fn check(&self, rows: &Centred) {
        let (d_in, d_sae) = (self.d_in, self.d_sae);
        assert!(
            rows.w_enc.len() == d_in * d_sae && rows.b_enc.len() == d_sae,
            "the encoder was made of {d_sae} latents of {d_in} inputs, got {} values of w_enc and {} of b_enc",
            rows.w_enc.len(),
            rows.b_enc.len()
        );
        assert!(
            rows.x.len().is_multiple_of(d_in),
            "x must be rows of {d_in} inputs, got {} values",
            rows.x.len()
        );
    }
}

/// Appends the entries of rows to codes.
fn append(rows: &[KeptRow], codes: &mut Codes) {
    /// Rows of one task.
    const ROWS: usize = 256;
    let start = codes.indices.len();
    let mut end = start;
    for row in rows {
        end += row.entries.len();
        codes.offsets.push(end);
    }
    codes.indices.resize(end, 0);
    codes.values.resize(end, 0.0);
    let (mut indices, mut values) = (&mut codes.indices[start..], &mut codes.values[start..]);
    let tasks = rows.chunks(ROWS).map(|rows| {
        let count = rows.iter().map(|row| row.entries.len()).sum();
        let (of_rows, rest) = std::mem::take(&mut indices).split_at_mut(count);
        indices = rest;
        let (values_of_rows, rest) = std::mem::take(&mut values).split_at_mut(count);
        values = rest;
        (rows, of_rows, values_of_rows)
    });
    let tasks: Vec<_> = tasks.collect();
    tasks.into_par_iter().for_each(|(rows, indices, values)| {
        let entries = rows.iter().flat_map(|row| &row.entries);
        for ((index, value), entry) in indices.iter_mut().zip(values).zip(entries) {
            (*index, *value) = (entry.latent, entry.value);
        }
    });
}

/// Rows that a task centres.
const PIECE: usize = 48;

/// Subtracts `b_dec` from each row: `centred = x - b_dec`.
pub(crate) fn centre(x: &[f32], b_dec: &[f32], centred: &mut [f32]) {
    let d_in = b_dec.len();
    let piece = d_in * PIECE;
    centred
        .par_chunks_mut(piece)
        .zip(x.par_chunks(piece))
        .for_each(|(centred, x)| {
            for (centred, x) in centred.chunks_exact_mut(d_in).zip(x.chunks_exact(d_in)) {
                for ((centred, x), b) in centred.iter_mut().zip(x).zip(b_dec) {
                    *centred = x - b;
                }
            }
        });
}
