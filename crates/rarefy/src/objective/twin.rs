//! Views of a batch in the f64 twin.

use super::dual::Dual;

/// A batch in f64 dual numbers.
pub struct TwinBatch {
    /// Entries of each row.
    pub rows: Vec<Vec<TwinEntry>>,
    /// Pre-activations of all latents, `[n][d_sae]`.
    pub pre: Vec<Vec<Dual>>,
    /// Length of each decoder row, `[d_sae]`.
    pub decoder_norms: Vec<Dual>,
    /// Decoder rows, `[d_sae][d_out]`.
    pub w_dec: Vec<Vec<Dual>>,
    /// Decoder rows at the point where the selection was made, `[d_sae][d_out]`: a term that chooses by them holds its
    /// choice still, as the selection is.
    pub held_w_dec: Vec<Vec<f64>>,
    /// Per-latent parameters, `[d_sae]` by the objective's order.
    pub per_latent: Vec<Vec<Dual>>,
    /// True for each dead latent.
    pub dead: Vec<bool>,
}

impl TwinBatch {
    /// Number of rows.
    pub fn n(&self) -> f64 {
        self.rows.len() as f64
    }

    /// L0 of each row, with the activation's pseudo-derivative of a step.
    pub fn l0(&self) -> Vec<Dual> {
        let of_row = |row: &Vec<TwinEntry>| row.iter().map(|entry| entry.step).sum();
        self.rows.iter().map(of_row).collect()
    }
}

/// Entry of a row in the f64 twin.
#[derive(Debug, Clone, Copy)]
pub struct TwinEntry {
    /// Index of the latent.
    pub latent: usize,
    /// Pre-activation of the entry.
    pub pre: Dual,
    /// Pre-activation at the point where the selection was made: an activation that chooses by it holds its choice
    /// still.
    pub held_pre: f64,
    /// Value of the entry.
    pub value: Dual,
    /// Step: 1 if the entry is on, with its pseudo-derivative.
    pub step: Dual,
}
