//! Models on disk. Orientation changes here and nowhere else: in memory a latent's weights are one row.

pub mod codes;
pub mod saelens;
