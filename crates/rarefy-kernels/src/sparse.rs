//! Sparse codes: a sample holds a few (latent, value) entries instead of a row of all latents.
//!
//! A decode then reads the entries' rows of `W_dec` and nothing else, and the backward half reads
//! the samples of each latent. Arithmetic is cheap in both; what costs is to wait for rows at random
//! places, so that the kernels take four rows at a time and ask for the next four while they work
//! (`rows.rs`, with the measurements).
//!
//! For one sample with residual `r = x_hat - x` and loss `scale/2 |r|^2`, whose entry `j` is latent
//! `l` at value `z`:
//!
//! ```text
//! x_hat = base + sum_j z_j W_dec[l_j]       base is the decoder's bias
//! dW_dec[l] = scale z r                     dp = scale r . W_dec[l]
//! dW_enc[l] = dp (x - base)                 db_enc[l] = dp
//! ```

mod decode;
mod dictionary;
mod gradient;
pub(crate) mod rows;
#[cfg(test)]
mod tests;

pub use decode::{decode_row, residual_row};
pub use dictionary::{normalise_row, project_row};
pub use gradient::{add_rows, decoder_gradient};
