//! The four blocks of a sparse model inside one flat vector: parameters, gradient or moments.

/// The blocks; both matrices have a row of `d_in` values for each latent.
pub(super) struct Blocks<T> {
    pub(super) w_enc: T,
    pub(super) b_enc: T,
    pub(super) w_dec: T,
    pub(super) b_dec: T,
}

impl<'a> Blocks<&'a mut [f32]> {
    pub(super) fn of_mut(d_in: usize, d_sae: usize, values: &'a mut [f32]) -> Self {
        let (w_enc, rest) = values.split_at_mut(d_in * d_sae);
        let (b_enc, rest) = rest.split_at_mut(d_sae);
        let (w_dec, rest) = rest.split_at_mut(d_in * d_sae);
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec: &mut rest[..d_in],
        }
    }
}

impl<'a> Blocks<&'a [f32]> {
    pub(super) fn of(d_in: usize, d_sae: usize, values: &'a [f32]) -> Self {
        let (w_enc, rest) = values.split_at(d_in * d_sae);
        let (b_enc, rest) = rest.split_at(d_sae);
        let (w_dec, rest) = rest.split_at(d_in * d_sae);
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec: &rest[..d_in],
        }
    }
}
