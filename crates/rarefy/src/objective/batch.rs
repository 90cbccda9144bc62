//! Views of a batch that loss terms and activations read, and the sums that they add to.

use crate::codes::Codes;
use crate::params::Params;

/// Values of the schedules at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSchedule {
    /// Optimiser steps done before this one.
    pub step: usize,
    /// Factor on the coefficients of sparsity penalties, from 0 to 1.
    pub sparsity: f64,
    /// Factor on the number of latents that a row keeps.
    pub density: f64,
    /// Power p of a penalty's norm at this step and at the next update; `None` if p is fixed.
    pub p: Option<[f64; 2]>,
}

impl Default for StepSchedule {
    fn default() -> Self {
        Self {
            step: 0,
            sparsity: 1.0,
            density: 1.0,
            p: None,
        }
    }
}

impl StepSchedule {
    /// Number of latents that a row keeps at this step, of a schedule that ends at `k`.
    pub fn k(self, k: usize) -> usize {
        ((k as f64 * self.density).round() as usize).max(1)
    }
}

/// A training batch after encoding, as loss terms read it.
pub struct BatchView<'a> {
    /// Values of the schedules at this step.
    pub schedule: StepSchedule,
    /// Number of rows.
    pub n: usize,
    /// Entries of all rows with their values.
    pub codes: &'a Codes,
    /// Pre-activation of each entry.
    pub pre: &'a [f32],
    /// Parameters before the step.
    pub params: &'a Params,
    /// Length of each decoder row ([`IoSpec::decoder_norm`](crate::io_spec::IoSpec::decoder_norm)), `[d_sae]`; empty unless a
    /// term uses the lengths.
    pub decoder_norms: &'a [f32],
}

impl BatchView<'_> {
    /// Values of row `row`'s entries and their latents.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let entries = self.codes.offsets[row]..self.codes.offsets[row + 1];
        (
            &self.codes.indices[entries.clone()],
            &self.codes.values[entries],
        )
    }

    /// L0 of each row: its number of entries with a value other than 0.
    pub fn l0(&self) -> Vec<f64> {
        let count = |row| self.row(row).1.iter().filter(|v| **v != 0.0).count() as f64;
        (0..self.codes.rows()).map(count).collect()
    }
}

/// Results of a term over the whole batch, before its latents are visited one by one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// Penalty that is a sum over rows or over decoder rows, with its coefficient.
    pub penalty: f64,
    /// Factor of each row for the derivatives of its entries; may be empty.
    pub row_weights: Vec<f32>,
    /// Penalty without its coefficient, at this p and at the next one: see [`StepSchedule::p`].
    pub norms: [f64; 2],
    /// Derivative by each decoder row as a linear combination of decoder rows: latents and factors, `[d_sae]`;
    /// empty if the term does not depend on the decoder that way.
    pub decoder_mix: Vec<Vec<(u32, f64)>>,
}

/// Entries of one latent in a batch.
pub struct Entries<'a> {
    /// Index of the latent.
    pub latent: usize,
    /// Row of each entry.
    pub rows: &'a [u32],
    /// Pre-activation of each entry.
    pub pre: &'a [f32],
    /// Value of each entry.
    pub values: &'a [f32],
    /// Derivative of the second reconstruction's loss by each pre-activation; empty without a second reconstruction.
    pub d_pre_reconstruction: &'a [f32],
    /// True if the latent is dead.
    pub dead: bool,
    /// Sum over rows of the encoder's inputs, `[d_in]`.
    pub row_sum: &'a [f64],
}

/// Derivatives by one latent's entries. Terms add to the last three; the activation takes all back to the
/// pre-activations.
pub struct EntryDerivatives<'a> {
    /// Derivative of the reconstruction loss by each value; after the activation, of the whole loss by each
    /// pre-activation.
    pub d_pre: &'a mut [f32],
    /// Derivative of the terms by each value; empty if the objective has no terms.
    pub d_value: &'a mut [f64],
    /// Derivative of the terms by the gate `max(0, pre)` of each entry; empty as `d_value`.
    pub d_gate: &'a mut [f64],
    /// Derivative of the terms by the step `[entry is on]`; empty as `d_value`.
    pub d_step: &'a mut [f64],
}

/// Contributions of one latent to loss and gradient beside its entries' derivatives.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LatentSums {
    /// Penalty with its coefficient.
    pub penalty: f64,
    /// Derivative by the length of the decoder row.
    pub d_norm: f64,
    /// Derivative by each per-latent parameter, in the order of
    /// [`Objective::per_latent`](super::Objective::per_latent).
    pub d_per_latent: [f64; 2],
    /// Derivative by the pre-activation in every row of the batch, beside the entries' derivatives.
    pub d_every_row: f64,
    /// Part of `sum d_pre` to subtract from `d_b_enc`.
    pub beside_bias: f64,
}
