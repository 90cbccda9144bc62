//! The sparse engine: exact selection of the active latents of each row, and sparse decoding.
//!
//! A training step has one dense product, the encoder's. The product only decides which latents are the
//! largest. [`Encoder`] finds these exactly and skips most of the exact products. All later work uses
//! the few entries of [`Codes`](crate::codes::Codes).
//!
//! Files, each importing only earlier ones: `selection` (the rules), `lines` (aligned bytes), `scratch` (buffers), `encoder` (quantised
//! weights), `keep` (best entries of one row), `block` (search of a block of rows), `select` (starting bounds and
//! repeated searches), `encode` (the public calls), `products` (of the rows with each other), `decode`.

mod block;
mod decode;
mod encode;
mod encoder;
mod keep;
mod lines;
mod products;
mod scratch;
mod select;
mod selection;

pub use decode::decode;
pub(crate) use decode::{decode_on, skip};
pub(crate) use encode::centre;
pub(crate) use encoder::Screen;
pub use encoder::{Centred, Encoder};
pub(crate) use products::RowProducts;
pub use selection::Selection;

#[cfg(test)]
mod tests;
