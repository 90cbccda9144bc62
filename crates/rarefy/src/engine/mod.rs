//! The sparse engine: which latents a row has, and what that costs.
//!
//! Of all products of a training step only the encoder's is dense, and it only decides which latents
//! are the largest; [`Encoder`] finds them exactly without computing most of them exactly. Everything
//! after it works on the few entries of [`Codes`](crate::codes::Codes).

mod block;
mod decode;
mod encoder;
mod grouped;
mod select;

pub use decode::decode;
pub use encoder::Encoder;
pub(crate) use encoder::{Centred, Screen, centre};
pub(crate) use grouped::Grouped;

/// Which latents of a row are active.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Selection {
    /// The k largest positive pre-activations of each row; of equal ones the lower latents.
    Row(usize),
    /// The `floor(n k)` largest positive ones of all n rows together; of equal ones the earlier rows,
    /// in them the lower latents.
    Batch(f64),
    /// All above a threshold, which is not negative.
    Above(f32),
}

/// The auxiliary loss by which dead latents learn: they explain what the others left over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aux {
    /// Dead latents that a row may use; half of `d_in` if absent.
    pub k: Option<usize>,
    /// Weight of the loss; 0 for none.
    pub coefficient: f64,
    /// A latent is dead after so many rows without firing.
    pub dead_after: u64,
}

/// What a sparse architecture trains on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Active latents while training.
    pub selection: Selection,
    /// The auxiliary loss.
    pub aux: Aux,
}

#[cfg(test)]
mod tests;
