//! The blocks of a sparse model inside one flat vector: parameters, gradient or moments.

/// The blocks; both matrices have a row for each latent, of `d_in` and of `d_out` values.
pub(super) struct Blocks<T> {
    pub(super) w_enc: T,
    pub(super) b_enc: T,
    pub(super) w_dec: T,
    pub(super) b_dec: T,
    /// The architecture's own numbers, `d_sae` of each kind; a threshold that is not trained.
    pub(super) own: T,
}

/// Sizes of the blocks.
#[expect(clippy::struct_field_names, reason = "the field's names")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) d_in: usize,
    pub(super) d_out: usize,
    pub(super) d_sae: usize,
}

impl<'a> Blocks<&'a mut [f32]> {
    pub(super) fn of_mut(shape: Shape, values: &'a mut [f32]) -> Self {
        let Shape { d_in, d_out, d_sae } = shape;
        let (w_enc, rest) = values.split_at_mut(d_in * d_sae);
        let (b_enc, rest) = rest.split_at_mut(d_sae);
        let (w_dec, rest) = rest.split_at_mut(d_out * d_sae);
        let (b_dec, own) = rest.split_at_mut(d_out);
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            own,
        }
    }
}

impl<'a> Blocks<&'a [f32]> {
    pub(super) fn of(shape: Shape, values: &'a [f32]) -> Self {
        let Shape { d_in, d_out, d_sae } = shape;
        let (w_enc, rest) = values.split_at(d_in * d_sae);
        let (b_enc, rest) = rest.split_at(d_sae);
        let (w_dec, rest) = rest.split_at(d_out * d_sae);
        let (b_dec, own) = rest.split_at(d_out);
        Self {
            w_enc,
            b_enc,
            w_dec,
            b_dec,
            own,
        }
    }
}
