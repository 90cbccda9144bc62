//! Where the parameters of a sparse architecture start.

use rand::RngExt;

use super::Sparse;
use crate::data::{Source, spread};
use crate::params::{Layout, Params};
use crate::variants::median::geometric_median;
use crate::{Result, Rng};

/// Decoder rows of length 1 in random directions, the encoder a copy of them, no encoder bias,
/// and the decoder bias at the geometric median of the rows (Gao et al. 2024, appendix A).
pub(in crate::variants) fn init(
    sparse: &dyn Sparse,
    layout: &Layout,
    rows: &dyn Source,
    rng: &mut Rng,
) -> Result<Params> {
    let mut params = Params::zeros(layout);
    let median = geometric_median(&spread(rows, MEDIAN_ROWS)?, rows.d_in());
    let b_dec = params.get_mut("b_dec").iter_mut();
    b_dec.zip(median).for_each(|(b, m)| *b = m as f32);
    for row in params.get_mut("w_dec").chunks_exact_mut(rows.d_in()) {
        row.iter_mut()
            .for_each(|w| *w = (2.0 * rng.random::<f64>() - 1.0) as f32);
        let norm = rarefy_kernels::vector::dot(row, row).sqrt() as f32;
        row.iter_mut().for_each(|w| *w /= norm);
    }
    let w_dec = params.get("w_dec").to_vec();
    let scale = sparse.encoder_start(rows.d_in(), w_dec.len() / rows.d_in());
    let pairs = params.get_mut("w_enc").iter_mut().zip(&w_dec);
    pairs.for_each(|(enc, dec)| *enc = scale * dec);
    for (name, value) in sparse.own() {
        params.get_mut(name).fill(*value);
    }
    Ok(params)
}

/// Rows that the decoder bias starts from: all, or so many evenly over the data.
const MEDIAN_ROWS: usize = 1 << 15;
