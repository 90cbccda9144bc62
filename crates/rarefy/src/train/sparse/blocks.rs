//! Parameter blocks of a sparse model inside one flat vector: parameters, gradient or moments.

use crate::io_spec::IoSpec;

/// Parameter blocks; both matrices have one row for each latent, of `d_in` and of `d_out` values.
pub(super) struct Blocks<T> {
    pub(super) w_enc: T,
    pub(super) b_enc: T,
    pub(super) w_dec: T,
    pub(super) b_dec: T,
    /// `[d_out, d_in]`, or empty.
    pub(super) w_skip: T,
    /// Per-latent parameters, `d_sae` of each kind, then a threshold that is not trained, if there is one.
    pub(super) per_latent: T,
}

/// Sizes of a sparse model.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModelShape {
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    pub(super) d_sae: usize,
    pub(super) skip: bool,
}

impl ModelShape {
    pub(super) fn new(io: &IoSpec, d_sae: usize) -> Self {
        Self {
            d_in: io.d_in(),
            d_out: io.d_out(),
            d_sae,
            skip: io.skip,
        }
    }

    /// Lengths of all blocks but the last one.
    fn sizes(self) -> [usize; 5] {
        let Self {
            d_in, d_out, d_sae, ..
        } = self;
        let skip = if self.skip { d_out * d_in } else { 0 };
        [d_in * d_sae, d_sae, d_out * d_sae, d_out, skip]
    }
}

impl<'a> Blocks<&'a mut [f32]> {
    pub(super) fn of_mut(shape: ModelShape, values: &'a mut [f32]) -> Self {
        let mut rest = values;
        let [w_enc, b_enc, w_dec, b_dec, w_skip] = shape.sizes().map(|size| {
            let (block, others) = std::mem::take(&mut rest).split_at_mut(size);
            rest = others;
            block
        });
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            w_skip,
            per_latent: rest,
        }
    }
}

impl<'a> Blocks<&'a [f32]> {
    pub(super) fn of(shape: ModelShape, values: &'a [f32]) -> Self {
        let mut rest = values;
        let [w_enc, b_enc, w_dec, b_dec, w_skip] = shape.sizes().map(|size| {
            let (block, others) = rest.split_at(size);
            rest = others;
            block
        });
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            w_skip,
            per_latent: rest,
        }
    }
}
