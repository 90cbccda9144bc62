//! Kernels of sparse codes: a sample has a few (latent, value) entries instead of a row of all latents.
//!
//! A decode reads only the entries' rows of `W_dec`; the backward pass reads the samples of each latent.
//! The time is spent on rows at random places in memory, not on arithmetic. The kernels therefore take
//! four rows at a time and prefetch the next four (`rows.rs` has the measurements).
//!
//! One sample has the residual `r = x_hat - x` and the loss `scale/2 |r|^2`. For its entry `j` with latent
//! `l` and value `z`:
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
