//! Buffers of one block of rows, reused by later blocks.

use rarefy_kernels::screen::{Candidates, Samples};

use super::lines::Lines;

/// Panels screened before the waiting candidates are computed. The f32 weights of that many panels should
/// fit in a core's own cache, because the exact pre-activations read them.
pub(super) const PANELS: usize = 4;

/// Buffers of one block. A finished block hands them to the next one.
#[derive(Default)]
pub(super) struct Scratch {
    /// Quantised rows, `[rows, padded]`.
    pub(super) bytes: Lines<u8>,
    /// Quantisation step of each row.
    pub(super) scale: Vec<f32>,
    /// Upper bound of the norm of each row.
    pub(super) norm: Vec<f32>,
    /// Upper bound of the norm of the quantisation error of each row.
    pub(super) error: Vec<f32>,
    /// Bound that a pre-activation of the row must exceed to be a candidate.
    pub(super) floor: Vec<f32>,
    /// Candidates that the buffer of a row holds: the waiting ones and every latent of the next panels.
    pub(super) room: usize,
    /// Waiting candidates, `[rows, room]`: their latents.
    pub(super) latents: Vec<u32>,
    /// Upper bounds of the pre-activations of the waiting candidates, `[rows, room]`.
    pub(super) most: Vec<f32>,
    /// Number of waiting candidates of each row.
    pub(super) counts: Vec<u32>,
    /// Sizes of the entries of one row, as integers.
    pub(super) keys: Vec<u32>,
    /// Products of rows and weights, `[rows, PANELS * PANEL]`.
    pub(super) pre: Vec<f32>,
}

impl Scratch {
    /// Borrows the quantised rows, the facts about rows that the screen reads, and the candidates that the
    /// screen writes. With `either_sign`, candidates are compared by absolute value.
    pub(super) fn views(&mut self, either_sign: bool) -> (&[u8], Samples<'_>, Candidates<'_>) {
        let samples = Samples {
            either_sign,
            scale: &self.scale,
            norm: &self.norm,
            error: &self.error,
            floor: &self.floor,
        };
        let found = Candidates {
            latents: &mut self.latents,
            most: &mut self.most,
            counts: &mut self.counts,
            room: self.room,
        };
        (self.bytes.get(), samples, found)
    }
}
